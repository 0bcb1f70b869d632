"""Whether a graph gives the boxes of its network, in whatever order; knows no engine and no method.

Boxes come ranked, and of overlapping ones the surest stays: two that are as sure to the last digit may change places,
or one may stay for the other. So each sure box of the one must be among those of the other, and a few may miss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import TrainingError
from candling.runtime.contract import BOXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["same_boxes"]

SURE: Final = 0.05
"""Boxes of less confidence are not compared."""

MISSED: Final = 0.02
"""So many of the boxes may be others: those that rounding put first, or on the other side of an overlap."""

BOX_TOLERANCE: Final = 2e-3
"""An edge may differ by this share of the largest one."""

CONFIDENCE_TOLERANCE: Final = 2e-3
"""A confidence may differ by so much."""


def same_boxes(
    expected: Mapping[str, NDArray], given: Mapping[str, NDArray], *, where: str
) -> Iterator[tuple[str, float]]:
    """Give the largest difference of boxes, labels and confidences, over the boxes that both have.

    Args:
        expected: the network's outputs ``boxes`` (N, K, 4), ``labels`` (N, K) and ``confidences`` (N, K).
        given: the graph's.
        where: engine and batch, for messages.

    Raises:
        TrainingError: an output is missing, or more boxes are others than rounding explains.
    """
    for name in BOXES:
        if name not in given or given[name].shape != expected[name].shape:
            raise TrainingError(
                f"the exported graph has no output {name!r} of the network's shape ({where}); report this with the "
                "recipe"
            )
    largest = float(np.abs(expected["boxes"]).max(initial=1.0))
    total = missing = 0
    off: list[tuple[float, float]] = []
    for number in range(len(expected["boxes"])):
        for one, other in ((expected, given), (given, expected)):
            sure = np.flatnonzero(one["confidences"][number] >= SURE)
            near = other["confidences"][number] >= SURE - CONFIDENCE_TOLERANCE
            among = {name: other[name][number][near] for name in BOXES}
            total += len(sure)
            for at in sure:
                found = _nearest({name: one[name][number][at] for name in BOXES}, among, largest)
                if found is None:
                    missing += 1
                else:
                    off.append(found)
    if missing > max(MISSED * total, 1.0):
        raise TrainingError(
            f"the exported graph is not the network: {missing} of {total} boxes are others ({where}); report this with "
            "the recipe"
        )
    yield "boxes", max((one for one, _ in off), default=0.0)
    yield "labels", 0.0  # a box of another label is another box
    yield "confidences", max((one for _, one in off), default=0.0)


def _nearest(one: Mapping[str, NDArray], others: Mapping[str, NDArray], largest: float) -> tuple[float, float] | None:
    """Give how far the nearest box of the same label and confidence lies, and its confidence; None without any."""
    edges = np.abs(others["boxes"] - one["boxes"]).max(axis=1)
    sure = np.abs(others["confidences"] - one["confidences"])
    like = (others["labels"] == one["labels"]) & (sure <= CONFIDENCE_TOLERANCE)
    like &= edges <= BOX_TOLERANCE * largest
    if not like.any():
        return None
    best = int(np.argmin(np.where(like, edges, np.inf)))
    return float(edges[best]), float(sure[best])
