"""What frames are matched to: learned from the images that are trained on, before anything else is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from candling.data.contrast import CONTRAST, read_contrast_groups
from candling.errors import DataError, ImageError
from candling.pixels.histogram import Matcher, learn_matcher
from candling.pixels.read import read_image
from candling.train.data import workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from candling.data.samples import Sample
    from candling.recipe import Recipe
    from candling.types import Frame

__all__ = ["Matching", "resolve_matching"]

LOOKED_AT = 64
"""So many images, evenly spread, give the templates and the contrast groups."""


@dataclass(frozen=True)
class Matching:
    """What was learned.

    Attributes:
        matcher: None where nothing is matched.
        choices: for the card.
    """

    matcher: Matcher | None = None
    choices: Mapping[str, str | float | int] = field(default_factory=dict)


def resolve_matching(recipe: Recipe, samples: Sequence[Sample], *, folder: Path) -> Matching:
    """Learn what ``histogram`` of ``[prepare]`` asks for; nothing is read where nothing is matched.

    Args:
        recipe: says how.
        samples: the images that are learned from, and no others.
        folder: the data set's; its ``contrast.csv`` may name groups, which win over those found.

    Raises:
        DataError: an image cannot be read or shows a region only, or the table of groups is no such table.
    """
    chosen = recipe.prepare
    if chosen.histogram == "none":
        return Matching()
    looked_at = [samples[at] for at in np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).round().astype(int))]
    table = folder / CONTRAST
    named = read_contrast_groups(table) if chosen.histogram == "selective" and table.is_file() else {}
    with ThreadPoolExecutor(workers()) as pool:
        frames = list(pool.map(_whole, looked_at))
    matcher = learn_matcher(
        frames,
        chosen.histogram,
        gain=chosen.histogram_gain,
        white=chosen.white,
        groups=[named.get(sample.path.name) for sample in looked_at],
    )
    return Matching(matcher, {**matcher.facts, "histogram_named": sum(one.path.name in named for one in looked_at)})


def _whole(sample: Sample) -> Frame:
    if sample.region is not None:
        raise DataError(
            f"{sample.path}: shows the region {sample.region!r} alone, and histograms are matched over whole frames; "
            'give whole frames, or say histogram = "none"'
        )
    try:
        return read_image(sample.path)
    except ImageError as error:
        raise DataError(f"{error}; take it out, and run `candling check` to find every such image") from error
