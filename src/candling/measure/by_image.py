"""Draw images again and give the spread of a figure as its interval; knows no figure.

Objects of one image share its focus, stain and density, so they are no independent samples. Images are: they are drawn
with replacement (Efron 1979, percentile bootstrap). One well, slide or patient should give one image, or its images
must be named by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from candling.errors import UsageError
from candling.types import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["draw_images", "figure_with_interval"]


def draw_images(
    images: int, *, rounds: int, rng: np.random.Generator, products: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Draw how often each image takes part in each round.

    Args:
        images: how many there are, at least 1.
        rounds: how many rounds, at least 1.
        rng: where chance comes from.
        products: the well, slide or patient of each image; images of one are drawn together. None: each its own.

    Returns:
        int64 (rounds, images), 0 or more.

    Raises:
        UsageError: no image, no round, or another number of products than of images.

    >>> draw_images(4, rounds=2, rng=np.random.default_rng(0)).sum(axis=1).tolist()
    [4, 4]
    """
    if images < 1 or rounds < 1:
        raise UsageError(f"an interval needs images and rounds, at least one each; they are {images} and {rounds}")
    if products is not None and len(products) != images:
        raise UsageError(f"{len(products)} products were named for {images} images; name one for each")
    keys = np.arange(images) if products is None else np.unique(np.asarray(products), return_inverse=True)[1]
    groups = int(keys.max()) + 1
    times: NDArray[np.int64] = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=rounds)
    return times[:, keys]


def figure_with_interval(
    figure: Callable[[NDArray[np.int64]], float | None],
    times: NDArray[np.int64],
    *,
    confidence: float = 0.95,
) -> Interval | None:
    """Give a figure on all images with the percentile interval of its draws.

    Args:
        figure: of how often each image counts, int64 (images,); None or NaN where it has no value.
        times: of :func:`draw_images`.
        confidence: of the interval, inside (0, 1).

    Returns:
        None where the figure has no value on all images. Where no round has one, the interval is the value alone.

    Raises:
        UsageError: the confidence is out of range.

    >>> values = np.array([1.0, 2.0, 3.0, 6.0])
    >>> times = draw_images(4, rounds=500, rng=np.random.default_rng(0))
    >>> found = figure_with_interval(lambda n: float(n @ values / n.sum()), times)
    >>> found.value, 1.0 <= found.low < 3.0 < found.high <= 6.0
    (3.0, True)
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence of {confidence!r} is impossible; give one between 0 and 1, both excluded")
    value = figure(np.ones(times.shape[1], np.int64))
    if value is None or np.isnan(value):
        return None
    draws = np.array([np.nan if one is None else one for one in map(figure, times)])
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return Interval(value, value, value)
    low, high = np.quantile(draws, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(float(value), float(min(low, value)), float(max(high, value)))
