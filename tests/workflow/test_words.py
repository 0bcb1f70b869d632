"""Numbers said to people."""

from __future__ import annotations

import math

import pytest

from candling.types import Interval
from candling.workflow import words


@pytest.mark.parametrize(
    ("value", "digits", "said"), [(6.25, 1, "6.3"), (-6.25, 1, "-6.3"), (0.0625, 3, "0.063"), (12.35, 1, "12.3")]
)
def test_exact_halves_go_up_as_in_the_page(value, digits, said):
    """6.25 is an exact half and goes up; 12.35 is a little less than itself and goes down: ECMAScript's toFixed."""
    assert words.fixed(value, digits) == said


def test_the_sentence_of_the_issue():
    """3 of 56 with its interval, as every report says it."""
    interval = Interval(3 / 56, 0.01117, 0.14867)
    assert words.rate(3, 56, interval, confidence=0.95) == "3 of 56 (5.4 %, 95 % interval 1.1 to 14.9 %)"


def test_what_is_no_number_is_said_in_words():
    """No 'inf' and no 'nan' reach a reader."""
    assert words.fixed(math.inf, 2) == "infinite"
    assert words.fixed(-math.inf, 2) == "minus infinite"
    assert words.fixed(math.nan, 2) == "not a number"
