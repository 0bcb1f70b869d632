"""Maps of a whole frame: the patches' maps and reconstructions put back in place, on one fixed colour scale.

Knows no file, no verdict and no page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.pixels.heatmap import resize_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.runtime.bundle import Bundle
    from candling.types import FloatArray, Prediction

__all__ = ["MapScale", "draw_outline", "frame_map", "frame_reconstruction", "map_scale"]


@dataclass(frozen=True)
class MapScale:
    """Which map values the darkest and the brightest colour stand for: the same for every image of one bundle.

    Attributes:
        low: the typical value on good images, shown darkest.
        edge: the highest value good images reach; above it a map is outlined.
        high: the value of the brightest colour.
    """

    low: float
    edge: float
    high: float

    @classmethod
    def of_good_maps(cls, typical: float, highest: float) -> MapScale:
        """Tie the scale to held-out good maps: what no good image reaches begins at two thirds of the colours.

        >>> MapScale.of_good_maps(0.1, 0.5).high
        0.7
        """
        return cls(low=typical, edge=highest, high=round(highest + (highest - typical) / 2, 12))


def map_scale(bundle: Bundle) -> MapScale:
    """Give the colour scale of a bundle, from its held-out good maps; [0, 1] where its graph gives no map."""
    found = bundle.limits.map_range
    return MapScale(0.0, 1.0, 1.0) if found is None else MapScale.of_good_maps(found.typical, found.highest)


def frame_map(
    predictions: Sequence[Prediction], shape: tuple[int, int], *, size: tuple[int, int] | None = None
) -> FloatArray | None:
    """Put the patches' anomaly maps back where they were cut; where patches overlap the worse value stays.

    Args:
        predictions: the patches of one frame.
        shape: (H, W) of the frame the boxes are counted in.
        size: (H, W) of the result; the frame's own by default.

    Returns:
        float32 (H, W) of ``size``; where no patch lies, the least value of the maps, at most 0: what was not inspected
        never looks bad. None without maps.
    """
    target = shape if size is None else size
    down, across = target[0] / shape[0], target[1] / shape[1]
    canvas: FloatArray | None = None
    for prediction in predictions:
        if prediction.anomaly_map is None:
            continue
        box = prediction.box
        rows = slice(round(box.top * down), max(round(box.top * down) + 1, round(box.bottom * down)))
        columns = slice(round(box.left * across), max(round(box.left * across) + 1, round(box.right * across)))
        if (rows.start, columns.start, rows.stop, columns.stop) == (0, 0, *target) and len(predictions) == 1:
            return resize_map(prediction.anomaly_map, target)
        if canvas is None:
            canvas = np.full(target, -np.inf, dtype=np.float32)
        place = canvas[rows, columns]
        np.maximum(place, resize_map(prediction.anomaly_map, (place.shape[0], place.shape[1])), out=place)
    if canvas is None:
        return None
    bare = np.isneginf(canvas)
    if bare.any():
        canvas[bare] = min(0.0, float(canvas[~bare].min(initial=0.0)))
    return canvas


def frame_reconstruction(
    predictions: Sequence[Prediction], shape: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.uint8] | None:
    """Put the patches' reconstructions back where they were cut, black elsewhere.

    Args:
        predictions: the patches of one frame.
        shape: (H, W) of the frame the boxes are counted in.
        size: (H, W) of the result.

    Returns:
        uint8 (H, W, 3), RGB; None without reconstructions.
    """
    picture: NDArray[np.uint8] | None = None
    down, across = size[0] / shape[0], size[1] / shape[1]
    for prediction in predictions:
        if prediction.reconstruction is None:
            continue
        if picture is None:
            picture = np.zeros((*size, 3), dtype=np.uint8)
        box = prediction.box
        place = picture[
            round(box.top * down) : round(box.bottom * down), round(box.left * across) : round(box.right * across)
        ]
        if place.size:
            levels = np.rint(np.clip(np.moveaxis(prediction.reconstruction, 0, -1), 0.0, 1.0) * 255).astype(np.uint8)
            small = cv2.resize(levels, (place.shape[1], place.shape[0]), interpolation=cv2.INTER_AREA)
            place[...] = small[..., None] if small.ndim == 2 else small  # one channel spreads over three
    return picture


def draw_outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Draw the outline of a mask into a picture: white on black, to be seen on every colour.

    Args:
        picture: uint8 (H, W, 3), RGB; changed in place.
        mask: bool (h, w), brought to the picture's size; a speck that shrinks below a pixel stays one.
    """
    height, width = picture.shape[:2]
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours((share > 0).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (0, 0, 0), thickness=3)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), thickness=1)
