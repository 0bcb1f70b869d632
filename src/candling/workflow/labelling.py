"""Which images a person should label next: those nearest to the limit; a table to fill in and a gallery, no verdicts.

Far from the limit a label would tell nothing new. The table is one that ``candling calibrate`` reads once its empty
column ``label`` is filled in: the goals for labelled images then move the limits between the good and the bad of these.
After Beggel, Pfeiffer and Bischl 2019, who name it as future work.
"""

from __future__ import annotations

import base64
import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment

from candling.disk import write_atomic
from candling.errors import ImageError, LimitError
from candling.pixels.heatmap import encode_jpeg, heatmap, thumbnail
from candling.pixels.read import read_image
from candling.workflow.beside import region_scores, worst_score
from candling.workflow.maps import frame_map, map_scale
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from candling.runtime.inspector import Inspector
    from candling.types import Inspection

__all__ = ["NearLimit", "gallery_page", "nearest_to_limit", "write_labelling"]

COLUMNS = ("path", "label", "split", "severity", "verdict", "region", "score", "value", "limit")

SIDE_PX = 192
"""The longer side of a picture in the gallery, at most."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Images to label</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:80rem}
main{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:12rem;border-top:.3rem solid #b04606}
figure.accept{border-color:#2a6fb0}img{width:100%;image-rendering:pixelated}
figcaption{font-size:.75rem;overflow-wrap:anywhere}</style></head><body>
<h1>Images to label</h1>
<p>These {{ shown|length }} of {{ seen }} images lie nearest to a limit of {{ bundle }}; severity 1 is at the limit,
blue was accepted, orange was not. A map lies below its image: bright is strange. Write <b>good</b>, or the name of the
defect, into the column <b>label</b> of suggested.csv, then run
<code>candling calibrate {{ bundle }} suggested.csv --goal youden</code>.</p>
<main>{% for one, pictures in shown %}
<figure class="{{ one.verdict }}">
{% for picture in pictures %}<img src="data:image/jpeg;base64,{{ picture }}" alt="">{% endfor %}
<figcaption>{{ loop.index }}. {{ one.path.name }}<br>severity {{ "%.3f"|format(one.severity) }}<br>
{% for line in one.lines %}{{ line }}<br>{% endfor %}</figcaption></figure>{% endfor %}
</main></body></html>
"""


@dataclass(frozen=True)
class NearLimit:
    """One image near a limit.

    Attributes:
        path: the file.
        verdict: in words, what the bundle says of it.
        severity: of its worst score; 1 is at the limit.
        region: of that score.
        score: which it was.
        value: its value.
        limit: its limit.
        lines: every judged score beside its limit, for people.
    """

    path: Path
    verdict: str
    severity: float
    region: str
    score: str
    value: float
    limit: float
    lines: tuple[str, ...]


def nearest_to_limit(
    inspector: Inspector,
    paths: Sequence[Path],
    *,
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NearLimit, ...]:
    """Choose the images nearest to the limit, nearest first; what cannot be read or scored is left out.

    Args:
        inspector: what judges.
        paths: image files.
        count: how many at most.
        progress: called with (done, total) images.

    Raises:
        LimitError: no image could be judged.
    """
    near: list[tuple[float, int, NearLimit]] = []
    for number, found in enumerate(inspector.inspect_files(paths, maps=False)):
        one = _beside_limit(paths[number], found, inspector)
        if one is not None:
            heapq.heappush(near, (-abs(one.severity - 1.0), -number, one))
            if len(near) > count:
                heapq.heappop(near)
        if progress is not None:
            progress(number + 1, len(paths))
    if not near:
        raise LimitError(f"none of {len(paths)} images could be judged, so none is near a limit; give readable images")
    return tuple(one for _, _, one in sorted(near, reverse=True))


def write_labelling(
    chosen: Sequence[NearLimit], out: Path, *, bundle: str, seen: int, inspector: Inspector | None = None
) -> None:
    """Write ``suggested.csv`` and ``suggested.html`` into a folder that is there.

    Args:
        chosen: images near a limit.
        out: the folder.
        bundle: what it is called.
        seen: how many images were looked at.
        inspector: draws the anomaly map of each; None shows the images alone.

    Raises:
        DiskError: one of them cannot be written.
    """
    lines = [csv_line(COLUMNS)]
    lines += [
        csv_line([str(s.path.resolve()), "", "calibration", s.severity, s.verdict, s.region, s.score, s.value, s.limit])
        for s in chosen
    ]
    write_atomic(out / "suggested.csv", "".join(lines))
    write_atomic(out / "suggested.html", gallery_page(chosen, bundle=bundle, seen=seen, inspector=inspector))


def gallery_page(chosen: Iterable[NearLimit], *, bundle: str, seen: int, inspector: Inspector | None = None) -> str:
    """Give the gallery as HTML text; it opens offline, and names of files are escaped."""
    shown = [(one, _pictures(one.path, inspector)) for one in chosen]
    return Environment(autoescape=True).from_string(PAGE).render(shown=shown, bundle=bundle, seen=seen)


def _beside_limit(path: Path, found: Inspection, inspector: Inspector) -> NearLimit | None:
    limits = inspector.limits
    worst = worst_score(found, limits)
    if worst is None or not math.isfinite(found.severity):
        return None
    lines = tuple(
        f"{score} {value:.4g} {'within' if limits[region, score].admits(value) else 'beyond'} "
        f"{limits[region, score].high:.4g}"
        for (region, score), value in region_scores(found, limits).items()
    )
    return NearLimit(
        path, found.verdict.value, found.severity, worst.region, worst.score, worst.value, worst.limit, lines
    )


def _pictures(path: Path, inspector: Inspector | None) -> list[str]:
    """Give the image and, where there is one, the heatmap of its anomaly map."""
    try:
        frame = read_image(path)
    except ImageError:  # it was there a moment ago
        return []
    small = thumbnail(frame, SIDE_PX)
    drawn = [small]
    if inspector is not None:
        found = inspector.predictor.attempt(frame).predictions
        size, scale = (small.shape[0], small.shape[1]), map_scale(inspector.bundle)
        values = frame_map(found, (frame.shape[0], frame.shape[1]), size=size) if found else None
        drawn += [] if values is None else [heatmap(values, low=scale.low, high=scale.high)]
    return [base64.b64encode(encode_jpeg(one)).decode() for one in drawn]
