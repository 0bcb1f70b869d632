"""One labelled image and a set of them; knows neither how they were found nor what is inside the files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePath

__all__ = ["GOOD", "GOOD_NAMES", "Place", "Sample", "SampleSet", "natural_key", "product_of"]

GOOD = "good"
"""The label of every good image, whatever its folder was called."""

GOOD_NAMES = frozenset({"good", "normal", "ok"})
"""Folder names and table labels that mean good, in lower case."""

_DIGITS = re.compile(r"(\d+)")

_KOLEKTOR = re.compile(r"(kos\d+)_part\d+", re.IGNORECASE)
"""KolektorSDD: kosNN is the commutator, PartM one view of its surface."""


@dataclass(frozen=True)
class Place:
    """Where on a strip a defect lies: ``vial`` counts from 1; None is unknown."""

    vial: int | None = None
    region: str | None = None


@dataclass(frozen=True)
class Sample:
    """One image and what is known about it.

    Attributes:
        path: the image file.
        label: ``"good"``, or the name of the defect class.
        split: ``"train"``, ``"validation"``, ``"test"``, or whatever a table says.
        product: the physical thing shown (commutator, strip, patient); images of one product belong into one split.
        region: the region of the product shown; None when the frame is not cut.
        mask: a picture whose nonzero pixels are the defect; None when there is none.
        run: which repetition of the product's acquisition; None when there is one only.
        frame: which frame of the acquisition: a number, or a name such as ``darkest``, which no line ever sees.
        severity: of the defect, in the table's words; None when it is not stated.
        place: where on a strip the defect lies; None when the table does not say.
    """

    path: Path
    label: str
    split: str
    product: str | None = None
    region: str | None = None
    mask: Path | None = None
    run: str | None = None
    frame: str | None = None
    severity: str | None = None
    place: Place | None = None

    @property
    def is_good(self) -> bool:
        """True for a good image."""
        return self.label == GOOD


@dataclass(frozen=True)
class SampleSet:
    """All samples of one folder, in natural order, or of one table, in the order of its rows.

    Attributes:
        root: the folder or table given.
        layout: ``"mvtec"``, ``"folders"``, ``"plain"`` or ``"table"``.
        samples: the images.
    """

    root: Path
    layout: str
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def counts(self) -> dict[tuple[str, str], int]:
        """Count the images by (split, label), in order of appearance."""
        found: dict[tuple[str, str], int] = {}
        for sample in self.samples:
            key = (sample.split, sample.label)
            found[key] = found.get(key, 0) + 1
        return found


def natural_key(path: PurePath | str) -> tuple[tuple[str | int, ...], str]:
    """Give a sorting key under which numbers count as numbers; it does not depend on the order of a directory listing.

    >>> sorted(["kos10.png", "kos9.png", "kos09.png"], key=natural_key)
    ['kos09.png', 'kos9.png', 'kos10.png']
    """
    text = path if isinstance(path, str) else path.as_posix()
    # split() alternates text, number, text, ...: two keys always compare like with like
    parts = _DIGITS.split(text.lower())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def product_of(name: str) -> str | None:
    """Read the product from a file name, where its data set is known to put it there; only KolektorSDD does.

    >>> product_of("kos07_Part3.png"), product_of("001.png")
    ('kos07', None)
    """
    found = _KOLEKTOR.match(name)
    return found.group(1) if found else None
