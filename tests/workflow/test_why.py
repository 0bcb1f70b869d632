"""The worst place of a picture explained: what is shown, and that a failure takes nothing from a verdict."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.errors import EngineError
from candling.types import Box, Prediction
from candling.workflow.why import LINE, TILE, draw_why, why_tiles, why_worst

SIZE = (160, 200)


class Brightness:
    """A graph whose value is the mean brightness of 9 x 9 pixels."""

    input_shape = (1, *SIZE)
    has_map = True

    def run(self, images):
        return SimpleNamespace(anomaly_map=np.stack([cv2.blur(one[0], (9, 9)) for one in images]))


class Predictor:
    def __init__(self, engine):
        self.engine = engine

    def prepared(self, frame):
        return (frame.astype(np.float32)[None] / 255,)


def _frame() -> np.ndarray:
    frame = np.full(SIZE, 60, np.uint8)
    cv2.circle(frame, (140, 50), 8, 240, -1)
    return frame


def _predictions(count: int = 1) -> tuple[Prediction, ...]:
    return (Prediction("mat", Box(0, 0, *SIZE), {}, np.zeros(SIZE, np.float32)),) * count


def test_the_worst_place_is_found_and_what_makes_it() -> None:
    """It lies in the bright disc; only covers over the disc make its value fall."""
    why = why_worst(Predictor(Brightness()), _frame(), _predictions())
    assert why is not None
    assert why.region == "mat"
    assert np.hypot(why.place[0] - 50, why.place[1] - 140) < 6
    assert why.side == 29
    assert why.seen.shape == why.falls.shape == (95, 95)  # 96 px, with the place in the very middle
    assert why.seen[47, 47] == 240
    down, across = np.unravel_index(int(why.falls.argmax()), why.falls.shape)
    assert np.hypot(down - 47, across - 47) < 10
    assert why.falls[:30].max() == 0.0


def test_both_tiles_have_their_size_and_the_box() -> None:
    """What is seen, and the same with its heat, under one line of words each."""
    why = why_worst(Predictor(Brightness()), _frame(), _predictions())
    assert why is not None
    plain, heated = why_tiles(why)
    assert plain.shape == heated.shape == (TILE, TILE, 3)
    assert (plain != heated).any()
    assert draw_why(why).shape[0] > TILE + LINE


@pytest.mark.parametrize("reason", ["no map", "more patches than pictures", "a failing engine"])
def test_what_cannot_be_explained_is_left_out(reason) -> None:
    """No exception, no picture."""

    class Failing(Brightness):
        def run(self, images):
            raise EngineError("the engine failed")

    engine = Failing() if reason == "a failing engine" else Brightness()
    engine.has_map = reason != "no map"
    count = 2 if reason == "more patches than pictures" else 1
    assert why_worst(Predictor(engine), _frame(), _predictions(count)) is None
