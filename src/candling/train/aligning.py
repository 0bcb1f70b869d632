"""Which way frames are aligned, and to which templates: decided from the good images that are learned from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from candling.pixels.align import Aligner, Way, decide, learn_template
from candling.train.data import shaped_patches, workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from candling.data.samples import Sample
    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.types import Frame

__all__ = ["Aligned", "resolve_align"]

LOOKED_AT = 32
"""So many images, evenly spread, decide what "auto" means and give the templates."""

_ORDER = ("none", "shift", "turn")


@dataclass(frozen=True)
class Aligned:
    """What was decided.

    Attributes:
        recipe: with "auto" decided.
        aligners: by region; empty where nothing is aligned.
        choices: for the card: the way and, where it was decided here, the figures that decided it.
    """

    recipe: Recipe
    aligners: Mapping[str, Aligner] = field(default_factory=dict)
    choices: Mapping[str, str | float | int] = field(default_factory=dict)


def resolve_align(recipe: Recipe, samples: Sequence[Sample], *, matcher: Matcher | None = None) -> Aligned:
    """Decide ``align = "auto"`` of ``[prepare]`` and learn the templates; nothing is read where nothing is aligned.

    Where a product has several regions, all are aligned by the simplest way that any of them asks for.

    Args:
        recipe: channels, height and width are decided already.
        samples: the good images that are learned from.
        matcher: gives every whole frame another histogram first; None leaves it.

    Raises:
        DataError: an image cannot be read.
    """
    asked = recipe.prepare.align
    if asked == "none":
        return Aligned(recipe)
    looked_at = [samples[at] for at in np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).round().astype(int))]
    with ThreadPoolExecutor(workers()) as pool:
        groups = list(pool.map(partial(shaped_patches, recipe=recipe, matcher=matcher), looked_at))
    patches = [patch for group in groups for patch in group]
    names = list(recipe.region_names)
    frames = {name: [frame for region, frame, _ in patches if region == name] for name in names}
    aspects = {name: _aspect([aspect for region, _, aspect in patches if region == name]) for name in names}
    facts: dict[str, str | float | int] = {}
    way: Literal["none", "shift", "turn"] = "none"
    if asked == "auto":
        decisions = {name: decide(frames[name], aspect=aspects[name], white=recipe.prepare.white) for name in names}
        way = min((decision.way for decision in decisions.values()), key=_ORDER.index)
        for name, decision in decisions.items():
            prefix = "align" if len(names) == 1 else f"align_{name}"
            facts |= {f"{prefix}_{key}": value for key, value in decision.facts.items()}
    else:
        way = asked
    recipe = recipe.model_copy(update={"prepare": recipe.prepare.model_copy(update={"align": way})})
    if way == "none":
        return Aligned(recipe, {}, {"align": way, **facts})
    aligners = {name: _aligner(frames[name], way, aspects[name], recipe) for name in names}
    return Aligned(recipe, aligners, {"align": way, **facts})


def _aligner(frames: Sequence[Frame], way: Way, aspect: float | None, recipe: Recipe) -> Aligner:
    """Learn a region's template; of a region that no image shows it is black, so nothing is ever moved to it."""
    if not frames:
        return Aligner(np.zeros(recipe.prepare.shape[1:], np.uint8), way)
    return Aligner(learn_template(frames, way, aspect=aspect, white=recipe.prepare.white), way)


def _aspect(aspects: Sequence[float]) -> float | None:
    return float(np.median(aspects)) if aspects else None
