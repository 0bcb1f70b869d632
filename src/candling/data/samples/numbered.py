"""Images whose cells are numbered in a mask: whose mask is which, and which are learned from; decodes no pixel.

A folder holds ``images`` and beside it ``labels`` (or ``masks``): pictures of the same name, whose pixels number the
cells, 0 being background. A folder ``dots`` will do as well: pictures with one bright pixel on each cell, of the same
names or with ``dots`` for ``cell`` in them. A table names them in its column ``mask``. Images of one well belong to one
split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from candling.data.samples.folders import files_below, is_image
from candling.data.samples.labelled import LEFT_SHARE
from candling.data.samples.load import load_samples
from candling.data.samples.sample import GOOD, Sample, SampleSet, natural_key
from candling.data.samples.split import split_hold_out
from candling.data.samples.table import TABLE_FILE
from candling.errors import SamplesError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DOTS", "IMAGES", "NUMBERED", "NumberedSet", "cells_to_learn", "load_cells", "well_of"]

IMAGES: Final = "images"
"""The folder of the images."""

DOTS: Final = "dots"
"""The folder of pictures that only say where cells are."""

NUMBERED: Final = ("labels", "masks", DOTS)
"""Folders of masks, the first that is there."""

_WELL = re.compile(r"(?:^|[_\W])([A-P](?:0[1-9]|1\d|2[0-4]))(?=[_\W])")
"""A well of a plate of 96 or 384, as plate readers write it into file names."""


@dataclass(frozen=True)
class NumberedSet:
    """Images with numbered masks.

    Attributes:
        set: the images; each has its mask, and its well as product where its name tells one.
        problems: sentences that name images without a mask and masks without an image; neither is used.
    """

    set: SampleSet
    problems: tuple[str, ...] = ()


def load_cells(root: Path) -> NumberedSet:
    """Find the images of a data set whose cells are numbered.

    Raises:
        SamplesError: there is no such folder or table, no folder of masks, an image has the name of another, or no
            image has a mask.
    """
    if not root.exists():
        raise SamplesError(f"{root}: no such folder or table; check the path")
    if root.is_file() or (root / TABLE_FILE).is_file():
        return _of_table(root)
    masks = next((root / name for name in NUMBERED if (root / name).is_dir()), None)
    if masks is None or not (root / IMAGES).is_dir():
        raise SamplesError(
            f"{root}: a method that learns cells wants a folder {IMAGES!r} and beside it {NUMBERED[0]!r}, pictures of "
            "the same names whose pixels number the cells (or dots, with a bright pixel on each); or a table with a "
            "column mask"
        )
    images, numbered = _by_stem(root / IMAGES), _by_stem(masks)
    if masks.name == DOTS:
        numbered = _by_image(numbered, images)
    problems = [f"{images[stem]}: image without a mask in {masks.name}; not used" for stem in images.keys() - numbered]
    problems += [f"{numbered[stem]}: mask without an image; not used" for stem in numbered.keys() - images]
    samples = tuple(
        Sample(path, GOOD, "train", product=well_of(path.name), mask=numbered[stem])
        for stem, path in images.items()
        if stem in numbered
    )
    if not samples:
        raise SamplesError(f"{root}: none of {len(images)} images has a mask of its name in {masks.name}; rename them")
    return NumberedSet(SampleSet(root, "folders", samples), tuple(sorted(problems)))


def cells_to_learn(samples: SampleSet, *, seed: int) -> tuple[Sample, ...]:
    """Choose the images to learn from: those of split ``train`` of a table, two thirds of a folder, by well.

    Args:
        samples: of :func:`load_cells`.
        seed: of that choice.

    Raises:
        SamplesError: there are fewer than two.
    """
    if samples.layout != "folders":
        chosen = tuple(sample for sample in samples if sample.split == "train")
        if len(chosen) < 2:
            raise SamplesError(f"{samples.root}: {len(chosen)} images are of split 'train'; at least 2 are needed")
        return chosen
    if len(samples) < 3:
        raise SamplesError(f"{samples.root}: {len(samples)} images cannot be split in three; give at least 3")
    return split_hold_out(samples.samples, LEFT_SHARE, seed=seed)[0]


def well_of(name: str) -> str | None:
    """Read the well of a plate from a file name; None where it tells none.

    >>> well_of("IXMtest_A02_s1_w1051D.png"), well_of("BloodImage_00338.jpg")
    ('A02', None)
    """
    found = _WELL.search(name)
    return None if found is None else found.group(1)


def _of_table(root: Path) -> NumberedSet:
    found = load_samples(root)
    problems = tuple(f"{one.path}: image without a mask in the table; not used" for one in found if one.mask is None)
    kept = tuple(sample for sample in found if sample.mask is not None)
    if not kept:
        raise SamplesError(f"{root}: no row names a mask, and cells are learned from masks; fill in the column mask")
    return NumberedSet(SampleSet(found.root, "table", kept), problems)


def _by_image(dots: dict[str, Path], images: dict[str, Path]) -> dict[str, Path]:
    """Name pictures of dots as the images they belong to."""
    found: dict[str, Path] = {}
    for stem, path in dots.items():
        name = stem if stem in images else stem.replace(DOTS, "cell")
        if name in found:
            raise SamplesError(f"{found[name]} and {path}: dots of one image; keep one of them")
        found[name] = path
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(filter(is_image, files_below(folder)), key=natural_key):
        if path.stem in found:
            raise SamplesError(f"{found[path.stem]} and {path}: two images of one name; rename one of them")
        found[path.stem] = path
    return found
