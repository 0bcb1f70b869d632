"""What speaks for a defect is what matters when it is covered."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.errors import UsageError
from candling.workflow.occlusion import occlusion_map, surroundings

SHAPE = (1, 40, 50)


class Neighbour:
    """A graph whose value at a pixel is the grey value three columns to its right, times ``factor``."""

    input_shape = SHAPE
    has_map = True

    def __init__(self, factor=1.0):
        self.factor = factor

    def run(self, images):
        return SimpleNamespace(anomaly_map=self.factor * np.roll(images[:, 0], -3, axis=2))


def _odds(value):
    return np.log(value / (1.0 - value))


@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_the_pixel_that_matters_is_found(factor) -> None:
    """Covers that hold the pixel three columns to the right make the value fall, all others change nothing."""
    image = np.full(SHAPE, 50 / 255, np.float32)
    image[0, 20, 28] = 250 / 255
    found = occlusion_map(Neighbour(factor), image, (20, 25), around=15, cover=3, step=1)
    assert found.shape == (15, 15)
    assert found.dtype == np.float32
    middle = 7
    assert np.unravel_index(found.argmax(), found.shape) == (middle, middle + 3)
    bright, grey = 250 / 255, (50 + 200 / 15**2) / 255  # the cover is the mean of what is looked at
    fall = _odds(bright) - _odds(grey) if factor == 1.0 else factor * (bright - grey)  # not all within [0, 1]
    assert found[middle, middle + 3] == pytest.approx(fall, rel=1e-3)
    assert np.count_nonzero(found) == 25  # pixels that share a cover with it
    assert found[0, 0] == 0.0


def test_the_border_of_the_image_is_guarded() -> None:
    """At a corner only what lies in the image is covered."""
    image = (np.arange(2000, dtype=np.float32) / 2000).reshape(SHAPE)
    found = occlusion_map(Neighbour(), image, (0, 0), around=15, cover=5, step=5)
    assert not found[:7].any()
    assert np.isfinite(found).all()


def test_impossible_questions_are_refused() -> None:
    """A place outside, a cover larger than what is looked at, a graph without a map."""
    image = np.zeros(SHAPE, np.float32)
    with pytest.raises(UsageError, match="row 40, column 0 is outside"):
        occlusion_map(Neighbour(), image, (40, 0))
    with pytest.raises(UsageError, match="must rise from 1 up"):
        occlusion_map(Neighbour(), image, (0, 0), around=5, cover=7)
    with pytest.raises(UsageError, match="gives no anomaly map"):
        occlusion_map(SimpleNamespace(input_shape=SHAPE, has_map=False), image, (0, 0))


class Mean:
    """A graph whose value at a pixel is the mean over ``side`` x ``side`` pixels around it."""

    input_shape = (1, 200, 240)
    has_map = True

    def __init__(self, side):
        self.side = side

    def run(self, images):
        return SimpleNamespace(anomaly_map=np.stack([cv2.blur(one[0], (self.side, self.side)) for one in images]))


@pytest.mark.parametrize(("side", "found"), [(5, 29), (31, 57), (101, 113), (191, 199)])
def test_the_surroundings_that_decide_are_found(side, found) -> None:
    """The least of the sides tried that holds what the value is computed from; no more than the image has."""
    image = np.full((1, 200, 240), 0.1, np.float32)
    image[0, 100 - side // 2 : 101 + side // 2, 120 - side // 2 : 121 + side // 2] = 0.9
    assert surroundings(Mean(side), image, (100, 120)) == found


def test_surroundings_at_a_corner_stay_inside() -> None:
    """A place on the border has its square cut off there."""
    image = np.random.default_rng(0).random((1, 200, 240), np.float32)
    assert surroundings(Mean(5), image, (0, 239)) == 29
