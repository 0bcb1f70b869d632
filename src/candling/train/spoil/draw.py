"""Random numbers for spoilings: all of one generator, placed where the images are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Draw"]


@dataclass(frozen=True)
class Draw:
    """Random numbers of one generator, placed on the device of the images."""

    generator: torch.Generator
    device: torch.device
    upright: bool = False

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw evenly between two numbers."""
        numbers = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * numbers).to(self.device)

    def log_uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """Draw evenly in logarithms."""
        return torch.exp(self.uniform(shape, math.log(low), math.log(high)))

    def integers(self, shape: tuple[int, ...], count: int) -> Tensor:
        """Draw from 0 to ``count`` - 1."""
        return torch.randint(count, shape, generator=self.generator, device=self.generator.device).to(self.device)

    def signs(self, shape: tuple[int, ...]) -> Tensor:
        """Draw -1 or 1."""
        return 1.0 - 2.0 * self.integers(shape, 2)
