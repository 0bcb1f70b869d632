"""The interval of a count: as wide as held-out errors were, honest about few images, and it covers what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import DataError, UsageError
from candling.measure.count_spread import CountSpread, learn_spread


def images(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """True counts and what a counter makes of them: a tenth missed one by one, some false, a few images quite wrong."""
    true = rng.integers(0, 200, count)
    counted = rng.binomial(true, 0.9) + rng.poisson(3, count)
    return np.where(rng.random(count) < 0.05, counted // 2, counted), true


@pytest.mark.parametrize(("held_out", "confidence"), [(9, 0.9), (19, 0.9), (40, 0.95), (6, 0.9)])
def test_new_images_lie_inside_as_often_as_it_says(held_out, confidence):
    """Over many draws of held-out images, new ones are covered as promised, and not by much more."""
    rng = np.random.default_rng(held_out)
    inside, stated = [], []
    for _ in range(1500):
        spread = learn_spread(*images(rng, held_out), confidence=confidence)
        assert spread is not None
        stated.append(spread.confidence)
        for counted, true in zip(*images(rng, 4), strict=True):
            found = spread.interval(counted)
            inside.append(found.low <= true <= found.high)
    promise = float(np.mean(stated))
    assert promise == pytest.approx(min(confidence, held_out / (held_out + 1)))
    assert promise - 0.012 <= np.mean(inside) <= promise + 1.5 / (held_out + 1)


def test_the_width_is_the_order_statistic_of_split_conformal_prediction():
    """Of 19 errors in roots of the count, 90 % takes the 18th smallest: ceil(20 x 0.9)."""
    counted = np.full(19, 49.0)
    true = counted + np.arange(19)
    spread = learn_spread(counted, true)
    assert spread == CountSpread(17 / 7, 0.9, 19)
    assert spread.interval(49).high == 49 + 17


def test_an_empty_image_has_an_interval_from_zero():
    """A count of 0 is taken as one cell for its width, and nothing lies below."""
    found = CountSpread(2.0, 0.9, 9).interval(0)
    assert (found.low, found.high) == (0.0, 2.0)


def test_too_few_images_promise_nothing():
    """Two images give no interval; five give the largest error, and say that it holds for 5 of 6."""
    assert learn_spread([1, 2], [1, 2]) is None
    found = learn_spread([100] * 5, [100, 101, 102, 103, 120])
    assert found == CountSpread(2.0, 5 / 6, 5)


@pytest.mark.parametrize(
    ("counted", "true", "confidence", "kind"),
    [
        ([1, 2, 3], [1, 2], 0.9, DataError),
        ([1, -2, 3], [1, 2, 3], 0.9, DataError),
        ([1, np.nan, 3], [1, 2, 3], 0.9, DataError),
        ([1, 2, 3], [1, 2, 3], 1.0, UsageError),
    ],
)
def test_impossible_input_is_named(counted, true, confidence, kind):
    """One sentence says what came."""
    with pytest.raises(kind, match="give"):
        learn_spread(counted, true, confidence=confidence)


@pytest.mark.parametrize(
    ("width", "confidence", "number"), [(-1.0, 0.9, 9), (np.inf, 0.9, 9), (1.0, 1.0, 9), (1.0, 0.9, 0)]
)
def test_an_impossible_spread_is_refused(width, confidence, number):
    """So a damaged bundle is found."""
    with pytest.raises(UsageError, match="no spread"):
        CountSpread(width, confidence, number)


def test_a_negative_count_has_no_interval():
    """One sentence says so."""
    with pytest.raises(DataError, match="from 0 on"):
        CountSpread(1.0, 0.9, 9).interval(-1.0)
