"""Filters drawn from a graph's kernels."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import UsageError
from candling.workflow import filters
from candling.workflow.filters import draw_filters, first_filters


def test_filters_are_drawn_side_by_side() -> None:
    """Zero is middle grey, the largest weight of a filter white, its opposite black; columns are filters."""
    kernels = np.zeros((2, 3, 2, 2), np.float32)
    kernels[0, 1, 0, 1], kernels[0, 2, 1, 0] = 0.5, -0.5
    picture = draw_filters(kernels, scale=2)
    assert picture.shape == (3 * 6 - 2, 2 * 6 - 2)
    assert picture[6, 2] == 255
    assert picture[12 + 2, 0] == 0
    assert picture[0, 6] == picture[0, 0] == 128
    assert picture[4, 0] == picture[0, 4] == 255  # the lines between


def test_filters_of_one_channel_lie_in_two_rows() -> None:
    """Of five filters three lie in the first row, two in the second, the sixth place empty."""
    picture = draw_filters(np.ones((5, 1, 3, 3), np.float32), scale=1)
    assert picture.shape == (2 * 5 - 2, 3 * 5 - 2)
    assert (picture[5:, 10:] == 255).all()
    darker = draw_filters(-np.ones((5, 1, 3, 3), np.float32), scale=1)
    assert (darker == 0).sum() == 5 * 9


def test_what_cannot_be_drawn_is_refused() -> None:
    """Three axes, or no weights at all."""
    with pytest.raises(UsageError, match="four axes"):
        draw_filters(np.zeros((3, 2, 2), np.float32))
    with pytest.raises(UsageError, match="four axes"):
        draw_filters(np.zeros((0, 3, 2, 2), np.float32))


def test_large_convolutions_are_shown_in_part(monkeypatch) -> None:
    """Three convolutions at most, and of a large one the first filters and channels, which the caption says."""
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 1, 5, 5), (100, 40, 3, 3)) * 2]
    monkeypatch.setattr(filters, "kernels_of", lambda graph: kernels)
    found = first_filters(b"")
    assert [one.caption for one in found[:2]] == [
        "Convolution 1: 8 filters of 5 x 5 over 1 channel",
        "Convolution 2: 100 filters of 3 x 3 over 40 channels; the first 64, of 32 channels",
    ]
    assert len(found) == 3
    np.testing.assert_array_equal(found[1].picture, draw_filters(kernels[1][:64, :32], scale=4))
    one = draw_filters(np.ones((1, 1, 3, 3), np.float32), scale=2)
    assert one.shape == (6, 6)
