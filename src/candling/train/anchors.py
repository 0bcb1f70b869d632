"""Anchor boxes for a detector: fitted to the boxes it will learn, and how many of them it can reach; knows no network.

A network of anchors only ever learns the boxes that some anchor overlaps enough. Which share that is can be said before
training: the counting thesis' first anchors missed its smaller nuclei, and nothing told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["THESIS_RATIOS", "THESIS_SIDES", "Anchors", "fit_anchors", "grid_anchors", "reached"]

THESIS_SIDES: Final = (32.0, 64.0, 128.0)
"""Sides of the square anchors of the counting thesis' later models, in pixels (Tare 2020)."""

THESIS_RATIOS: Final = (0.5, 1.0, 2.0)
"""Height over width; the area is that of the square (Tare 2020)."""

_ROUNDS: Final = 100


@dataclass(frozen=True)
class Anchors:
    """The shapes that every place of the network's map proposes.

    Attributes:
        sizes: float64 (A, 2), height and width in pixels of the network's input.
        stride_px: from one place to the next.
    """

    sizes: NDArray[np.float64]
    stride_px: int


def grid_anchors(sides: Sequence[float], ratios: Sequence[float], *, stride_px: int) -> Anchors:
    """Give every side at every ratio of height to width, areas kept.

    >>> grid_anchors([32.0], [0.5, 2.0], stride_px=16).sizes.round(1).tolist()
    [[22.6, 45.3], [45.3, 22.6]]
    """
    sizes = [(side * ratio**0.5, side / ratio**0.5) for side in sides for ratio in ratios]
    return Anchors(np.array(sizes, np.float64), stride_px)


def fit_anchors(boxes: NDArray[np.float64], count: int, *, stride_px: int, rng: np.random.Generator) -> Anchors:
    """Fit anchor sizes to boxes: k-means in which nearness is the overlap of centred boxes.

    Args:
        boxes: float64 (N, 4), left, top, right, bottom, in pixels of the network's input, of the training images alone.
        count: how many sizes; fewer where there are not so many different boxes.
        stride_px: of the network's map.
        rng: where the first centres come from.

    Raises:
        TrainingError: there is no box to fit to.

    Source: Redmon and Farhadi 2017 (YOLO9000), section 2; centres are medians, so that a few large boxes do not pull.
    """
    sizes = _sizes(boxes)
    if not len(sizes) or count < 1:
        raise TrainingError(f"{count} anchors cannot be fitted to {len(sizes)} boxes; label some objects first")
    centres = _spread(sizes, min(count, len(np.unique(sizes, axis=0))), rng)
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        following = _overlap(sizes, centres).argmax(axis=1)
        if np.array_equal(following, nearest):
            break
        nearest = following
        centres = np.array(
            [
                np.median(sizes[nearest == at], axis=0) if (nearest == at).any() else centre
                for at, centre in enumerate(centres)
            ]
        )
    return Anchors(centres[np.argsort(centres.prod(axis=1), kind="stable")], stride_px)


def reached(boxes: NDArray[np.float64], anchors: Anchors, *, iou: float) -> float:
    """Give the share of boxes that some anchor of the nearest place overlaps by ``iou`` at least.

    Anchors sit in the middle of the cells of a grid of ``stride_px``, so a small box may lie beside all of them.

    Args:
        boxes: float64 (N, 4), left, top, right, bottom, in pixels of the network's input.
        anchors: of the network.
        iou: 0.7 is what makes an anchor of the thesis' network learn a box; 0.5 what later stages can still mend.

    Returns:
        In [0, 1]; 1.0 without boxes.

    >>> square = np.array([[4.0, 4.0, 12.0, 12.0]])
    >>> reached(square, Anchors(np.array([[8.0, 8.0]]), 16), iou=0.7)
    1.0
    >>> reached(square + 8, Anchors(np.array([[8.0, 8.0]]), 16), iou=0.3)
    0.0
    """
    if not len(boxes):
        return 1.0
    stride = float(anchors.stride_px)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    places = (np.floor(middles / stride) + 0.5) * stride
    half = anchors.sizes[None, :, ::-1] / 2.0  # width and height
    low = np.maximum(boxes[:, None, :2], places[:, None] - half)
    high = np.minimum(boxes[:, None, 2:], places[:, None] + half)
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = _sizes(boxes).prod(axis=1)[:, None] + anchors.sizes.prod(axis=1)[None, :] - shared
    return float(np.mean((shared / areas).max(axis=1) >= iou))


def _sizes(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give height and width of boxes: float64 (N, 2)."""
    return (boxes[:, 2:] - boxes[:, :2])[:, ::-1]


def _overlap(sizes: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the overlap of boxes and centres that share their middle: float64 (N, K) in (0, 1]."""
    shared = np.minimum(sizes[:, None], centres[None]).prod(axis=2)
    return shared / (sizes.prod(axis=1)[:, None] + centres.prod(axis=1)[None] - shared)


def _spread(sizes: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw first centres that lie apart (k-means++)."""
    centres = sizes[rng.integers(len(sizes))][None]
    while len(centres) < count:
        distance = (1.0 - _overlap(sizes, centres).max(axis=1)) ** 2
        total = distance.sum()
        chosen = rng.choice(len(sizes), p=distance / total) if total > 0.0 else int(rng.integers(len(sizes)))
        centres = np.vstack([centres, sizes[chosen]])
    return centres
