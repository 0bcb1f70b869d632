"""How well a counter does on images whose truth is known: every figure of detection and counting, by class and in all.

Takes found and true boxes; knows no network, no file and no page. Figures of detection and of counting stand side by
side on purpose: as many false boxes as missed cells make a perfect count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from candling.errors import UsageError
from candling.measure.by_image import draw_images, figure_with_interval
from candling.measure.counting import CountErrors, count_errors, errors_by_density, growth_with_density
from candling.measure.detection import (
    COCO_IOUS,
    Outcome,
    average_precision,
    outcome_at,
    thesis_average_precision,
)
from candling.measure.matching import match_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from candling.measure.counting import DensityBin
    from candling.measure.matching import Found, Matched, Truth
    from candling.types import Interval

    Figure = Callable[[NDArray[np.int64]], float | None]

__all__ = ["ClassFigures", "CountFigures", "evaluate_counts"]


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class.

    Attributes:
        label: its name.
        score: the least score of a counted box.
        objects: true ones that count.
        ap_50: COCO's average precision at an overlap of 0.5; None without an object.
        ap: the same over the overlaps 0.5 to 0.95.
        thesis_ap: as the counting thesis defines it.
        f1_50: at the score; None where there is neither box nor object.
        outcome: found, missed and false at the score, all images together.
        counts: errors of the counts.
        by_density: the same from sparse to dense images.
        growth: slope of the relative error over the true count; None where it has none.
    """

    label: str
    score: float
    objects: int
    ap_50: Interval | None
    ap: Interval | None
    thesis_ap: float | None
    f1_50: Interval | None
    outcome: Outcome
    counts: CountErrors
    by_density: tuple[DensityBin, ...]
    growth: Interval | None

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "score": self.score,
            "objects": self.objects,
            "map_50": _json(self.ap_50),
            "map": _json(self.ap),
            "thesis_map_50": self.thesis_ap,
            "f1_50": _json(self.f1_50),
            "precision_50": self.outcome.precision,
            "recall_50": self.outcome.recall,
            "found": self.outcome.found,
            "missed": self.outcome.missed,
            "false": self.outcome.false,
            "count_mae": _json(self.counts.mae),
            "count_rmse": _json(self.counts.rmse),
            "count_bias": _json(self.counts.bias),
            "count_relative": _json(self.counts.relative),
            "count_growth": _json(self.growth),
            "by_density": [
                {
                    "low": one.low,
                    "high": one.high,
                    "images": one.images,
                    "count_mae": one.mae,
                    "count_bias": one.bias,
                    "count_relative": one.relative,
                }
                for one in self.by_density
            ],
        }


@dataclass(frozen=True)
class CountFigures:
    """The figures of all classes.

    Attributes:
        images: how many were looked at.
        map_50: mean over classes of COCO's average precision at 0.5; None without any object.
        map: the same over the overlaps 0.5 to 0.95.
        f1_50: of all boxes together, each at its class's score.
        count_mae: mean absolute error of the count of all objects of an image.
        count_bias: mean of counted minus true.
        per_class: by name.
    """

    images: int
    map_50: Interval | None
    map: Interval | None
    f1_50: Interval | None
    count_mae: Interval
    count_bias: Interval
    per_class: Mapping[str, ClassFigures]

    def as_json(self) -> dict[str, Any]:
        """Give plain values: what ``candling evaluate --json`` prints for a counter."""
        return {
            "images": self.images,
            "map_50": _json(self.map_50),
            "map": _json(self.map),
            "f1_50": _json(self.f1_50),
            "count_mae": _json(self.count_mae),
            "count_bias": _json(self.count_bias),
            "per_class": {label: one.as_json() for label, one in self.per_class.items()},
        }


def evaluate_counts(
    images: Sequence[tuple[Found, Truth]],
    *,
    scores: Mapping[str, float],
    rng: np.random.Generator,
    rounds: int = 1000,
    confidence: float = 0.95,
    products: Sequence[str] | None = None,
    counted: Mapping[str, Sequence[float]] | None = None,
) -> CountFigures:
    """Measure a counter.

    Args:
        images: found and true boxes of each image; all boxes, whatever their score.
        scores: the least score of a counted box, by class; these are the classes.
        rng: where chance comes from.
        rounds: how often the images are drawn again for the intervals.
        confidence: of every interval.
        products: the well, slide or patient of each image, where one has several.
        counted: how many of each class each image holds, where that is not the number of its boxes.

    Raises:
        UsageError: there is no image or no class.
    """
    if not images or not scores:
        raise UsageError(f"{len(images)} images and {len(scores)} classes measure nothing; give at least one of each")
    times = draw_images(len(images), rounds=rounds, rng=rng, products=products)
    matched = {label: {iou: match_images(images, label=label, iou=iou) for iou in COCO_IOUS} for label in scores}
    at_half = {label: by_iou[COCO_IOUS[0]] for label, by_iou in matched.items()}
    by_boxes, true = _counts(at_half, scores)
    given = counted or {}
    totals = {label: np.asarray(given.get(label, by_boxes[label]), np.float64) for label in scores}
    errors = {
        label: count_errors(
            totals[label], true[label], rng=rng, rounds=rounds, confidence=confidence, products=products
        )
        for label in scores
    }

    def interval(figure: Figure) -> Interval | None:
        return figure_with_interval(figure, times, confidence=confidence)

    per_class = {
        label: ClassFigures(
            label=label,
            score=score,
            objects=int(at_half[label].truths.sum()),
            ap_50=interval(_mean_ap([at_half[label]])),
            ap=interval(_mean_ap(list(matched[label].values()))),
            thesis_ap=thesis_average_precision(images, label=label),
            f1_50=interval(_f1_of([(at_half[label], score)])),
            outcome=outcome_at(at_half[label], score),
            counts=errors[label],
            by_density=errors_by_density(totals[label], true[label]),
            growth=growth_with_density(totals[label], true[label], rng=rng, rounds=rounds, confidence=confidence),
        )
        for label, score in scores.items()
    }
    together = count_errors(
        sum(totals.values()), sum(true.values()), rng=rng, rounds=rounds, confidence=confidence, products=products
    )
    return CountFigures(
        images=len(images),
        map_50=interval(_mean_ap(list(at_half.values()))),
        map=interval(_mean_ap([one for by_iou in matched.values() for one in by_iou.values()])),
        f1_50=interval(_f1_of([(at_half[label], score) for label, score in scores.items()])),
        count_mae=together.mae,
        count_bias=together.bias,
        per_class=per_class,
    )


def _counts(
    matched: Mapping[str, Matched], scores: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Count boxes and objects of each image by class; boxes on ignored objects count on neither side."""
    counted = {
        label: np.bincount(one.image[one.scores >= scores[label]], minlength=one.truths.size).astype(np.int64)
        for label, one in matched.items()
    }
    return counted, {label: one.truths for label, one in matched.items()}


def _mean_ap(matched: Sequence[Matched]) -> Figure:
    """Give the mean average precision of some classes and overlaps, as a function of how often each image counts."""

    def figure(times: NDArray[np.int64]) -> float | None:
        values = [value for one in matched if (value := average_precision(one, times=times)) is not None]
        return float(np.mean(values)) if values else None

    return figure


def _f1_of(matched: Sequence[tuple[Matched, float]]) -> Figure:
    """Give F1 of some classes together, each at its score."""

    def figure(times: NDArray[np.int64]) -> float | None:
        outcomes = [outcome_at(one, score, times=times) for one, score in matched]
        whole = Outcome(
            found=sum(one.found for one in outcomes),
            missed=sum(one.missed for one in outcomes),
            false=sum(one.false for one in outcomes),
        )
        return whole.f1 if whole.found + whole.missed + whole.false else None

    return figure


def _json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}
