"""What ``candling inspect`` leaves behind: a row, a record and a picture an image; knows no engine and no command line.

    OUT/results.csv      one row an image: verdict, severity, every judged score beside its limit, reason, times
    OUT/results.jsonl    the whole record of each image, one JSON object a line
    OUT/overlays/*.jpg   heatmap over the image under a banner with the verdict
    OUT/overlays/*_unlike.png   its worst places beside the nearest good, where the bundle remembers good ones
    OUT/overlays/*_why.png   which part of its worst place decides, when asked for
    OUT/maps/*.tiff      raw anomaly maps, float32, when asked for
    OUT/summary.json     how many of what

Rows are flushed one by one: what was inspected before an interruption stays. Memory does not grow with the number of
images. The colour scale is the bundle's, so two overlays can be compared.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from candling.disk import new_folder, write_atomic
from candling.errors import DiskError, ImageError
from candling.pixels.heatmap import encode_jpeg, encode_png
from candling.pixels.read import read_image
from candling.types import Verdict
from candling.workflow.beside import region_scores, worst_score
from candling.workflow.explanation import pairs_of, unlike_places
from candling.workflow.naming import FileNames
from candling.workflow.overlays import draw_overlay, encode_map
from candling.workflow.strips import frame_number, of_worst_frame, vial_results
from candling.workflow.tables import Cell, csv_line
from candling.workflow.unlike import draw_unlike
from candling.workflow.why import draw_why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from candling.runtime.references import References
    from candling.types import Frame, Inspection, Limit, Reason
    from candling.workflow.explanation import Place
    from candling.workflow.maps import MapScale
    from candling.workflow.why import Why

__all__ = ["OverlayChoice", "Summary", "record", "write_results"]

OverlayChoice = Literal["rejected", "all", "none"]
"""Of which images overlays are drawn; ``rejected`` means everything that was not accepted."""


STEPS = ("read", "prepare", "predict", "judge")
"""The steps whose times have a column."""


@dataclass(frozen=True)
class Summary:
    """How many images got which verdict, and what was written."""

    images: int
    accepted: int
    rejected: int
    undecided: int
    unreadable: int
    overlays: int
    maps: int
    folder: str

    def to_json(self) -> dict[str, Any]:
        """Give the same as plain values."""
        return asdict(self)


def write_results(
    inspections: Iterable[Inspection],
    out: Path,
    *,
    limits: Mapping[tuple[str, str], Limit],
    scale: MapScale,
    overlays: OverlayChoice = "rejected",
    raw_maps: bool = False,
    references: References | None = None,
    overwrite: bool = False,
    frame_of: Callable[[Inspection], Frame] | None = None,
    why: Callable[[Frame, Inspection], Why | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Write the results of a series of inspections as they come.

    Args:
        inspections: in the order of the rows; consumed once, never held.
        out: the folder to make.
        limits: the bundle's limits by (region, score): they name the columns.
        scale: the bundle's colour scale.
        overlays: of which images to draw one.
        raw_maps: also write each anomaly map as float32 TIFF.
        references: the bundle's remembered good pictures; None draws none beside the worst places.
        overwrite: replace results that lie in ``out`` already; other files there stay.
        frame_of: gives the frame of an inspection for its overlay; by default its product is the path of a file. One
            that raises ImageError gets no overlay. Of several frames the worst is shown: its predictions alone are
            in the inspection given.
        why: explains the worst place of each image that gets an overlay; None explains none.
        progress: called with the number of images done.

    Raises:
        OutputExistsError: ``out`` holds something and ``overwrite`` is False.
        DiskError: writing failed; rows written before stay.
        BundleError: a picture of the references is damaged; likewise.
    """
    new_folder(out, overwrite=overwrite)
    _remove_earlier(out)
    pictures = _Pictures(out, limits, scale, overlays, raw_maps, references, frame_of or _read_product, why)
    names, counts = FileNames(), Counter[str]()
    with _appending(out / "results.csv") as table, _appending(out / "results.jsonl") as lines:
        table(csv_line(_head(limits)))
        for inspection in inspections:
            name = names.make(inspection.product)
            places = pictures.places(inspection)
            drawn, beside, decides = pictures.draw(inspection, name, places or ())
            saved = pictures.save_map(inspection, name)
            table(csv_line(_row(inspection, limits, drawn, saved)))
            unlike = {} if places is None else {"unlike": [_place(place) for place in places], "unlike_picture": beside}
            explained = {} if why is None else {"why_picture": decides}
            kept = record(inspection, limits) | {"overlay": drawn, "map": saved} | unlike | explained
            lines(json.dumps(kept) + "\n")
            counts.update(["images", str(inspection.verdict)])
            counts.update(kind for kind, there in _extras(inspection, drawn, saved).items() if there)
            if progress is not None:
                progress(counts["images"])
    summary = _summary(counts, out)
    write_atomic(out / "summary.json", json.dumps(summary.to_json(), indent=2) + "\n")
    return summary


def record(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> dict[str, Any]:
    """Give one inspection as plain JSON values: null stands for what is no finite number."""
    return {
        "product": _text(inspection.product),
        "verdict": str(inspection.verdict),
        "severity": _number(inspection.severity),
        "reasons": [
            {
                "text": _text(reason.text),
                "region": reason.region,
                "score": reason.score,
                "value": _number(reason.value),
                "limit": _number(reason.limit),
                **_patch(reason),
            }
            for reason in inspection.reasons
        ],
        "scores": [
            {
                "region": region,
                "score": score,
                "value": _number(value),
                "low": _number(limits[region, score].low),
                "high": _number(limits[region, score].high),
            }
            for (region, score), value in region_scores(inspection, limits).items()
        ],
        "milliseconds": {step: round(time, 3) for step, time in inspection.milliseconds.items()},
        "bundle": inspection.bundle,
        **_vials(inspection, limits),
    }


def _patch(reason: Reason) -> dict[str, int | None]:
    """Name vial and frame where the product is a strip."""
    return {} if reason.vial is None else {"vial": reason.vial, "frame": reason.frame}


def _vials(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> dict[str, Any]:
    """Give the worst of each vial where the product is a strip."""
    vials = vial_results(inspection, limits)
    rows = [
        {"vial": one.vial, "severity": _number(one.severity), "score_over_limit": _number(one.score_over_limit)}
        for one in vials
    ]
    return {"vials": rows} if rows else {}


@dataclass(frozen=True)
class _Pictures:
    """Draws and saves what was asked for; gives each file's path below ``out``, or None where there is nothing."""

    out: Path
    limits: Mapping[tuple[str, str], Limit]
    scale: MapScale
    overlays: OverlayChoice
    raw_maps: bool
    references: References | None
    frame_of: Callable[[Inspection], Frame]
    why: Callable[[Frame, Inspection], Why | None] | None

    def places(self, inspection: Inspection) -> tuple[Place, ...] | None:
        """Give the places that are unlike good ones; None where accepted, or where the graph does not say."""
        said = any(patch.nearest is not None for patch in inspection.predictions)
        told = self.overlays == "all" or inspection.verdict is not Verdict.ACCEPT
        shown = of_worst_frame(inspection, self.limits)
        return unlike_places(shown.predictions, above=self.scale.edge) if said and told else None

    def draw(
        self, inspection: Inspection, name: str, places: Sequence[Place]
    ) -> tuple[str | None, str | None, str | None]:
        """Draw the overlay, the places beside the nearest good, and what decides the worst place."""
        wanted = self.overlays == "all" or (self.overlays == "rejected" and inspection.verdict is not Verdict.ACCEPT)
        if not wanted or not inspection.predictions:
            return None, None, None
        drawn = beside = decides = None
        with suppress(ImageError):  # the file has gone since: its verdict stands, its picture is missing
            shown = of_worst_frame(inspection, self.limits)
            number = frame_number(shown)
            title = _text(inspection.product) + ("" if number is None else f", frame {number}")
            frame = self.frame_of(shown)
            picture = draw_overlay(frame, shown, limits=self.limits, scale=self.scale, title=title)
            drawn = _save(self.out, f"overlays/{name}.jpg", encode_jpeg(picture, 90))
            pairs = () if self.references is None else pairs_of(frame, places, self.references)
            if pairs:
                beside = _save(self.out, f"overlays/{name}_unlike.png", encode_png(draw_unlike(frame, pairs)))
            found = None if self.why is None else self.why(frame, shown)
            if found is not None:
                decides = _save(self.out, f"overlays/{name}_why.png", encode_png(draw_why(found)))
        return drawn, beside, decides

    def save_map(self, inspection: Inspection, name: str) -> str | None:
        data = encode_map(of_worst_frame(inspection, self.limits)) if self.raw_maps else None
        return None if data is None else _save(self.out, f"maps/{name}.tiff", data)


def _read_product(inspection: Inspection) -> Frame:
    frame: Frame = read_image(Path(inspection.product))
    return frame


def _head(limits: Mapping[tuple[str, str], Limit]) -> list[Cell]:
    beside = [f"{region}.{score}{what}" for region, score in limits for what in ("", " limit")]
    behind = ["region", "score", "value", "limit", "reason", "overlay", "map", *(f"{step}_ms" for step in STEPS)]
    return ["product", "verdict", "severity", *beside, *behind]


def _row(
    inspection: Inspection, limits: Mapping[tuple[str, str], Limit], drawn: str | None, saved: str | None
) -> list[Cell]:
    scores = region_scores(inspection, limits)
    beside: list[Cell] = []
    for key, limit in limits.items():
        beside += [scores.get(key), limit.high]
    worst = worst_score(inspection, limits)
    decisive: list[Cell] = [worst.region, worst.score, worst.value, worst.limit] if worst else [None] * 4
    reason = "; ".join(reason.text for reason in inspection.reasons)
    times: list[Cell] = [_rounded(inspection.milliseconds.get(step)) for step in STEPS]
    head: list[Cell] = [inspection.product, str(inspection.verdict), inspection.severity]
    return [*head, *beside, *decisive, reason, drawn, saved, *times]


def _extras(inspection: Inspection, drawn: str | None, saved: str | None) -> dict[str, bool]:
    return {"unreadable": not inspection.predictions, "overlays": drawn is not None, "maps": saved is not None}


def _summary(counts: Mapping[str, int], out: Path) -> Summary:
    return Summary(
        images=counts["images"],
        accepted=counts[Verdict.ACCEPT],
        rejected=counts[Verdict.REJECT],
        undecided=counts[Verdict.UNDECIDED],
        unreadable=counts["unreadable"],
        overlays=counts["overlays"],
        maps=counts["maps"],
        folder=str(out),
    )


def _place(place: Place) -> dict[str, Any]:
    cell = place.nearest
    return {
        "region": place.region,
        "box": asdict(place.box),
        "value": _number(place.value),
        "nearest": None if cell is None else {"picture": cell.picture, "row": cell.row, "column": cell.column},
    }


def _rounded(time: float | None) -> float | None:
    return None if time is None else round(time, 3)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _text(value: str) -> str:
    """Replace what is no Unicode in a file name (lone surrogates), so that it can be written as UTF-8."""
    return value.encode("utf-8", "replace").decode()


# ---- disk: every OSError becomes one sentence -------------------------------------------------------------------


def _remove_earlier(out: Path) -> None:
    """Take away what an earlier run left, so that no picture of it is taken for one of ours; other files stay."""
    try:
        for name in ("results.csv", "results.jsonl", "summary.json"):
            (out / name).unlink(missing_ok=True)
        for name in ("overlays", "maps"):
            folder = out / name
            if folder.is_symlink():
                folder.unlink()
            elif folder.is_dir():
                shutil.rmtree(folder)
    except OSError as error:
        raise DiskError(f"{out}: earlier results cannot be removed: {error.strerror or error}") from error


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[str], None]]:
    """Open a file for rows, each handed to the system at once; at the end, however it comes, they are on the disk."""

    def append(line: str) -> None:
        with _mapped(path):
            file.write(line)
            file.flush()

    with _mapped(path):
        file = path.open("w", encoding="utf-8", newline="")
    try:
        yield append
    finally:
        with _mapped(path), file:
            os.fsync(file.fileno())


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sentence = f"{path}: cannot be written: {error.strerror or error}; free space or choose another folder"
        raise DiskError(sentence) from error


def _save(out: Path, name: str, data: bytes) -> str:
    """Write a picture under its final name only when it is whole; it can be made again, so it is not synced."""
    path = out / name
    part = path.with_name(f".{path.name}.part")
    with _mapped(path):
        path.parent.mkdir(exist_ok=True)
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
    return name
