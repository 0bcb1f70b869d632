"""Intervals over containers: they cover, they repeat, and they never pretend to know everything."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from candling.decide.qualification.resampling import Resampling, mean_interval
from candling.errors import UsageError
from candling.intervals import clopper_pearson


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Containers of very different probabilities, ten runs each: 95 % intervals hold the true mean in 90 % or more."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(300):
        runs = rng.binomial(10, rng.beta(2.0, 0.8, 40))
        interval = mean_interval([Fraction(int(count), 10) for count in runs], Resampling(rounds=300))
        held.append(interval.low <= 2.0 / 2.8 <= interval.high)
    assert np.mean(held) >= 0.9


def test_repeats_of_one_container_do_not_narrow_it():
    """Ten containers with all runs alike are ten samples, not a hundred."""
    shares = [Fraction(1)] * 5 + [Fraction(0)] * 5
    interval = mean_interval(shares, Resampling())
    assert interval.high - interval.low > 0.5  # a hundred independent runs would give 0.2


@pytest.mark.parametrize("count", [1, 20, 141])
def test_agreement_of_all_is_not_certainty(count):
    """Where all containers are rejected always, the interval is Clopper and Pearson's for all of so many."""
    interval = mean_interval([Fraction(1)] * count, Resampling())
    exact = clopper_pearson(count, count)
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(exact.low, abs=1e-9)


def test_the_same_seed_gives_the_same_interval():
    """Nothing is drawn from outside."""
    shares = [Fraction(n * n, 1000) for n in range(30)]
    assert mean_interval(shares, Resampling(seed=3)) == mean_interval(shares, Resampling(seed=3))
    assert mean_interval(shares, Resampling(seed=3)) != mean_interval(shares, Resampling(seed=4))


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"confidence": float("nan")}, {"rounds": 10}, {"seed": -1}])
def test_an_impossible_resampling_is_refused(wrong):
    """A confidence, number of rounds or seed out of range is an error of the call."""
    with pytest.raises(UsageError):
        Resampling(**wrong)


def test_no_container_has_no_mean():
    """The mean of nothing is refused."""
    with pytest.raises(UsageError, match="at least one container"):
        mean_interval([], Resampling())
