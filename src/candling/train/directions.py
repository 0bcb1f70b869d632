"""The directions in which points vary most, and by how much; knows no density and no network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["LEAST_SPREAD", "principal"]

LEAST_SPREAD = 1e-6
"""A direction whose standard deviation is a smaller share of the largest one carries nothing but rounding."""


def principal(centred: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Give the directions in which centred points float64 (N, d) vary most, (d, q), and their spread there, (q,).

    They come from the smaller of the two products of the points with themselves, in a fraction of the time of a
    singular value decomposition. Directions without spread are of length 0.

    Args:
        centred: whose mean is the origin.
        components: how many, at most the smaller of N and d.
    """
    count, dimensions = centred.shape
    wide = count < dimensions
    squares, turned = torch.linalg.eigh(centred @ centred.mT if wide else centred.mT @ centred)
    lengths = squares[-components:].flip(0).clamp(min=0.0).sqrt()
    directions = turned[:, -components:].flip(1)
    if wide:
        directions = centred.mT @ directions / lengths.clamp(min=LEAST_SPREAD * float(lengths[0]))
    return directions, lengths / math.sqrt(count)
