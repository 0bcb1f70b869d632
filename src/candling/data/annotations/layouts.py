"""Read and write annotations by the name of their layout; the one place that knows them all, and nothing of how."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, get_args

from candling.data.annotations.coco import read_coco, write_coco
from candling.data.annotations.imagej import read_imagej, write_imagej
from candling.data.annotations.masks import read_dots, read_instances
from candling.data.annotations.pictures import find_pictures
from candling.data.annotations.qupath import read_qupath, write_qupath
from candling.data.annotations.settle import settle
from candling.data.annotations.table import read_csv, write_csv
from candling.data.annotations.voc import read_voc, write_voc
from candling.data.annotations.yolo import CLASS_LISTS, read_yolo, write_yolo
from candling.disk import refuse_existing, replaced_folder, write_atomic
from candling.errors import SamplesError, UsageError
from candling.pixels.read import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from candling.data.annotations.annotation import AnnotationSet
    from candling.data.annotations.parsing import Found

__all__ = ["Layout", "guess_layout", "read_annotations", "write_annotations"]

Layout = Literal["voc", "coco", "yolo", "csv", "qupath", "imagej", "instances", "dots"]
"""The formats; "instances" (numbered masks) and "dots" are read only."""

_BY_SUFFIX: Mapping[str, Layout] = {
    ".xml": "voc",
    ".json": "coco",
    ".csv": "csv",
    ".tsv": "csv",
    ".geojson": "qupath",
    ".zip": "imagej",
    ".roi": "imagej",
    ".txt": "yolo",
    **dict.fromkeys(SUFFIXES, "instances"),
}

_DOT_SIZE_PX = 8.0
"""The side of a dot's box where nobody says otherwise."""


def guess_layout(path: Path) -> Layout:
    """Tell the layout by the suffix of a file, or by the commonest suffix of a folder's files.

    Raises:
        SamplesError: no file is of a known kind.
    """
    if path.is_file():
        layout = _BY_SUFFIX.get(path.suffix.lower())
    else:
        names = [file for file in path.rglob("*") if file.is_file() and file.name not in (*CLASS_LISTS, "review.csv")]
        kinds = Counter(_BY_SUFFIX[file.suffix.lower()] for file in names if file.suffix.lower() in _BY_SUFFIX)
        layout = kinds.most_common(1)[0][0] if kinds else None
        if layout is None and any((path / name).is_file() for name in CLASS_LISTS):
            layout = "yolo"
    if layout is None:
        raise SamplesError(f"{path}: holds no annotations of a known kind; say one of {', '.join(get_args(Layout))}")
    return layout


def read_annotations(
    path: Path,
    *,
    layout: Layout | Literal["auto"] = "auto",
    images: Path | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    inclusive: bool = False,
    least_px: int = 0,
    dot_size_px: float = _DOT_SIZE_PX,
) -> AnnotationSet:
    """Read annotations and hold them against their images.

    Args:
        path: of a file or folder.
        layout: its format; "auto" goes by the suffixes.
        images: the folder of the images; YOLO needs it, the others are checked more with it.
        classes: the only classes wanted; None takes all.
        strict: raise at the first problem instead of naming it and going on.
        inclusive: VOC only: boxes name their first and last pixel from 1, as the VOC kit does, not their edges.
        least_px: masks only: smaller objects are marked difficult.
        dot_size_px: dots only: the side of the boxes.

    Returns:
        Images with their objects, and all problems.

    Raises:
        SamplesError: nothing can be read at all; with ``strict``, anything is wrong.
    """
    kind = guess_layout(path) if layout == "auto" else layout
    pictures = None if images is None else find_pictures(images)
    found: Found
    if kind == "voc":
        found = read_voc(path, inclusive=inclusive)
    elif kind == "yolo":
        found = read_yolo(path, pictures)
    elif kind == "instances":
        found = read_instances(path, least_px=least_px)
    elif kind == "dots":
        found = read_dots(path, size_px=dot_size_px)
    else:
        found = {"coco": read_coco, "csv": read_csv, "qupath": read_qupath, "imagej": read_imagej}[kind](path)
    settled = settle(found, pictures=pictures, classes=classes)
    if strict and settled.problems:
        more = f" (and {len(settled.problems) - 1} more problems)" if len(settled.problems) > 1 else ""
        raise SamplesError(f"{settled.problems[0].text}{more}")
    return settled


def write_annotations(
    annotations: AnnotationSet, path: Path, *, layout: Layout, overwrite: bool = False, inclusive: bool = False
) -> Path:
    """Write annotations: a file for CSV and COCO, a folder for the others; it appears when it is complete.

    Boxes of VOC are rounded to whole pixels; ImageJ keeps float32; all else is kept as it is.

    Raises:
        UsageError: the layout is read only.
        SamplesError: two images would share a file, or a format needs an image's size that nobody knows.
        OutputExistsError: something is there, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    if layout in ("coco", "csv"):
        data = write_coco(annotations) if layout == "coco" else write_csv(annotations)
        refuse_existing(path, overwrite=overwrite)
        write_atomic(path, data)
        return path
    if layout == "voc":
        files = write_voc(annotations, inclusive=inclusive)
    elif layout in ("yolo", "qupath", "imagej"):
        files = {"yolo": write_yolo, "qupath": write_qupath, "imagej": write_imagej}[layout](annotations)
    else:
        raise UsageError(f"layout {layout!r} is read only; write voc, coco, yolo, csv, qupath or imagej")
    beside = 2 if layout == "yolo" else 0  # the class list and the review states
    if len(files) != len(annotations.images) + beside:
        raise SamplesError(f"two images differ in their suffix alone, and {layout} names its files without; rename one")
    with replaced_folder(path, overwrite=overwrite) as fresh:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
    return path
