"""Weights that fade towards the border, where what a movement brings in is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["disc_window", "frame_window"]


def frame_window(height: int, width: int) -> FloatArray:
    """Give weights, 1 inside, falling to near 0 over an eighth at each border."""
    return np.outer(_fall(height), _fall(width))


def disc_window(height: int, width: int) -> FloatArray:
    """Give weights, 1 inside the largest disc, falling to 0 over an eighth at its edge."""
    y = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    radius = min(height, width) / 2
    inside = (radius - np.hypot(y[:, None], x)) / (radius / 4)
    window: FloatArray = _smooth(inside)
    return window


def _fall(length: int) -> FloatArray:
    near = np.minimum(np.arange(length) + 0.5, length - 0.5 - np.arange(length))
    return _smooth(near / (length / 8))


def _smooth(share: NDArray[np.floating]) -> FloatArray:
    weights: FloatArray = (0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0.0, 1.0))).astype(np.float32)
    return weights
