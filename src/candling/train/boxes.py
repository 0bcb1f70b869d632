"""The steps of a training that are others where boxes are learned: what is read, anchors, and which objects will count.

Nothing is good or a defect there, so no limit is chosen; what is chosen is the least score of a counted object.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from candling.data.boxed import boxes_to_learn, load_boxed
from candling.data.samples import content_hash, split_hold_out
from candling.errors import DataError, RecipeError
from candling.runtime.boxes import BoxCounter, Detecting, encode_detecting
from candling.runtime.engine import open_engine
from candling.runtime.learned import FIT, HELD_OUT, encode_learned
from candling.train.anchors import THESIS_RATIOS, THESIS_SIDES, Anchors, fit_anchors, grid_anchors, reached
from candling.train.boxed import boxes_of, prepare_boxed
from candling.train.data import resolve_prepare
from candling.train.matching import resolve_matching
from candling.train.method import check_method
from candling.train.numbered import check_cells_recipe
from candling.workflow.box_figures import choose_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.annotations import AnnotatedImage
    from candling.data.boxed import BoxedSet
    from candling.data.samples import Sample, SampleSet
    from candling.recipe import Recipe
    from candling.train.boxed import BoxOptions
    from candling.train.data import PreparedSet
    from candling.train.export import Exported
    from candling.train.facts import Fact
    from candling.train.matching import Matching
    from candling.train.progress import Progress

__all__ = ["SAME", "BoxImages", "choose_detecting", "load_box_images"]

SAME = 0.5
"""Of two boxes of one class that overlap by more the surer one stays."""

FEWEST = 100
"""So many regions are looked at, at least."""

PROPOSED = 3
"""Regions that are looked at for one object of the fullest tile."""

FAR = 0.95
"""Where anchors reach fewer boxes than this, it is said what to do."""


@dataclass(frozen=True)
class BoxImages:
    """Images with marked objects, read once.

    Attributes:
        recipe: with every "auto" decided, its classes and anchors too.
        set: all that was found.
        objects: of each image, by its path.
        good: tiles to learn from.
        held_out: tiles held out.
        held: the images held out.
        hash: of the content of both, boxes included.
        matching: what their histograms were matched to.
        choices: what was decided, for the card.
        learned: the table of the images behind both.
    """

    recipe: Recipe
    set: SampleSet
    objects: Mapping[Path, AnnotatedImage]
    good: PreparedSet
    held_out: PreparedSet
    held: tuple[Sample, ...]
    hash: str
    matching: Matching
    choices: Mapping[str, Fact]
    learned: bytes


def load_box_images(recipe: Recipe, data: Path, *, progress: Progress) -> BoxImages:
    """Read what a method learns boxes from, and decide classes, anchors and how many regions are looked at.

    Raises:
        RecipeError: the recipe aligns, crops or cuts, or names a class that no image has.
        DataError: there are too few images, one cannot be read, or its boxes were never reviewed.
    """
    check_cells_recipe(recipe)
    options = _options(recipe)
    named = options.classes[0] if len(options.classes) == 1 else None
    found = load_boxed(data, least_px=options.least_px, unreviewed=options.unreviewed, named=named)
    for problem in found.problems:
        progress.stage(problem)
    samples = boxes_to_learn(found, seed=recipe.training.seed)
    fit_samples, held = split_hold_out(samples, recipe.training.hold_out, seed=recipe.training.seed)
    classes = _classes(options, found, fit_samples)
    progress.stage(f"reading {len(samples)} images with marked objects, {len(held)} of them held out")
    matching = resolve_matching(recipe, fit_samples, folder=found.set.root)
    recipe = resolve_prepare(recipe, samples)
    good, held_out = (
        prepare_boxed(
            some,
            found.objects,
            recipe,
            classes=classes,
            scale=options.scale,
            matcher=matching.matcher,
            progress=progress,
        )
        for some in (fit_samples, held)
    )
    boxes = np.vstack([boxes_of(found.objects[one.path], classes, scale=options.scale) for one in fit_samples])
    anchors = _anchors(options, boxes[:, :4].astype(np.float64), seed=recipe.training.seed)
    facts = _reach(boxes, anchors, classes, progress)
    assert good.boxes is not None  # what prepare_boxed gives
    fullest = int((good.boxes[:, :, 4] >= 0).sum(axis=1).max())
    proposals = max(FEWEST, PROPOSED * fullest) if options.proposals == "auto" else int(options.proposals)
    if proposals < 2 * fullest:
        progress.stage(
            f"method.proposals: {proposals} regions are looked at where a tile holds up to {fullest} objects; "
            f"some will be missed, take {PROPOSED * fullest}"
        )
    decided = {
        "classes": list(classes),
        "anchor_sizes": [[round(float(side), 2) for side in size] for size in anchors.sizes],
        "proposals": proposals,
    }
    method = type(recipe.method).model_validate({"name": recipe.method.name, **recipe.method.options, **decided})
    recipe = recipe.model_copy(update={"method": method})
    return BoxImages(
        recipe,
        found.set,
        found.objects,
        good,
        held_out,
        held,
        _hash(samples, found),
        matching,
        {**matching.choices, **facts, "regions looked at": proposals, "objects in the fullest tile": fullest},
        encode_learned(((FIT, fit_samples), (HELD_OUT, held))),
    )


def choose_detecting(images: BoxImages, exported: Exported, *, progress: Progress) -> bytes:
    """Choose which objects count, on images that were not learned from; give the bundle's file.

    Raises:
        DataError: an image cannot be read.
        EngineError: the engine failed.
    """
    progress.stage(f"choosing what counts as an object on {len(images.held)} images not learned from")
    options = _options(images.recipe)
    assert isinstance(options.proposals, int)  # decided when the boxes were read
    facts = Detecting(dict.fromkeys(options.classes, 0.5), SAME, options.scale, options.proposals, options.least_px)
    with open_engine(exported.graph, witness=exported.witness) as engine:
        counter = BoxCounter(images.recipe, engine, facts, images.matching.matcher)
        return encode_detecting(choose_scores(counter, images.held, images.objects, progress=progress.count))


def _classes(options: BoxOptions, found: BoxedSet, samples: Sequence[Sample]) -> tuple[str, ...]:
    there = {label for sample in samples for label in found.objects[sample.path].counts}
    if not there:
        raise DataError(f"{found.set.root}: no object is marked in the images to learn from; mark some first")
    for name in options.classes:
        if name not in there:
            raise RecipeError(
                f"method.classes: no image to learn from shows {name!r}; they show: {', '.join(sorted(there))}"
            )
    return options.classes or tuple(sorted(there))


def _anchors(options: BoxOptions, boxes: NDArray[np.float64], *, seed: int) -> Anchors:
    if options.anchor_sizes:
        return Anchors(np.array(options.anchor_sizes, np.float64), options.stride_px)
    if options.anchors == "published":
        return grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=options.stride_px)
    rng = np.random.default_rng(seed)
    return fit_anchors(boxes, options.anchor_count, stride_px=options.stride_px, rng=rng)


def _reach(boxes: NDArray[np.float32], anchors: Anchors, classes: Sequence[str], progress: Progress) -> dict[str, Fact]:
    """Say which share of the boxes some anchor overlaps enough, in all and by class."""
    edges = boxes[:, :4].astype(np.float64)
    shares = {iou: reached(edges, anchors, iou=iou) for iou in (0.5, 0.7)}
    said = " and ".join(f"{100 * share:.1f} % by {iou}" for iou, share in shares.items())
    progress.stage(f"{len(anchors.sizes)} anchors overlap the boxes to learn: {said}")
    if shares[0.5] < FAR:
        progress.stage(
            "boxes that no anchor overlaps by half are hardly found; take a smaller method.stride, a larger "
            'method.scale, or anchors = "fitted"'
        )
    facts: dict[str, Fact] = {f"anchors overlap by {iou}": round(share, 4) for iou, share in shares.items()}
    for number, name in enumerate(classes):
        share = reached(edges[boxes[:, 4] == number], anchors, iou=0.5)
        facts[f"anchors overlap {name} by 0.5"] = round(share, 4)
    return facts


def _hash(samples: Sequence[Sample], found: BoxedSet) -> str:
    marks = sorted(
        (path.name, [(one.label, one.left, one.top, one.right, one.bottom, one.difficult) for one in image.objects])
        for path, image in ((sample.path, found.objects[sample.path]) for sample in samples)
    )
    return hashlib.sha256(json.dumps([content_hash(samples), marks]).encode()).hexdigest()


def _options(recipe: Recipe) -> BoxOptions:
    return cast("BoxOptions", check_method(recipe.method.name, recipe.method.options))
