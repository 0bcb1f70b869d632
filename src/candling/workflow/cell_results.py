"""What ``candling count`` leaves behind: tables, annotations and pictures of counted images; knows no command line.

    OUT/counts.csv      one row an image and class: count, densities, covered area, warnings
    OUT/cells.csv       one row a cell
    OUT/overlays/*.png  every image with its boxes
    OUT/voc/*.xml       the boxes as annotations that nobody has reviewed (or another layout)
    OUT/unread.csv      images that could not be read, and why; only where there are some
    OUT/summary.json    how many of what

Images are only read. One that cannot be read is named and stops nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from candling.data.annotations import write_annotations
from candling.disk import new_folder, write_atomic
from candling.errors import ImageError
from candling.pixels.heatmap import encode_png
from candling.pixels.read import MAX_BYTES, MAX_PIXELS, decode
from candling.pixels.read.pixel_size import pixel_size
from candling.pixels.read.windows import TiffWindows, is_large
from candling.runtime.cells import CellCounter
from candling.workflow.counting import annotations_of, cells_csv, count_image, counts_csv, draw_boxes
from candling.workflow.naming import FileNames
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from candling.data.annotations import Layout
    from candling.runtime.cells import SeenCells
    from candling.runtime.counters import Counter
    from candling.types import Frame
    from candling.workflow.counting import CountedImage

__all__ = ["CountSummary", "annotations_path", "count_file", "count_files"]


SAMPLE_PX: Final = 2560
"""The longer side of the sample that the overlay of an image too large for memory is drawn on, at most."""


@dataclass(frozen=True)
class CountSummary:
    """What was counted.

    Attributes:
        images: what was found in each image that could be read, in order.
        unread: images that could not, with the reason.
    """

    images: tuple[CountedImage, ...]
    unread: tuple[tuple[Path, str], ...]

    @property
    def cells(self) -> int:
        """How many were counted in all."""
        return sum(found.count for one in self.images for found in one.classes)

    def as_json(self) -> dict[str, Any]:
        """Give plain values: what ``candling count --json`` prints."""
        return {
            "images": len(self.images),
            "unread": [{"path": str(path), "reason": reason} for path, reason in self.unread],
            "cells": self.cells,
            "counts": [
                {
                    "image": one.image,
                    "counts": {found.label: found.count for found in one.classes},
                    "intervals": {
                        found.label: [int(found.interval.low), int(found.interval.high)]
                        for found in one.classes
                        if found.interval is not None
                    },
                    "covered_share": sum(found.covered_px for found in one.classes) / (one.shape[0] * one.shape[1]),
                    "warnings": list(one.warnings),
                }
                for one in self.images
            ],
        }


def annotations_path(out: Path, layout: Layout) -> Path:
    """Say where annotations lie in an output folder: a file for COCO and CSV, a folder for the others."""
    suffix = {"coco": ".json", "csv": ".csv"}.get(layout)
    return out / (layout if suffix is None else f"annotations{suffix}")


def count_files(
    counter: Counter,
    paths: Sequence[Path],
    out: Path,
    *,
    source: str,
    pixel_um: tuple[float, float] | None = None,
    layout: Layout = "voc",
    overlays: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CountSummary:
    """Count the cells of image files and write everything about them into a folder.

    Args:
        counter: the bundle, opened.
        paths: the images.
        out: the folder; new, or empty.
        source: the model's name and hash, kept on every annotation.
        pixel_um: height and width of a pixel in micrometres; None takes what a file says of itself.
        layout: of the annotations.
        overlays: draw every image with its boxes.
        overwrite: replace what is in ``out``.
        progress: called with (done, total) images.

    Raises:
        OutputExistsError: the folder holds something and ``overwrite`` is False.
        UsageError: the layout is read only.
        EngineError: the engine failed.
        DiskError: writing failed.
    """
    new_folder(out, overwrite=overwrite)
    names = FileNames()
    images: list[CountedImage] = []
    unread: list[tuple[Path, str]] = []
    taken: set[str] = set()
    for done, path in enumerate(paths, start=1):
        try:
            frame, counted = count_file(counter, path, name=_free_name(path, taken), pixel_um=pixel_um)
        except ImageError as error:
            unread.append((path, str(error)))
        else:
            images.append(counted)
            if overlays:
                folder = new_folder(out / "overlays", overwrite=True)
                write_atomic(folder / f"{names.make(str(path))}.png", encode_png(draw_boxes(frame, counted)))
        if progress is not None:
            progress(done, len(paths))
    summary = CountSummary(tuple(images), tuple(unread))
    write_atomic(out / "counts.csv", counts_csv(images))
    write_atomic(out / "cells.csv", cells_csv(images))
    if unread:
        rows = [csv_line(["path", "reason"]), *(csv_line([str(path), reason]) for path, reason in unread)]
        write_atomic(out / "unread.csv", "".join(rows))
    found = annotations_of(images, source=source)
    write_annotations(found, annotations_path(out, layout), layout=layout, overwrite=overwrite)
    write_atomic(out / "summary.json", json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n")
    return summary


def count_file(
    counter: Counter, path: Path, *, name: str | None = None, pixel_um: tuple[float, float] | None = None
) -> tuple[Frame, CountedImage]:
    """Count the cells of one image file; give the frame as well, of one too large for memory a sample of its pixels.

    Args:
        counter: the bundle, opened.
        path: of the image.
        name: what it is called in tables; None is the file's name.
        pixel_um: height and width of a pixel in micrometres; None takes what the file says of itself.

    Raises:
        ImageError: it cannot be read.
        EngineError: the engine failed.
    """
    names = tuple(counter.counting.scores)
    if is_large(path):
        frame, seen, shape, said_um = _look_through(counter, path)
    else:
        data = _bytes_of(path)
        frame = decode(data, where=str(path))
        seen, shape, said_um = counter.look(frame), None, pixel_size(data, where=str(path))
    counted = count_image(
        path.name if name is None else name,
        frame,
        seen.found,
        names=names,
        scores=counter.counting.scores,
        spreads=counter.counting.spreads,
        expected=None if seen.expected is None else {names[0]: seen.expected},
        areas_px=seen.areas_px,
        pixel_um=said_um if pixel_um is None else pixel_um,
        contrast=seen.contrast,
        white=counter.recipe.prepare.white,
        shape=shape,
    )
    return frame, replace(counted, warnings=(*counted.warnings, *seen.doubts))


def _look_through(counter: Counter, path: Path) -> tuple[Frame, SeenCells, tuple[int, int], tuple[float, float] | None]:
    """Count a TIFF block by block: a sample of its pixels, its cells, its shape and the size of a pixel."""
    if not isinstance(counter, CellCounter):
        raise ImageError(f"{path}: has more than {MAX_PIXELS} px, and boxes are found in whole images; cut it")
    with TiffWindows.open(path) as windows:
        try:
            seen = counter.look_through(windows)
        except ImageError as error:
            raise error if str(path) in str(error) else ImageError(f"{path}: {error}") from error
        return windows.sample(SAMPLE_PX), seen, windows.shape, windows.pixel_um


def _free_name(path: Path, taken: set[str]) -> str:
    """Name an image by its file, and by its folder too where another of the name came before."""
    name = path.name
    for parent in path.parents:
        if name not in taken or not parent.name:
            break
        name = f"{parent.name}_{name}"
    turn = 1
    while name in taken:
        turn += 1
        name = f"{path.stem}_{turn}{path.suffix}"
    taken.add(name)
    return name


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; cut it into smaller images")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}; check the file") from error
