"""A counter's figures are those of measure, side by side, with the keys that are promised."""

from __future__ import annotations

import json

import numpy as np
import pytest

from candling.errors import UsageError
from candling.measure.detection import average_precision, mean_average_precision, outcome_at
from candling.measure.matching import Found, Truth, match_images
from candling.workflow.count_figures import evaluate_counts


def image(rng, *, found=0.8, extra=2):
    corner = rng.uniform(0, 300, (int(rng.integers(5, 25)), 2))
    true = np.hstack([corner, corner + 20])
    labels = rng.choice(["N", "RBC"], len(true))
    seen = rng.random(len(true)) < found
    wild = rng.uniform(0, 300, (extra, 2))
    boxes = np.vstack([true[seen] + rng.normal(0, 1, (int(seen.sum()), 4)), np.hstack([wild, wild + 20])])
    said = [*labels[seen], *rng.choice(["N", "RBC"], extra)]
    return Found(boxes, said, rng.random(len(boxes))), Truth(true, list(labels), rng.random(len(true)) < 0.1)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [image(rng) for _ in range(12)]


def evaluate(images, **more):
    options = {"scores": {"N": 0.3, "RBC": 0.5}, "rng": np.random.default_rng(0), "rounds": 50, **more}
    return evaluate_counts(images, **options)


def test_figures_are_those_of_measure(images):
    """Each by its own definition, and every interval around its value."""
    figures = evaluate(images)
    labels = ("N", "RBC")
    halves = {label: match_images(images, label=label) for label in labels}
    assert figures.map.value == pytest.approx(mean_average_precision(images, labels=labels))
    assert figures.map_50.value == pytest.approx(np.mean([average_precision(one) for one in halves.values()]))
    assert figures.per_class["RBC"].outcome == outcome_at(halves["RBC"], 0.5)
    both = [outcome_at(halves[label], score) for label, score in (("N", 0.3), ("RBC", 0.5))]
    right = sum(one.found for one in both)
    assert figures.f1_50.value == pytest.approx(2 * right / sum(2 * o.found + o.missed + o.false for o in both))
    counted = [int(((found.scores >= 0.3) & (np.array(found.labels) == "N")).sum()) for found, _ in images]
    assert figures.per_class["N"].counts.bias.value <= np.mean(counted)  # boxes on ignored objects do not count
    for one in (figures.map, figures.map_50, figures.f1_50, figures.count_mae, figures.count_bias):
        assert one.low <= one.value <= one.high
    assert figures.per_class["N"].objects == sum(halves["N"].truths)


def test_json_has_the_promised_keys(images):
    """Plain values that JSON takes, and the same seed gives the same text."""
    data = evaluate(images).as_json()
    assert set(data) >= {"map_50", "map", "f1_50", "count_mae", "count_bias", "per_class"}
    assert set(data["map_50"]) == {"value", "low", "high"}
    assert set(data["per_class"]["N"]) >= {"map_50", "map", "f1_50", "count_mae", "count_bias", "by_density"}
    assert json.dumps(data, allow_nan=False) == json.dumps(evaluate(images).as_json(), allow_nan=False)


def test_the_truth_is_perfect(images):
    """Predictions that are the truth: 1.0 everywhere, no count error."""
    perfect = [(Found(truth.boxes, truth.labels, np.ones(len(truth.boxes))), truth) for _, truth in images]
    figures = evaluate(perfect)
    assert (figures.map.value, figures.map.low, figures.f1_50.value) == (1.0, 1.0, 1.0)
    assert (figures.count_mae.value, figures.count_bias.high) == (0.0, 0.0)


def test_a_perfect_count_may_be_all_wrong(images):
    """As many boxes as objects, none where they are: the count error is 0 and F1 says what it is worth."""
    wrong = [
        (Found(truth.boxes + 1000, truth.labels, np.ones(len(truth.boxes))), Truth(truth.boxes, truth.labels))
        for _, truth in images
    ]
    figures = evaluate(wrong)
    assert (figures.count_mae.value, figures.f1_50.value, figures.map_50.value) == (0.0, 0.0, 0.0)


def test_images_without_objects_have_figures():
    """Nothing there, nothing found: no average precision, no error."""
    nothing = Found(np.zeros((0, 4)), [], np.zeros(0)), Truth(np.zeros((0, 4)), [])
    figures = evaluate([nothing, nothing])
    assert (figures.map, figures.f1_50, figures.per_class["N"].growth) == (None, None, None)
    assert figures.count_mae.value == 0.0
    assert json.dumps(figures.as_json(), allow_nan=False)
    with pytest.raises(UsageError, match="0 images and 2 classes"):
        evaluate([])
