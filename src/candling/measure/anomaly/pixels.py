"""Metrics of pixels: how well anomaly maps find the defect itself; knows no file, no image score and no verdict.

The maps pass by once and are not kept. What is kept: of each image the scores of its good pixels, sorted; of each
defective pixel its score and its region (a region is an 8-connected part of a mask, as in MVTec AD's own evaluation).

That is enough for exact values. The ROC curve, the precision-recall curve and the per-region overlap change only at
scores of defective pixels, and defective pixels are few: so good pixels need only be counted between those scores.
Up to :data:`KEEP` good pixels (256 images of 512x512) nothing is rounded beyond float32. Of more, every second, fourth,
... of each image's sorted scores is kept and stands for its neighbours; ``PixelScores.resolution`` then bounds the
error of every false-reject rate on the curves. A thousand images of 512x512, every 23rd pixel defective: 2e-5, and
below 2 GB while the metrics are computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from candling.errors import DataError, UsageError
from candling.measure.anomaly.counts import area_under_roc, partial_area, precision_area
from candling.measure.anomaly.resampling import draw, interval_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from candling.types import FloatArray, Interval

__all__ = ["KEEP", "PixelEstimates", "PixelScores", "aupro", "pixel_auroc", "pixel_average_precision"]

KEEP = 2**26
"""How many scores of good pixels are kept before they are thinned."""

CHUNK = 2**24
"""How many scores are sorted together at most."""

LEVELS = 2048
"""Quantiles of the good and of the defective scores each, between which the bootstrap does not look."""

Mask = NDArray[np.bool_] | NDArray[np.integer]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class PixelEstimates:
    """The three pixel metrics with their intervals; each None where there is no good or no defective pixel."""

    auroc: Interval | None
    average_precision: Interval | None
    aupro: Interval | None


@dataclass(frozen=True)
class PixelScores:
    """The scores of all pixels of a set of images, gathered once; see :meth:`gather`.

    Attributes:
        good: of each image the kept scores of its good pixels, float32, ascending.
        stride: how many good pixels each kept one stands for; 1 is exact.
        defect: float32 (D,), the scores of all defective pixels.
        region: int32 (D,), the region each of them belongs to.
        region_sizes: int64 (regions,), in pixels.
        region_images: int64 (regions,), the image each region lies in.
    """

    good: tuple[FloatArray, ...]
    stride: int
    defect: FloatArray
    region: NDArray[np.int32]
    region_sizes: NDArray[np.int64]
    region_images: NDArray[np.int64]

    @classmethod
    def gather(cls, pairs: Iterable[tuple[NDArray[np.floating], Mask | None]], *, keep: int = KEEP) -> PixelScores:
        """Take in maps and masks one after the other; neither is kept.

        Args:
            pairs: the anomaly map, float (H, W), finite, larger is worse (held as float32), and the mask, bool or
                integer (H, W), not 0 is defect; None for a good image. Leave out defective images that have no mask.
            keep: how many good pixels to keep before thinning.

        Raises:
            DataError: a map is not finite or not (H, W), or a mask has another shape.

        >>> anomaly_map = np.array([[0.1, 0.2], [0.9, 0.15]], np.float32)
        >>> scores = PixelScores.gather([(anomaly_map, np.array([[False, False], [True, True]]))])
        >>> round(scores.auroc(), 3), round(scores.average_precision(), 3)
        (0.75, 0.833)
        """
        good: list[FloatArray] = []
        kept, stride = 0, 1
        defects: list[FloatArray] = [np.empty(0, np.float32)]
        regions: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        sizes: list[int] = []
        images: list[int] = []
        for index, (anomaly_map, mask) in enumerate(pairs):
            clean, flawed, labels = _split(anomaly_map, mask, index)
            good.append(_thinned(np.sort(clean), 1, stride))
            kept += good[-1].size
            while kept > keep:
                good = [_thinned(scores, stride, 2 * stride) for scores in good]
                kept, stride = sum(scores.size for scores in good), 2 * stride
            if flawed.size:
                defects.append(flawed)
                regions.append(labels + np.int32(len(sizes)))
                counted = np.bincount(labels)
                sizes.extend(counted.tolist())
                images.extend([index] * counted.size)
        return cls(
            tuple(good),
            stride,
            np.concatenate(defects),
            np.concatenate(regions),
            np.asarray(sizes, np.int64),
            np.asarray(images, np.int64),
        )

    @property
    def resolution(self) -> float:
        """How far a false-reject rate on the curves may be from the exact one: 0 while nothing is thinned."""
        total = self.stride * sum(scores.size for scores in self.good)
        return 0.0 if self.stride == 1 else self.stride * len(self.good) / total

    def auroc(self) -> float | None:
        """Give the area under the pixels' ROC curve, in [0, 1]; None without good or without defective pixels."""
        return None if self._places is None else float(area_under_roc(*self._places[:2]))

    def average_precision(self) -> float | None:
        """Give the pixels' average precision, in (0, 1]; None without good or without defective pixels."""
        return None if self._places is None else float(precision_area(*self._places[:2]))

    def aupro(self, *, limit: float = 0.3) -> float | None:
        """Give the area under the per-region overlap, up to a false-reject rate of pixels, divided by that rate.

        Each region counts alike, however small. The false-reject rate is taken over the good pixels of all images.

        Args:
            limit: the largest false-reject rate, in (0, 1].

        Returns:
            In [0, 1]; None without good or without defective pixels.

        Raises:
            UsageError: the limit is out of range.

        Source: Bergmann et al. 2021, IJCV 129, 1038, section 4; the limit 0.3 is theirs.
        """
        _check_limit(limit)
        return None if self._places is None else float(partial_area(self._places[0], self._places[2], limit))

    def estimate(
        self,
        *,
        rng: np.random.Generator,
        limit: float = 0.3,
        rounds: int = 200,
        confidence: float = 0.95,
        products: Sequence[str] | None = None,
    ) -> PixelEstimates:
        """Give all three metrics with bootstrap intervals, resampling images and never pixels.

        The values are exact. For the intervals scores are told apart only at 2048 quantiles of the good and of the
        defective pixels each, which moves an area by at most 1/4096 and less in practice; the draws are shifted by the
        difference between the value at this resolution and the exact one.

        Args:
            rng: where chance comes from.
            limit: of AUPRO, in (0, 1].
            rounds: how often images are drawn again.
            confidence: of the intervals.
            products: the product of each image, in the order they were gathered; whole products are then drawn.

        Raises:
            UsageError: no round, an impossible limit or confidence, or products that do not fit the images.
        """
        _check_limit(limit)
        values = (self.auroc(), self.average_precision(), self.aupro(limit=limit))
        if self._places is None:
            return PixelEstimates(None, None, None)
        is_defect = np.zeros(len(self.good), bool)
        is_defect[self.region_images] = True
        times = draw(is_defect, products, rounds=rounds, rng=rng).astype(np.float64)
        times = np.vstack([np.ones(len(self.good)), times])  # the first row is the data as they are
        good, defect, gain = self._histograms(is_defect)
        rows = (times @ good, times[:, is_defect] @ defect, times[:, is_defect] @ gain)
        with np.errstate(invalid="ignore", divide="ignore"):  # a round without a good pixel gives NaN and is left out
            covered = rows[2] / rows[2].sum(-1, keepdims=True)
            draws = (area_under_roc(*rows[:2]), precision_area(*rows[:2]), partial_area(rows[0], covered, limit))
        names: Sequence[object] = range(len(self.good)) if products is None else products
        independent = len({name for name, flawed in zip(names, is_defect, strict=True) if flawed})
        return PixelEstimates(
            *(
                interval_of(value, _shifted(row, value), independent=independent, confidence=confidence)
                for value, row in zip(values, draws, strict=True)
                if value is not None
            )
        )

    @cached_property
    def _places(self) -> tuple[Counts, Counts, Counts] | None:
        """Count good pixels, defective pixels and covered shares of regions at each place, highest score first.

        Places alternate: the good pixels between two neighbouring scores of defective pixels, then all pixels of the
        lower of the two scores.
        """
        kept = sum(scores.size for scores in self.good)
        if not kept or not self.defect.size:
            return None
        order = np.argsort(self.defect)
        values = self.defect[order]
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        levels = values[starts]
        share = 1.0 / (self.region_sizes * self.region_sizes.size)
        upto = np.zeros((2, levels.size), np.int64)  # good pixels below each level; below or at it
        for chunk in _chunks(self.good):
            upto[0] += np.searchsorted(chunk, levels, side="left")
            upto[1] += np.searchsorted(chunk, levels, side="right")
        good = np.diff(upto.T.ravel(), prepend=0, append=kept)[::-1] * float(self.stride)
        defect, gain = np.zeros_like(good), np.zeros_like(good)
        defect[1::2] = np.diff(starts, append=values.size)[::-1]
        gain[1::2] = np.add.reduceat(share[self.region[order]], starts)[::-1]
        return good, defect, gain

    def _histograms(self, is_defect: NDArray[np.bool_]) -> tuple[Counts, Counts, Counts]:
        """Count per image at shared quantiles, highest first: good pixels of all, the rest of images with defects."""
        shares = np.linspace(0.0, 1.0, LEVELS)
        sample = np.sort(np.concatenate([scores[:: 1 + scores.size // 4096] for scores in self.good]))
        chosen = [part[(shares * (part.size - 1)).astype(np.intp)] for part in (sample, np.sort(self.defect))]
        edges = np.unique(np.concatenate(chosen))  # place k holds the scores in (edges[k - 1], edges[k]]
        good = np.stack(
            [np.diff(np.searchsorted(part, edges, side="right"), prepend=0, append=part.size) for part in self.good]
        )
        row_of_image = np.cumsum(is_defect) - 1
        rows = row_of_image[self.region_images]
        place = rows[self.region] * (edges.size + 1) + np.searchsorted(edges, self.defect)
        shape = (int(is_defect.sum()), edges.size + 1)
        defect = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
        weights = (1.0 / self.region_sizes)[self.region]
        gain = np.bincount(place, weights=weights, minlength=math.prod(shape)).reshape(shape)
        return (
            np.flip(good, -1) * float(self.stride),
            np.flip(defect, -1).astype(np.float64),
            np.flip(gain, -1),
        )


def pixel_auroc(maps: Iterable[NDArray[np.floating]], masks: Iterable[Mask | None]) -> float | None:
    """Give the probability that a defective pixel scores higher than a good one, over all images together; exact.

    Args:
        maps: float (H, W) each, finite, larger is worse.
        masks: bool or integer (H, W) each, not 0 is defect; None for a good image.

    Returns:
        In [0, 1]; None without good or without defective pixels.

    Raises:
        DataError: a map is not finite, or a mask does not fit its map.

    >>> pixel_auroc([np.array([[0.1, 0.9, 0.2]])], [np.array([[False, True, False]])])
    1.0
    """
    return PixelScores.gather(zip(maps, masks, strict=True)).auroc()


def pixel_average_precision(maps: Iterable[NDArray[np.floating]], masks: Iterable[Mask | None]) -> float | None:
    """Give the average precision over the pixels of all images together, without interpolation; exact.

    Arguments, result and errors are those of :func:`pixel_auroc`.

    >>> pixel_average_precision([np.array([[0.1, 0.9, 0.95]])], [np.array([[False, True, False]])])
    0.5
    """
    return PixelScores.gather(zip(maps, masks, strict=True)).average_precision()


def aupro(maps: Iterable[NDArray[np.floating]], masks: Iterable[Mask | None], *, limit: float = 0.3) -> float | None:
    """Give the area under the per-region overlap up to a false-reject rate of pixels; see :meth:`PixelScores.aupro`.

    Arguments, result and errors are those of :func:`pixel_auroc`; ``limit`` lies in (0, 1].

    >>> mask = np.array([[True, False, True, True]])  # two regions; the map finds the first
    >>> aupro([np.array([[0.9, 0.5, 0.1, 0.1]])], [mask], limit=1.0)
    0.5
    """
    return PixelScores.gather(zip(maps, masks, strict=True)).aupro(limit=limit)


def _split(
    anomaly_map: NDArray[np.floating], mask: Mask | None, index: int
) -> tuple[FloatArray, FloatArray, NDArray[np.int32]]:
    """Part an image's pixels into good scores, defective scores and the defective pixels' regions, counted from 0."""
    with np.errstate(over="ignore"):
        scores = np.asarray(anomaly_map, dtype=np.float32)
    if scores.ndim != 2:
        raise DataError(f"map {index + 1} must be (height, width), not {scores.shape}")
    if not np.isfinite(scores).all():
        raise DataError(f"map {index + 1} holds values that are not finite; leave it out or train again")
    if mask is None:
        return scores.ravel(), np.empty(0, np.float32), np.empty(0, np.int32)
    if mask.shape != scores.shape:
        raise DataError(f"mask {index + 1} is {mask.shape} and its map {scores.shape}; resize one of them")
    flawed = np.asarray(mask) != 0
    _, labels = cv2.connectedComponents(flawed.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return scores[~flawed], scores[flawed], labels[flawed] - np.int32(1)


def _thinned(ascending: FloatArray, stride: int, wanted: int) -> FloatArray:
    """Keep one of every ``wanted / stride`` scores, near the middle of those it stands for.

    Halving drops the lower and the upper of each two in turn, so what is kept does not wander to one side.

    >>> _thinned(np.arange(16, dtype=np.float32), 1, 8).tolist()
    [5.0, 13.0]
    """
    while stride < wanted:
        first = 1 - (stride.bit_length() - 1) % 2
        ascending, stride = ascending[first::2], 2 * stride
    return ascending.copy()


def _chunks(parts: Sequence[FloatArray]) -> Iterator[FloatArray]:
    """Join sorted arrays into few long sorted ones."""
    waiting: list[FloatArray] = []
    for part in parts:
        if waiting and sum(one.size for one in waiting) + part.size > CHUNK:
            yield np.sort(np.concatenate(waiting))
            waiting = []
        waiting.append(part)
    if waiting:
        yield np.sort(np.concatenate(waiting))


def _shifted(draws: Counts, value: float) -> Counts:
    """Move draws by what their coarser resolution changed on the data as they are (their first row)."""
    moved: Counts = np.clip(draws[1:] + (value - draws[0]), 0.0, 1.0)
    return moved


def _check_limit(limit: float) -> None:
    if not 0.0 < limit <= 1.0:
        raise UsageError(f"a false-reject limit of {limit!r} is impossible; give one above 0 and up to 1")
