"""How far a count may lie from the truth, learned from images whose truth is known; knows no network and no image.

A counter's errors grow with the count, about as its root does where cells are missed one by one. So the error of each
held-out image is taken in roots of its count, and the interval of a new count is as wide as enough of them were. Its
promise is the one of split conformal prediction, whatever the errors are like: of new images of the same kind, the
stated share has its true count inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import DataError, UsageError
from candling.types import Interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CONFIDENCE", "CountSpread", "learn_spread"]

CONFIDENCE: Final = 0.9
"""Of the intervals of counts, where nobody says otherwise; nine images are enough for it, nineteen for 0.95."""

_FEWEST: Final = 3
"""Fewer images give no interval worth stating."""


@dataclass(frozen=True)
class CountSpread:
    """How wide the interval of a count is.

    Attributes:
        width: half of it, in roots of the count.
        confidence: share of new images of the same kind whose true count lies inside, at least.
        images: how many it was learned from.
    """

    width: float
    confidence: float
    images: int

    def __post_init__(self) -> None:
        if not (0.0 <= self.width < math.inf and 0.0 < self.confidence < 1.0 and self.images >= 1):
            raise UsageError(
                f"a width of {self.width!r} at a confidence of {self.confidence!r} from {self.images} images is no "
                "spread; learn it again"
            )

    def interval(self, count: float) -> Interval:
        """Give the whole numbers around a count, from 0 on.

        Raises:
            DataError: the count is negative or no number.

        >>> CountSpread(width=0.5, confidence=0.9, images=9).interval(100)
        Interval(value=100.0, low=95.0, high=105.0)
        """
        if not 0.0 <= count < math.inf:
            raise DataError(f"a count of {count!r} has no interval; give a number from 0 on")
        half = self.width * _root(count)
        return Interval(
            float(count), float(max(math.ceil(count - half - _SLACK), 0)), float(math.floor(count + half + _SLACK))
        )


_SLACK: Final = 1e-9


def learn_spread(counted: ArrayLike, true: ArrayLike, *, confidence: float = CONFIDENCE) -> CountSpread | None:
    """Learn how far counts lie from the truth.

    Args:
        counted: (N,), of images that the counter did not learn from.
        true: (N,), their true counts.
        confidence: wanted, inside (0, 1). Of fewer than c / (1 - c) images the largest error is taken, which holds for
            N / (N + 1) of new images; the spread says so.

    Returns:
        None for fewer than three images.

    Raises:
        DataError: the numbers of images differ, or a count is negative or no number.
        UsageError: an impossible confidence.

    Source: Papadopoulos et al. 2002, inductive confidence machines; Lei et al. 2018, JASA 113, 1094, theorem 2.2, with
    the error divided by the root of the count.

    >>> learn_spread([100] * 9, [100, 99, 102, 100, 101, 95, 103, 100, 98])
    CountSpread(width=0.5, confidence=0.9, images=9)
    """
    found, real = (np.asarray(values, np.float64).ravel() for values in (counted, true))
    if found.shape != real.shape or not (np.isfinite(found) & np.isfinite(real) & (found >= 0) & (real >= 0)).all():
        raise DataError(f"{found.size} counts and {real.size} true counts; give one of each an image, from 0 on")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence of {confidence!r} is impossible; give one between 0 and 1, both excluded")
    if found.size < _FEWEST:
        return None
    errors = np.sort(np.abs(real - found) / np.array([_root(count) for count in found]))
    rank = math.ceil((found.size + 1) * confidence - _SLACK)
    if rank > found.size:
        return CountSpread(float(errors[-1]), found.size / (found.size + 1), found.size)
    return CountSpread(float(errors[rank - 1]), confidence, found.size)


def _root(count: float) -> float:
    return math.sqrt(max(count, 1.0))
