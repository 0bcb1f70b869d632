"""A counter of boxes on images whose objects are marked: which score counts, and every figure; knows no network.

Objects marked as difficult count neither as found nor as missed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.disk import write_atomic
from candling.errors import DataError, ImageError, UsageError
from candling.intervals import clopper_pearson
from candling.measure.count_spread import learn_spread
from candling.measure.detection import merit_at
from candling.measure.matching import Found, Truth, match_images
from candling.pixels.read import read_image
from candling.workflow.count_figures import CountFigures, evaluate_counts
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from candling.data.annotations import AnnotatedImage
    from candling.data.samples import Sample
    from candling.runtime.boxes import BoxCounter, Detecting
    from candling.types import Interval

__all__ = ["BoxEvaluation", "SeenBoxes", "choose_scores", "evaluate_boxes", "look_at_boxes", "write_box_evaluation"]

IOU: Final = 0.5
"""A found box is an object if they share so much of their joint area."""

SCORES: Final = tuple(round(0.025 * step, 3) for step in range(2, 39))
"""Among these the least score of a counted object is chosen: 0.05, 0.075, to 0.95."""


@dataclass(frozen=True)
class SeenBoxes:
    """What a counter saw in one image, beside what is true of it.

    Attributes:
        sample: the image.
        found: every box, whatever its score.
        truth: every marked object.
        milliseconds: from the frame in memory to its boxes.
        doubts: what the counter said about its count.
    """

    sample: Sample
    found: Found
    truth: Truth
    milliseconds: float
    doubts: tuple[str, ...] = ()

    def counted(self, scores: Mapping[str, float]) -> dict[str, int]:
        """Count the boxes of each class."""
        labels = np.asarray(self.found.labels, dtype=object)
        return {name: int(((labels == name) & (self.found.scores >= least)).sum()) for name, least in scores.items()}

    def true(self, name: str) -> int:
        """Count the objects of a class, difficult ones left out."""
        ignored = [False] * len(self.truth.labels) if self.truth.ignored is None else self.truth.ignored
        return sum(label == name and not out for label, out in zip(self.truth.labels, ignored, strict=True))


@dataclass(frozen=True)
class BoxEvaluation:
    """The figures of a counter of boxes.

    Attributes:
        figures: of detection and counting, by class and in all.
        covered: share of counts (an image and class each) whose true count lies in their interval; None without any.
        milliseconds: the median over images, frame in memory to boxes.
        doubts: how many images the counter said something about.
    """

    figures: CountFigures
    covered: Interval | None
    milliseconds: float
    doubts: int

    def as_json(self) -> dict[str, Any]:
        """Give plain values: what ``candling evaluate --json`` prints for a counter of boxes."""
        one = self.covered
        return {
            **self.figures.as_json(),
            "interval_covers": None if one is None else {"value": one.value, "low": one.low, "high": one.high},
            "milliseconds": round(self.milliseconds, 1),
            "doubts": self.doubts,
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Give the lines of a table for people: figure, value, and the interval's ends."""
        figures = self.figures
        named: list[tuple[str, Interval | None]] = [
            ("average precision at 0.5", figures.map_50),
            ("average precision, 0.5 to 0.95", figures.map),
            ("F1 at an overlap of 0.5", figures.f1_50),
            ("count, mean absolute error", figures.count_mae),
            ("count, mean of counted minus true", figures.count_bias),
        ]
        for label, one in figures.per_class.items():
            named += [(f"{label}: average precision at 0.5", one.ap_50), (f"{label}: count error", one.counts.mae)]
        named.append(("true count inside the interval", self.covered))
        lines = [
            (name, "", "", "") if one is None else (name, f"{one.value:.3f}", f"{one.low:.3f}", f"{one.high:.3f}")
            for name, one in named
        ]
        return [*lines, ("milliseconds an image", f"{self.milliseconds:.0f}", "", "")]


def look_at_boxes(
    counter: BoxCounter,
    samples: Sequence[Sample],
    objects: Mapping[Path, AnnotatedImage],
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[SeenBoxes, ...]:
    """Find the objects of marked images.

    Args:
        counter: the bundle, opened.
        samples: the images.
        objects: of each, by its path.
        progress: called with (done, total) images.
        clock: seconds, never going back.

    Raises:
        DataError: an image cannot be read.
        EngineError: the engine failed.
    """
    names = tuple(counter.counting.scores)
    looked = []
    for done, sample in enumerate(samples, start=1):
        try:
            frame = read_image(sample.path)
        except ImageError as error:
            raise DataError(f"{error}; take it out") from error
        begun = clock()
        seen = counter.look(frame)
        spent = clock() - begun
        found = Found(seen.found.boxes, [names[label] for label in seen.found.labels], seen.found.scores)
        looked.append(SeenBoxes(sample, found, _truth(objects[sample.path]), 1000.0 * spent, seen.doubts))
        if progress is not None:
            progress(done, len(samples))
    return tuple(looked)


def choose_scores(
    counter: BoxCounter,
    samples: Sequence[Sample],
    objects: Mapping[Path, AnnotatedImage],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Detecting:
    """Choose by class from which score on an object counts: best F1, then least count error, then the lowest score.

    How far the counts of these images then lie from the truth gives every later count its interval.

    Args:
        counter: whatever its own scores are.
        samples: images that were not learned from.
        objects: of each, by its path.
        progress: called with (done, total) images.

    Returns:
        the counter's facts with the scores and spreads chosen; a class without any object here keeps 0.5.

    Raises:
        UsageError: there is no image.
        DataError: an image cannot be read.
        EngineError: the engine failed.
    """
    if not samples:
        raise UsageError("no image to choose the least scores from; give at least one that was not learned from")
    looked = look_at_boxes(counter, samples, objects, progress=progress)
    scores, spreads = {}, {}
    for name in counter.counting.scores:
        matched = match_images([(one.found, one.truth) for one in looked], label=name, iou=IOU)
        scores[name] = max((merit_at(matched, score), score) for score in SCORES)[1] if matched.truths.sum() else 0.5
        counted = [one.counted({name: scores[name]})[name] for one in looked]
        spread = learn_spread(counted, [one.true(name) for one in looked])
        if spread is not None:
            spreads[name] = spread
    return replace(counter.counting, scores=scores, spreads=spreads)


def _truth(image: AnnotatedImage) -> Truth:
    ignored = np.array([one.difficult for one in image.objects], np.bool_)
    return Truth(image.boxes, [one.label for one in image.objects], ignored)


def evaluate_boxes(
    counter: BoxCounter,
    looked: Sequence[SeenBoxes],
    *,
    seed: int = 0,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> BoxEvaluation:
    """Measure a counter of boxes on what it saw.

    Args:
        counter: gives the least scores.
        looked: of :func:`look_at_boxes`.
        seed: of the rounds.
        rounds: how often the images are drawn again for the intervals.
        confidence: of every interval.

    Raises:
        UsageError: there is no image.
    """
    known = [one.sample.product for one in looked]
    facts = counter.counting
    figures = evaluate_counts(
        [(one.found, one.truth) for one in looked],
        scores=facts.scores,
        rng=np.random.default_rng(seed),
        rounds=rounds,
        confidence=confidence,
        products=[name or f"image {at}" for at, name in enumerate(known)],
    )
    inside = [
        interval.low <= one.true(name) <= interval.high
        for one in looked
        for name, spread in facts.spreads.items()
        for interval in [spread.interval(one.counted(facts.scores)[name])]
    ]
    return BoxEvaluation(
        figures=figures,
        covered=clopper_pearson(sum(inside), len(inside)) if inside else None,
        milliseconds=float(np.median([one.milliseconds for one in looked])),
        doubts=sum(bool(one.doubts) for one in looked),
    )


def write_box_evaluation(
    evaluation: BoxEvaluation,
    looked: Sequence[SeenBoxes],
    counter: BoxCounter,
    out: Path,
    *,
    notes: Sequence[str] = (),
) -> None:
    """Write evaluation.json and images.csv, one row an image and class: counted, true, their difference.

    Raises:
        DiskError: writing failed.
    """
    lines = [csv_line(["image", "product", "class", "counted", "true", "error", "milliseconds"])]
    for one in looked:
        for name, counted in one.counted(counter.counting.scores).items():
            true, spent = one.true(name), round(one.milliseconds, 1)
            row = [one.sample.path.name, one.sample.product, name, counted, true, counted - true, spent]
            lines.append(csv_line(row))
    write_atomic(out / "images.csv", "".join(lines))
    facts = {**evaluation.as_json(), "notes": list(notes)}
    write_atomic(out / "evaluation.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
