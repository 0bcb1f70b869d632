"""A memory of good cells: for each place of a map, the few remembered vectors that cover what good images show there.

A cell's distance is the one to the nearest remembered vector at its own place or up to ``radius`` cells away: a product
that sits a little differently is still a good one. Products that lie anyhow have one memory for all places. What is
kept is a k-centre coreset (Gonzalez 1985: take what is farthest from all that was taken, again and again), so memory
and time do not grow with the number of good images. This file knows no descriptor and no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["UNKNOWN", "Bank", "Nearest", "coreset", "remember"]

UNKNOWN = -1
"""The number of a remembered vector that is none."""

FAR = 1e12
"""A squared distance farther than any: of places outside the map, and of what is left out."""

TABLE = 2**21
"""Squared distances of a few places are kept in a table of so many numbers."""

SAME = 1e-6
"""Vectors whose squared distance is no more are doubles."""

CANDIDATES = 2**15
"""A memory for all places is chosen from so many cells at most."""


@dataclass(frozen=True)
class Nearest:
    """What a memory answers.

    Attributes:
        distance: float32 (N, h, w), to the nearest remembered vector.
        residual: float32 (N, n, h, w), the vector less the remembered one.
        number: int64 (N, h, w), which one: ``picture * h * w + row * w + column`` of the cell it was; None where no
            single ones are remembered.
    """

    distance: Tensor
    residual: Tensor
    number: Tensor | None


class Bank(nn.Module):
    """Remembered vectors by place, and the search for the nearest.

    Attributes:
        items: float32 (h w, K, n), the remembered vectors of each place; (1, K, n) when one memory serves all.
        numbers: int64 (h w, K) or (1, K), where each came from; :data:`UNKNOWN` for none.
        radius: cells around a place that are searched; None is anywhere.
    """

    items: Tensor
    numbers: Tensor

    def __init__(self, items: Tensor, numbers: Tensor, grid: tuple[int, int], *, radius: int | None) -> None:
        """Keep ``items`` and ``numbers`` for a map of ``grid`` (h, w)."""
        super().__init__()
        self.grid, self.radius = grid, radius
        self.register_buffer("items", items)
        self.register_buffer("numbers", numbers)
        norms = (items * items).sum(dim=2).masked_fill(numbers == UNKNOWN, FAR)
        self.register_buffer("norms", norms.unsqueeze(1), persistent=False)

    def forward(self, maps: Tensor, leave_out: Tensor | None = None) -> Nearest:
        """Find the nearest remembered vector of each cell.

        Every place is asked for all cells around it, in one product of matrices; then each cell takes the best answer
        of the places around it.

        Args:
            maps: float32 (N, n, h, w).
            leave_out: int64 (N,), the picture that each image must not find: itself; None leaves nothing out.
        """
        count, size, height, width = maps.shape
        chosen = self._anywhere(maps, leave_out) if self.radius is None else self._near(maps, leave_out)
        found = self.items.flatten(0, 1)[chosen].view(count, height, width, size).permute(0, 3, 1, 2)
        residual = maps - found
        distance = (residual * residual).sum(dim=1).sqrt()
        return Nearest(distance, residual, self.numbers.flatten()[chosen].view(count, height, width))

    def _anywhere(self, maps: Tensor, leave_out: Tensor | None) -> Tensor:
        """Give the best item of each cell among all: int64 (N h w,)."""
        count, size, height, width = maps.shape
        asked = maps.permute(0, 2, 3, 1).reshape(count, height * width, size)
        norms = self.get_buffer("norms")
        if leave_out is not None:
            own = self.numbers // (height * width) == leave_out[:, None]
            norms = norms.masked_fill(own.unsqueeze(1), FAR)
        return (norms - (2.0 * asked) @ self.items.mT).argmin(dim=2).flatten()

    def _near(self, maps: Tensor, leave_out: Tensor | None) -> Tensor:
        """Give the best item of each cell among those of the places around it: int64 (N h w,)."""
        if leave_out is None:
            return self._among(maps, self.get_buffer("norms"))
        # one image after the other: its distances stay in the processor's cache
        places = self.grid[0] * self.grid[1]
        own = self.numbers // places == leave_out[:, None, None]  # (N, h w, K)
        norms = self.get_buffer("norms")
        each = zip(maps.split(1), own.unsqueeze(2), strict=True)
        return torch.cat([self._among(image, norms.masked_fill(mine, FAR)) for image, mine in each])

    def _among(self, maps: Tensor, norms: Tensor) -> Tensor:
        """Search among items of these squared lengths, float32 (h w, 1, K)."""
        count, places, kept = len(maps), len(self.items), self.items.shape[1]
        squares = norms - (2.0 * self._around(maps)) @ self.items.mT  # (h w, N o, K), less the cell's own length
        best = squares.argmin(dim=2)  # (h w, N o)
        item = best + kept * torch.arange(places, device=maps.device).unsqueeze(1)
        if self.radius == 0:
            return item.mT.flatten()
        value = self._back(squares.gather(2, best.unsqueeze(2)).squeeze(2), count, FAR)  # (N, o, h, w)
        offset = value.argmin(dim=1, keepdim=True)
        return self._back(item, count, 0).gather(1, offset).flatten()

    def _shifts(self) -> list[tuple[int, int]]:
        span = range(2 * (self.radius or 0) + 1)
        return [(down, right) for down in span for right in span]

    def _around(self, maps: Tensor) -> Tensor:
        """Give for each place the vectors of all cells around it: (N, n, h, w) to (h w, N o, n)."""
        height, width = self.grid
        wide = F.pad(maps, (self.radius or 0,) * 4)
        parts = [wide[:, :, down : down + height, right : right + width] for down, right in self._shifts()]
        return torch.stack(parts, dim=1).flatten(0, 1).flatten(2).permute(2, 0, 1)

    def _back(self, answers: Tensor, count: int, outside: float) -> Tensor:
        """Sort what places answered to the cells that asked: (h w, N o) to (N, o, h, w)."""
        height, width = self.grid
        far = 2 * (self.radius or 0)
        wide = F.pad(answers.mT.reshape(count, -1, height, width), (far // 2,) * 4, value=outside)
        # the cell at offset (down, right) of a place asks from the opposite side
        parts = [
            wide[:, at, far - down : far - down + height, far - right : far - right + width]
            for at, (down, right) in enumerate(self._shifts())
        ]
        return torch.stack(parts, dim=1)


@torch.no_grad()
def coreset(vectors: Tensor, numbers: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Choose ``keep`` vectors of each place that cover the rest best: farthest first, from the most central one.

    Args:
        vectors: float32 (P, N, n).
        numbers: int64 (P, N), carried along.
        keep: how many; fewer where there are fewer.

    Returns:
        float32 (P, K, n) and int64 (P, K), K = min(keep, N); doubles at a place are :data:`UNKNOWN`.
    """
    keep = min(keep, vectors.shape[1])
    many = max(1, TABLE // vectors.shape[1] ** 2)  # places whose table of distances fits the processor's cache
    parts = [_farthest(some, keep) for some in vectors.split(many)]
    pick, distinct = (torch.cat(part) for part in zip(*parts, strict=True))
    chosen = torch.gather(vectors, 1, pick.unsqueeze(2).expand(-1, -1, vectors.shape[2]))
    return chosen, numbers.gather(1, pick).masked_fill(~distinct, UNKNOWN)


def _farthest(vectors: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Pick farthest first: int64 (P, K), and bool (P, K), false where all that is left was picked already."""
    places, count, _ = vectors.shape
    lengths = (vectors * vectors).sum(dim=2)
    every = torch.arange(places, device=vectors.device)
    table = None
    if count**2 <= TABLE:
        table = (lengths.unsqueeze(2) + lengths.unsqueeze(1)).baddbmm_(vectors, vectors.mT, alpha=-2.0)

    def squared(pick: Tensor) -> Tensor:
        if table is not None:
            return table[every, pick]
        return lengths + lengths[every, pick].unsqueeze(1) - 2.0 * (vectors @ vectors[every, pick].unsqueeze(2))[..., 0]

    mean = vectors.mean(dim=1, keepdim=True)
    farthest = (vectors - mean).square().sum(dim=2).argmin(dim=1)
    reach = torch.full_like(lengths, FAR)
    picks, distinct = [], []
    for _ in range(keep):
        picks.append(farthest)
        distinct.append(reach[every, farthest] > SAME)
        reach = torch.minimum(reach, squared(farthest))
        reach[every, farthest] = -FAR
        farthest = reach.argmax(dim=1)
    return torch.stack(picks, dim=1), torch.stack(distinct, dim=1)


@torch.no_grad()
def remember(maps: Tensor, pictures: Tensor, *, radius: int | None, keep: int) -> Bank:
    """Make a memory of good images.

    Args:
        maps: float32 (N, n, h, w), their descriptors.
        pictures: int64 (N,), their numbers.
        radius: see :class:`Bank`.
        keep: vectors of each place, or of the one memory for all.
    """
    places = maps.shape[2] * maps.shape[3]
    vectors = maps.flatten(2).permute(2, 0, 1)  # (h w, N, n)
    numbers = pictures[None, :] * places + torch.arange(places, device=maps.device)[:, None]
    if radius is None:
        vectors, numbers = vectors.flatten(0, 1), numbers.flatten()
        generator = torch.Generator().manual_seed(0)
        some = torch.randperm(len(vectors), generator=generator)[:CANDIDATES].to(maps.device)
        vectors, numbers = vectors[some].unsqueeze(0), numbers[some].unsqueeze(0)
    items, kept = coreset(vectors, numbers, keep)
    return Bank(items.contiguous(), kept.contiguous(), (maps.shape[2], maps.shape[3]), radius=radius)
