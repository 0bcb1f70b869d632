"""The figures of an evaluation and the reasons where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from candling.workflow.figures import NO_DEFECT, NO_GOOD, Resampling, class_results, image_figures


def resampling() -> Resampling:
    """Few rounds, a fixed seed."""
    return Resampling(np.random.default_rng(0), 100, 0.95)


@pytest.fixture
def results(make_evaluation):
    """Sixty overlapping severities with ties, one image that could not be judged."""
    rng = np.random.default_rng(2)
    good = [(f"g{i}", "good", float(s)) for i, s in enumerate(rng.normal(0.3, 0.6, 25).round(1))]
    defect = [
        (f"d{i}", "poke" if i % 2 else "crack", float(s)) for i, s in enumerate(rng.normal(1.2, 0.8, 34).round(1))
    ]
    return make_evaluation([*good, *defect, ("torn", "crack", float("inf"))]).images


def test_figures_are_those_of_scikit_learn(results):
    """AUROC, average precision and F1 at the limit agree, ties and the unreadable image included."""
    found, _ = image_figures(results, None, resampling=resampling())
    truth = [not result.is_good for result in results]
    severity = [min(result.severity, 99.0) for result in results]
    assert found["image_auroc"].value == pytest.approx(roc_auc_score(truth, severity))
    assert found["image_ap"].value == pytest.approx(average_precision_score(truth, severity))
    assert found["f1"].value == pytest.approx(f1_score(truth, [not result.accepted for result in results]))
    assert all(figure.low <= figure.value <= figure.high for figure in found.values())


def test_best_f1_is_reached_at_its_severity(results):
    """Rejecting above the severity given yields the best F1, and no severity yields more."""
    found, limit = image_figures(results, None, resampling=resampling())
    truth = [not result.is_good for result in results]
    scores = [
        f1_score(truth, [r.severity > level for r in results]) for level in [limit, *{r.severity for r in results}]
    ]
    assert scores[0] == pytest.approx(found["best_f1"].value)
    assert max(scores) == pytest.approx(scores[0])


def test_resampling_by_product_widens_the_interval(results):
    """Five images of each product count like one: the interval grows."""
    alone, _ = image_figures(results, None, resampling=resampling())
    products = [f"p{index // 5}" for index in range(len(results))]
    together, _ = image_figures(results, products, resampling=resampling())
    assert together["image_auroc"].value == alone["image_auroc"].value
    assert together["image_auroc"] != alone["image_auroc"]


@pytest.mark.parametrize(("label", "reason"), [("good", NO_DEFECT), ("crack", NO_GOOD)])
def test_one_kind_of_image_gives_reasons(make_evaluation, label, reason):
    """Ranking needs both kinds; the rate of the kind that is there is still known."""
    found, limit = image_figures(make_evaluation([("a", label, 0.5)]).images, None, resampling=resampling())
    assert limit is None
    assert found["image_auroc"].reason == found["f1"].reason == reason
    known = "false_reject_rate" if label == "good" else "missed_defect_rate"
    assert found[known].value is not None


def test_every_class_is_held_against_all_good_images(results):
    """Counts add up to all defects; each AUROC is that of its own defects and every good image."""
    classes = class_results(results, None, resampling=resampling())
    assert [found.label for found in classes] == ["crack", "poke"]
    assert sum(found.count for found in classes) == sum(not result.is_good for result in results)
    part = [result for result in results if result.is_good or result.label == "poke"]
    expected = roc_auc_score([not result.is_good for result in part], [result.severity for result in part])
    assert classes[1].image_auroc.value == pytest.approx(expected)
