"""Intervals for means over containers, by resampling containers; knows nothing of what the means are of.

Repeated runs of one container resemble each other, so they are no independent samples. Containers are: the interval
comes from drawing containers anew with replacement (Efron 1979, percentile bootstrap), which holds both the spread
between containers and the chance inside each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import UsageError
from candling.types import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

__all__ = ["Resampling", "mean_interval"]


@dataclass(frozen=True)
class Resampling:
    """How intervals are drawn: their confidence in (0, 1), how many rounds (at least 100), and from which seed."""

    confidence: float = 0.95
    rounds: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise UsageError(f"a confidence of {self.confidence!r} is impossible; give one between 0 and 1")
        if self.rounds < 100:
            raise UsageError(f"{self.rounds} resamplings are too few for an interval; take at least 100")
        if self.seed < 0:
            raise UsageError(f"a seed of {self.seed} is impossible; give 0 or more")


def mean_interval(
    shares: Sequence[Fraction], resampling: Resampling, *, lowest: float = 0.0, highest: float = 1.0
) -> Interval:
    """Give the mean over containers with its interval.

    Where all containers agree, resampling would give an interval without width. Then each counts as one trial in which
    nothing else was seen, and the interval is as wide as Clopper and Pearson's for none of so many.

    Args:
        shares: one a container, each in [lowest, highest]; at least one.
        resampling: confidence, rounds and seed; the same ones give the same interval.
        lowest: the smallest value possible.
        highest: the largest value possible.

    Raises:
        UsageError: there is no container.

    >>> from fractions import Fraction
    >>> interval = mean_interval([Fraction(1)] * 59, Resampling(confidence=0.9))
    >>> interval.value, round(interval.low, 3), interval.high
    (1.0, 0.95, 1.0)
    """
    if not shares:
        raise UsageError("a mean needs at least one container")
    value = float(sum(shares) / len(shares))
    tail = (1.0 - resampling.confidence) / 2.0
    if len(set(shares)) == 1:
        width = 1.0 - tail ** (1.0 / len(shares))  # the upper end of Clopper and Pearson's interval for 0 of n
        return Interval(value, max(lowest, value - width), min(highest, value + width))
    values = np.array([float(share) for share in shares])
    drawn = np.random.default_rng(resampling.seed).integers(0, values.size, (resampling.rounds, values.size))
    low, high = np.quantile(values[drawn].mean(axis=1), [tail, 1.0 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))
