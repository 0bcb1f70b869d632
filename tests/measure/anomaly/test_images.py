"""Image metrics against scikit-learn and torchmetrics, their invariances, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as reference

from candling.errors import DataError
from candling.measure import anomaly
from candling.types import Verdict

SCORES = arrays(np.float64, st.integers(1, 40), elements=st.integers(-8, 8).map(lambda x: x / 4))  # many ties


def labelled(good, defect):
    return np.repeat([0, 1], [good.size, defect.size]), np.concatenate([good, defect])


@given(SCORES, SCORES)
def test_auroc_is_that_of_scikit_learn(good, defect):
    """The area under the ROC curve agrees with scikit-learn to rounding, ties included."""
    assert anomaly.image_auroc(good, defect) == pytest.approx(
        reference.roc_auc_score(*labelled(good, defect)), abs=1e-12
    )


@given(SCORES, SCORES)
def test_average_precision_is_that_of_scikit_learn(good, defect):
    """Average precision agrees with scikit-learn to rounding, ties included."""
    expected = reference.average_precision_score(*labelled(good, defect))
    assert anomaly.average_precision(good, defect) == pytest.approx(expected, abs=1e-12)


def test_metrics_agree_with_torchmetrics():
    """On continuous scores both areas agree with torchmetrics, whose thresholds are the scores themselves."""
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    good, defect = rng.uniform(0.0, 0.7, 50), rng.uniform(0.3, 1.0, 40)
    truth, scores = (torch.tensor(part) for part in labelled(good, defect))
    assert anomaly.image_auroc(good, defect) == pytest.approx(float(functional.binary_auroc(scores, truth)), abs=1e-6)
    precision = float(functional.binary_average_precision(scores, truth))
    assert anomaly.average_precision(good, defect) == pytest.approx(precision, abs=1e-6)


def test_large_scores_are_not_squashed():
    """Raw scores far above 1 keep their order; squashing them by a sigmoid loses it."""
    good, defect = np.array([20.0, 40.0, 60.0]), np.array([50.0, 400.0])
    assert anomaly.image_auroc(good, defect) == pytest.approx(5 / 6)


@given(SCORES, SCORES, st.sampled_from([np.exp, np.arctan, lambda x: x**3, lambda x: 1e-3 * x - 7]))
def test_ranking_metrics_do_not_change_under_monotone_transforms(good, defect, transform):
    """A strictly rising change of the scores changes no area and no best F1."""
    for metric in (anomaly.image_auroc, anomaly.average_precision, lambda g, d: anomaly.best_f1(g, d)[0]):
        assert metric(transform(good), transform(defect)) == metric(good, defect)


@given(SCORES, SCORES)
def test_auroc_mirrors_when_the_sides_change(good, defect):
    """Good and defect exchanged, the area is one minus what it was; ties count half on both sides."""
    assert anomaly.image_auroc(good, defect) == pytest.approx(1.0 - anomaly.image_auroc(defect, good))


@given(SCORES, SCORES)
def test_best_f1_is_the_best_and_its_limit_reaches_it(good, defect):
    """No cut has a larger F1 by scikit-learn's curve, and rejecting above the limit gives it."""
    precision, recall, _ = reference.precision_recall_curve(*labelled(good, defect))
    total = precision + recall
    expected = np.max(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0))
    f1, limit = anomaly.best_f1(good, defect)
    assert f1 == pytest.approx(expected)
    truth, scores = labelled(good, defect)
    assert reference.f1_score(truth, scores > limit) == pytest.approx(f1)
    assert anomaly.f1_at(good, defect, limit) == pytest.approx(f1)
    assert not np.any(scores == limit)


def test_the_best_limit_lies_in_the_middle_of_the_gap():
    """A perfect ranking has F1 1, at the middle between the worst good and the best defective score."""
    assert anomaly.best_f1([0.0, 1.0], [4.0, 9.0]) == (1.0, 2.5)


@given(SCORES, SCORES)
def test_curves_are_those_of_scikit_learn(good, defect):
    """All points of the ROC and the precision-recall curve agree with scikit-learn's, and the limits give them."""
    truth, scores = labelled(good, defect)
    curve = anomaly.roc_curve(good, defect)
    fall_out, recall, _ = reference.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_reject, fall_out)
    np.testing.assert_allclose(curve.recall, recall)
    precision, recall, _ = reference.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(anomaly.pr_curve(good, defect).precision, precision[::-1])
    np.testing.assert_allclose(anomaly.pr_curve(good, defect).recall, recall[::-1])
    for limit, over, found in zip(curve.limits, curve.false_reject, curve.recall, strict=True):
        assert np.mean(good > limit) == pytest.approx(over)
        assert np.mean(defect > limit) == pytest.approx(found)


def test_an_image_that_could_not_be_judged_ranks_worst():
    """An infinite score is above every other; the curves keep it apart from the largest finite one."""
    assert anomaly.image_auroc([1.0, 2.0], [1.5, math.inf]) == 0.75
    curve = anomaly.roc_curve([1.0, math.inf], [3.0])
    assert curve.limits.tolist() == [math.inf, 3.0, 2.0, -math.inf]
    assert curve.false_reject.tolist() == [0.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("strange", [math.nan, -math.inf])
def test_scores_that_cannot_be_ranked_are_refused(strange):
    """NaN and minus infinity are refused with their place."""
    with pytest.raises(DataError, match=r"1 of 2 defect scores cannot be ranked .number 2"):
        anomaly.image_auroc([1.0], [1.0, strange])


def test_without_good_or_without_defect_there_is_no_metric():
    """Every metric is None where it has no meaning, so that a report leaves it out."""
    for good, defect in (([], [1.0]), ([1.0], []), ([], [])):
        for metric in (anomaly.image_auroc, anomaly.average_precision, anomaly.best_f1, anomaly.roc_curve):
            assert metric(good, defect) is None
        assert anomaly.bootstrap(anomaly.image_auroc, good, defect, rng=np.random.default_rng(0)) is None
    assert anomaly.f1_at([1.0], [], 0.5) is None
    assert anomaly.false_reject_rate([]) is None
    assert anomaly.missed_defect_rate([]) is None


def test_rates_count_undecided_as_rejected():
    """An undecided good image is a false reject, an undecided defect is not missed: on the line both are ejected."""
    verdicts = [Verdict.ACCEPT] * 6 + [Verdict.UNDECIDED] + [Verdict.REJECT] * 3
    assert anomaly.false_reject_rate(verdicts).value == pytest.approx(0.4)
    missed = anomaly.missed_defect_rate(verdicts)
    exact = stats.binomtest(6, 10).proportion_ci(0.95, method="exact")
    assert (missed.value, missed.low, missed.high) == pytest.approx((0.6, exact.low, exact.high))


def test_the_bootstrap_covers_the_truth():
    """Of 250 data sets with a known AUROC at least 90 % of the 95 % intervals hold it."""
    rng = np.random.default_rng(4)
    true = stats.norm.cdf(1.2 / math.sqrt(2))
    held = 0
    for _ in range(250):
        interval = anomaly.bootstrap(
            anomaly.image_auroc, rng.normal(size=40), rng.normal(1.2, 1, 40), rng=rng, rounds=200
        )
        held += interval.low <= true <= interval.high
    assert held >= 225


def test_resampling_by_product_widens_the_interval():
    """Ten images a product that say the same are one observation, and the interval knows."""
    rng = np.random.default_rng(5)
    good, defect = np.repeat(rng.normal(size=12), 10), np.repeat(rng.normal(1.0, 1, 12), 10)
    products = ([f"g{i // 10}" for i in range(120)], [f"d{i // 10}" for i in range(120)])
    alone = anomaly.bootstrap(anomaly.image_auroc, good, defect, rng=np.random.default_rng(0), rounds=400)
    together = anomaly.bootstrap(
        anomaly.image_auroc, good, defect, rng=np.random.default_rng(0), rounds=400, products=products
    )
    assert together.value == alone.value
    assert together.high - together.low > 2.0 * (alone.high - alone.low)


def test_a_perfect_ranking_keeps_an_honest_interval():
    """AUROC 1 on 23 good and 109 defective images is known to be above 0.85, not to be 1."""
    interval = anomaly.bootstrap(
        anomaly.image_auroc, np.zeros(23), np.ones(109), rng=np.random.default_rng(0), rounds=50
    )
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert round(interval.low, 3) == 0.852


def test_any_metric_of_scores_can_be_bootstrapped():
    """F1 at a fixed limit is a metric of good and defect scores like any other."""
    rng = np.random.default_rng(6)
    interval = anomaly.bootstrap(
        lambda g, d: anomaly.f1_at(g, d, 0.5), rng.normal(size=50), rng.normal(1.5, 1, 50), rng=rng, rounds=200
    )
    assert interval.low < interval.value < interval.high
