"""A Gaussian for each place where a memory would keep vectors: another search of the same memory.

As in PaDiM (Defard et al. 2021): the distance of a cell is Mahalanobis's, from what good images show at its place. It
takes no neighbour into account, and neither memory nor time grow with the number of good images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from candling.train.bank import Bank, Nearest
from candling.train.positions import PositionOptions, Positions, distance, fit_positions

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Gaussians", "fit_gaussians"]

TOGETHER = 16
"""Maps that are summed up at once."""


class Gaussians(nn.Module):
    """Answers as a :class:`candling.train.bank.Bank` does.

    Attributes:
        mean: float32 (1, n, h, w), of each place.
        whiten: float32 (h w, n, n), see :class:`candling.train.positions.Positions`.
        radius: cells around a place that are searched.
        examples: remembered cells, of which the nearest is named; None names none.
    """

    mean: Tensor
    whiten: Tensor
    radius = 0

    def __init__(self, mean: Tensor, whiten: Tensor, examples: Bank | None = None) -> None:
        super().__init__()
        self.examples = examples
        self.grid = (mean.shape[2], mean.shape[3])
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)

    def forward(self, maps: Tensor, leave_out: Tensor | None = None) -> Nearest:
        """Measure each cell of float32 (N, n, h, w).

        ``leave_out`` leaves nothing out: a Gaussian of many images hardly knows a single one. It names no good cell
        either then, since nobody looks at one while a network is trained.
        """
        number = None if self.examples is None or leave_out is not None else self.examples(maps).number
        return Nearest(distance(maps, self.mean, self.whiten), maps - self.mean, number)


@torch.no_grad()
def fit_gaussians(
    maps: Tensor, *, spread: str, floor: float, examples: Bank | None = None
) -> tuple[Gaussians, Tensor, Tensor]:
    """Fit a Gaussian to each place, and the usual distances to Gaussians that had not seen the image.

    Args:
        maps: descriptors of good images, float32 (N, n, h, w).
        spread: see :class:`candling.train.memory.MemoryOptions`.
        floor: see there.
        examples: see :class:`Gaussians`.

    Returns:
        The Gaussians, and level and sharpness of the usual distances, float32 (1, h, w).
    """
    _, size, height, width = maps.shape
    positions = Positions((size, height, width), PositionOptions(floor=floor)).to(maps.device)

    def passes() -> Iterator[tuple[Tensor, ...]]:
        return ((some,) for some in maps.split(TOGETHER))

    fit_positions([positions], passes, count=len(maps))
    level, sharpness = positions.level, positions.sharpness
    if spread != "place":
        sharpness = sharpness.reciprocal().square().mean().rsqrt().expand_as(sharpness)
    if spread == "none":
        level = level.mean().expand_as(level)
    return Gaussians(positions.mean, positions.whiten, examples), level, sharpness
