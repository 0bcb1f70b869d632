"""Two memories of one product, a coarse and a fine one: strange is what both find strange; knows no method.

The coarse one looks around each place and forgives a product that sits a little differently; the fine one sees where
exactly. Each alone fires at things that the other knows: their lesser deviation is the better answer (measured on
capsules, commutators and bottles: as good as the better of the two on each).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.train.memory import Memory, Seen, Standard

__all__ = ["TwoScales"]


class TwoScales(nn.Module):
    """A coarse and a fine memory that answer as one.

    Attributes:
        cell: pixels of one place of the deviation.
        coarse: memory of cells of 8 px, whose nearest good cells are shown.
        fine: memory of cells of 4 px.
    """

    def __init__(self, coarse: Memory, fine: Memory) -> None:
        super().__init__()
        self.coarse, self.fine = coarse, fine
        self.cell, self.shown_cell = fine.cell, coarse.cell

    @property
    def parts(self) -> tuple[Memory, ...]:
        """The memories it is made of."""
        return self.coarse, self.fine

    def facts(self) -> dict[str, str]:
        """Give the lines of a card: none."""
        return {}

    def forward(self, padded: Tensor, leave_out: Tensor | None = None) -> Seen:
        """Compare float32 (N, C, H, W), H and W multiples of 32; ``leave_out`` as a bank takes it."""
        maps = self._described(padded) if leave_out is None else self._one_by_one(padded)
        coarse, fine = self.coarse.compare(maps[0], leave_out), self.fine.compare(maps[1], leave_out)
        wide = F.interpolate(coarse.deviation.unsqueeze(1), scale_factor=2.0, mode="bilinear", align_corners=False)
        deviation = torch.minimum(wide[:, 0], fine.deviation)
        return Seen(deviation, coarse.distance, coarse.residual, coarse.number, coarse.deviation)

    def _one_by_one(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Describe one image after the other, which stays in the processor's cache."""
        coarse, fine = zip(*(self._described(image) for image in padded.split(1)), strict=True)
        return torch.cat(coarse), torch.cat(fine)

    def _described(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        coarse, fine = self.coarse.standard, self.fine.standard
        assert isinstance(coarse, Standard)
        assert isinstance(fine, Standard)
        both = coarse.gradients(padded)  # the same for both, computed once
        return coarse.turned(both[1]), fine.turned(both[0])
