"""Metrics of whole images from their scores and verdicts; knows no map, no mask and no limit file.

Scores are larger for worse images. A score may be infinite (an image that could not be judged ranks worst, as it is
rejected) but not NaN or minus infinity. Where a metric has no meaning, because no good or no defective image is there,
it is None and belongs left out of a report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from candling.errors import DataError
from candling.intervals import clopper_pearson
from candling.measure.anomaly.counts import area_under_roc, precision_area, running_f1
from candling.measure.anomaly.resampling import draw, interval_of
from candling.types import Interval, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Curve",
    "average_precision",
    "best_f1",
    "bootstrap",
    "f1_at",
    "false_reject_rate",
    "image_auroc",
    "missed_defect_rate",
    "pr_curve",
    "roc_curve",
]

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A ROC or precision-recall curve by falling limit: point i rejects every score above ``limits[i]``.

    Attributes:
        limits: float64 (points,), falling, in the middle of the gaps between scores; first inf (rejects nothing), last
            -inf (rejects everything).
        false_reject: float64 (points,) in [0, 1], share of the good images rejected, rising.
        recall: float64 (points,) in [0, 1], share of the defects rejected, rising.
        precision: float64 (points,) in [0, 1], share of the rejected images that are defects; 1 where none is rejected.
    """

    limits: Scores
    false_reject: Scores
    recall: Scores
    precision: Scores


def image_auroc(good: ArrayLike, defect: ArrayLike) -> float | None:
    """Give the probability that a defective image scores higher than a good one, ties counting one half; exact.

    Args:
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.

    Returns:
        In [0, 1]; None without good or without defective images.

    Raises:
        DataError: a score is NaN or minus infinity.

    >>> image_auroc([1.0, 2.0, 3.0], [3.0, 4.0])
    0.9166666666666666
    """
    places = _places(good, defect)
    return None if places is None else float(area_under_roc(*places[1:]))


def average_precision(good: ArrayLike, defect: ArrayLike) -> float | None:
    """Give the average precision of rejecting defects, without interpolation (scikit-learn's definition); exact.

    Args:
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.

    Returns:
        In (0, 1]; None without good or without defective images.

    Raises:
        DataError: a score is NaN or minus infinity.

    >>> average_precision([1.0, 2.0], [3.0, 0.5])
    0.75
    """
    places = _places(good, defect)
    return None if places is None else float(precision_area(*places[1:]))


def best_f1(good: ArrayLike, defect: ArrayLike) -> tuple[float, float] | None:
    """Give the best F1 any limit reaches, and that limit, in the middle of its gap.

    Chosen on the scores it is measured on, so optimistic; of equally good limits the one that misses fewest defects.

    Args:
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.

    Returns:
        F1 in (0, 1], and the limit above which images are rejected; None without good or without defective images. The
        limit is -inf when it is best to reject everything.

    Raises:
        DataError: a score is NaN or minus infinity.

    >>> best_f1([1.0, 2.0], [6.0, 8.0])
    (1.0, 4.0)
    """
    places = _places(good, defect)
    if places is None:
        return None
    levels, *counts = places
    f1 = running_f1(*counts)
    best = f1.size - 1 - int(np.argmax(f1[::-1]))  # the last of equals: lowest limit, fewest missed defects
    return float(f1[best]), float(_gaps(levels)[best + 1])


def f1_at(good: ArrayLike, defect: ArrayLike, limit: float) -> float | None:
    """Give F1 of rejecting every score above a limit that was chosen elsewhere.

    Args:
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.
        limit: the largest accepted score. For verdicts give 1.0 for rejected, 0.0 for accepted, and the limit 0.5.

    Returns:
        In [0, 1]; None without defective images.

    Raises:
        DataError: a score is NaN or minus infinity.

    >>> f1_at([1.0, 5.0], [6.0, 8.0], 4.0)
    0.8
    """
    accepted, sought = _scores(good, "good"), _scores(defect, "defect")
    found, false_rejects = int(np.count_nonzero(sought > limit)), int(np.count_nonzero(accepted > limit))
    return 2.0 * found / (found + false_rejects + sought.size) if sought.size else None


def roc_curve(good: ArrayLike, defect: ArrayLike) -> Curve | None:
    """Give false-reject rate and recall for every limit that makes a difference; None where a curve has no meaning.

    Args:
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.

    Raises:
        DataError: a score is NaN or minus infinity.

    >>> curve = roc_curve([1.0, 2.0], [6.0])
    >>> curve.limits.tolist(), curve.recall.tolist(), curve.false_reject.tolist()
    ([inf, 4.0, 1.5, -inf], [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    places = _places(good, defect)
    if places is None:
        return None
    levels, goods, defects = places
    rejected, found = (np.concatenate([[0.0], np.cumsum(row)]) for row in (goods, defects))
    precision = np.divide(found, found + rejected, out=np.ones_like(found), where=found + rejected > 0)
    return Curve(_gaps(levels), rejected / rejected[-1], found / found[-1], precision)


def pr_curve(good: ArrayLike, defect: ArrayLike) -> Curve | None:
    """Give precision and recall for every limit that makes a difference: the points of :func:`roc_curve`.

    >>> pr_curve([1.0, 2.0], [6.0]).precision.round(3).tolist()
    [1.0, 1.0, 0.5, 0.333]
    """
    return roc_curve(good, defect)


def false_reject_rate(verdicts: Iterable[Verdict], *, confidence: float = 0.95) -> Interval | None:
    """Give the share of good images that were not accepted, with its Clopper-Pearson interval.

    Undecided counts as rejected: on the line it ejects.

    Args:
        verdicts: one a good image; images of different products, else use :func:`bootstrap` with their products.
        confidence: of the two-sided interval.

    Returns:
        None without verdicts.

    >>> false_reject_rate([Verdict.ACCEPT, Verdict.UNDECIDED, Verdict.REJECT, Verdict.ACCEPT]).value
    0.5
    """
    return _rate([verdict is not Verdict.ACCEPT for verdict in verdicts], confidence)


def missed_defect_rate(verdicts: Iterable[Verdict], *, confidence: float = 0.95) -> Interval | None:
    """Give the share of defective images that were accepted, with its Clopper-Pearson interval.

    Args:
        verdicts: one a defective image; images of different products, else use :func:`bootstrap` with their products.
        confidence: of the two-sided interval.

    Returns:
        None without verdicts.

    >>> missed = missed_defect_rate([Verdict.REJECT] * 59, confidence=0.90)  # two-sided 90 % is one-sided 95 %
    >>> missed.value, round(missed.high, 3)
    (0.0, 0.05)
    """
    return _rate([verdict is Verdict.ACCEPT for verdict in verdicts], confidence)


def bootstrap(
    metric: Callable[[Scores, Scores], float | None],
    good: ArrayLike,
    defect: ArrayLike,
    *,
    rng: np.random.Generator,
    rounds: int = 1000,
    confidence: float = 0.95,
    products: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Interval | None:
    """Give a metric of scores with its percentile bootstrap interval, resampling images within good and defect.

    Args:
        metric: of good and defect scores, such as :func:`image_auroc` or ``lambda g, d: best_f1(g, d)[0]``.
        good: float (N,), scores of good images.
        defect: float (M,), scores of defective images.
        rng: where chance comes from.
        rounds: how often the images are drawn again.
        confidence: of the interval.
        products: the products of the good and of the defective images, where a product has several; whole products are
            then drawn, those with a defect apart from those without.

    Returns:
        The metric on all images with its interval, which for a perfect value is no narrower than its sample allows (see
        :func:`candling.measure.anomaly.resampling.interval_of`); None where the metric is None.

    Raises:
        DataError: a score is NaN or minus infinity.
        UsageError: no round, an impossible confidence, or products that do not fit the scores.

    >>> interval = bootstrap(image_auroc, [1.0, 2.0, 3.0], [2.5, 4.0], rng=np.random.default_rng(0), rounds=100)
    >>> interval.low <= interval.value == 5 / 6 <= interval.high
    True
    """
    goods, defects = _scores(good, "good"), _scores(defect, "defect")
    value = metric(goods, defects)
    if value is None:
        return None
    is_defect = np.repeat([False, True], [goods.size, defects.size])
    names = None if products is None else [*products[0], *products[1]]
    drawn = [
        metric(np.repeat(goods, times[: goods.size]), np.repeat(defects, times[goods.size :]))
        for times in draw(is_defect, names, rounds=rounds, rng=rng)
    ]
    draws = np.array([np.nan if one is None else one for one in drawn])
    independent = _independent(goods.size, defects.size, products)
    return interval_of(value, draws, independent=independent, confidence=confidence)


def _independent(goods: int, defects: int, products: tuple[Sequence[str], Sequence[str]] | None) -> int:
    counts = (goods, defects) if products is None else (len(set(products[0])), len(set(products[1])))
    return max(1, min(count for count in counts if count) if any(counts) else 1)


def _rate(hits: Sequence[bool], confidence: float) -> Interval | None:
    return clopper_pearson(sum(hits), len(hits), confidence=confidence) if hits else None


def _scores(values: ArrayLike, what: str) -> Scores:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise DataError(f"{what} scores must be one row of numbers, not an array of shape {scores.shape}")
    strange = np.flatnonzero(~(scores > -np.inf))
    if strange.size:
        raise DataError(
            f"{strange.size} of {scores.size} {what} scores cannot be ranked (number {strange[0] + 1} is "
            f"{scores[strange[0]]}); give infinity for images that could not be judged"
        )
    return scores


def _places(good: ArrayLike, defect: ArrayLike) -> tuple[Scores, Scores, Scores] | None:
    """Count good and defective images at each distinct score, highest first."""
    goods, defects = _scores(good, "good"), _scores(defect, "defect")
    if not goods.size or not defects.size:
        return None
    levels, place = np.unique(np.concatenate([goods, defects]), return_inverse=True)
    counts = [np.bincount(part, minlength=levels.size)[::-1] for part in (place[: goods.size], place[goods.size :])]
    return levels[::-1], counts[0].astype(np.float64), counts[1].astype(np.float64)


def _gaps(falling: Scores) -> Scores:
    """Give the limits between neighbouring levels, infinite at both ends; the lower level where there is no middle."""
    upper, lower = falling[:-1], falling[1:]
    middle = 0.5 * upper + 0.5 * lower
    middle = np.where((lower < middle) & (middle < upper), middle, lower)
    return np.concatenate([[np.inf], middle, [-np.inf]])
