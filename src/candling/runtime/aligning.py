"""The templates of a bundle: ``template.png``, one region's under the other; knows no graph and no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.errors import BundleError, ImageError
from candling.pixels.align import Aligner
from candling.pixels.read import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candling.recipe import Recipe
    from candling.runtime.bundle import Bundle

__all__ = ["TEMPLATE", "encode_aligners", "load_aligners"]

TEMPLATE: Final = "template.png"
"""What the file is called in a bundle."""


def load_aligners(bundle: Bundle) -> dict[str, Aligner]:
    """Load what aligns each region of a bundle's product; nothing where its recipe aligns nothing.

    Raises:
        BundleError: the recipe aligns and there is no template, or it has not the size the graph sees.
    """
    way = bundle.recipe.prepare.align
    if way not in ("shift", "turn"):
        return {}
    where, data = str(bundle.path / TEMPLATE), bundle.read_extra(TEMPLATE)
    if data is None:
        raise BundleError(f"{where}: is missing, and the recipe aligns by {way!r}; copy the whole bundle again")
    names = list(bundle.recipe.region_names)
    _, height, width = bundle.recipe.prepare.shape
    try:
        picture = decode(data, max_pixels=len(names) * height * width, where=where)
    except ImageError as error:
        raise BundleError(str(error)) from error
    if picture.dtype != np.uint8 or picture.shape != (len(names) * height, width):
        raise BundleError(
            f"{where}: is {picture.dtype} {picture.shape}, but the templates of {len(names)} regions are uint8 "
            f"{(len(names) * height, width)}; train again"
        )
    templates = picture.astype(np.uint8, copy=False).reshape(len(names), height, width)
    return {name: Aligner(template, way) for name, template in zip(names, templates, strict=True)}


def encode_aligners(recipe: Recipe, aligners: Mapping[str, Aligner]) -> bytes:
    """Pack the templates of a recipe's regions in their order; the same templates give the same bytes."""
    done, data = cv2.imencode(".png", np.vstack([aligners[name].template for name in recipe.region_names]))
    assert done  # a grey picture in memory can always be encoded
    return data.tobytes()
