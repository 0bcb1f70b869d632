"""Drawing images again: by product, apart for good and defect; and the interval that comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import UsageError
from candling.measure.anomaly.resampling import draw, interval_of


def test_good_and_defective_images_are_drawn_apart():
    """Every round holds as many good and as many defective images as the data."""
    is_defect = np.repeat([False, True], [30, 7])
    times = draw(is_defect, None, rounds=500, rng=np.random.default_rng(0))
    assert times.shape == (500, 37)
    assert (times[:, :30].sum(1) == 30).all()
    assert (times[:, 30:].sum(1) == 7).all()
    np.testing.assert_allclose(times.mean(0), 1.0, atol=0.2)


def test_images_of_one_product_are_drawn_together():
    """Images of one product share their number, and products with a defect are drawn apart from those without."""
    products = ["a", "a", "a", "b", "b", "c", "c", "d"]
    is_defect = np.array([False, False, True, False, True, False, False, False])
    times = draw(is_defect, products, rounds=200, rng=np.random.default_rng(1))
    assert (times[:, :3] == times[:, :1]).all()
    assert (times[:, 3] == times[:, 4]).all()
    assert (times[:, 0] + times[:, 3] == 2).all()  # a and b hold a defect
    assert (times[:, 5] + times[:, 7] == 2).all()  # c and d do not


def test_chance_comes_from_the_caller():
    """The same generator state gives the same draws."""
    one, other = (draw(np.array([True, False, False]), None, rounds=20, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_perfect_value_does_not_claim_certainty():
    """Where every round is perfect the lower end is that of as many hits as there are independent trials."""
    assert interval_of(1.0, np.ones(50), independent=23, confidence=0.95).low == pytest.approx(0.025 ** (1 / 23))


def test_rounds_without_a_value_are_left_out():
    """NaN marks a round without a value; without any round the interval is everything."""
    draws = np.array([np.nan, 0.4, 0.6, np.nan])
    assert interval_of(0.5, draws, independent=3, confidence=0.95).low >= 0.4
    nothing = interval_of(0.5, draws[:1], independent=3, confidence=0.95)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_the_interval_always_holds_its_value():
    """A value outside all draws widens the interval to itself."""
    assert interval_of(0.9, np.full(10, 0.8), independent=3, confidence=0.95).high == 0.9


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5])
def test_an_impossible_confidence_is_refused(confidence):
    """A confidence lies between 0 and 1."""
    with pytest.raises(UsageError, match="confidence"):
        interval_of(0.5, np.ones(3), independent=1, confidence=confidence)


def test_products_that_do_not_fit_are_refused():
    """One product a image, and at least one round."""
    with pytest.raises(UsageError, match="2 products were named for 3 images"):
        draw(np.zeros(3, bool), ["a", "b"], rounds=1, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="at least one round"):
        draw(np.zeros(3, bool), None, rounds=0, rng=np.random.default_rng(0))


def test_a_value_of_nothing_is_no_certainty():
    """A metric that is 0 in every round has an upper end above 0, as a perfect one has a lower end below 1."""
    interval = interval_of(0.0, np.zeros(100), independent=23, confidence=0.95)
    assert (interval.value, interval.low) == (0.0, 0.0)
    assert round(interval.high, 3) == 0.148
