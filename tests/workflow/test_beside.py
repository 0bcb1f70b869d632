"""Scores beside their limits."""

from __future__ import annotations

import math

from candling.types import Box, Inspection, Limit, Prediction, Verdict
from candling.workflow.beside import region_scores, worst_score

LIMITS = {
    ("neck", "error"): Limit(high=1.0),
    ("body", "error"): Limit(high=10.0),
    ("body", "fill"): Limit(low=2.0, high=9.0),
}


def inspection(**scores: list[dict[str, float]]) -> Inspection:
    """An inspection with patches by region."""
    patches = [
        Prediction(region, Box(0, 0, 4, 4), found) for region, all_found in scores.items() for found in all_found
    ]
    return Inspection("x", Verdict.REJECT, 1.0, (), tuple(patches))


def test_the_highest_severity_decides_not_the_highest_value():
    """0.9 of a limit of 1 is worse than 5 of a limit of 10."""
    worst = worst_score(inspection(neck=[{"error": 0.9}], body=[{"error": 5.0, "fill": 3.0}]), LIMITS)
    assert (worst.region, worst.score, worst.value, worst.limit) == ("neck", "error", 0.9, 1.0)


def test_nan_is_worse_than_any_number():
    """A patch whose score is no number speaks for its region."""
    found = region_scores(inspection(neck=[{"error": 99.0}, {"error": math.nan}]), LIMITS)
    assert math.isnan(found["neck", "error"])


def test_a_value_below_its_lower_end_is_shown_beside_that_end():
    """A limit with two ends: the broken one is told."""
    worst = worst_score(inspection(body=[{"error": 0.1, "fill": 1.5}]), LIMITS)
    assert (worst.score, worst.value, worst.limit) == ("fill", 1.5, 2.0)


def test_nothing_judged_has_no_worst_score():
    """An image that could not be read has no score beside any limit."""
    assert worst_score(inspection(), LIMITS) is None
