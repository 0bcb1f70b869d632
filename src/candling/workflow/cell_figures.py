"""A counter on images whose cells are numbered: what parts and counts cells best, every figure, and the area's Dice.

Knows no network. Objects under the bundle's least size are debris: they count neither as found nor as missed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.data.numbered import read_numbered
from candling.disk import write_atomic
from candling.errors import UsageError
from candling.intervals import clopper_pearson
from candling.measure.by_image import draw_images, figure_with_interval
from candling.measure.count_spread import learn_spread
from candling.measure.detection import merit_at
from candling.measure.matching import Found, Truth, match_images
from candling.pixels.instances import boxes_of_instances
from candling.workflow.count_figures import CountFigures, evaluate_counts
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.runtime.cells import CellCounter
    from candling.runtime.counting import Counting
    from candling.types import Interval

__all__ = ["CellEvaluation", "LookedAt", "choose_least", "evaluate_cells", "look_at", "write_cell_evaluation"]

IOU: Final = 0.5
"""A found box is a cell if they share so much of their joint area."""

SCORES: Final = tuple(round(0.02 * step, 2) for step in range(25, 50))
"""Among these the least score of a counted cell is chosen: 0.5, 0.52, to 0.98."""

INSIDES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Among these is chosen how likely a pixel must be inside: where it learned little, a network joins what touches."""


@dataclass(frozen=True)
class LookedAt:
    """What a counter saw in one image, beside what is true of it.

    Attributes:
        sample: the image.
        found: every cell, whatever its score.
        truth: every object; debris is ignored.
        seen_px: pixels in any cell seen.
        true_px: pixels in any object.
        shared_px: pixels in both.
        milliseconds: from the frame in memory to its cells.
        expected: cells by the graph's density; None where it gives none.
    """

    sample: Sample
    found: Found
    truth: Truth
    seen_px: int
    true_px: int
    shared_px: int
    milliseconds: float
    expected: float | None = None

    def counted(self, least: float) -> int:
        """Say what is counted: by the density where there is one, else the cells of at least this score."""
        return int((self.found.scores >= least).sum()) if self.expected is None else round(self.expected)

    @property
    def true(self) -> int:
        """How many objects there are, debris left out."""
        return len(self.truth.labels) - (0 if self.truth.ignored is None else int(self.truth.ignored.sum()))


@dataclass(frozen=True)
class CellEvaluation:
    """The figures of a counter.

    Attributes:
        figures: of detection and counting.
        area_dice: twice the shared area over the sum of both, all images together; None without any area.
        empty_images: images without an object.
        empty_wrong: of these, how many in which something was counted.
        milliseconds: the median over images, frame in memory to cells.
        covered: share of images whose true count lies in the interval of its count; None where it has none.
        interval_width: of these intervals, the median; None likewise.
    """

    figures: CountFigures
    area_dice: Interval | None
    empty_images: int
    empty_wrong: int
    milliseconds: float
    covered: Interval | None = None
    interval_width: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Give plain values: what ``candling evaluate --json`` prints for a counter."""
        dice, one = self.area_dice, self.covered
        return {
            **self.figures.as_json(),
            "area_dice": None if dice is None else {"value": dice.value, "low": dice.low, "high": dice.high},
            "empty_images": self.empty_images,
            "empty_wrong": self.empty_wrong,
            "milliseconds": round(self.milliseconds, 1),
            "interval_covers": None if one is None else {"value": one.value, "low": one.low, "high": one.high},
            "interval_width": self.interval_width,
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Give the lines of a table for people: figure, value, and the interval's ends."""
        figures = self.figures
        named: list[tuple[str, Interval | None]] = [
            ("count, mean absolute error", figures.count_mae),
            ("count, mean of counted minus true", figures.count_bias),
            ("F1 at an overlap of 0.5", figures.f1_50),
            ("average precision at 0.5", figures.map_50),
            ("average precision, 0.5 to 0.95", figures.map),
            ("area, Dice", self.area_dice),
            ("true count inside the interval", self.covered),
        ]
        lines = [
            (name, "", "", "") if one is None else (name, f"{one.value:.3f}", f"{one.low:.3f}", f"{one.high:.3f}")
            for name, one in named
        ]
        wrong = f"{self.empty_wrong} of {self.empty_images}"
        spent = f"{self.milliseconds:.0f}"
        return [*lines, ("empty images with a count", wrong, "", ""), ("milliseconds an image", spent, "", "")]


def look_at(
    counter: CellCounter,
    samples: Sequence[Sample],
    *,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[LookedAt, ...]:
    """Find the cells of labelled images.

    Args:
        counter: the bundle, opened.
        samples: each with a mask that numbers its cells.
        progress: called with (done, total) images.
        clock: seconds, never going back.

    Raises:
        DataError: an image or its mask cannot be used.
    """
    label = next(iter(counter.counting.scores))
    looked = []
    for done, sample in enumerate(samples, start=1):
        frame, labels = read_numbered(sample)
        begun = clock()
        seen = counter.look(frame)
        spent = clock() - begun
        truth = _truth(labels, counter, label)
        found = Found(seen.found.boxes, [label] * len(seen.found), seen.found.scores)
        assert seen.covered is not None  # a frame in memory
        covered, true = seen.covered > 0, labels > 0
        shared = covered & true
        areas = int(covered.sum()), int(true.sum()), int(shared.sum())
        looked.append(LookedAt(sample, found, truth, *areas, 1000.0 * spent, seen.expected))
        if progress is not None:
            progress(done, len(samples))
    return tuple(looked)


def choose_least(
    counter: CellCounter, samples: Sequence[Sample], *, progress: Callable[[int, int], None] | None = None
) -> Counting:
    """Choose what parts cells and which of them count: best F1, then least count error, then the lowest numbers.

    A density is scaled so that it sums up to the objects of these images. How far their counts then lie from the truth
    gives every later count its interval.

    Args:
        counter: whatever its own numbers are.
        samples: images that were not learned from, each with a mask that numbers its cells.
        progress: called with (done, total) images.

    Returns:
        the counter's facts with ``least_inside``, least score, the density's factor and the spread of counts chosen.

    Raises:
        UsageError: there is no image.
        DataError: an image or its mask cannot be used.
        EngineError: the engine failed.
    """
    if not samples:
        raise UsageError("no image to choose the least score from; give at least one that was not learned from")
    label = next(iter(counter.counting.scores))
    pairs: dict[float, list[tuple[Found, Truth]]] = {inside: [] for inside in INSIDES}
    summed: list[float | None] = []
    for done, sample in enumerate(samples, start=1):
        frame, labels = read_numbered(sample)
        truth = _truth(labels, counter, label)
        seen, expected = counter.answers(frame)
        summed.append(expected)
        for inside, some in pairs.items():
            _, found, _ = counter.cells_of(seen, least_inside=inside)
            some.append((Found(found.boxes, [label] * len(found), found.scores), truth))
        if progress is not None:
            progress(done, len(samples))
    best = max(
        (merit_at(matched, score), -inside, inside, score)
        for inside, some in pairs.items()
        for matched in [match_images(some, label=label, iou=IOU)]
        for score in SCORES
    )
    return _settled(counter, pairs[best[2]], summed, score=best[3], inside=best[2])


def _settled(
    counter: CellCounter,
    pairs: Sequence[tuple[Found, Truth]],
    summed: Sequence[float | None],
    *,
    score: float,
    inside: float,
) -> Counting:
    """Give what was chosen, with what follows from it: the density's factor and the spread of counts."""
    label = next(iter(counter.counting.scores))
    true = [int((~np.asarray(truth.ignored, bool)).sum()) for _, truth in pairs]
    whole = sum(one for one in summed if one is not None)
    factor = sum(true) / whole if whole > 0.0 and any(true) else 1.0
    counted = [
        int((found.scores >= score).sum()) if expected is None else round(expected * factor)
        for (found, _), expected in zip(pairs, summed, strict=True)
    ]
    spread = learn_spread(counted, true)
    return replace(
        counter.counting,
        scores={label: score},
        least_inside=inside,
        density_factor=counter.counting.density_factor * factor,
        spreads={} if spread is None else {label: spread},
    )


def _truth(labels: NDArray[np.uint8] | NDArray[np.uint16], counter: CellCounter, label: str) -> Truth:
    boxes, sizes = boxes_of_instances(labels)
    return Truth(boxes.astype(np.float64), [label] * len(boxes), sizes < counter.counting.least_px)


def evaluate_cells(
    counter: CellCounter,
    looked: Sequence[LookedAt],
    *,
    seed: int = 0,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> CellEvaluation:
    """Measure a counter on what it saw.

    Args:
        counter: gives the least scores.
        looked: of :func:`look_at`.
        seed: of the rounds.
        rounds: how often the images are drawn again for the intervals.
        confidence: of every interval.

    Raises:
        UsageError: there is no image.
    """
    rng = np.random.default_rng(seed)
    known = [one.sample.product for one in looked]
    products = [name or f"image {at}" for at, name in enumerate(known)]
    figures = evaluate_counts(
        [(one.found, one.truth) for one in looked],
        scores=counter.counting.scores,
        rng=rng,
        rounds=rounds,
        confidence=confidence,
        products=products,
        counted=_by_density(looked, counter),
    )
    areas = np.array([(one.seen_px, one.true_px, one.shared_px) for one in looked], np.int64)

    def dice(times: NDArray[np.int64]) -> float | None:
        seen, true, shared = (times @ areas).tolist()
        return 2.0 * shared / (seen + true) if seen + true else None

    times = draw_images(len(looked), rounds=rounds, rng=rng, products=products)
    least = min(counter.counting.scores.values())
    empty = [one for one in looked if not one.truth.boxes.size or bool(np.all(one.truth.ignored))]
    return CellEvaluation(
        figures=figures,
        area_dice=figure_with_interval(dice, times, confidence=confidence),
        empty_images=len(empty),
        empty_wrong=sum(one.counted(least) > 0 for one in empty),
        milliseconds=float(np.median([one.milliseconds for one in looked])),
        **_intervals(looked, counter, least),
    )


def _by_density(looked: Sequence[LookedAt], counter: CellCounter) -> dict[str, list[int]] | None:
    counted = [round(one.expected) for one in looked if one.expected is not None]
    return {next(iter(counter.counting.scores)): counted} if len(counted) == len(looked) else None


def _intervals(looked: Sequence[LookedAt], counter: CellCounter, least: float) -> dict[str, Any]:
    """Say how many true counts lie inside the interval of their count, and how wide these are."""
    spread = counter.counting.spreads.get(next(iter(counter.counting.scores)))
    if spread is None:
        return {}
    found = [(spread.interval(one.counted(least)), one.true) for one in looked]
    inside = sum(interval.low <= true <= interval.high for interval, true in found)
    width = float(np.median([interval.high - interval.low for interval, _ in found]))
    return {"covered": clopper_pearson(inside, len(found)), "interval_width": width}


def write_cell_evaluation(
    evaluation: CellEvaluation,
    looked: Sequence[LookedAt],
    counter: CellCounter,
    out: Path,
    *,
    notes: Sequence[str] = (),
) -> None:
    """Write evaluation.json and images.csv, one row an image: counted, true, their difference, Dice of the area.

    Raises:
        DiskError: writing failed.
    """
    least = min(counter.counting.scores.values())
    lines = [csv_line(["image", "product", "counted", "true", "error", "area_dice", "milliseconds"])]
    for one in looked:
        counted, true = one.counted(least), one.true
        both = one.seen_px + one.true_px
        dice = round(2.0 * one.shared_px / both, 4) if both else None
        name, spent = one.sample.path.name, round(one.milliseconds, 1)
        lines.append(csv_line([name, one.sample.product, counted, true, counted - true, dice, spent]))
    write_atomic(out / "images.csv", "".join(lines))
    facts = {**evaluation.as_json(), "notes": list(notes)}
    write_atomic(out / "evaluation.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
