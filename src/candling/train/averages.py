"""Things that follow a training without a gradient: running moments per position, and the mean of late weights.

Both are modules, so that a checkpoint holds them; neither knows what it follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MovingAverage", "RunningMoments"]

MEMORY = 500
"""Running moments are exact over the first 500 images, then forget older ones slowly."""


class RunningMoments(nn.Module):
    """Mean and variance at each position over the good images seen so far: no pass over them before training.

    Attributes:
        mean: float32 (1, n, h, w).
        variance: float32 (1, n, h, w).
        seen: int64 (), how many images.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Prepare for maps of ``shape`` (n, h, w)."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, *shape))
        self.register_buffer("variance", torch.ones(1, *shape))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def observe(self, maps: Tensor, *, share: Callable[[Tensor], Tensor], world: int = 1) -> None:
        """Take in float32 (N, n, h, w).

        Args:
            maps: of one rank's images.
            share: gives the mean of a tensor over all ranks.
            world: how many ranks.
        """
        count = len(maps) * world
        self.seen.add_(count)
        weight = count / min(int(self.seen), MEMORY)
        self.mean.lerp_(share(maps.mean(dim=0, keepdim=True)), min(weight, 1.0))
        spread = (maps - self.mean).square().mean(dim=0, keepdim=True)
        self.variance.lerp_(share(spread), min(weight, 1.0))


class MovingAverage(nn.Module):
    """A network whose weights are the mean of another's over its last updates, which evens out their noise.

    Attributes:
        network: the averaged one; it learns nothing by itself.
        updates: int64 (), how often it has followed.
    """

    updates: Tensor

    def __init__(self, network: nn.Module, *, most: float) -> None:
        """Own ``network`` (a copy of the one to follow); ``most`` in [0, 1) is the share of the old in each mean."""
        super().__init__()
        self.network = network.requires_grad_(requires_grad=False).eval()
        self.most = most
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move towards the weights of ``network``: all the way at first, slowly after hundreds of updates."""
        updates = int(self.updates)
        step = 1.0 - min(self.most, updates / (updates + 10.0))
        mine, theirs = list(self.network.state_dict().values()), list(network.state_dict().values())
        moving = [index for index, value in enumerate(mine) if value.is_floating_point()]
        torch._foreach_lerp_([mine[i] for i in moving], [theirs[i] for i in moving], step)
        for index in set(range(len(mine))) - set(moving):
            mine[index].copy_(theirs[index])
        self.updates.add_(1)
