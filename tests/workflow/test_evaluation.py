"""What an evaluation found, and its JSON and CSV forms."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np

from candling.types import Verdict
from candling.workflow.evaluation import Figure, finite

DEMANDED = [
    "image_auroc",
    "image_ap",
    "f1",
    "missed_defect_rate",
    "false_reject_rate",
    "pixel_auroc",
    "pixel_ap",
    "aupro",
]
IMAGES = [("a.png", "good", 0.2), ("b.png", "good", 1.4), ("c.png", "crack", 0.9), ("d.png", "poke", math.inf)]


def test_json_holds_every_demanded_figure_as_value_low_high(make_evaluation):
    """The machine's keys are those of the issue; a figure without a value has nulls and a reason."""
    data = json.loads(make_evaluation(IMAGES).json_text())
    for name in DEMANDED:
        assert {"value", "low", "high"} <= set(data[name])
    assert data["image_auroc"] == {"value": None, "low": None, "high": None, "reason": "not computed here"}
    assert set(data["missed_defect_rate"]) == {"value", "low", "high"}
    assert set(data["per_class"]) == {"crack", "poke"}
    assert data["per_class"]["crack"]["missed"] == 1


def test_json_counts_and_names_the_mistakes(make_evaluation):
    """Missed defects, false rejects and unreadable images are counted and named; the unreadable one is rejected."""
    data = make_evaluation(IMAGES).to_json()
    assert data["counts"] == {
        "images": 4,
        "good": 2,
        "defect": 2,
        "false_rejects": 1,
        "missed_defects": 1,
        "undecided": 0,
        "unreadable": 1,
        "with_mask": 0,
    }
    assert data["missed_defects"] == ["c.png"]
    assert data["false_rejects"] == ["b.png"]
    assert data["unreadable"] == {"d.png": "not a PNG"}


def test_json_has_no_infinity(make_evaluation):
    """A class whose median could not be judged has null where JSON knows no infinity."""
    text = make_evaluation([("d.png", "poke", math.inf)]).json_text()
    assert json.loads(text)["per_class"]["poke"]["median_severity"] is None
    assert "Infinity" not in text
    assert "NaN" not in text


def test_json_is_the_same_for_the_same_evaluation(make_evaluation):
    """Two equal evaluations give the same bytes and the same hash; another severity gives another hash."""
    one, two = make_evaluation(IMAGES), make_evaluation(IMAGES)
    assert one.json_text() == two.json_text()
    assert one.sha256() == two.sha256()
    assert one.sha256() != make_evaluation([("a.png", "good", 0.3), *IMAGES[1:]]).sha256()


def test_csv_has_a_row_an_image_and_no_formula(make_evaluation):
    """A file name that a spreadsheet would run is quoted; numbers stay numbers."""
    images = [("=cmd|'/c calc'!A0.png", "good", -0.25), ("b.png", "+crack", 2.0)]
    rows = list(csv.DictReader(io.StringIO("".join(make_evaluation(images).csv_lines()))))
    assert [row["name"] for row in rows] == ["'=cmd|'/c calc'!A0.png", "b.png"]
    assert rows[0]["severity"] == "-0.25"
    assert rows[1]["label"] == "'+crack"
    assert rows[1]["mistake"] == ""
    assert float(rows[1]["predict_ms"]) == 2.0


def test_worst_mistakes_come_first(make_evaluation):
    """The worst missed defect has the lowest severity, the worst false reject the highest."""
    images = [("a", "good", 1.2), ("b", "good", 3.0), ("c", "crack", 0.9), ("d", "crack", -0.5)]
    evaluation = make_evaluation(images)
    assert [image.name for image in evaluation.false_rejects] == ["b", "a"]
    assert [image.name for image in evaluation.missed_defects] == ["d", "c"]


def test_undecided_counts_as_rejected(make_evaluation):
    """A defect in the grey zone was found; a good image there is a false reject."""
    evaluation = make_evaluation([("a", "good", 1.1), ("b", "crack", 1.1)])
    grey = [type(image)(**(vars(image) | {"verdict": Verdict.UNDECIDED})) for image in evaluation.images]
    undecided = type(evaluation)(**(vars(evaluation) | {"images": tuple(grey)}))
    assert len(undecided.false_rejects) == 1
    assert not undecided.missed_defects
    assert undecided.to_json()["counts"]["undecided"] == 2


def test_what_cannot_be_judged_ranks_above_everything():
    """Infinite severities become finite and keep their rank, also when all are infinite."""
    assert finite(np.array([0.5, np.inf, 9.0])).tolist() == [0.5, 10.0, 9.0]
    assert finite(np.array([np.inf])).tolist() == [2.0]
    assert finite(np.array([])).size == 0


def test_a_figure_without_reason_has_three_keys():
    """A computed figure is exactly {value, low, high}."""
    assert Figure(0.5, 0.4, 0.6).as_dict() == {"value": 0.5, "low": 0.4, "high": 0.6}
