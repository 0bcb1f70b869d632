"""Which of many remembered points are near a given one, found by a few directions; knows no network and no image.

To compare an image with 10,000 points of 4,096 numbers is to read 160 MB. In few directions, those in which the points
vary most, all of them are compared at the price of a few megabytes; only the nearest by that are compared in full. A
distance there is that of the shadows plus the squared lengths of both rests, as if the rests were at right angles.

A kernel density over a short list can only be too low, so an image can only look rarer than it is, never commoner. How
long the list must be is measured, not assumed (:func:`shortlist_for`); where no short one will do, there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from candling.train.directions import principal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Shortlist", "shortlist_for"]

DIRECTIONS = 64
"""So many directions find the near ones; of latents measured they hold 0.97 of the variance."""

DRAWN = 1000
"""The directions are those of at most so many points, evenly drawn."""

WORTH_IT = 2**21
"""Fewer remembered numbers than this are read faster than sifted."""

PROBES = 48
"""So many points, each left out in turn, say how long the list must be; also moved outwards and mixed."""

LENGTHS = (32, 64, 128, 256)
"""The lengths tried; twice the first that will do is taken."""

TOLERATED = 1e-5
"""The largest difference from the sum over all points, as a share of the value or of 1 where that is less."""


class Shortlist(nn.Module):
    """Points to the numbers of those near them.

    Attributes:
        turn: float32 (d, q), the directions.
        places: float32 (q, M), minus twice where the remembered points lie in them.
        lengths: float32 (M,), squared lengths of the remembered points.
        length: how many are named.
        difference: the largest that was measured, as :data:`TOLERATED`.
    """

    turn: Tensor
    places: Tensor
    lengths: Tensor

    def __init__(self, turn: Tensor, points: Tensor) -> None:
        super().__init__()
        self.register_buffer("turn", turn)
        self.register_buffer("places", (-2.0 * (points @ turn)).mT.contiguous())
        self.register_buffer("lengths", (points * points).sum(dim=1))
        self.length, self.difference = 0, 0.0

    def forward(self, points: Tensor) -> Tensor:
        """Name the remembered points near float32 (N, d): int64 (N, length), nearest first."""
        return self.distances(points).topk(self.length, dim=1, largest=False).indices

    def distances(self, points: Tensor) -> Tensor:
        """Guess squared distances, less the squared length of the point asked for: float32 (N, M)."""
        return self.lengths + (points @ self.turn) @ self.places


def shortlist_for(points: Tensor, summed: Callable[[Tensor], Tensor]) -> Shortlist | None:
    """Find how short a list will do for a sum over the points.

    Asked for are points that are left out themselves, as they are, three times as far from the origin, and mixed: every
    other number of one and of another.

    Args:
        points: float32 (M, d), around the origin.
        summed: squared distances float64 (N, K), of which infinite ones do not count, to sums (N,), such as a
            log-density.

    Returns:
        One of a length that keeps all sums; None where the points are few, or no short list keeps them.
    """
    count, dimensions = points.shape
    if points.numel() < WORTH_IT or min(count, dimensions) < 4 * DIRECTIONS:
        return None
    some = points[_evenly(count, DRAWN).to(points.device)].double()
    turn, _ = principal(some - some.mean(dim=0), DIRECTIONS)
    found = Shortlist(turn.float(), points)
    left_out = _evenly(count, PROBES).to(points.device)
    drawn = points[left_out]
    odd = torch.arange(dimensions, device=points.device) % 2 == 1
    for_all, in_order = [], []
    for asked in (drawn, 3.0 * drawn, torch.where(odd, drawn, drawn.roll(1, dims=0))):
        squares = _squares(asked, points).scatter(1, left_out[:, None], torch.inf)
        guessed = found.distances(asked).scatter(1, left_out[:, None], torch.inf)
        nearest = guessed.topk(min(LENGTHS[-1], count), dim=1, largest=False).indices
        for_all.append(summed(squares))
        in_order.append(squares.gather(1, nearest))
    expected, near = torch.cat(for_all), torch.cat(in_order)
    for length in LENGTHS:
        differences = (summed(near[:, :length]) - expected).abs() / expected.abs().clamp(min=1.0)
        if 8 * length > count:
            return None
        if float(differences.max()) <= TOLERATED:
            found.length, found.difference = 2 * length, float(differences.max())
            return found
    return None


def _evenly(count: int, most: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _squares(asked: Tensor, points: Tensor) -> Tensor:
    """Give exact squared distances, float64 (N, M), some rows of points at a time."""
    return torch.cat([torch.cdist(asked.double(), part.double()).square() for part in points.split(1024)], dim=1)
