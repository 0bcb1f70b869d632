"""Counts against true counts: error, bias, density, agreement, covered area, and how sure one count is; no image file.

A small error of the counts can hide as many false boxes as missed objects; say it together with
:mod:`candling.measure.detection`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from candling.errors import DataError, UsageError
from candling.measure.by_image import draw_images, figure_with_interval
from candling.types import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Agreement",
    "CountErrors",
    "DensityBin",
    "agreement",
    "count_errors",
    "count_interval",
    "covered_by_boxes",
    "density_per_1000_px",
    "density_per_mm2",
    "errors_by_density",
    "growth_with_density",
]

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class CountErrors:
    """Errors of counts over images, each with its interval; in objects an image.

    Attributes:
        images: how many images.
        mae: mean absolute error.
        rmse: root of the mean squared error.
        bias: mean of counted minus true.
        relative: mean absolute error over the mean true count; None where nothing is there to count.
    """

    images: int
    mae: Interval
    rmse: Interval
    bias: Interval
    relative: Interval | None


@dataclass(frozen=True)
class DensityBin:
    """The errors of the images whose true count lies in ``[low, high]``.

    Attributes:
        low: the smallest true count of these images.
        high: the largest.
        images: how many.
        mae: mean absolute error.
        bias: mean of counted minus true.
        relative: sum of absolute errors over the sum of true counts; None where nothing is there.
    """

    low: float
    high: float
    images: int
    mae: float
    bias: float
    relative: float | None


@dataclass(frozen=True)
class Agreement:
    """Bland and Altman's limits of agreement, counted minus true.

    Attributes:
        bias: mean difference, with the interval of Student's t.
        spread: standard deviation of the differences (n - 1).
        lower: mean - 1.96 standard deviations, with its interval.
        upper: mean + 1.96 standard deviations, with its interval.
    """

    bias: Interval
    spread: float
    lower: Interval
    upper: Interval


def count_errors(
    counted: ArrayLike,
    true: ArrayLike,
    *,
    rng: np.random.Generator,
    rounds: int = 2000,
    confidence: float = 0.95,
    products: Sequence[str] | None = None,
) -> CountErrors:
    """Give the errors of counts with bootstrap intervals over images.

    Args:
        counted: (N,), at least one image.
        true: (N,).
        rng: where chance comes from.
        rounds: how often the images are drawn again.
        confidence: of each interval.
        products: the well, slide or patient of each image, where one has several.

    Raises:
        DataError: the numbers of images differ, there is none, or a count is negative or no number.
        UsageError: no round or an impossible confidence.

    >>> errors = count_errors([10, 12, 7], [10, 10, 10], rng=np.random.default_rng(0), rounds=200)
    >>> round(errors.mae.value, 3), round(errors.bias.value, 3), round(errors.rmse.value, 3)
    (1.667, -0.333, 2.082)
    """
    found, real = _counts(counted, true)
    times = draw_images(real.size, rounds=rounds, rng=rng, products=products)
    difference = found - real

    def mean_of(values: Counts) -> Interval:
        interval = figure_with_interval(lambda n: float(n @ values / n.sum()), times, confidence=confidence)
        assert interval is not None
        return interval

    squared = mean_of(difference**2)
    return CountErrors(
        images=real.size,
        mae=mean_of(np.abs(difference)),
        rmse=Interval(math.sqrt(squared.value), math.sqrt(squared.low), math.sqrt(squared.high)),
        bias=mean_of(difference),
        relative=figure_with_interval(
            lambda n: float(n @ np.abs(difference) / (n @ real)) if n @ real > 0 else None, times, confidence=confidence
        ),
    )


def errors_by_density(counted: ArrayLike, true: ArrayLike, *, bins: int = 4) -> tuple[DensityBin, ...]:
    """Give the errors of sparse, denser and densest images apart: images ranked by true count, in equal groups.

    Images of one true count stay in one group, so groups may be fewer and unequal.

    Raises:
        DataError: as :func:`count_errors`.
        UsageError: fewer than one group.

    >>> [(one.low, one.high, one.bias) for one in errors_by_density([1, 2, 9, 18], [1, 2, 10, 20], bins=2)]
    [(1.0, 2.0, 0.0), (10.0, 20.0, -1.5)]
    """
    if bins < 1:
        raise UsageError(f"{bins} groups of images are none; take at least 1")
    found, real = _counts(counted, true)
    edges = np.quantile(real, np.arange(1, bins) / bins, method="inverted_cdf")
    group = np.searchsorted(edges, real, side="left")
    groups = []
    for number in np.unique(group):
        mine = group == number
        difference, objects = (found - real)[mine], float(real[mine].sum())
        groups.append(
            DensityBin(
                low=float(real[mine].min()),
                high=float(real[mine].max()),
                images=int(mine.sum()),
                mae=float(np.abs(difference).mean()),
                bias=float(difference.mean()),
                relative=float(np.abs(difference).sum() / objects) if objects else None,
            )
        )
    return tuple(groups)


def growth_with_density(
    counted: ArrayLike, true: ArrayLike, *, rng: np.random.Generator, rounds: int = 2000, confidence: float = 0.95
) -> Interval | None:
    """Say how the relative error changes with density: the slope of (counted - true) / true over true.

    Zero lies inside the interval where density does not matter; a counter that stops at a fixed number has a slope
    clearly below zero. Images without objects are left out.

    Returns:
        Share per object, by least squares, with its bootstrap interval; None where all true counts are equal.

    Raises:
        DataError: as :func:`count_errors`.

    >>> slope = growth_with_density([60, 60, 60, 60], [60, 80, 100, 120], rng=np.random.default_rng(0), rounds=200)
    >>> round(slope.value, 4)
    -0.0083
    """
    found, real = _counts(counted, true)
    kept = real > 0
    if not kept.any():
        return None
    x, y = real[kept], (found[kept] - real[kept]) / real[kept]

    def slope(times: NDArray[np.int64]) -> float | None:
        weights = times / times.sum()
        centred = x - weights @ x
        spread = float(weights @ centred**2)
        return float(weights @ (centred * (y - weights @ y)) / spread) if spread > 0.0 else None

    return figure_with_interval(slope, draw_images(x.size, rounds=rounds, rng=rng), confidence=confidence)


def agreement(counted: ArrayLike, true: ArrayLike) -> Agreement:
    """Give the limits of agreement, with 95 % intervals from normal differences.

    Raises:
        DataError: as :func:`count_errors`, or there are fewer than three images.

    Source: Bland and Altman 1986, Lancet 327, 307; the limits' standard error is sqrt(3 s^2 / n).

    >>> found = agreement([10, 12, 14], [10, 11, 12])
    >>> found.bias.value, found.spread
    (1.0, 1.0)
    """
    found, real = _counts(counted, true)
    if real.size < 3:
        raise DataError(f"limits of agreement need at least 3 images, not {real.size}")
    difference = found - real
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    quantile = _student_quantile(0.975, real.size - 1)
    error = spread / math.sqrt(real.size)

    def around(value: float, width: float) -> Interval:
        return Interval(value, value - width, value + width)

    return Agreement(
        bias=around(bias, quantile * error),
        spread=spread,
        lower=around(bias - 1.96 * spread, quantile * math.sqrt(3.0) * error),
        upper=around(bias + 1.96 * spread, quantile * math.sqrt(3.0) * error),
    )


def count_interval(probabilities: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Say how sure the count of one image is: the sum of independent boxes, each real with its own probability.

    Exact (Poisson binomial), by convolution. It knows nothing of objects that no box points at, and is as good as the
    probabilities: use scores that were calibrated.

    Args:
        probabilities: (N,), each in [0, 1]; all boxes, not only those that were counted.
        confidence: of the central interval, inside (0, 1).

    Returns:
        The expected count, and the quantiles around it, whole numbers.

    Raises:
        DataError: a probability lies outside [0, 1].
        UsageError: the confidence is out of range.

    >>> count_interval([1.0, 1.0, 1.0])
    Interval(value=3.0, low=3.0, high=3.0)
    """
    values = np.asarray(probabilities, np.float64).ravel()
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise DataError("a probability lies outside 0 to 1, or is NaN; calibrate the scores first")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence of {confidence!r} is impossible; give one between 0 and 1, both excluded")
    chances = np.ones(1)
    for value in values:
        chances = np.convolve(chances, (1.0 - value, value))
    cumulative = np.cumsum(chances)
    tail = (1.0 - confidence) / 2.0
    low, high = (int(np.searchsorted(cumulative, level - 1e-12)) for level in (tail, 1.0 - tail))
    return Interval(float(values.sum()), float(low), float(min(high, values.size)))


def covered_by_boxes(boxes: NDArray[np.float64], shape: tuple[int, int]) -> int:
    """Count the pixels that lie in at least one box, edges rounded to whole pixels.

    Boxes overstate the area of round cells by a quarter and more; a mask is better where there is one.

    Args:
        boxes: float64 (N, 4), left, top, right, bottom.
        shape: (H, W) of the image.

    >>> covered_by_boxes(np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]]), (4, 4))
    7
    """
    height, width = shape
    steps = np.zeros((height + 1, width + 1), np.int32)
    edges = np.rint(boxes).astype(np.int64)
    columns, rows = (np.clip(edges[:, at::2], 0, most) for at, most in ((0, width), (1, height)))
    usable = (columns[:, 1] > columns[:, 0]) & (rows[:, 1] > rows[:, 0])
    for row, column, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(steps, (rows[usable, row], columns[usable, column]), sign)
    return int(np.count_nonzero(steps.cumsum(axis=0).cumsum(axis=1)[:height, :width]))


def density_per_1000_px(count: float, shape: tuple[int, int]) -> float:
    """Give objects per 1000 pixels of the image (the counting thesis' cell density).

    >>> round(density_per_1000_px(92, (1024, 1280)), 4)
    0.0702
    """
    return 1000.0 * count / (shape[0] * shape[1])


def density_per_mm2(count: float, shape: tuple[int, int], *, pixel_um: tuple[float, float]) -> float:
    """Give objects per square millimetre.

    Args:
        count: of the image.
        shape: (H, W) in pixels.
        pixel_um: height and width of one pixel in micrometres.

    Raises:
        DataError: a pixel size is not above 0.

    >>> density_per_mm2(100, (1000, 1000), pixel_um=(0.5, 0.5))
    400.0
    """
    if not (pixel_um[0] > 0.0 and pixel_um[1] > 0.0):
        raise DataError(f"a pixel of {pixel_um[0]} x {pixel_um[1]} micrometres is impossible; correct the pixel size")
    return count / (shape[0] * pixel_um[0] * shape[1] * pixel_um[1] * 1e-6)


def _counts(counted: ArrayLike, true: ArrayLike) -> tuple[Counts, Counts]:
    found, real = (np.asarray(values, np.float64) for values in (counted, true))
    if found.ndim != 1 or found.shape != real.shape or not real.size:
        raise DataError(f"counts of shape {found.shape} and true counts of {real.shape}; give one of each an image")
    for values, what in ((found, "a count"), (real, "a true count")):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise DataError(f"{what} is negative or no number; correct the table")
    return found, real


def _student_quantile(probability: float, freedom: int) -> float:
    """Solve for Student's t by bisection of its distribution, integrated by Simpson's rule in the angle."""
    # with t = sqrt(freedom) tan(angle) the density becomes cos(angle)^(freedom - 1), smooth on a finite interval
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        points = np.linspace(0.0, middle, 2001)
        weights = np.ones(2001)
        weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
        area = scale * float(weights @ np.cos(points) ** (freedom - 1)) * (middle / 2000) / 3.0
        low, high = (middle, high) if 0.5 + area < probability else (low, middle)
    return math.sqrt(freedom) * math.tan(low)
