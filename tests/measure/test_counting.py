"""Count errors, agreement, density and the interval of one count agree with published and independent figures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from candling.errors import DataError, UsageError
from candling.measure.counting import (
    agreement,
    count_errors,
    count_interval,
    covered_by_boxes,
    density_per_1000_px,
    density_per_mm2,
    errors_by_density,
    growth_with_density,
)

# Bland and Altman 1986, table 1: peak flow of 17 people, first reading by the large and by the mini meter
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def rng():
    return np.random.default_rng(0)


def test_agreement_is_the_papers():
    """Bias -2.1 (-22.0 to 17.8), deviation 38.8; twice it gives the printed limits -79.7 (-114.3 to -45.1) and 75.5."""
    found = agreement(LARGE, MINI)
    assert found.spread == pytest.approx(38.8, abs=0.05)
    assert (found.bias.value, found.bias.low, found.bias.high) == pytest.approx((-2.1, -22.0, 17.8), abs=0.11)
    # in 1986 two deviations stood for 1.96
    assert found.bias.value - 2 * found.spread == pytest.approx(-79.7, abs=0.1)
    assert found.lower.value == pytest.approx(found.bias.value - 1.96 * found.spread)
    assert found.upper.value == pytest.approx(found.bias.value + 1.96 * found.spread)
    for limit in (found.lower, found.upper):  # half of 114.3 - 45.1
        assert (limit.high - limit.low) / 2 == pytest.approx(34.6, abs=0.1)


@pytest.mark.parametrize("images", [3, 4, 17, 200])
def test_students_quantile_is_scipys(images):
    """The interval of the bias is that of the t distribution, for odd and even degrees of freedom."""
    values = rng().normal(5.0, 2.0, images) + 20
    interval = agreement(values, np.full(images, 20.0)).bias
    wanted = stats.t.interval(0.95, images - 1, values.mean() - 20, stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(wanted, rel=1e-6)


def test_errors_are_the_usual_ones():
    """Mean absolute, root mean squared, signed and relative error; a perfect counter has none."""
    errors = count_errors([12, 8, 30], [10, 10, 24], rng=rng(), rounds=500)
    assert errors.images == 3
    assert errors.mae.value == pytest.approx(10 / 3)
    assert errors.rmse.value == pytest.approx(np.sqrt(44 / 3))
    assert errors.bias.value == pytest.approx(2.0)
    assert errors.relative.value == pytest.approx(10 / 44)
    for interval in (errors.mae, errors.rmse, errors.bias, errors.relative):
        assert interval.low <= interval.value <= interval.high
    perfect = count_errors([3, 0], [3, 0], rng=rng(), rounds=100)
    assert (perfect.mae.value, perfect.bias.high) == (0.0, 0.0)
    assert count_errors([1], [0], rng=rng(), rounds=10).relative is None


def test_the_interval_of_the_mean_error_covers():
    """Of 80 drawn experiments about 95 % have the true mean absolute error in their interval."""
    source = np.random.default_rng(7)
    held = 0
    for _ in range(80):
        noise = source.normal(0, 3, 40)
        errors = count_errors(50 + noise, np.full(40, 50.0), rng=source, rounds=150)
        held += errors.mae.low <= 3 * np.sqrt(2 / np.pi) <= errors.mae.high
    assert 0.86 <= held / 80 <= 1.0


def test_a_counter_that_stops_is_seen():
    """The thesis' fault, 50 to 70 cells whatever is there: the bias falls with density and the slope is below 0."""
    source = np.random.default_rng(1)
    true = source.integers(40, 240, 60)
    stopped = np.minimum(true, source.integers(50, 71, 60))
    slope = growth_with_density(stopped, true, rng=rng(), rounds=500)
    assert slope.high < 0
    bins = errors_by_density(stopped, true)
    assert [one.images for one in bins] == [15, 15, 15, 15]
    assert all(one.bias > other.bias for one, other in pairwise(bins))
    fair = np.maximum(true + source.integers(-3, 4, 60), 0)
    level = growth_with_density(fair, true, rng=rng(), rounds=500)
    assert level.low < 0 < level.high


def test_the_slope_is_least_squares():
    """With all images counting once it is numpy's straight line; images without objects are left out."""
    true, counted = np.array([10.0, 20, 40, 80, 0]), np.array([11.0, 19, 41, 70, 5])
    slope = growth_with_density(counted, true, rng=rng(), rounds=50)
    wanted = np.polyfit(true[:4], (counted - true)[:4] / true[:4], 1)[0]
    assert slope.value == pytest.approx(wanted)
    assert growth_with_density([1, 1], [5, 5], rng=rng(), rounds=10) is None
    assert growth_with_density([1], [0], rng=rng(), rounds=10) is None


def test_equal_counts_share_a_group():
    """Images of one true count are never torn apart."""
    bins = errors_by_density([0, 0, 0, 9], [0, 0, 0, 10], bins=3)
    assert [(one.low, one.high, one.images, one.relative) for one in bins] == [(0, 0, 3, None), (10, 10, 1, 0.1)]


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("probability", [0.05, 0.5, 0.97])
def test_equal_probabilities_are_binomial(probability, confidence):
    """With one probability for all boxes the quantiles are scipy's binomial ones."""
    found = count_interval(np.full(60, probability), confidence=confidence)
    tail = (1 - confidence) / 2
    wanted = stats.binom.ppf([tail, 1 - tail], 60, probability)
    assert (found.value, found.low, found.high) == pytest.approx((60 * probability, *wanted))


def test_unequal_probabilities_are_summed_exactly():
    """Against the distribution from a million draws."""
    chances = np.linspace(0.05, 0.95, 25)
    draws = (np.random.default_rng(2).random((200_000, 25)) < chances).sum(axis=1)
    found = count_interval(chances, confidence=0.9)
    assert (found.low, found.high) == tuple(np.quantile(draws, [0.05, 0.95]))
    assert count_interval([]).high == 0.0
    with pytest.raises(DataError, match="calibrate the scores first"):
        count_interval([0.5, 1.2])


def test_covered_pixels_are_painted_pixels():
    """Overlaps count once, parts outside not at all, boxes without area nothing."""
    source = np.random.default_rng(3)
    corner = source.uniform(-10, 60, (80, 2))
    boxes = np.hstack([corner, corner + source.uniform(0, 9, (80, 2))])
    painted = np.zeros((50, 60), bool)
    for left, top, right, bottom in np.rint(boxes).astype(int):
        painted[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    assert covered_by_boxes(boxes, (50, 60)) == painted.sum()
    assert covered_by_boxes(np.zeros((0, 4)), (5, 5)) == 0


def test_densities():
    """The thesis' density per 1000 px, and per square millimetre from the pixel size."""
    assert density_per_1000_px(92, (1024, 1280)) == pytest.approx(1000 * 92 / (1024 * 1280))
    assert density_per_mm2(10, (100, 200), pixel_um=(2.0, 1.0)) == pytest.approx(10 / 0.04)
    with pytest.raises(DataError, match="correct the pixel size"):
        density_per_mm2(10, (100, 200), pixel_um=(0.0, 1.0))


def test_bad_counts_are_refused():
    """Counts that do not fit, are negative or missing."""
    with pytest.raises(DataError, match="one of each an image"):
        count_errors([1, 2], [1], rng=rng())
    with pytest.raises(DataError, match="a true count is negative"):
        agreement([1, 2, 3], [1, -2, 3])
    with pytest.raises(DataError, match="at least 3 images"):
        agreement([1, 2], [1, 2])
    with pytest.raises(UsageError, match="0 groups"):
        errors_by_density([1], [1], bins=0)
