"""Whether frames are cut to the product, and where: decided from the good images that are learned from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import DataError, ImageError
from candling.pixels.product import find_product
from candling.pixels.read import inspect_file, read_image
from candling.recipe import FrameSize, RegionChoice
from candling.train.data import workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from candling.data.samples import Sample
    from candling.recipe import Recipe
    from candling.types import Frame

__all__ = ["PRODUCT", "resolve_crop"]

PRODUCT = "product"
"""The name of the region that is cut."""

LOOKED_AT = 32
"""So many images, evenly spread, decide."""


def resolve_crop(recipe: Recipe, samples: Sequence[Sample]) -> tuple[Recipe, Mapping[str, str]]:
    """Decide ``crop = "auto"`` of ``[prepare]``: one region around the product, or the whole frame.

    A recipe with regions of its own, images that show a region already and images of several sizes stay whole.

    Args:
        recipe: what is trained.
        samples: the good images that are learned from.

    Returns:
        the recipe with crop "none" and, where a box was found, one region and the size of a frame; and lines for the
        card, empty where nothing had to be decided.

    Raises:
        DataError: an image cannot be read.
    """
    if recipe.prepare.crop == "none":
        return recipe, {}
    whole = recipe.model_copy(update={"prepare": recipe.prepare.model_copy(update={"crop": "none"})})
    if recipe.regions or any(sample.region is not None for sample in samples):
        return whole, {"crop": "none: the recipe or the data name regions"}
    if len({_size(sample) for sample in samples}) > 1:
        return whole, {"crop": "none: the images have several sizes"}
    looked_at = [samples[at] for at in np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).round().astype(int))]
    with ThreadPoolExecutor(workers()) as pool:
        frames = list(pool.map(_read, looked_at))
    box = find_product(frames)
    if box is None:
        return whole, {"crop": "none: the product fills the frame"}
    region = RegionChoice(name=PRODUCT, top=box.top, left=box.left, height=box.height, width=box.width)
    height, width = frames[0].shape[:2]
    cut = whole.model_copy(update={"regions": (region,), "frame": FrameSize(height=height, width=width)})
    return cut, {"crop": f"rows {box.top} to {box.bottom}, columns {box.left} to {box.right} of {height} x {width} px"}


def _size(sample: Sample) -> tuple[int, int]:
    """Give (H, W) by the file's header."""
    try:
        facts = inspect_file(sample.path)
    except ImageError as error:
        raise DataError(f"{error}; take it out, and run `candling check` to find every such image") from error
    return facts.height, facts.width


def _read(sample: Sample) -> Frame:
    try:
        return read_image(sample.path)
    except ImageError as error:
        raise DataError(f"{error}; take it out, and run `candling check` to find every such image") from error
