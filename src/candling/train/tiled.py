"""Images cut into tiles by several workers, and the tiles stacked; knows neither masks nor boxes nor methods."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from candling.train.data import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.train.progress import Progress
    from candling.types import Frame

__all__ = ["read_tiles"]

Truth = TypeVar("Truth")


def read_tiles(
    samples: Sequence[Sample],
    cut: Callable[[Sample], list[tuple[Frame, Truth]]],
    *,
    white: int | None,
    progress: Progress,
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], list[Truth]]:
    """Cut every image, and bring 8 bits to 16 where any tile has 16.

    Args:
        samples: at least one.
        cut: reads one and gives its tiles, all of one shape, with what is true in each.
        white: the recipe's; where it is given, 16 bits hold the values of 8 unchanged.
        progress: is told how many images are done.

    Returns:
        uint8 or uint16 (N, H, W) or (N, H, W, 3), and N truths.
    """
    found: list[tuple[Frame, Truth]] = []
    pool = ThreadPoolExecutor(workers())
    try:
        for done, some in enumerate(pool.map(cut, samples), start=1):
            found += some
            progress.count(done, len(samples))
    finally:
        pool.shutdown(cancel_futures=True)
    deep = any(frame.dtype == np.uint16 for frame, _ in found)
    factor = np.uint16(257 if white is None else 1)
    frames = [frame if not deep or frame.dtype == np.uint16 else frame.astype(np.uint16) * factor for frame, _ in found]
    return np.stack(frames), [truth for _, truth in found]
