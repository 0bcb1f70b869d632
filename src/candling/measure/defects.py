"""How much of each defect is found, and how much of a sample is covered: measures of maps beside masks; knows no file.

Beside the areas under curves (``measure.anomaly``) these are what a materials scientist asks: at a rate of false alarms
that can be borne, which share of each defect is marked, how that depends on its size, what share of the sample is
covered, and how patches of prediction and truth agree. All intervals resample images, never pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import DataError, UsageError
from candling.measure.anomaly.resampling import draw, interval_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.measure.anomaly import PixelScores
    from candling.types import Interval

__all__ = [
    "Agreement",
    "Coverage",
    "SizeClass",
    "agreement",
    "agreement_rates",
    "covered_shares",
    "defect_coverage",
    "limit_at",
    "mean_of_images",
    "recall_by_size",
]

_LEVELS = 1024
"""Quantiles of the good pixels' upper part between which the bootstrap does not look."""


@dataclass(frozen=True)
class Coverage:
    """How much of each defect lies above the limit of a false-alarm rate.

    Attributes:
        limit: the map value that this share of the good pixels exceeds.
        regions: float64 (R,) in [0, 1], the share of each defect above the limit.
        mean: of ``regions``, each defect counting alike, with its interval by image.
    """

    limit: float
    regions: NDArray[np.float64]
    mean: Interval


@dataclass(frozen=True)
class SizeClass:
    """The defects of one class of size.

    Attributes:
        low: least area in pixels.
        high: area in pixels that belongs to the next class already; infinite for the last.
        count: how many defects.
        found: the share of them of which at least half is marked; None without a defect, like the next.
        coverage: the mean share marked.
    """

    low: float
    high: float
    count: int
    found: float | None
    coverage: float | None


@dataclass(frozen=True)
class Agreement:
    """Places where a patch of the truth and the same patch of the prediction are each of one kind.

    The fibre report (section 4.5) proposes this count, and calls a missed defect "false positive" and a false alarm
    "false negative", since it takes good for the positive kind.

    Attributes:
        found: truth and prediction wholly defect.
        accepted: both wholly good.
        missed_defect: truth wholly defect, prediction wholly good.
        false_alarm: truth wholly good, prediction wholly defect.
        mixed: truth or prediction of both kinds: not judged.
    """

    found: int = 0
    accepted: int = 0
    missed_defect: int = 0
    false_alarm: int = 0
    mixed: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        """Count the places of both."""
        return Agreement(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def agreement(marked: NDArray[np.bool_], truth: NDArray[np.bool_], *, patch: int = 29) -> Agreement:
    """Compare the patches around every pixel; at the border a patch is what of it lies in the image.

    Args:
        marked: bool (H, W), what the prediction calls defect.
        truth: bool (H, W), the mask.
        patch: side in pixels, odd.

    Raises:
        DataError: the two have different shapes.
        UsageError: the side is even or below 1.

    >>> truth = np.zeros((5, 5), bool)
    >>> agreement(truth, truth, patch=3).accepted, agreement(~truth, truth, patch=3).false_alarm
    (25, 25)
    """
    if marked.shape != truth.shape:
        raise DataError(f"the prediction has {marked.shape} px and the mask {truth.shape}; bring them to one size")
    if patch < 1 or patch % 2 == 0:
        raise UsageError(f"a patch around a pixel has an odd side, not {patch}")
    square = np.ones((patch, patch), np.uint8)
    (all_marked, none_marked), (all_true, none_true) = (
        (cv2.erode(one.astype(np.uint8), square) > 0, cv2.dilate(one.astype(np.uint8), square) == 0)
        for one in (marked, truth)
    )
    counts = [
        int(np.count_nonzero(of_truth & of_marked))
        for of_truth, of_marked in (
            (all_true, all_marked),
            (none_true, none_marked),
            (all_true, none_marked),
            (none_true, all_marked),
        )
    ]
    return Agreement(counts[0], counts[1], counts[2], counts[3], mixed=truth.size - sum(counts))


def agreement_rates(
    images: Sequence[Agreement], *, rng: np.random.Generator, rounds: int = 1000, confidence: float = 0.95
) -> tuple[Interval | None, Interval | None]:
    """Give the share of defect places missed and the share of good places with a false alarm, with intervals by image.

    Each is None without a place of its kind.
    """
    missed = np.array([[one.missed_defect, one.missed_defect + one.found] for one in images], np.float64)
    alarms = np.array([[one.false_alarm, one.false_alarm + one.accepted] for one in images], np.float64)
    times = _times(missed[:, 1] > 0, rounds, rng)
    return tuple(  # type: ignore[return-value]
        _ratio(part[:, 0], part[:, 1], times, confidence=confidence) for part in (missed, alarms)
    )


def limit_at(scores: PixelScores, false_alarms: float) -> float:
    """Give the map value that a share of the good pixels of all images exceeds.

    Raises:
        UsageError: the share is impossible.
        DataError: there is no good pixel.
    """
    if not 0.0 < false_alarms < 1.0:
        raise UsageError(f"a share of {false_alarms!r} good pixels is impossible; give one between 0 and 1")
    if not any(part.size for part in scores.good):
        raise DataError("no image has a good pixel, so no limit follows from a rate of false alarms")
    good = np.concatenate(scores.good)
    at = min(good.size - 1, int(np.ceil((1.0 - false_alarms) * good.size)) - 1)
    return float(np.partition(good, at)[at])


def defect_coverage(
    scores: PixelScores,
    *,
    rng: np.random.Generator,
    false_alarms: float = 0.05,
    rounds: int = 1000,
    confidence: float = 0.95,
) -> Coverage | None:
    """Give the share of each defect above the limit that ``false_alarms`` of the good pixels exceed.

    A defect is an 8-connected part of a mask. The limit is found anew in each round of the bootstrap.

    Args:
        scores: gathered maps and masks.
        rng: where chance comes from.
        false_alarms: share of the good pixels of all images, in (0, 1).
        rounds: how often images are drawn again.
        confidence: of the interval.

    Returns:
        None without a defect or without a good pixel.

    Raises:
        UsageError: an impossible share or confidence, or no round.

    Source: Carrera et al. 2017, IEEE Transactions on Industrial Informatics 13, 551, section V (their coverage at a
    false positive rate of 5 %).
    """
    if not scores.region_sizes.size or not any(part.size for part in scores.good):
        return None
    limit = limit_at(scores, false_alarms)
    regions = _covered(scores, limit)
    images = len(scores.good)
    is_defect = np.zeros(images, bool)
    is_defect[scores.region_images] = True
    # levels near the limit, where the limits of resampled images will lie
    good = np.concatenate([part[:: 1 + part.size // 8192] for part in scores.good])
    tail = np.quantile(good, np.linspace(max(0.0, 1.0 - 4.0 * false_alarms), 1.0, _LEVELS))
    levels = np.unique(np.concatenate([tail, [limit]]).astype(np.float32))
    above = np.stack([part.size - np.searchsorted(part, levels, side="right") for part in scores.good])
    sizes = np.array([part.size for part in scores.good])
    covered = np.zeros((images, levels.size))
    for number, image in enumerate(scores.region_images):
        values = np.sort(scores.defect[scores.region == number])
        covered[image] += 1.0 - np.searchsorted(values, levels, side="right") / values.size
    count = np.bincount(scores.region_images, minlength=images)
    times = np.vstack([np.ones(images), draw(is_defect, None, rounds=rounds, rng=rng)])
    rates = (times @ above) / (times @ sizes)[:, None]
    place = np.argmax(rates <= false_alarms + 1e-12, axis=1)  # the lowest level that keeps the rate
    draws = (times @ covered)[np.arange(len(times)), place] / (times @ count)
    value = float(regions.mean())
    shifted = np.clip(draws[1:] + value - draws[0], 0.0, 1.0)
    independent = int(is_defect.sum())
    return Coverage(limit, regions, interval_of(value, shifted, independent=independent, confidence=confidence))


def recall_by_size(
    scores: PixelScores, coverage: Coverage, *, edges: Sequence[float] = (0, 250, 1000, 4000)
) -> tuple[SizeClass, ...]:
    """Divide the defects by their area in pixels, and say how many of each class are found.

    Args:
        scores: gathered maps and masks.
        coverage: of them.
        edges: where each class begins, rising.
    """
    bounds = [*edges, np.inf]
    classes = []
    for low, high in pairwise(bounds):
        own = coverage.regions[(scores.region_sizes >= low) & (scores.region_sizes < high)]
        found, mean = (float(np.mean(own >= 0.5)), float(own.mean())) if own.size else (None, None)
        classes.append(SizeClass(low, high, own.size, found, mean))
    return tuple(classes)


def covered_shares(scores: PixelScores, limit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the share of each image above a limit, and the share that its mask says.

    Returns:
        Two float64 (images,) in [0, 1].
    """
    images = len(scores.good)
    of_image = scores.region_images[scores.region]
    defect = np.bincount(of_image, minlength=images)
    good = np.array([part.size for part in scores.good]) * scores.stride
    marked = np.bincount(of_image, weights=scores.defect > limit, minlength=images)
    marked += [scores.stride * (part.size - np.searchsorted(part, limit, side="right")) for part in scores.good]
    total = np.maximum(good + defect, 1)
    return marked / total, defect / total


def mean_of_images(
    values: NDArray[np.float64], *, rng: np.random.Generator, rounds: int = 1000, confidence: float = 0.95
) -> Interval | None:
    """Give the mean of one number in [0, 1] an image with its interval by image; None without images."""
    if not values.size:
        return None
    times = _times(np.zeros(values.size, bool), rounds, rng)
    return _ratio(values, np.ones_like(values), times, confidence=confidence)


def _covered(scores: PixelScores, limit: float) -> NDArray[np.float64]:
    marked = np.bincount(scores.region, weights=scores.defect > limit, minlength=scores.region_sizes.size)
    share: NDArray[np.float64] = marked / scores.region_sizes
    return share


def _times(is_defect: NDArray[np.bool_], rounds: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return draw(is_defect, None, rounds=rounds, rng=rng).astype(np.float64)


def _ratio(
    hits: NDArray[np.float64], total: NDArray[np.float64], times: NDArray[np.float64], *, confidence: float
) -> Interval | None:
    """Give the sum of hits over the sum of trials, with the interval of its draws."""
    if not total.sum():
        return None
    below = times @ total
    draws = np.divide(times @ hits, below, out=np.full(len(times), np.nan), where=below > 0)
    value = float(hits.sum() / total.sum())
    return interval_of(value, draws, independent=int(np.count_nonzero(total)), confidence=confidence)
