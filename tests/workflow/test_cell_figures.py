"""The figures of a counter on labelled images, by hand: least score, count error, Dice, empty images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.errors import UsageError
from candling.measure.matching import Found, Truth
from candling.pixels.boxes import BoxSet
from candling.runtime.cells import SeenCells
from candling.runtime.counting import Counting
from candling.scenes.cells import draw_cells
from candling.workflow.cell_figures import LookedAt, choose_least, evaluate_cells, look_at

COUNTER = SimpleNamespace(counting=SimpleNamespace(scores={"cell": 0.7}, spreads={}))


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

    def __init__(self, surer: float = 0.9, expected: float | None = None) -> None:
        self.surer, self.expected = surer, expected

    def answers(self, frame: np.ndarray) -> tuple[np.ndarray, float | None]:
        """Nobody looks at the probabilities."""
        return np.zeros((3, *frame.shape), np.float32), self.expected

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


class Components:
    """Counts what a threshold leaves in one piece: cells that touch are counted as one."""

    def __init__(self, counting: Counting = Drawn.counting) -> None:
        self.counting = counting

    def answers(self, frame: np.ndarray) -> tuple[np.ndarray, None]:
        """Bright pixels are inside."""
        inside = (cv2.GaussianBlur(frame, (0, 0), 1.0) > 0.06 * 4095).astype(np.float32)
        return np.stack([1.0 - inside, inside, np.zeros_like(inside)]), None

    def cells_of(self, seen: np.ndarray, *, least_inside: float) -> tuple[np.ndarray, BoxSet, np.ndarray]:
        """Every piece is a cell, whatever it takes to part them."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats((seen[1] > 0.5).astype(np.uint8))
        left, top, width, height, areas = stats[1:].T.astype(np.float64)
        boxes = np.stack([left, top, left + width, top + height], axis=1)
        count = len(boxes)
        found = BoxSet(boxes, np.full(count, 0.99 - least_inside / 10), np.zeros(count, np.intp))
        return labels.astype(np.uint16), found, areas.astype(np.int64)

    def look(self, frame: np.ndarray) -> SeenCells:
        """The same, as a counter gives it."""
        seen, _ = self.answers(frame)
        labels, found, areas = self.cells_of(seen, least_inside=self.counting.least_inside)
        return SeenCells(found, areas, np.where(labels > 0, np.uint8(255), np.uint8(0)))


def fields(folder: Path, count: int, seed: int) -> list[Sample]:
    """Drawn fields with their masks, of few cells and many, contrast high enough for a threshold."""
    samples = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        field = draw_cells(
            rng, height=96, width=96, cells=int(rng.integers(0, 24)), radius_px=6.0, touching=0.4, contrast="high"
        )
        paths = folder / f"{seed}_{number}.png", folder / f"{seed}_{number}_mask.png"
        for path, picture in zip(paths, (field.frame, field.labels), strict=True):
            cv2.imwrite(str(path), picture)
        samples.append(Sample(paths[0], "good", "train", product=str(number), mask=paths[1]))
    return samples


def test_intervals_of_held_out_images_cover_new_ones(tmp_path):
    """A counter that joins touching cells is off, and its intervals say so: about nine of ten new counts lie inside."""
    chosen = choose_least(Components(), fields(tmp_path, 29, seed=1))
    spread = chosen.spreads["cell"]
    assert (spread.confidence, spread.images) == (0.9, 29)
    assert spread.width > 0.2
    counter = Components(chosen)
    evaluation = evaluate_cells(counter, look_at(counter, fields(tmp_path, 80, seed=2)), rounds=100)
    assert evaluation.covered is not None
    assert 0.8 <= evaluation.covered.value <= 0.99
    told = evaluation.as_json()
    assert told["count_mae"]["value"] > 1.0
    assert told["interval_covers"]["value"] == evaluation.covered.value
    assert told["interval_width"] > 0.0


def test_without_intervals_nothing_is_said_of_them():
    """Bundles of before have none."""
    told = evaluate_cells(COUNTER, [looked([(0, 0.9)], [0])], rounds=100).as_json()
    assert told["interval_covers"] is None


def test_a_density_is_scaled_by_held_out_images_and_counts_instead_of_boxes(sample):
    """It says 1.6 where two cells are: the factor is 1.25; figures of counting are the density's."""
    chosen = choose_least(Drawn(expected=1.6), [sample])
    assert chosen.density_factor == pytest.approx(1.25)
    assert chosen.spreads == {}  # of one image nothing is known
    one = replace(looked([(0, 0.9)], [0, 1, 2, 3]), expected=3.4)
    told = evaluate_cells(COUNTER, [one, replace(looked([], [], name="b"), expected=0.6)], rounds=100).as_json()
    assert told["count_mae"]["value"] == pytest.approx(1.0)
    assert told["per_class"]["cell"]["recall_50"] == pytest.approx(0.25)
    assert (told["empty_images"], told["empty_wrong"]) == (1, 1)
