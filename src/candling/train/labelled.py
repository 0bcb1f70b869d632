"""Good images and labelled defects made ready together: who is learned from, who is held out, and the masks.

A method that learns defects gets prepared images as any other does, with a mask beside each: cut as the image is, and
brought to its size without new values. Knows no method and no patch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.data.patches import mask_of
from candling.data.samples import split_hold_out
from candling.data.samples.labelled import defects_to_learn
from candling.errors import DataError, ImageError, RecipeError
from candling.pixels.tiling import cut
from candling.train.data import PreparedSet, workers
from candling.types import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.data.samples import Sample, SampleSet
    from candling.recipe import Recipe

__all__ = ["split_defects", "with_masks"]


def split_defects(found: SampleSet, recipe: Recipe) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split the defects to learn from into (fit, held out), by product, with the recipe's share and seed.

    Raises:
        SamplesError: too few defects with a mask, or all of one product.
        RecipeError: the recipe aligns, which masks do not follow.
    """
    if recipe.prepare.align != "none":
        raise RecipeError(
            'prepare.align: masks are not moved along with images, so a method that learns defects wants "none", '
            f"not {recipe.prepare.align!r}"
        )
    defects = defects_to_learn(found, seed=recipe.training.seed)
    return split_hold_out(defects, recipe.training.hold_out, seed=recipe.training.seed)


def with_masks(prepared: PreparedSet, samples: Sequence[Sample], recipe: Recipe) -> PreparedSet:
    """Put the masks of its samples beside a prepared set.

    Raises:
        DataError: a mask cannot be read, is of another size than its image, or does not hold a region of the recipe.
    """
    with ThreadPoolExecutor(workers()) as pool:
        groups = list(pool.map(lambda sample: _masks(sample, recipe), samples))
    return replace(prepared, masks=np.stack([mask for group in groups for mask in group]))


def _masks(sample: Sample, recipe: Recipe) -> list[NDArray[np.bool_]]:
    regions = recipe.places if sample.region is None else (Region(sample.region),)
    _, height, width = recipe.prepare.shape
    try:
        pieces = cut(mask_of(sample).astype(np.uint8), regions)
    except ImageError as error:
        where = "" if str(sample.path) in str(error) else f"{sample.path}: "
        raise DataError(f"{where}{error}; take it out, and run `candling check` to find every such image") from error
    return [cv2.resize(piece, (width, height), interpolation=cv2.INTER_NEAREST) > 0 for _, _, piece in pieces]
