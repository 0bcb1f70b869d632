"""Draw images again, product by product, and turn the draws into an interval; knows no metric.

Images of one product are not independent, so whole products are drawn, with replacement. Products
without a defect and products with one are drawn apart, so that every round holds as many of each as the data do. Where
no products are named every image is its own, and this is the usual bootstrap stratified by good and defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from candling.errors import UsageError
from candling.intervals import clopper_pearson
from candling.types import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["draw", "interval_of"]


def draw(
    is_defect: NDArray[np.bool_], products: Sequence[str] | None, *, rounds: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw how often each image takes part in each round.

    Args:
        is_defect: bool (images,).
        products: the product of each image; None when each image shows another product.
        rounds: how many rounds, at least 1.
        rng: where chance comes from.

    Returns:
        intp (rounds, images), 0 or more; images of one product share their number.

    Raises:
        UsageError: no round, or another number of products than of images.

    >>> draw(np.array([False, False, True]), None, rounds=1, rng=np.random.default_rng(0)).sum(1).tolist()
    [3]
    """
    if rounds < 1:
        raise UsageError(f"a bootstrap needs at least one round, not {rounds}")
    if products is not None and len(products) != is_defect.size:
        raise UsageError(f"{len(products)} products were named for {is_defect.size} images; name one for each")
    keys = np.arange(is_defect.size) if products is None else np.unique(np.asarray(products), return_inverse=True)[1]
    flawed = np.zeros(int(keys.max(initial=-1)) + 1, bool)
    np.logical_or.at(flawed, keys, is_defect)
    times = np.zeros((rounds, flawed.size), np.intp)
    for stratum in (np.flatnonzero(~flawed), np.flatnonzero(flawed)):
        if stratum.size:
            picked = stratum[rng.integers(stratum.size, size=(rounds, stratum.size))]
            flat = picked + np.arange(rounds)[:, None] * flawed.size
            times += np.bincount(flat.ravel(), minlength=times.size).reshape(times.shape)
    return times[:, keys]


def interval_of(value: float, draws: NDArray[np.float64], *, independent: int, confidence: float) -> Interval:
    """Give the percentile interval of bootstrap draws around a value in [0, 1].

    A perfect value repeats itself in every round, and an interval of no width would claim certainty. Then the lower end
    is the Clopper-Pearson bound for ``independent`` hits of as many trials. For the area under the ROC curve this is
    exact: pair that many good with as many defective images, each once, and every pair is an independent trial that a
    perfect ranking wins. For other metrics it is a stand-in of the right size. A value of 0 in every
    round is its mirror.

    Args:
        value: on all data.
        draws: float64 (rounds,), of the metric; NaN where a round had no value, left out.
        independent: how many independent trials stand behind the value, at least 1.
        confidence: inside (0, 1).

    Raises:
        UsageError: the confidence is out of range.

    >>> interval = interval_of(1.0, np.ones(1000), independent=23, confidence=0.95)
    >>> round(interval.low, 3), interval.high
    (0.852, 1.0)
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence of {confidence!r} is impossible; give one between 0 and 1, both excluded")
    kept = draws[~np.isnan(draws)]
    if value >= 1.0 and (not kept.size or kept.min() >= 1.0):
        return Interval(value, clopper_pearson(independent, independent, confidence=confidence).low, 1.0)
    if value <= 0.0 and (not kept.size or kept.max() <= 0.0):
        return Interval(value, 0.0, clopper_pearson(0, independent, confidence=confidence).high)
    if not kept.size:
        return Interval(value, 0.0, 1.0)
    low, high = np.quantile(kept, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(value, float(min(low, value)), float(max(high, value)))
