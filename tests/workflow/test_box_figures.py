"""Which score counts, and the figures of a counter of boxes: against counts made by hand."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.data.annotations import AnnotatedImage, Annotation
from candling.data.samples import GOOD, Sample
from candling.errors import DataError, UsageError
from candling.pixels.boxes import BoxSet
from candling.runtime.boxes import Detecting
from candling.runtime.cells import SeenCells
from candling.workflow.box_figures import choose_scores, evaluate_boxes, look_at_boxes, write_box_evaluation

RED, WHITE = (2.0, 2.0, 12.0, 12.0), (20.0, 2.0, 40.0, 22.0)
FALSE = (50.0, 30.0, 58.0, 38.0)


class Seer:
    """Finds the red cell surely, the white one less, and something that is none, the less sure the later the image."""

    def __init__(self) -> None:
        self.counting = Detecting({"red": 0.5, "white": 0.5}, 0.5, 1.0, 100)
        self.recipe = SimpleNamespace()

    def look(self, frame: np.ndarray) -> SeenCells:
        number = int(frame[0, 0])
        boxes, scores = np.array([RED, WHITE, FALSE]), np.array([0.9, 0.4, 0.3 - 0.01 * number])
        found = BoxSet(boxes, scores, np.array([0, 1, 0], np.intp))
        return SeenCells(found, None, np.zeros(frame.shape, np.uint8), doubts=("full",) if number == 0 else ())


@pytest.fixture
def marked(tmp_path):
    """Five images with a red and a white cell each, and a third object that does not count."""
    samples, objects = [], {}
    for number in range(5):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((40, 60), number, np.uint8))
        marks = (
            Annotation("red", *RED),
            Annotation("white", *WHITE),
            Annotation("white", 0, 30, 9, 39, difficult=True),
        )
        samples.append(Sample(path, GOOD, "validation"))
        objects[path] = AnnotatedImage(path.name, marks, 60, 40)
    return samples, objects


def test_the_scores_that_count_best_are_chosen(marked):
    """Above the false boxes for one class, below the true ones for the other; counts then have no error."""
    seer = Seer()
    chosen = choose_scores(seer, *marked)
    assert 0.3 < chosen.scores["red"] <= 0.9
    assert chosen.scores["white"] <= 0.4
    assert {name: spread.width for name, spread in chosen.spreads.items()} == {"red": 0.0, "white": 0.0}
    with pytest.raises(UsageError, match="no image"):
        choose_scores(seer, [], {})


def test_figures_are_those_counted_by_hand(marked, tmp_path):
    """At 0.5 white cells are missed and red ones found: F1 is 2/3, and one object an image is not counted."""
    seer = Seer()
    looked = look_at_boxes(seer, *marked)
    evaluation = evaluate_boxes(seer, looked, rounds=100)
    said = evaluation.as_json()
    assert said["per_class"]["red"]["map_50"]["value"] == pytest.approx(1.0)
    assert said["map_50"]["value"] == pytest.approx(1.0)
    assert said["f1_50"]["value"] == pytest.approx(2 / 3)
    assert said["count_mae"]["value"] == 1.0
    assert said["count_bias"]["value"] == -1.0
    assert said["per_class"]["white"]["objects"] == 5
    assert said["per_class"]["white"]["count_bias"]["value"] == -1.0
    assert said["doubts"] == 1
    assert said["interval_covers"] is None
    assert {"map", "count_mae", "count_bias", "per_class"} <= said.keys()
    names = [name for name, *_ in evaluation.rows()]
    assert "red: average precision at 0.5" in names
    write_box_evaluation(evaluation, looked, seer, tmp_path, notes=["a note"])
    with (tmp_path / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert {(row["class"], row["counted"], row["true"], row["error"]) for row in rows} == {
        ("red", "1", "1", "0"),
        ("white", "0", "1", "-1"),
    }
    assert json.loads((tmp_path / "evaluation.json").read_text())["notes"] == ["a note"]


def test_intervals_are_held_against_the_truth(marked):
    """Of the counts with an interval, the share whose truth lies inside is told."""
    seer = Seer()
    seer.counting = choose_scores(seer, *marked)
    covered = evaluate_boxes(seer, look_at_boxes(seer, *marked), rounds=100).covered
    assert covered is not None
    assert covered.value == 1.0


def test_an_unreadable_image_is_named(marked):
    """One sentence with its path."""
    samples, objects = marked
    samples[2].path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2\.png"):
        look_at_boxes(Seer(), samples, objects)
