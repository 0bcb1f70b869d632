"""YOLO: one text file an image, coordinates as shares of its sides, classes by their line in a list; knows no other.

A line is a class number and either centre x, centre y, width, height, or the corners of an outline; one more number at
the end is the score. Source and review state have no place in it: they lie beside the text files in ``review.csv``,
keyed by the line itself, so that a line someone changed or added counts as a person's.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from candling.data.annotations.annotation import AnnotatedImage, Annotation, Problem, Trouble, hull
from candling.data.annotations.parsing import (
    Found,
    files_of,
    flag_of,
    number_of,
    read_bytes,
    review_of,
    score_of,
    source_of,
)
from candling.data.samples.table import read_rows
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from candling.data.annotations.annotation import AnnotationSet, Point
    from candling.data.annotations.pictures import Picture, Pictures

__all__ = ["CLASS_LISTS", "REVIEW", "read_yolo", "write_yolo"]

CLASS_LISTS: Final = ("classes.txt", "obj.names", "names.txt")
"""What a class list may be called; it lies beside the text files or one folder up."""

REVIEW: Final = "review.csv"
"""Where source and review state lie."""

_COLUMNS: Final = ("file", "line", "source", "review", "difficult")


def read_yolo(path: Path, pictures: Pictures | None) -> Found:
    """Read a folder of YOLO text files.

    Args:
        path: of the folder.
        pictures: the images, whose sizes the shares are of.

    Raises:
        SamplesError: there is no such folder, no class list, or nobody said where the images are.
    """
    folder = path if path.is_dir() else path.parent
    labels = _class_list(folder)
    if pictures is None:
        raise SamplesError(f"{path}: YOLO coordinates are shares of the image's sides; say where the images are")
    found, reviews = Found(), _reviews(folder)
    for file in files_of(path, (".txt",)):
        if file.name in CLASS_LISTS:
            continue
        picture = pictures.find(file.stem)
        if picture is None:
            if file.stem not in {Path(name).stem for name in pictures.twice}:
                found.problems.append(
                    Problem(Trouble.NO_IMAGE, f"{file}: no image of this name, or several; it is left out")
                )
            continue
        found.images.append(_read_image(file, picture, labels, reviews, found))
    return found


def _class_list(folder: Path) -> list[str]:
    for place in (folder, folder.parent):
        for name in CLASS_LISTS:
            if (place / name).is_file():
                text = read_bytes(place / name).decode("utf-8-sig", errors="replace")
                labels = [line.strip() for line in text.splitlines()]
                while labels and not labels[-1]:
                    labels.pop()
                return labels
    raise SamplesError(
        f"{folder}: no class list; YOLO files hold class numbers only: put {CLASS_LISTS[0]} beside them, a name a line"
    )


def _reviews(folder: Path) -> dict[tuple[str, str], Mapping[str, str]]:
    file = folder / REVIEW
    if not file.is_file():
        return {}
    columns, rows = read_rows(file)
    if not set(_COLUMNS) <= set(columns):
        raise SamplesError(f"{file}: needs the columns {', '.join(_COLUMNS)}; take it away, or write it again")
    return {(row["file"], row["line"]): row for row in rows}


def _read_image(
    file: Path,
    picture: Picture,
    labels: Sequence[str],
    reviews: Mapping[tuple[str, str], Mapping[str, str]],
    found: Found,
) -> AnnotatedImage:
    objects: list[Annotation] = []
    try:
        lines = read_bytes(file).decode("utf-8-sig").splitlines()
    except (SamplesError, UnicodeDecodeError) as error:
        found.unreadable(file, f"cannot be read as text ({error})")
        lines = []
    for number, line in enumerate(lines, start=1):
        text = " ".join(line.split())
        if not text:
            continue
        try:
            objects.append(_read_line(text, picture, labels, reviews.get((file.name, text), {})))
        except ValueError as error:
            found.unreadable(f"{file}, line {number}", error)
        except LookupError as error:
            found.problems.append(Problem(Trouble.UNKNOWN_CLASS, f"{file}, line {number}: {error.args[0]}"))
    return AnnotatedImage(picture.path.name, tuple(objects), picture.width, picture.height)


def _read_line(text: str, picture: Picture, labels: Sequence[str], row: Mapping[str, str]) -> Annotation:
    first, *rest = text.split(" ")
    if not first.isdecimal():
        raise ValueError(f"the class is {first!r}, not a number")
    if int(first) >= len(labels):
        raise LookupError(f"class {first} is not in the class list of {len(labels)}; it is left out")
    values = [number_of(word, "a coordinate") for word in rest]
    if len(values) < 4:
        raise ValueError(f"has {len(values)} numbers after the class; a box has four")
    *shares, score = values if _has_score(values) else [*values, -1.0]
    across, down = float(picture.width), float(picture.height)
    polygon: tuple[Point, ...] = ()
    if len(shares) == 4:
        x, y, width, height = shares
        edges = (
            (x - width / 2) * across,
            (y - height / 2) * down,
            (x + width / 2) * across,
            (y + height / 2) * down,
        )
    else:
        polygon = tuple((x * across, y * down) for x, y in zip(shares[0::2], shares[1::2], strict=True))
        edges = hull(polygon)
    return Annotation(
        labels[int(first)],
        *edges,
        polygon=polygon,
        score=score_of(score),
        source=source_of(row.get("source")),
        review=review_of(row.get("review")),
        difficult=flag_of(row.get("difficult")),
    )


def _has_score(values: Sequence[float]) -> bool:
    """Tell whether the last number is a score: coordinates come in pairs."""
    return len(values) % 2 == 1


def write_yolo(annotations: AnnotationSet) -> Mapping[str, bytes]:
    """Give the files of a folder: one text file an image, the class list and the review states.

    Raises:
        SamplesError: the size of an image is not known.
    """
    labels = annotations.classes
    files = {CLASS_LISTS[0]: "".join(f"{label}\n" for label in labels).encode()}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for image in annotations.images:
        name = f"{Path(image.image).stem}.txt"
        if name in CLASS_LISTS:
            raise SamplesError(f"{image.image}: its annotations would be taken for a class list; rename the image")
        lines = [_line(one, image, labels.index(one.label)) for one in image.objects]
        files[name] = "".join(f"{line}\n" for line in lines).encode()
        for line, one in zip(lines, image.objects, strict=True):
            writer.writerow((name, line, one.source, one.review.value, int(one.difficult)))
    return {**files, REVIEW: table.getvalue().encode()}


def _line(one: Annotation, image: AnnotatedImage, label: int) -> str:
    if image.width is None or image.height is None:
        raise SamplesError(f"{image.image}: its size is not known, and YOLO needs it; say where the images are")
    across, down = float(image.width), float(image.height)
    if one.polygon:
        shares = [share for x, y in one.polygon for share in (x / across, y / down)]
    else:
        shares = [
            (one.left + one.right) / 2 / across,
            (one.top + one.bottom) / 2 / down,
            (one.right - one.left) / across,
            (one.bottom - one.top) / down,
        ]
    scores = [] if one.score is None else [repr(one.score)]
    return " ".join([str(label), *(f"{share:.12g}" for share in shares), *scores])
