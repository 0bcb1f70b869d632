"""What to label next is what is least sure, spread over the kinds of images."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import UsageError
from candling.workflow.suggest import Unlabelled, suggest


def image(name, probability, count, group=""):
    return Unlabelled(name, np.full(count, probability), group)


def test_doubt_is_the_spread_of_the_count():
    """As drawn: the standard deviation of the number of real boxes."""
    chances = np.random.default_rng(0).random(30)
    draws = (np.random.default_rng(1).random((100_000, 30)) < chances).sum(axis=1)
    assert Unlabelled("a", chances).doubt == pytest.approx(draws.std(), rel=0.01)


def test_the_least_sure_and_densest_come_first():
    """Half-sure boxes before sure ones, many before few."""
    images = [image("sure", 0.99, 50), image("few", 0.5, 4), image("many", 0.5, 40), image("empty", 0.0, 0)]
    assert suggest(images, 9) == ("many", "few", "sure", "empty")
    assert suggest(images, 1) == ("many",)
    assert suggest([], 3) == ()


def test_groups_take_turns():
    """A group that is labelled already waits."""
    images = [image(f"{group}{number}", 0.5, 40 - number, group) for group in ("high", "low") for number in range(3)]
    assert suggest(images, 4) == ("high0", "low0", "high1", "low1")
    assert suggest(images, 2, labelled=["high"] * 5)[:2] == ("low0", "low1")


def test_less_than_none_is_refused():
    """A count of -1."""
    with pytest.raises(UsageError, match="-1 images"):
        suggest([], -1)
