"""A density of cells as something to learn: a bell of one height for each cell, and back to cells a pixel; no network.

Bells are as high as 1, so that a network learns numbers of usual size; divided by a bell's volume they are cells a
pixel. At the edge of a tile a bell is folded back, so that the sum over a tile is the number of its cells.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bell_loss", "bells_of", "cells_a_pixel"]

_REACH = 4.0  # standard deviations
_BLOCK_PX = 16


def bells_of(centres: Tensor, spread_px: float) -> Tensor:
    """Put a bell on every centre.

    Args:
        centres: bool (N, H, W), the middle pixel of each cell.
        spread_px: the bell's standard deviation; 0 gives no map.

    Returns:
        float32 (N, 1, H, W), or (N, 0, H, W); an isolated bell is 1 at its top.
    """
    count, height, width = centres.shape
    if spread_px <= 0.0:
        return torch.zeros((count, 0, height, width), device=centres.device)
    rows, columns = (_folded(side, spread_px).to(centres.device) for side in (height, width))
    bells = rows @ centres.float() @ columns.T
    return (bells * _volume(spread_px)).unsqueeze(1)


def cells_a_pixel(bells: Tensor, spread_px: float) -> Tensor:
    """Turn bells into a density whose sum is the number of cells."""
    return bells / _volume(spread_px)


def bell_loss(given: Tensor, bells: Tensor, known: Tensor) -> Tensor:
    """Give the error of a learned map: pixel by pixel, and of its means over blocks, where whole cells count.

    Args:
        given: float32 (N, 1, H, W).
        bells: likewise, of :func:`bells_of`.
        known: bool (N, 1, H, W), pixels that teach something.
    """
    difference = (given - bells) * known
    pixels = difference.square().sum() / known.sum().clamp(min=1)
    side = min(_BLOCK_PX, *given.shape[2:])
    return pixels + F.avg_pool2d(difference, side).abs().mean()


def _volume(spread_px: float) -> float:
    return 2.0 * math.pi * spread_px**2


def _folded(side: int, spread_px: float) -> Tensor:
    """Give the matrix that spreads a line of pixels: each column adds up to 1, what leaves the line comes back."""
    reach = min(math.ceil(_REACH * spread_px), side)
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (steps.double() / spread_px) ** 2)
    weights = weights / weights.sum()
    places = torch.arange(side)[:, None] + steps
    places = torch.where(places < 0, -places - 1, places)
    places = torch.where(places >= side, 2 * side - 1 - places, places)
    matrix = torch.zeros((side, side), dtype=torch.float64)
    matrix.scatter_add_(0, places.T, weights[:, None].expand(-1, side))
    return matrix.float()
