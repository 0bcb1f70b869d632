"""Found boxes against true ones: average precision, F1 at a score, and which score; no cap anywhere, no image file.

Three figures go by the name of average precision:

* :func:`average_precision`, COCO's: all images ranked together, 101 recall points, the envelope of precision. COCO's
  own tool looks at 100 boxes an image; here every box counts, so 500 right boxes of 500 give 1.0.
* :func:`plain_average_precision`: the same ranking, without interpolation (scikit-learn's definition).
* :func:`thesis_average_precision`: the counting thesis', image by image and among the found boxes only. Who finds one
  cell of a hundred, and that one right, reaches 1.0: it belongs beside the count error, never alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from candling.measure.anomaly.counts import precision_area
from candling.measure.matching import Found, Matched, Truth, match_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "COCO_IOUS",
    "Outcome",
    "average_precision",
    "choose_score",
    "mean_average_precision",
    "merit_at",
    "outcome_at",
    "plain_average_precision",
    "thesis_average_precision",
]

COCO_IOUS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The overlaps that COCO averages over: 0.5, 0.55, ..., 0.95."""

_POINTS: Final = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Outcome:
    """How many boxes were right at one score: ``found`` objects, ``missed`` objects, ``false`` boxes on no object."""

    found: int
    missed: int
    false: int

    @property
    def precision(self) -> float:
        """Share of the boxes that found an object; 1.0 where there is no box."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def recall(self) -> float:
        """Share of the objects that were found; 1.0 where there is no object."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 1.0 where there is neither box nor object.

        >>> Outcome(found=6, missed=2, false=2).f1
        0.75
        """
        counted = 2 * self.found + self.missed + self.false
        return 2 * self.found / counted if counted else 1.0


def average_precision(matched: Matched, *, times: NDArray[np.int64] | None = None) -> float | None:
    """Give COCO's average precision of one class at one overlap, over every box there is.

    Args:
        matched: the class over all images.
        times: int64 (images,), how often each image counts; None: once.

    Returns:
        In [0, 1]; None without an object.

    Source: the mean over the recalls 0, 0.01, ..., 1 of the best precision at that recall or more (COCO evaluation).
    """
    found, boxes, objects = _running(matched, times)
    if not objects:
        return None
    precision = np.divide(found, boxes, out=np.zeros_like(found), where=boxes > 0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(found / objects, _POINTS, side="left")
    reached = at < envelope.size
    return float(np.sum(envelope[at[reached]]) / _POINTS.size)


def plain_average_precision(matched: Matched, *, times: NDArray[np.int64] | None = None) -> float | None:
    """Give the average precision of one class without interpolation: sum of (R_n - R_{n-1}) P_n.

    Objects that nothing found are never reached by recall. Boxes of one score share one place.

    Returns:
        In [0, 1]; None without an object.
    """
    counts = np.ones(matched.truths.size, np.int64) if times is None else times
    objects = int(counts @ matched.truths)
    if not objects:
        return None
    hit, missed = _places(matched.scores, matched.hits, counts[matched.image].astype(np.float64))
    return float(precision_area(missed, hit)) * float(hit.sum()) / objects if hit.sum() else 0.0


def thesis_average_precision(images: Sequence[tuple[Found, Truth]], *, label: str, iou: float = 0.5) -> float | None:
    """Give the mean over images of the average precision among the found boxes, as the counting thesis reports it.

    AP = sum of (R_n - R_{n-1}) P_n, where the last recall is 1 by definition: objects that no box found are not in it.
    An image whose boxes find nothing has 0; one without any box or object is left out.

    Args:
        images: found and true boxes of each.
        label: the class.
        iou: the least overlap.

    Returns:
        In [0, 1]; None where every image is left out.

    Source: Tare 2020, section 4; scikit-learn's ``average_precision_score`` of the found boxes of one image.
    """
    values = []
    for pair in images:
        matched = match_images([pair], label=label, iou=iou)
        if matched.scores.size:
            hit, missed = _places(matched.scores, matched.hits, np.ones(matched.scores.size))
            values.append(float(precision_area(missed, hit)) if hit.sum() else 0.0)
        elif matched.truths.sum():
            values.append(0.0)
    return float(np.mean(values)) if values else None


def mean_average_precision(
    images: Sequence[tuple[Found, Truth]], *, labels: Sequence[str], ious: Sequence[float] = COCO_IOUS
) -> float | None:
    """Give COCO's mean average precision: over classes that occur and over overlaps.

    Returns:
        In [0, 1]; None where no class has an object.

    Raises:
        UsageError: an overlap is out of range.
    """
    found = [average_precision(match_images(images, label=label, iou=iou)) for label in labels for iou in ious]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None


def outcome_at(matched: Matched, score: float, *, times: NDArray[np.int64] | None = None) -> Outcome:
    """Count what boxes of at least this score found, missed and invented."""
    counts = np.ones(matched.truths.size, np.int64) if times is None else times
    taken = matched.scores >= score
    weights = counts[matched.image[taken]]
    found = int(weights @ matched.hits[taken])
    return Outcome(found, int(counts @ matched.truths) - found, int(weights.sum()) - found)


def merit_at(matched: Matched, score: float) -> tuple[float, float, float]:
    """Say how good a score is, to take the largest of: F1, minus the mean error of the counts, minus the score.

    F1 is rounded to three places, so that what is equally good is told apart by its counts; where nothing is and
    nothing was found it is 1.

    >>> merit_at(Matched(np.array([0.9, 0.8]), np.array([True, False]), np.array([0, 0]), np.array([1])), 0.85)
    (1.0, -0.0, -0.85)
    """
    counted = np.bincount(matched.image[matched.scores >= score], minlength=matched.truths.size)
    outcome = outcome_at(matched, score)
    f1 = outcome.f1 if outcome.found + outcome.missed + outcome.false else 1.0
    return round(f1, 3), -float(np.abs(counted - matched.truths).mean()), -score


def choose_score(matched: Matched, *, goal: Literal["f1", "count"] = "f1") -> float:
    """Choose the least score a box needs, on images that are not tested on.

    Args:
        matched: one class, at the overlap that counts.
        goal: "f1", the best F1; "count", the least mean absolute error of the counts by image.

    Returns:
        A score in the middle of its gap; of equally good ones the highest. Above the highest score where it is best to
        count nothing; 0.5 where no box was found.

    >>> scores, image = np.array([0.9, 0.8, 0.2]), np.array([0, 0, 0])
    >>> round(choose_score(Matched(scores, np.array([True, True, False]), image, np.array([2]))), 3)
    0.5
    """
    levels = np.unique(matched.scores)[::-1]
    if not levels.size:
        return 0.5
    if goal == "f1":
        merits, nothing = _f1_at(matched, levels), 0.0
    else:
        merits, nothing = -_count_errors(matched, levels), -float(matched.truths.mean())
    best = int(np.argmax(merits))
    if merits[best] < nothing:
        return float(np.nextafter(levels[0], np.inf))
    lower = levels[best + 1] if best + 1 < levels.size else levels[best]
    return float(0.5 * (levels[best] + lower))


def _f1_at(matched: Matched, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give F1 at each score, falling."""
    found, boxes, objects = _running(matched, None)
    last = np.searchsorted(-matched.scores, -levels, side="right") - 1
    return 2.0 * found[last] / (boxes[last] + objects)


def _count_errors(matched: Matched, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean absolute error of the counts of images at each score, falling."""
    counts = np.zeros(matched.truths.size, np.int64)
    errors, taken = np.empty(levels.size), 0
    for at, level in enumerate(levels):
        following = int(np.searchsorted(-matched.scores, -level, side="right"))
        np.add.at(counts, matched.image[taken:following], 1)
        taken = following
        errors[at] = np.abs(counts - matched.truths).mean()
    return errors


def _running(matched: Matched, times: NDArray[np.int64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Give the objects found and the boxes used down to each box, and all objects."""
    counts = np.ones(matched.truths.size, np.int64) if times is None else times
    weights = counts[matched.image].astype(np.float64)
    return np.cumsum(weights * matched.hits), np.cumsum(weights), int(counts @ matched.truths)


def _places(
    scores: NDArray[np.float64], hits: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count hits and false boxes at each distinct score, highest first."""
    levels, place = np.unique(-scores, return_inverse=True)
    hit = np.bincount(place, weights=weights * hits, minlength=levels.size).astype(np.float64)
    return hit, np.bincount(place, weights=weights, minlength=levels.size) - hit
