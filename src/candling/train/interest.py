"""Where defects matter: the part of each patch that counts, from rectangles or from a picture; knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from candling.errors import ImageError, RecipeError
from candling.pixels.read import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Interest", "InterestOptions", "Rectangle"]


class Rectangle(BaseModel):
    """A rectangle as shares of the patch's height and width, 0 at the top and at the left.

    Attributes:
        top: where it begins.
        left: where it begins.
        bottom: where it ends.
        right: where it ends.
        region: the region of the product it belongs to; empty for every one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    top: float = Field(default=0.0, ge=0, le=1, strict=False)
    left: float = Field(default=0.0, ge=0, le=1, strict=False)
    bottom: float = Field(default=1.0, ge=0, le=1, strict=False)
    right: float = Field(default=1.0, ge=0, le=1, strict=False)
    region: str = ""


class InterestOptions(BaseModel):
    """The recipe's ``[method.roi]``.

    Attributes:
        rectangles: places that matter, as ``top``, ``left``, ``bottom``, ``right`` in shares of height and width, and
            ``region`` where they hold for the patches of one region only.
        picture: an image file of the whole patch, bright where it matters; read when training starts. Together with
            rectangles, either is enough. Where a region has neither, all of it matters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    rectangles: tuple[Rectangle, ...] = Field(default=(), strict=False)
    picture: str = ""


class Interest:
    """Where defects matter, region by region.

    Attributes:
        everywhere: bool (1, 1, H, W), for a region that no rectangle names.
        named: the same for each region that one names.
    """

    def __init__(self, options: InterestOptions, size: tuple[int, int]) -> None:
        """Prepare for patches of ``size`` (H, W).

        Raises:
            RecipeError: the picture cannot be read, or nothing of a region is left that matters.
        """
        picture = _bright(options.picture, size) if options.picture else np.zeros(size, bool)
        names = {rectangle.region for rectangle in options.rectangles} - {""}
        self.everywhere = _drawn("", options, picture)
        self.named = {name: _drawn(name, options, picture) for name in sorted(names)}

    def of(self, regions: tuple[str, ...], device: torch.device) -> Tensor:
        """Give bool (N, 1, H, W) for N patches by the names of their regions; (1, 1, H, W) where nobody knows them."""
        if not self.named or not regions:
            return self.everywhere.to(device)
        return torch.cat([self.named.get(name, self.everywhere) for name in regions]).to(device)


def _drawn(region: str, options: InterestOptions, picture: NDArray[np.bool_]) -> Tensor:
    height, width = picture.shape
    matters = picture.copy()
    shares = [share for share in options.rectangles if share.region in ("", region)]
    for share in shares:
        rows = slice(round(share.top * height), round(share.bottom * height))
        matters[rows, round(share.left * width) : round(share.right * width)] = True
    if not shares and not options.picture:
        matters[:] = True
    if not matters.any():
        where = f" of region {region!r}" if region else ""
        raise RecipeError(f"method.roi: no pixel{where} matters; enlarge a rectangle or brighten the picture")
    return torch.from_numpy(matters).view(1, 1, height, width)


def _bright(path: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        frame = read_image(path)
    except ImageError as error:
        raise RecipeError(f"method.roi.picture: {error}") from error
    bright = (frame if frame.ndim == 2 else frame.max(axis=2)) > np.iinfo(frame.dtype).max // 2
    return cv2.resize(bright.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST) > 0
