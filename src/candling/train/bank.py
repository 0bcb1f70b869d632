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
        table: float32 (h w, K, n + 1), the remembered vectors of each place, and of each its squared length, or
            :data:`FAR` where there is none; (1, K, n + 1) when one memory serves all.
        numbers: int64 (h w, K) or (1, K), where each came from; :data:`UNKNOWN` for none.
        radius: cells around a place that are searched; None is anywhere.
    """

    table: Tensor
    numbers: Tensor

    def __init__(self, items: Tensor, numbers: Tensor, grid: tuple[int, int], *, radius: int | None) -> None:
        """Keep ``items``, float32 (h w, K, n) or (1, K, n), and ``numbers`` for a map of ``grid`` (h, w)."""
        super().__init__()
        self.grid, self.radius = grid, radius
        norms = (items * items).sum(dim=2).masked_fill(numbers == UNKNOWN, FAR)
        self.register_buffer("table", torch.cat((items, norms.unsqueeze(2)), dim=2))
        self.register_buffer("numbers", numbers)

    @property
    def items(self) -> Tensor:
        """The remembered vectors, float32 (h w, K, n) or (1, K, n)."""
        return self.table[:, :, :-1]

    def forward(self, maps: Tensor, leave_out: Tensor | None = None) -> Nearest:
        """Find the nearest remembered vector of each cell.

        Every place is asked for all cells around it, in one product of matrices; then each cell takes the best answer
        of the places around it.

        Args:
            maps: float32 (N, n, h, w).
            leave_out: int64 (N,), the picture that each image must not find: itself; None leaves nothing out.
        """
        count, size, height, width = maps.shape
        places = self.grid[0] * self.grid[1]
        own = None if leave_out is None else self.numbers // places == leave_out[:, None, None]  # (N, h w or 1, K)
        chosen = self._anywhere(maps, own) if self.radius is None else self._near(maps, own)
        found = self.table.flatten(0, 1)[chosen][:, :size].view(count, height, width, size).permute(0, 3, 1, 2)
        residual = maps - found
        distance = (residual * residual).sum(dim=1).sqrt()
        return Nearest(distance, residual, self.numbers.flatten()[chosen].view(count, height, width))

    def _anywhere(self, maps: Tensor, own: Tensor | None) -> Tensor:
        """Give the best item of each cell among all: int64 (N h w,)."""
        squares = _asking(maps).flatten(2).mT @ self.table.mT  # (N, h w, K), less the cell's own length
        if own is not None:
            squares = squares.masked_fill(own, FAR)
        return _least(squares, dim=2).flatten()

    def _near(self, maps: Tensor, own: Tensor | None) -> Tensor:
        """Give the best item of each cell among those of the places around it: int64 (N h w,)."""
        if own is None:
            return self._among(maps, None)
        # one image after the other: its distances stay in the processor's cache
        return torch.cat([self._among(*each) for each in zip(maps.split(1), own.unsqueeze(2), strict=True)])

    def _among(self, maps: Tensor, own: Tensor | None) -> Tensor:
        """Search among all items but ``own``, bool (h w, 1, K): int64 (N h w,)."""
        count, kept = maps.shape[0], self.table.shape[1]
        squares = self._around(_asking(maps)) @ self.table.mT  # (h w, N o, K), less the cell's own length
        if own is not None:
            squares = squares.masked_fill(own, FAR)
        if self.radius == 0:
            item = _least(squares, dim=2)  # (h w, N)
            return (item + kept * torch.arange(len(item), device=maps.device).unsqueeze(1)).mT.flatten()
        # which place is nearest is asked first, then which item of that single one: a minimum costs an engine little,
        # the place of one much
        offset = _least(self._back(squares.amin(dim=2), count), dim=1)  # (N, h, w)
        place, image = self._place(offset), torch.arange(count, device=maps.device).unsqueeze(1)
        answers = squares[place, len(self._shifts()) * image + offset.flatten(1)]  # (N, h w, K)
        return (_least(answers, dim=2) + kept * place).flatten()

    def _place(self, offset: Tensor) -> Tensor:
        """Give the place that answered each cell at an offset: int64 (N, h, w) to (N, h w)."""
        (height, width), radius = self.grid, self.radius or 0
        steps = [(radius - down) * width + radius - right for down, right in self._shifts()]
        cells = torch.arange(height * width, device=offset.device)
        # where every answer is as far, the place may lie outside
        return (torch.tensor(steps, device=offset.device)[offset].flatten(1) + cells).clamp(0, height * width - 1)

    def _shifts(self) -> list[tuple[int, int]]:
        span = range(2 * (self.radius or 0) + 1)
        return [(down, right) for down in span for right in span]

    def _around(self, maps: Tensor) -> Tensor:
        """Give for each place the vectors of all cells around it: (N, n, h, w) to (h w, N o, n)."""
        height, width = self.grid
        wide = F.pad(maps, (self.radius or 0,) * 4)
        parts = [wide[:, :, down : down + height, right : right + width] for down, right in self._shifts()]
        around = torch.stack(parts, dim=1).flatten(0, 1).flatten(2).permute(2, 0, 1)
        return around.contiguous()  # or each place's vectors are copied by themselves, in thousands of calls

    def _back(self, answers: Tensor, count: int) -> Tensor:
        """Sort what places answered to the cells that asked: (h w, N o) to (N, o, h, w), outside nothing is near."""
        height, width = self.grid
        far = 2 * (self.radius or 0)
        wide = F.pad(answers.mT.reshape(count, -1, height, width), (far // 2,) * 4, value=FAR)
        # the cell at offset (down, right) of a place asks from the opposite side
        parts = [
            wide[:, at, far - down : far - down + height, far - right : far - right + width]
            for at, (down, right) in enumerate(self._shifts())
        ]
        return torch.stack(parts, dim=1)


def _asking(maps: Tensor) -> Tensor:
    """Lengthen vectors so that their product with a row of a table is a squared distance less their own length."""
    return torch.cat((-2.0 * maps, torch.ones_like(maps[:, :1])), dim=1)


def _least(values: Tensor, *, dim: int) -> Tensor:
    """Give the first place of the least value, int64; an engine sorts for ``argmin``, ten times slower."""
    count = values.shape[dim]
    left = torch.arange(count, 0, -1, dtype=values.dtype, device=values.device)
    left = left.view([-1 if axis == dim else 1 for axis in range(values.ndim)])
    found = torch.where(values <= values.amin(dim=dim, keepdim=True), left, 0.0)
    return (count - found.amax(dim=dim)).long().clamp(max=count - 1)  # of numbers that are none, any


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
    vectors = maps.flatten(2).permute(2, 0, 1).contiguous()  # (h w, N, n)
    numbers = pictures[None, :] * places + torch.arange(places, device=maps.device)[:, None]
    if radius is None:
        vectors, numbers = vectors.flatten(0, 1), numbers.flatten()
        generator = torch.Generator().manual_seed(0)
        some = torch.randperm(len(vectors), generator=generator)[:CANDIDATES].to(maps.device)
        vectors, numbers = vectors[some].unsqueeze(0), numbers[some].unsqueeze(0)
    items, kept = coreset(vectors, numbers, keep)
    return Bank(items.contiguous(), kept.contiguous(), (maps.shape[2], maps.shape[3]), radius=radius)
