"""Binomial intervals against scipy, against published figures, and at their ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from candling.errors import UsageError
from candling.intervals import clopper_pearson, samples_to_show, upper_bound


@st.composite
def counted(draw):
    total = draw(st.integers(1, 20_000))
    return draw(st.integers(0, total)), total


@given(counted(), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.9999]))
def test_ends_are_the_beta_quantiles_of_scipy(counts, confidence):
    """Both ends agree with scipy's beta quantiles to 1e-9, for every count."""
    hits, total = counts
    tail = (1.0 - confidence) / 2.0
    interval = clopper_pearson(hits, total, confidence=confidence)
    low = stats.beta.ppf(tail, hits, total - hits + 1) if hits else 0.0
    high = stats.beta.isf(tail, hits + 1, total - hits) if hits < total else 1.0
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)
    assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize(("hits", "total"), [(0, 10**6), (3, 10**6), (10**6 - 1, 10**6), (500_000, 10**6)])
def test_a_million_samples_are_exact_too(hits, total):
    """Large counts neither overflow nor stop converging."""
    reference = stats.binomtest(hits, total).proportion_ci(0.95, method="exact")
    interval = clopper_pearson(hits, total)
    assert interval.low == pytest.approx(reference.low, abs=1e-9)
    assert interval.high == pytest.approx(reference.high, abs=1e-9)


@pytest.mark.parametrize(("total", "percent"), [(59, 5.0), (120, 2.5), (141, 2.1), (299, 1.0)])
def test_published_bounds_of_no_miss_are_one_sided(total, percent):
    """Zero misses in n bound the escapes at the published figures, which are one-sided."""
    assert round(100 * upper_bound(0, total), 1) == percent
    assert upper_bound(0, total) == pytest.approx(1.0 - 0.05 ** (1.0 / total), abs=1e-12)
    assert clopper_pearson(0, total, confidence=0.90).high == pytest.approx(upper_bound(0, total), abs=1e-12)


def test_the_interval_itself_is_two_sided():
    """Zero false rejects among 23 good images leave [0, 14.8] %."""
    interval = clopper_pearson(0, 23)
    assert interval.low == 0.0
    assert round(100 * interval.high, 1) == 14.8


def test_nothing_and_everything_reach_the_ends():
    """No hit starts at exactly 0, all hits end at exactly 1, and the two mirror each other."""
    none, every = clopper_pearson(0, 7), clopper_pearson(7, 7)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1.0 - every.low, abs=1e-12)
    assert upper_bound(7, 7) == 1.0


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.02, 0.01, 0.001])
def test_the_samples_needed_are_the_fewest(rate):
    """As many samples as stated show the rate, one fewer does not."""
    needed = samples_to_show(rate)
    assert upper_bound(0, needed) <= rate * (1 + 1e-12)
    assert needed == 1 or upper_bound(0, needed - 1) > rate


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Over all outcomes of 40 samples the interval holds the true rate with at least its confidence."""
    for rate in (0.01, 0.1, 0.37, 0.9):
        held = [clopper_pearson(hits, 40).low <= rate <= clopper_pearson(hits, 40).high for hits in range(41)]
        assert np.dot(held, stats.binom.pmf(np.arange(41), 40, rate)) >= 0.95


@pytest.mark.parametrize(
    ("hits", "total", "confidence"),
    [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0), (1, 5, math.nan)],
)
def test_impossible_counts_are_refused(hits, total, confidence):
    """A count or confidence out of range is an error of the call."""
    with pytest.raises(UsageError):
        clopper_pearson(hits, total, confidence=confidence)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_no_number_of_samples_shows_an_impossible_rate(rate):
    """A rate of 0 or 1 cannot be shown by counting."""
    with pytest.raises(UsageError, match="cannot be shown"):
        samples_to_show(rate)
