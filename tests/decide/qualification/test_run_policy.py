"""The rule k of n: its operating curve, its counts in words, repeatability, and what a verdict is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from candling.decide.qualification import Plan, chance_of_k, qualify
from candling.decide.qualification.run_policy import predictive_values
from candling.errors import UsageError
from candling.types import Interval


@pytest.mark.parametrize(
    ("probability", "published"), [(0.5, 0.172), (0.6, 0.382), (0.7, 0.650), (0.8, 0.879), (0.9, 0.987), (0.95, 0.999)]
)
def test_seven_of_ten_has_its_known_operating_curve(probability, published):
    """The curve of 7 of 10 runs through the known values."""
    assert chance_of_k(probability, k=7, n=10) == pytest.approx(published, abs=5e-4)


@given(st.integers(1, 60), st.data())
def test_the_curve_is_the_binomial_tail(n, data):
    """For every rule and probability it is scipy's binomial survival function."""
    k, probability = data.draw(st.integers(0, n)), data.draw(st.floats(0, 1))
    assert chance_of_k(probability, k=k, n=n) == pytest.approx(stats.binom.sf(k - 1, n, probability), abs=1e-12)


@pytest.mark.parametrize(("probability", "k"), [(-0.1, 7), (1.1, 7), (float("nan"), 7), (0.5, 11), (0.5, -1)])
def test_an_impossible_chance_is_refused(probability, k):
    """A probability or count out of range is an error of the call."""
    with pytest.raises(UsageError, match="impossible"):
        chance_of_k(probability, k=k, n=10)


@pytest.fixture
def mixed(make_kit):
    """Five good containers and five defects over all three classifications."""
    good = [(f"G{n}", None, 0, rejects) for n, rejects in enumerate((0, 0, 3, 4, 7))]
    defects = [(f"D{n}", "crack", 50, rejects) for n, rejects in enumerate((10, 10, 7, 6, 3))]
    return make_kit([*good, *defects])


def test_four_to_six_rejects_are_wrong_on_both_sides(mixed):
    """Of the good 0, 0 and 3 rejects are right, of the defects 10, 10 and 7; 4 and 6 are neither, so wrong."""
    policy = qualify(*mixed).run_policy
    assert (policy.good.accepted, policy.good.between, policy.good.rejected) == (3, 1, 1)
    assert (policy.defects.rejected, policy.defects.between, policy.defects.accepted) == (3, 1, 1)
    assert (policy.good.right.value, policy.good.wrong.value) == (0.6, 0.4)
    assert (policy.defects.right.value, policy.defects.wrong.value) == (0.6, 0.4)
    assert policy.accuracy() == 0.6


def test_shares_of_containers_carry_exact_intervals(mixed):
    """Three of five have scipy's exact interval, and the complement mirrors it."""
    good = qualify(*mixed).run_policy.good
    reference = stats.binomtest(3, 5).proportion_ci(0.95, method="exact")
    assert (good.right.low, good.right.high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert (good.wrong.low, good.wrong.high) == pytest.approx((1 - reference.high, 1 - reference.low), abs=1e-9)


def test_single_runs_are_told_from_the_policy(mixed):
    """A single run is right less often or more often than the policy: here 36 of 50 runs on either side."""
    policy = qualify(*mixed).run_policy
    assert policy.good.right_each_run.value == pytest.approx(36 / 50)
    assert policy.defects.right_each_run.value == pytest.approx(36 / 50)
    assert policy.good.wrong_each_run.value == pytest.approx(14 / 50)
    assert policy.good.wrong_each_run.low == pytest.approx(1 - policy.good.right_each_run.high)


def test_both_published_readings_are_given_in_words(make_kit):
    """Which ratio comes first depends on the class that is looked for; the words do not."""
    policy = qualify(*make_kit([("G", None, 0, 0), ("H", None, 0, 9), ("D", "crack", 50, 10)])).run_policy
    good, defects = policy.readings()
    assert (good.sought, good.found[0], good.other[0]) == ("good products", "good accepted", "defects rejected")
    assert (defects.sought, defects.found[0], defects.other[0]) == ("defects", "defects rejected", "good accepted")
    assert (good.found[1].value, good.other[1].value) == (0.5, 1.0)
    assert (defects.found[1].value, defects.other[1].value) == (1.0, 0.5)


def test_repeatability_counts_containers_by_rejects(mixed):
    """How many containers were rejected in 0 to 10 runs, good and defects apart, and on how many all runs agreed."""
    policy = qualify(*mixed).run_policy
    assert policy.good.repeats == (2, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0)
    assert policy.defects.repeats == (0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 2)
    assert policy.alike.value == 4 / 10


def test_another_policy_counts_otherwise(make_kit):
    """Three of five is a policy too."""
    kit = make_kit([("G", None, 0, 2), ("D", "crack", 50, 3)], runs=5)
    policy = qualify(*kit, plan=Plan(k=3, n=5)).run_policy
    assert (policy.good.accepted, policy.defects.rejected) == (1, 1)
    assert len(policy.good.repeats) == 6


def test_worth_of_a_verdict_is_that_of_counted_products():
    """Bayes' rule gives what counting a million products gives."""
    products, rare, found, lost = 1_000_000, 0.004, 0.95, 0.03
    defects = products * rare
    rejected = defects * found, (products - defects) * lost
    accepted = defects * (1 - found), (products - defects) * (1 - lost)
    values = predictive_values(
        rare, defects_rejected=Interval(found, 0.9, 0.98), good_rejected=Interval(lost, 0.02, 0.05)
    )
    assert values.defective_among_rejected.value == pytest.approx(rejected[0] / sum(rejected))
    assert values.defective_among_accepted.value == pytest.approx(accepted[0] / sum(accepted))
    assert values.good_rejected * products == pytest.approx(rejected[1])
    assert values.defects_accepted * products == pytest.approx(accepted[0])
    assert values.defective_among_rejected.low == pytest.approx(0.9 * rare / (0.9 * rare + 0.05 * (1 - rare)))
    assert values.defective_among_accepted.high == pytest.approx(0.1 * rare / (0.1 * rare + 0.95 * (1 - rare)))


def test_worth_where_nothing_is_rejected_is_none():
    """Where no product is rejected nothing can be said of rejected ones."""
    never = Interval(0.0, 0.0, 0.1)
    values = predictive_values(0.01, defects_rejected=never, good_rejected=never)
    assert values.defective_among_rejected is None
    assert values.defective_among_accepted.value == pytest.approx(0.01)
    with pytest.raises(UsageError, match="prevalence"):
        predictive_values(np.nan, defects_rejected=never, good_rejected=never)
