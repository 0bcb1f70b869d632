"""The figures of a counter on labelled images, by hand: least score, count error, Dice, empty images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.errors import UsageError
from candling.measure.matching import Found, Truth
from candling.pixels.boxes import BoxSet
from candling.runtime.cells import Counting
from candling.workflow.cell_figures import LookedAt, choose_least, evaluate_cells

COUNTER = SimpleNamespace(counting=SimpleNamespace(scores={"cell": 0.7}))


def looked(
    found: list[tuple[float, float]],
    true: list[float],
    *,
    ignored: Sequence[float] = (),
    areas: tuple[int, int, int] = (10, 10, 5),
    name: str = "a",
) -> LookedAt:
    """Cells on a line: (place, score) found, places true and places of debris; one place is one cell."""

    def boxes(places: list[float]) -> np.ndarray:
        return np.array([(10 * at, 0, 10 * at + 8, 8) for at in places], np.float64).reshape(-1, 4)

    truth = Truth(
        boxes([*true, *ignored]),
        ["cell"] * (len(true) + len(ignored)),
        np.array([False] * len(true) + [True] * len(ignored), bool),
    )
    given = Found(boxes([at for at, _ in found]), ["cell"] * len(found), np.array([score for _, score in found]))
    return LookedAt(Sample(Path(f"{name}.png"), "good", "test", product=name), given, truth, *areas, 12.0)


def test_counts_and_areas_by_hand():
    """Two images: one cell missed in the first, one too many in the second, which has none."""
    images = [
        looked([(0, 0.9), (1, 0.8), (2, 0.6)], [0, 1, 2], areas=(20, 40, 15), name="a"),
        looked([(5, 0.75)], [], areas=(5, 0, 0), name="b"),
    ]
    evaluation = evaluate_cells(COUNTER, images, rounds=100)
    told = evaluation.as_json()
    assert told["count_mae"]["value"] == pytest.approx(1.0)
    assert told["count_bias"]["value"] == pytest.approx(0.0)
    assert told["f1_50"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert told["area_dice"]["value"] == pytest.approx(2 * 15 / (25 + 40))
    assert (told["empty_images"], told["empty_wrong"]) == (1, 1)
    assert told["per_class"]["cell"]["recall_50"] == pytest.approx(2 / 3)


def test_debris_counts_on_neither_side():
    """A box on debris is no false one, and an image of debris alone is empty."""
    images = [looked([(0, 0.9), (3, 0.9)], [0], ignored=[3]), looked([], [], ignored=[1], name="b")]
    evaluation = evaluate_cells(COUNTER, images, rounds=100)
    assert evaluation.figures.count_mae.value == 0.0
    assert evaluation.figures.f1_50 is not None
    assert evaluation.figures.f1_50.value == 1.0
    assert (evaluation.empty_images, evaluation.empty_wrong) == (1, 0)


class Drawn:
    """A counter that finds given cells in every image: two true ones from an inside of 0.6 on, one before that."""

    counting = Counting({"cell": 0.0}, 0.0, border_px=2, least_px=30, reach_px=0, step_px=1)

    def __init__(self, surer: float = 0.9) -> None:
        self.surer = surer

    def probabilities(self, frame: np.ndarray) -> np.ndarray:
        """Nobody looks at them."""
        return np.zeros((3, *frame.shape), np.float32)

    def cells_of(self, seen: np.ndarray, *, least_inside: float) -> tuple[np.ndarray, BoxSet, np.ndarray]:
        """Give one box over both cells, or both; and one of little score beside them."""
        joined = [(0, 0, 20, 10)] if least_inside < 0.6 else [(0, 0, 10, 10), (10, 0, 20, 10)]
        boxes = np.array([*joined, (30, 30, 40, 40)], np.float64)
        scores = np.array([self.surer] * len(joined) + [0.7])
        return np.zeros(seen.shape[1:], np.uint16), BoxSet(boxes, scores, np.zeros(len(boxes), np.intp)), scores


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """An image of two cells that touch."""
    labels = np.zeros((50, 50), np.uint8)
    labels[:10, :10], labels[:10, 10:20] = 1, 2
    for name in ("image", "mask"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), labels)
    return Sample(tmp_path / "image.png", "good", "train", mask=tmp_path / "mask.png")


def test_what_parts_cells_and_what_counts_is_chosen_for_the_best_f1(sample):
    """Both touching cells are found from 0.6 on and the false box falls at 0.72: the lowest such numbers are taken."""
    chosen = choose_least(Drawn(), [sample])
    assert chosen.least_inside == 0.6
    assert chosen.scores == {"cell": pytest.approx(0.72)}
    assert (chosen.border_px, chosen.least_px) == (2, 30)


def test_no_image_is_refused():
    """There is nothing to choose from."""
    with pytest.raises(UsageError, match="no image"):
        choose_least(Drawn(), [])
