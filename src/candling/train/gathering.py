"""What a training learns from, read once: which images, how their pixels are prepared, what is held out; no method."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.data.samples import SampleSet, content_hash, load_samples, split_hold_out, training_samples
from candling.runtime.learned import FIT, HELD_OUT, encode_learned
from candling.train.aligning import Aligned, resolve_align
from candling.train.boxes import BoxImages, load_box_images
from candling.train.cells import CellImages, load_cell_images
from candling.train.cropping import resolve_crop
from candling.train.data import PreparedSet, prepare_set, resolve_prepare
from candling.train.devices import world_size
from candling.train.labelled import split_defects, with_masks
from candling.train.matching import Matching, resolve_matching
from candling.train.method import learns_boxes, learns_cells, learns_defects

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.recipe import Recipe
    from candling.train.facts import Fact
    from candling.train.progress import Progress

__all__ = ["PREPARED", "Images", "gather_images"]

PREPARED = ("good", "held_out")
"""What prepared images are called in the work folder."""


@dataclass(frozen=True)
class Images:
    """What is learned from, read once.

    Attributes:
        recipe: with every "auto" decided.
        set: all that was found.
        good: prepared, to learn from.
        held_out: prepared, held out.
        hash: of the content of both.
        aligned: how they were aligned.
        matching: what their histograms were matched to.
        choices: of what was decided about their pixels, for the card.
        learned: the table of the images behind both, where a method learns defects, cells or boxes; None elsewhere.
        cells: the same where a method learns cells; None elsewhere.
        boxes: the same where a method learns boxes; None elsewhere.
    """

    recipe: Recipe
    set: SampleSet
    good: PreparedSet
    held_out: PreparedSet
    hash: str
    aligned: Aligned
    matching: Matching
    choices: Mapping[str, Fact]
    learned: bytes | None = None
    cells: CellImages | None = None
    boxes: BoxImages | None = None


def gather_images(recipe: Recipe, data: Path, work: Path, *, progress: Progress) -> Images:
    """Read all that a recipe's method learns from, and decide every "auto" of ``[prepare]``.

    Args:
        recipe: what to train.
        data: a folder or table of images.
        work: where sets too large for memory lie.
        progress: who watches.

    Raises:
        DataError: there are too few images, or one cannot be read.
        DiskError: a set cannot be written.
    """
    if learns_cells(recipe.method.name):
        return _of_counted(load_cell_images(recipe, data, progress=progress))
    if learns_boxes(recipe.method.name):
        return _of_counted(load_box_images(recipe, data, progress=progress))
    found = load_samples(data)
    samples = training_samples(found)
    fit_samples, held = split_hold_out(samples, recipe.training.hold_out, seed=recipe.training.seed)
    progress.stage(f"reading {len(samples)} good images, {len(held)} of them held out")
    recipe, cropped = resolve_crop(recipe, fit_samples)
    matching = resolve_matching(recipe, fit_samples, folder=found.root)
    aligned = resolve_align(resolve_prepare(recipe, samples), fit_samples, matcher=matching.matcher)
    recipe = aligned.recipe
    learns = learns_defects(recipe.method.name)
    if learns:
        fit_defects, held_defects = split_defects(found, recipe)
        count = len(fit_defects) + len(held_defects)
        progress.stage(f"reading {count} defects with masks, {len(held_defects)} of them held out")
        fit_samples, held = (*fit_samples, *fit_defects), (*held, *held_defects)
    key = content_hash((*fit_samples, *held) if learns else samples)
    rank = os.environ.get("LOCAL_RANK", "0") if world_size() > 1 else "0"
    sets = [
        prepare_set(
            some,
            recipe,
            file=work / f"{name}-{rank}.npy",
            key=f"{key} {name}",
            progress=progress,
            aligners=aligned.aligners,
            matcher=matching.matcher,
        )
        for name, some in zip(PREPARED, (fit_samples, held), strict=True)
    ]
    choices = {**cropped, **matching.choices, **aligned.choices}
    if not learns:
        return Images(recipe, found, sets[0], sets[1], key, aligned, matching, choices)
    good, held_out = (with_masks(one, some, recipe) for one, some in zip(sets, (fit_samples, held), strict=True))
    learned = encode_learned(((FIT, fit_samples), (HELD_OUT, held)))
    return Images(recipe, found, good, held_out, key, aligned, matching, choices, learned)


def _of_counted(read: CellImages | BoxImages) -> Images:
    return Images(
        recipe=read.recipe,
        set=read.set,
        good=read.good,
        held_out=read.held_out,
        hash=read.hash,
        aligned=Aligned(read.recipe),
        matching=read.matching,
        choices=read.choices,
        learned=read.learned,
        cells=read if isinstance(read, CellImages) else None,
        boxes=read if isinstance(read, BoxImages) else None,
    )
