"""An image and the mask that numbers its cells, decoded together; knows no split and no network.

A mask that lies in a folder ``dots`` has a bright pixel on each cell; every dot becomes a small disc with a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from candling.data.samples.numbered import DOTS
from candling.errors import DataError, ImageError
from candling.pixels.instances import discs_around
from candling.pixels.read import read_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.types import Frame

__all__ = ["DOT_PX", "read_numbered"]

DOT_PX: Final = 4.0
"""Radius of the disc that stands for a dot."""


def read_numbered(sample: Sample) -> tuple[Frame, NDArray[np.uint8] | NDArray[np.uint16]]:
    """Read an image and its mask.

    Args:
        sample: with a mask.

    Returns:
        the frame, uint8 or uint16 (H, W) or (H, W, 3); the mask, uint8 or uint16 (H, W), 0 background, one disc a cell
        where it shows dots.

    Raises:
        DataError: one of them cannot be read, there is no mask, it is in colour, or they are of two sizes.
    """
    if sample.mask is None:
        raise DataError(f"{sample.path}: has no mask that numbers its cells; give one, or leave the image out")
    try:
        frame, labels = read_image(sample.path), read_image(sample.mask)
    except ImageError as error:
        raise DataError(f"{error}; take it out") from error
    dots = sample.mask.parent.name == DOTS
    if dots:
        marked = labels > 0 if labels.ndim == 2 else labels.max(axis=2) > 0
        labels = discs_around(marked, radius_px=DOT_PX)
    if labels.ndim != 2:
        raise DataError(f"{sample.mask}: is in colour; a mask that numbers its cells is grey")
    if labels.shape != frame.shape[:2]:
        raise DataError(
            f"{sample.mask}: has {labels.shape[0]} x {labels.shape[1]} px and its image {frame.shape[0]} x "
            f"{frame.shape[1]} (height x width); give the mask of this image"
        )
    return frame, labels
