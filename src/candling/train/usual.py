"""What values are usual for good images, number by number or place by place; knows no network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from candling.train.windows import gaussian_taps, smooth_same

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Usual"]

LEAST_SHARE = 0.2
"""No spread is smaller than this share of their mean: what hardly varies must not outweigh the rest."""

LEAST_SPREAD = 1e-4
"""Nor smaller than this, where good images do not vary at all."""


class Usual(nn.Module):
    """Mean and standard deviation of each number of a latent, or of each place of a map, over good images.

    Attributes:
        mean: float32, of the values' shape; 0 until fitted.
        spread: float32, of the values' shape; 1 until fitted.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, shape: tuple[int, ...], *, reach: float = 2.0, smooth_px: float = 0.0) -> None:
        """Prepare for values (N, *shape).

        Args:
            shape: (n,) of a latent or (h, w) of a map.
            reach: a value is usual within so many standard deviations of its mean.
            smooth_px: of a map, mean and variance are averaged under a Gaussian of this sigma.
        """
        super().__init__()
        self.reach, self.smooth_px = reach, smooth_px
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("spread", torch.ones(shape))

    def deviation(self, values: Tensor) -> Tensor:
        """Give the deviation from the mean in standard deviations: float32 (N, *shape)."""
        return (values.float() - self.mean) / self.spread

    def rarity(self, latent: Tensor) -> Tensor:
        """Average the squared deviation: (N, n) to float32 (N,), about 1 for a good image."""
        deviation = self.deviation(latent)
        return (deviation * deviation).mean(dim=1)

    def pulled(self, latent: Tensor) -> Tensor:
        """Pull every unusual number back to where it is just usual: (N, n)."""
        reach = self.reach * self.spread
        return torch.minimum(torch.maximum(latent.float(), self.mean - reach), self.mean + reach)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn from batches (N, *shape) of good images; of one image alone the spread is the least there is."""
        count = 0
        total, squares = (torch.zeros_like(self.mean, dtype=torch.float64) for _ in range(2))
        for batch in batches:
            values = batch.double()
            count += len(values)
            total += values.sum(dim=0)
            squares += (values * values).sum(dim=0)
        mean = total / count
        variance = (squares / count - mean * mean).clamp(min=0.0)
        if self.smooth_px > 0.0:
            taps = gaussian_taps(self.smooth_px, 2 * math.ceil(3.0 * self.smooth_px) + 1)
            mean, variance = smooth_same(torch.stack((mean, variance)), taps).unbind(0)
        spread = variance.sqrt()
        self.mean.copy_(mean.float())
        self.spread.copy_(spread.clamp(min=max(LEAST_SPREAD, LEAST_SHARE * float(spread.mean()))).float())
