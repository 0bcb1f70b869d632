"""Choosing limits: where they lie, what they promise, and what is said when they promise little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import f1_score, roc_curve

from candling.decide.limits import GOALS, LABELLED_GOALS, _from_good, choose_limit
from candling.errors import LimitError
from candling.types import Verdict

VALUES = {"quantile": 0.9, "false_reject": 0.05, "youden": 0.0, "f1": 0.0, "recall": 0.9, "cost": 5.0}
SCORES = st.floats(-100, 100, width=32)


def choose(good, defect=None, *, goal="false_reject", value=None, **more):
    chosen = VALUES[goal] if value is None else value
    flawed = None if defect is None else np.asarray(defect, float)
    return choose_limit(np.asarray(good, float), flawed, goal=goal, value=chosen, score="error", **more)


def cuts(good, defect):
    """Every way to part the scores: (limit, missed defects, false rejects)."""
    levels = np.unique(np.concatenate([good, defect]))
    limits = [levels[0] - 1.0, *levels]
    return [(limit, int((defect <= limit).sum()), int((good > limit).sum())) for limit in limits]


# Where a limit lies


@given(
    st.sampled_from(GOALS),
    arrays(np.float64, st.integers(1, 40), elements=SCORES),
    arrays(np.float64, st.integers(1, 40), elements=SCORES),
)
def test_a_limit_never_sits_on_a_sample(goal, good, defect):
    """Whatever the goal and the ties, no score equals the limit (scores are float32, so every gap has a middle)."""
    high = choose(good, defect, goal=goal).limit.high
    assert math.isfinite(high)
    seen = np.concatenate([good, defect]) if goal in LABELLED_GOALS else good
    assert not np.any(seen == high)


@pytest.mark.parametrize("goal", LABELLED_GOALS)
def test_separable_scores_are_parted_in_the_middle(goal):
    """Where good and defect do not overlap every labelled goal takes the middle of the gap and misses nothing.

    A limit on the lowest of 8 defects, with a strict comparison, finds 3 of 8 at an AUROC of 1.
    """
    chosen = choose([1.0, 2.0, 3.0], [7.0, 8.0, 9.0], goal=goal)
    assert chosen.limit.high == 5.0
    assert (chosen.false_reject.value, chosen.missed_defect.value) == (0.0, 0.0)


def test_neighbouring_floats_are_still_parted():
    """Between two neighbouring floating-point numbers there is no middle: one is accepted and the other is not."""
    above = math.nextafter(1.0, 2.0)
    limit = choose([1.0], [above], goal="f1").limit
    assert limit.admits(1.0)
    assert not limit.admits(above)


def test_a_quantile_accepts_its_share_and_no_more():
    """The quantile goal accepts the smallest number of good scores that is at least the share."""
    good = np.arange(100.0)
    for share in (0.01, 0.29, 0.5, 0.57, 0.95, 0.99):
        limit = choose(good, goal="quantile", value=share).limit.high
        assert int((good <= limit).sum()) == math.ceil(share * 100 - 1e-9)
        assert limit % 1.0 == 0.5


def test_quantile_one_accepts_every_sample_with_a_margin():
    """Quantile 1 lies above the largest good score by half the mean excess of the upper tail, and says so."""
    chosen = choose(np.arange(8.0), goal="quantile", value=1.0)
    assert chosen.limit.high == 7.0 + 0.5 * np.mean([1, 2, 3, 4, 5])
    assert "above every good sample" in chosen.note


def test_tied_scores_fall_on_one_side():
    """Equal scores are accepted together, never parted by a limit on them."""
    chosen = choose([1.0, 2.0, 2.0, 2.0, 2.0, 4.0], goal="quantile", value=0.5)
    assert chosen.limit.high == 3.0


# What a false-reject target promises

TAILS = {
    "exponential": (stats.expon(), 1.08),
    "gaussian": (stats.norm(), 1.03),
    "gamma": (stats.gamma(4), 1.03),
    "uniform": (stats.uniform(), 1.03),
    "lognormal": (stats.lognorm(0.5), 1.25),
    "student with 4 degrees of freedom": (stats.t(4), 1.35),
}
"""Laws of good scores, and by which factor the mean true rate may exceed the target (1.03 is the test's own noise)."""


def true_rates(law, count, rate, draws):
    """The true false-reject rates of limits chosen on ``draws`` sets of ``count`` good scores."""
    rng = np.random.default_rng([count, round(1e6 * rate)])
    samples = np.sort(law.rvs((draws, count), random_state=rng), axis=1)
    return law.sf([_from_good(row, "false_reject", rate) for row in samples])


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize(("count", "rate"), [(20, 0.1), (20, 0.01), (50, 0.05), (50, 0.01), (200, 0.02), (200, 0.01)])
def test_the_realised_rate_is_near_or_below_the_target_on_average(name, count, rate):
    """Over 2000 draws of n good scores the mean true false-reject rate keeps to the target, nearly for heavy tails."""
    law, slack = TAILS[name]
    assert np.mean(true_rates(law, count, rate, 2000)) <= slack * rate


@pytest.mark.parametrize("count", [20, 50, 100])
def test_extrapolation_is_exact_on_average_for_an_exponential_tail(count):
    """Below 1 / n the mean true rate is the target itself, not merely below it: no defect is missed for nothing."""
    rate = 0.2 / count
    assert np.mean(true_rates(stats.expon(), count, rate, 8000)) == pytest.approx(rate, rel=0.08)


def test_the_rate_is_used_up_where_samples_allow_it():
    """With 200 samples and a target of 5 % the mean true rate lies between 4 % and 5 %."""
    assert 0.045 < np.mean(true_rates(stats.norm(), 200, 0.05, 2000)) <= 0.05


def test_the_interval_holds_although_the_limit_was_chosen_on_the_same_scores():
    """Interval and one-sided bound of the false-reject rate cover the true rate at least as often as they say."""
    rng = np.random.default_rng(6)
    held, bounded = [], []
    for _ in range(1500):
        chosen = choose(rng.exponential(size=60), value=0.1)
        true = math.exp(-chosen.limit.high)
        held.append(chosen.false_reject.low <= true <= chosen.false_reject.high)
        bounded.append(true <= chosen.false_reject_bound)
    assert np.mean(held) >= 0.94
    assert np.mean(bounded) >= 0.94


def test_a_handful_of_samples_does_not_push_the_limit_to_infinity():
    """The extrapolation is at most twice the plain exponential one, however few samples there are."""
    limit = choose([1.0, 2.0], value=0.001).limit.high
    assert limit == pytest.approx(1.0 + 1.0 * 2.0 * math.log((2 / 3) / 0.001))


@given(arrays(np.float64, st.integers(1, 60), elements=SCORES), st.floats(0.001, 0.9), st.floats(0.001, 0.9))
def test_a_smaller_target_never_gives_a_lower_limit(good, one, other):
    """Asking for fewer false rejects never lowers the limit."""
    strict, loose = sorted([one, other])
    assert choose(good, value=strict).limit.high >= choose(good, value=loose).limit.high


@given(
    arrays(np.float64, st.integers(2, 40), elements=st.integers(-50, 50).map(float)),
    st.sampled_from(["quantile", "false_reject"]),
)
def test_the_limit_follows_a_change_of_units(good, goal):
    """Scores in other units (times 4, plus 64: exact in floating point) give the same limit in those units."""
    assume(np.unique(good).size > 1)
    plain = choose(good, goal=goal).limit.high
    assert choose(4.0 * good + 64.0, goal=goal).limit.high == pytest.approx(4.0 * plain + 64.0, rel=1e-12, abs=1e-9)


def test_equal_good_scores_get_a_limit_a_little_above():
    """When all good scores are equal the limit lies above them, close, and the note calls the distance a guess."""
    for value in (0.5, -3.0, 0.0):
        chosen = choose([value] * 30)
        assert value < chosen.limit.high <= value + max(0.05 * abs(value), 1e-5)
        assert "are equal" in chosen.note


def test_one_good_sample_is_called_a_guess():
    """One good score is used and the note says that it says nothing about spread."""
    chosen = choose([0.25])
    assert chosen.limit.high > 0.25
    assert "guess" in chosen.note


def test_a_saturated_top_still_gets_a_margin():
    """Where the largest scores are all equal the margin comes from the whole range, not from a spread of zero."""
    assert choose([0.0] * 10 + [1.0] * 10, value=0.01).limit.high > 1.0


# Labelled goals


@given(arrays(np.float64, st.integers(1, 30), elements=SCORES), arrays(np.float64, st.integers(1, 30), elements=SCORES))
def test_youden_is_the_best_of_all_cuts(good, defect):
    """No cut has a higher detected share minus falsely rejected share; equals miss no fewer defects."""
    chosen = choose(good, defect, goal="youden")
    best = min((missed * good.size + over * defect.size, missed) for _, missed, over in cuts(good, defect))
    over = int((good > chosen.limit.high).sum())
    missed = int((defect <= chosen.limit.high).sum())
    assert (missed * good.size + over * defect.size, missed) == best


def test_youden_agrees_with_scikit_learn():
    """The best Youden index equals the one read from scikit-learn's ROC curve."""
    rng = np.random.default_rng(1)
    good, defect = rng.normal(size=80), rng.normal(1.2, size=60)
    fall_out, recall, _ = roc_curve(np.repeat([0, 1], [80, 60]), np.concatenate([good, defect]))
    chosen = choose(good, defect, goal="youden")
    assert 1 - chosen.missed_defect.value - chosen.false_reject.value == pytest.approx(np.max(recall - fall_out))


@given(arrays(np.float64, st.integers(1, 20), elements=SCORES), arrays(np.float64, st.integers(1, 20), elements=SCORES))
def test_f1_is_the_best_of_all_cuts_by_scikit_learn(good, defect):
    """The limit reaches the largest F1 scikit-learn finds over all cuts."""
    truth = np.repeat([0, 1], [good.size, defect.size])
    scores = np.concatenate([good, defect])
    best = max(f1_score(truth, scores > limit, zero_division=0.0) for limit, _, _ in cuts(good, defect))
    assert f1_score(truth, scores > choose(good, defect, goal="f1").limit.high) == pytest.approx(best)


@given(
    arrays(np.float64, st.integers(1, 30), elements=SCORES),
    arrays(np.float64, st.integers(1, 30), elements=SCORES),
    st.sampled_from([0.1, 0.5, 0.9, 0.95, 1.0]),
)
def test_recall_is_reached_with_the_fewest_false_rejects(good, defect, target):
    """At least the target share is detected, and no cut that does so rejects fewer good products."""
    high = choose(good, defect, goal="recall", value=target).limit.high
    missed, over = int((defect <= high).sum()), int((good > high).sum())
    assert defect.size - missed >= target * defect.size - 1e-9
    able = [(o, m) for _, m, o in cuts(good, defect) if defect.size - m >= target * defect.size - 1e-9]
    assert (over, missed) == min(able)


def test_recall_takes_more_than_asked_when_it_costs_nothing():
    """Where further defects can be detected without a further false reject, they are."""
    chosen = choose([1.0, 2.0], [5.0, 6.0, 7.0, 8.0], goal="recall", value=0.5)
    assert chosen.missed_defect.value == 0.0
    assert chosen.limit.high == 3.5


@given(
    arrays(np.float64, st.integers(1, 30), elements=SCORES),
    arrays(np.float64, st.integers(1, 30), elements=SCORES),
    st.sampled_from([0.125, 1.0, 20.0]),
)
def test_cost_is_the_least_of_all_cuts(good, defect, price):
    """No cut costs less, with a missed defect at ``price`` false rejects."""
    high = choose(good, defect, goal="cost", value=price).limit.high
    missed, over = int((defect <= high).sum()), int((good > high).sum())
    assert (price * missed + over, missed) == min((price * m + o, m) for _, m, o in cuts(good, defect))


def test_a_dearer_miss_lowers_the_limit():
    """The price of a missed defect moves the limit down through the overlap."""
    good, defect = [1.0, 2.0, 3.0, 5.0, 6.0], [4.0, 7.0, 8.0]
    cheap, dear = (choose(good, defect, goal="cost", value=value).limit.high for value in (1.0, 10.0))
    assert (cheap, dear) == (6.5, 3.5)


def test_a_limit_that_rejects_everything_says_so():
    """Where every defect lies below every good score a full recall rejects all, and the note says it."""
    chosen = choose([5.0, 6.0, 7.0], [1.0, 2.0], goal="recall", value=1.0)
    assert chosen.limit.high < 1.0
    assert chosen.false_reject.value == 1.0
    assert "rejects every good sample" in chosen.note


def test_rates_of_a_labelled_goal_are_called_optimistic():
    """A limit chosen and counted on the same labelled images says that its rates are optimistic."""
    assert "optimistic" in choose([1.0], [2.0], goal="youden").note


# What is recorded


def test_the_record_holds_goal_counts_and_bounds():
    """The record holds what it was chosen from and for, with two-sided intervals and one-sided bounds."""
    chosen = choose(np.arange(59.0), [100.0] * 59, goal="quantile", value=1.0, region="neck")
    assert (chosen.region, chosen.score, chosen.goal, chosen.value) == ("neck", "error", "quantile", 1.0)
    assert (chosen.samples_good, chosen.samples_defect, chosen.confidence) == (59, 59, 0.95)
    assert chosen.limit.typical == 29.0
    assert round(100 * chosen.false_reject_bound, 1) == 5.0
    assert round(100 * chosen.missed_defect_bound, 1) == 5.0
    assert chosen.missed_defect.high == pytest.approx(1 - 0.025 ** (1 / 59))


def test_too_few_samples_are_admitted_in_the_note():
    """23 good samples cannot show 5 % at 95 % confidence: the note says what they show and how many it takes."""
    note = choose(np.arange(23.0)).note
    assert "the 23 good samples show at most 12.2 % at 95 % confidence" in note
    assert "at least 59 are needed" in note


def test_enough_samples_for_the_bound_need_no_excuse():
    """The note on the target disappears when the bound itself lies below it (here no good score is near)."""
    good = np.concatenate([np.zeros(400), [1.0]])  # ties are accepted together, so only one lies above
    chosen = choose(good, value=0.2)
    assert chosen.false_reject_bound < 0.2
    assert "Chosen for" not in chosen.note


def test_without_defects_nothing_is_said_about_misses():
    """No defect scores, no missed-defect rate."""
    chosen = choose([1.0, 2.0, 3.0])
    assert chosen.missed_defect is None
    assert chosen.missed_defect_bound is None


def test_the_grey_zone_is_a_share_of_the_way_to_the_limit():
    """The grey zone reaches beyond the limit by its share of the way from the typical good score."""
    limit = choose([0.0, 1.0, 2.0], [8.0, 9.0], goal="f1", grey=0.25).limit
    assert (limit.typical, limit.high, limit.reject_high) == (1.0, 5.0, 6.0)
    assert [limit.judge(value) for value in (5.0, 5.5, 6.5)] == [Verdict.ACCEPT, Verdict.UNDECIDED, Verdict.REJECT]
    assert choose([0.0, 1.0, 2.0], [8.0, 9.0], goal="f1").limit.reject_high is None


def test_no_grey_zone_below_the_typical_score():
    """A limit below the median good score has no grey zone, and the note says why."""
    chosen = choose([1.0, 2.0, 3.0], [1.5, 1.6], goal="recall", value=1.0, grey=0.5)
    assert chosen.limit.reject_high is None
    assert "No grey zone" in chosen.note


# What is refused


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["good", "defect"])
def test_scores_that_are_not_finite_are_refused(strange, side):
    """NaN or infinite scores give one sentence that says which and how many."""
    rows = {"good": [1.0, 2.0, 3.0], "defect": [4.0, 5.0, 6.0]}
    rows[side][1] = strange
    with pytest.raises(LimitError, match=f"whole: error: {side} scores: 1 of 3 are not finite .number 2"):
        choose(rows["good"], rows["defect"], goal="f1")


@pytest.mark.parametrize("goal", LABELLED_GOALS)
def test_a_labelled_goal_without_defects_names_the_alternatives(goal):
    """A labelled goal without defect scores says what to give or to choose instead."""
    for defect in (None, []):
        with pytest.raises(LimitError, match="give labelled images, or choose false_reject or quantile"):
            choose([1.0], defect, goal=goal)


def test_no_good_sample_is_refused():
    """Without a good score there is no typical one, so no limit."""
    with pytest.raises(LimitError, match="no good score"):
        choose([], [1.0])


def test_a_misspelt_goal_gets_the_nearest():
    """An unknown goal is refused with the nearest spelling and the list."""
    with pytest.raises(LimitError, match=r"did you mean 'youden'.*goals are: quantile, false_reject"):
        choose([1.0], [2.0], goal="yuoden", value=0.0)


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        *(("quantile", value) for value in (0.0, 1.1, math.nan)),
        *(("false_reject", value) for value in (0.0, 1.0, -0.1, math.nan)),
        *(("recall", value) for value in (0.0, 1.01)),
        *(("cost", value) for value in (0.0, -1.0, math.inf, math.nan)),
    ],
)
def test_an_impossible_value_is_refused(goal, value):
    """A value no limit can be chosen for is refused."""
    with pytest.raises(LimitError, match=f"goal '{goal}' needs"):
        choose([1.0], [2.0], goal=goal, value=value)


@pytest.mark.parametrize("more", [{"confidence": 1.0}, {"confidence": 0.0}, {"grey": -0.1}, {"grey": math.inf}])
def test_an_impossible_confidence_or_grey_zone_is_refused(more):
    """Confidence lies between 0 and 1, the grey zone is a finite share."""
    with pytest.raises(LimitError):
        choose([1.0, 2.0], **more)


def test_scores_in_a_square_are_refused():
    """Scores are one row of numbers; a table is a mistake of the caller."""
    with pytest.raises(LimitError, match=r"one row of numbers, not an array of shape \(2, 2\)"):
        choose(np.zeros((2, 2)))


def test_a_limit_of_a_probability_can_be_exceeded():
    """Where the tail of good scores leads beyond 1, the limit lies between the largest of them and 1."""
    good = np.array([0.5, 0.9, 0.96])
    free = choose_limit(good, None, goal="false_reject", value=0.01, score="anomaly").limit.high
    bound = choose_limit(good, None, goal="false_reject", value=0.01, score="defect_probability").limit.high
    assert free > 1.0
    assert bound == pytest.approx(0.98)
    low = choose_limit(0.1 * good, None, goal="false_reject", value=0.05, score="defect_probability").limit.high
    assert low == choose_limit(0.1 * good, None, goal="false_reject", value=0.05, score="anomaly").limit.high
    certain = choose_limit(np.array([0.5, 1.0]), None, goal="false_reject", value=0.01, score="defect_probability")
    assert certain.limit.high >= 1.0  # a good product of probability 1 leaves no room
