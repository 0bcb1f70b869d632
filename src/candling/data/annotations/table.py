"""CSV: one row an object, the counting thesis' six columns first; an image without objects is a row of empty cells.

``filename, xmin, ymin, xmax, ymax, class`` are edges in pixels of the original image. Score, source, review state,
outline and the image's size follow in further columns, which a reader of the six never sees.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from candling.data.annotations.annotation import AnnotatedImage, Annotation
from candling.data.annotations.parsing import Found, base_name, flag_of, number_of, review_of, score_of, source_of
from candling.data.samples.table import read_rows
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.data.annotations.annotation import AnnotationSet, Point

__all__ = ["THESIS", "read_csv", "write_csv"]

THESIS: Final = ("filename", "xmin", "ymin", "xmax", "ymax", "class")
"""The columns of the counting thesis, in its order."""

_MORE: Final = ("score", "source", "review", "difficult", "polygon", "width", "height")


def read_csv(path: Path) -> Found:
    """Read a table of objects; columns are known by name, in any order.

    Raises:
        SamplesError: it is no such table.
    """
    columns, rows = read_rows(path)
    missing = [name for name in THESIS if name not in columns]
    if missing:
        raise SamplesError(
            f"{path}: no column {missing[0]!r}; the first line must name {', '.join(THESIS)} "
            f"(it names: {', '.join(columns) or 'nothing'})"
        )
    found = Found()
    objects: dict[str, list[Annotation]] = {}
    sizes: dict[str, tuple[int | None, int | None]] = {}
    for number, row in enumerate(rows, start=1):
        name = base_name(row["filename"])
        if not name:
            found.unreadable(f"{path}, row {number}", "names no image")
            continue
        group = objects.setdefault(name, [])
        try:
            sizes.setdefault(name, (_side(row.get("width")), _side(row.get("height"))))
            if any(row[key] for key in THESIS[1:]):
                group.append(_read_object(row))
        except ValueError as error:
            found.unreadable(f"{path}, row {number}", error)
    found.images += [
        AnnotatedImage(name, tuple(group), *sizes.get(name, (None, None))) for name, group in objects.items()
    ]
    return found


def _side(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"the image's side is {text!r}, not a whole number of pixels")
    return int(text)


def _read_object(row: Mapping[str, str]) -> Annotation:
    if not row["class"]:
        raise ValueError("has no class")
    left, top, right, bottom = (number_of(row[key], key) for key in THESIS[1:5])
    return Annotation(
        row["class"],
        left,
        top,
        right,
        bottom,
        polygon=_read_polygon(row.get("polygon", "")),
        score=score_of(row.get("score")),
        source=source_of(row.get("source")),
        review=review_of(row.get("review")),
        difficult=flag_of(row.get("difficult")),
    )


def _read_polygon(text: str) -> tuple[Point, ...]:
    """Read corners written as ``x y x y ...``."""
    flat = [number_of(word, "polygon") for word in text.split()]
    if len(flat) % 2:
        raise ValueError(f"polygon has {len(flat)} numbers, which are no pairs")
    return tuple(zip(flat[0::2], flat[1::2], strict=True))


def write_csv(annotations: AnnotationSet) -> bytes:
    """Give the table."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow((*THESIS, *_MORE))
    for image in annotations.images:
        size = (image.width or "", image.height or "")
        if not image.objects:
            writer.writerow((image.image, *[""] * 10, *size))
        for one in image.objects:
            writer.writerow(
                (
                    image.image,
                    *map(_plain, (one.left, one.top, one.right, one.bottom)),
                    one.label,
                    "" if one.score is None else repr(one.score),
                    one.source,
                    one.review.value,
                    int(one.difficult),
                    " ".join(_plain(value) for corner in one.polygon for value in corner),
                    *size,
                )
            )
    return table.getvalue().encode()


def _plain(value: float) -> str:
    """Write whole pixels without a point, as the thesis' table has them."""
    return str(int(value)) if value == int(value) else repr(value)
