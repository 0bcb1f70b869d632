"""What speaks for a defect is what matters when it is covered."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from candling.errors import UsageError
from candling.workflow.occlusion import occlusion_map

SHAPE = (1, 40, 50)


class Neighbour:
    """A graph whose value at a pixel is the grey value three columns to its right."""

    input_shape = SHAPE
    has_map = True

    def run(self, images):
        return SimpleNamespace(anomaly_map=np.roll(images[:, 0], -3, axis=2))


def test_the_pixel_that_matters_is_found() -> None:
    """Covers that hold the pixel three columns to the right make the value fall, all others change nothing."""
    frame = np.full(SHAPE[1:], 50, np.uint8)
    frame[20, 28] = 250
    found = occlusion_map(Neighbour(), frame, (20, 25), around=15, cover=3, step=1)
    assert found.shape == (15, 15)
    assert found.dtype == np.float32
    middle = 7
    assert np.unravel_index(found.argmax(), found.shape) == (middle, middle + 3)
    assert found[middle, middle + 3] == pytest.approx((250 - 50) / 255, abs=0.01)
    assert np.count_nonzero(found) == 25  # pixels that share a cover with it
    assert found[0, 0] == 0.0


def test_the_border_of_the_image_is_guarded() -> None:
    """At a corner only what lies in the image is covered."""
    frame = np.arange(2000, dtype=np.uint16).reshape(SHAPE[1:])
    found = occlusion_map(Neighbour(), frame, (0, 0), around=15, cover=5, step=5, white=2000)
    assert not found[:7].any()
    assert np.isfinite(found).all()


def test_impossible_questions_are_refused() -> None:
    """A place outside, a cover larger than what is looked at, a graph without a map."""
    frame = np.zeros(SHAPE[1:], np.uint8)
    with pytest.raises(UsageError, match="row 40, column 0 is outside"):
        occlusion_map(Neighbour(), frame, (40, 0))
    with pytest.raises(UsageError, match="must rise from 1 up"):
        occlusion_map(Neighbour(), frame, (0, 0), around=5, cover=7)
    with pytest.raises(UsageError, match="gives no anomaly map"):
        occlusion_map(SimpleNamespace(input_shape=SHAPE, has_map=False), frame, (0, 0))
