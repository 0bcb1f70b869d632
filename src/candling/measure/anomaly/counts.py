"""The metrics themselves, on counts by descending score: each formula stands here once, for points and for resamples.

All metrics of ranking depend on the data only through two rows of numbers: how many good and how many defective items
have the highest score, the next one, and so on. Items of one score share one place, so ties are settled here: half
right for the area under the ROC curve, one common point for precision and recall. Arrays are float64 (..., places):
one row for a point estimate, one row a round for the bootstrap. Knows nothing of images,
masks and resampling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_under_roc", "partial_area", "precision_area", "running_f1"]

Counts = NDArray[np.float64]


def area_under_roc(good: Counts, defect: Counts) -> Counts:
    """Give the probability that a random defect scores higher than a random good item, ties counting one half.

    Args:
        good: float64 (..., places), counts by descending score, at least one in total.
        defect: the same shape.

    Returns:
        float64 (...), in [0, 1].

    >>> float(area_under_roc(np.array([0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0])))
    0.875
    """
    below = np.flip(np.cumsum(np.flip(good, -1), -1), -1) - good
    ordered: Counts = np.sum(defect * (below + 0.5 * good), -1)
    pairs: Counts = np.sum(defect, -1) * np.sum(good, -1)
    return ordered / pairs


def precision_area(good: Counts, defect: Counts) -> Counts:
    """Give the average precision: the precision at each place, weighted by the recall gained there.

    No interpolation, as scikit-learn defines it: sum over places of (R_i - R_{i-1}) P_i.

    Args:
        good: float64 (..., places), counts by descending score.
        defect: the same shape, at least one in total.

    Returns:
        float64 (...), in (0, 1].

    >>> round(float(precision_area(np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0]))), 4)
    0.8333
    """
    found = np.cumsum(defect, -1)
    rejected = found + np.cumsum(good, -1)
    precision = np.divide(found, rejected, out=np.zeros_like(found), where=rejected > 0)
    area: Counts = np.sum(defect * precision, -1) / found[..., -1]
    return area


def running_f1(good: Counts, defect: Counts) -> Counts:
    """Give F1 of rejecting everything down to each place.

    Args:
        good: float64 (..., places), counts by descending score.
        defect: the same shape, at least one in total.

    Returns:
        float64 (..., places), in [0, 1].

    >>> running_f1(np.array([0.0, 1.0]), np.array([1.0, 0.0])).round(3).tolist()
    [1.0, 0.667]
    """
    found = np.cumsum(defect, -1)
    return 2.0 * found / (found + np.cumsum(good, -1) + found[..., -1:])


def partial_area(good: Counts, gain: Counts, limit: float) -> Counts:
    """Integrate a gain over the false-reject rate from 0 to ``limit``, divided by ``limit``.

    The curve is made of straight lines between places (trapezoids), cut at the limit by linear interpolation. With the
    mean covered share of the defect regions as gain this is AUPRO (Bergmann et al. 2021, IJCV 129, 1038).

    Args:
        good: float64 (..., places), counts by descending score, at least one in total.
        gain: the same shape; what each place adds to the curve's height, 1 in total.
        limit: in (0, 1].

    Returns:
        float64 (...), in [0, 1].

    >>> float(partial_area(np.array([0.0, 5.0, 5.0]), np.array([0.5, 0.5, 0.0]), 0.25))
    0.625
    """
    after = np.cumsum(good, -1)
    width = good / after[..., -1:]
    start = after / after[..., -1:] - width
    height = np.cumsum(gain, -1) - gain
    share = np.clip(np.divide(limit - start, width, out=np.zeros_like(width), where=width > 0), 0.0, 1.0)
    area: Counts = np.sum(share * width * (height + 0.5 * share * gain), -1) / limit
    return area
