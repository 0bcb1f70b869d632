"""Which found box is which true object: overlap, and matching as the COCO evaluation does it; knows no figure.

Boxes are edges in pixels, float64 (N, 4): left, top, right, bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from candling.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Found", "Matched", "Truth", "iou_matrix", "match_boxes", "match_images"]

_FREE, _IGNORED = -1, -2

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What one image really shows.

    Attributes:
        boxes: float64 (M, 4).
        labels: the class of each, (M,).
        ignored: bool (M,), objects that count neither as missed nor as found (debris, cut off); None: all count.
    """

    boxes: Boxes
    labels: Sequence[str]
    ignored: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        _check(self.boxes, self.labels, None if self.ignored is None else len(self.ignored), "true")


@dataclass(frozen=True)
class Found:
    """What was found in one image.

    Attributes:
        boxes: float64 (N, 4).
        labels: the class of each, (N,).
        scores: float64 (N,), larger is surer; in any order.
    """

    boxes: Boxes
    labels: Sequence[str]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check(self.boxes, self.labels, len(self.scores), "found")
        if np.isnan(self.scores).any():
            raise DataError("a found box has no score (NaN), so it cannot be ranked; leave it out")


def _check(boxes: Boxes, labels: Sequence[str], more: int | None, what: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes) or more not in (None, len(boxes)):
        raise DataError(f"{what} boxes are {boxes.shape} with {len(labels)} labels; give (N, 4) and one label a box")
    if not np.isfinite(boxes).all():
        raise DataError(f"a {what} box has an edge that is no finite number; leave it out")


@dataclass(frozen=True)
class Matched:
    """The found boxes of one class over all images, matched at one overlap, by falling score.

    Attributes:
        scores: float64 (D,), falling; boxes on ignored objects are left out.
        hits: bool (D,), whether the box found an object.
        image: intp (D,), which image it lies in.
        truths: int64 (images,), the objects of each image that count.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    image: NDArray[np.intp]
    truths: NDArray[np.int64]


def iou_matrix(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Give the shared area of each two boxes over the area of both together: float64 (N, M) in [0, 1].

    >>> iou_matrix(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])).round(4)
    array([[0.3333, 0.    ]])
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [np.clip(some[:, 2:] - some[:, :2], 0.0, None).prod(axis=1) for some in (boxes, others)]
    joined = areas[0][:, None] + areas[1][None, :] - shared
    overlap: NDArray[np.float64] = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0.0)
    return overlap


def match_boxes(found: Found, truth: Truth, *, iou: float = 0.5) -> NDArray[np.intp]:
    """Say which object each box found, surest box first; each object is found once.

    A box takes the object of its class that it overlaps most among those still free. Only where no such object
    overlaps enough does it take an ignored one, of which each may be taken by many: such a box counts for nothing.

    Args:
        found: N boxes.
        truth: M objects.
        iou: the least overlap, inside (0, 1].

    Returns:
        intp (N,), in the order of ``found``: the object's number, -1 for none, -2 for an ignored one.

    Raises:
        UsageError: ``iou`` is out of range.

    Source: Lin et al. 2014, the matching of the COCO evaluation.

    >>> truth = Truth(np.array([[0.0, 0.0, 4.0, 4.0]]), ["N"])
    >>> twice = Found(np.array([[0.0, 0.0, 4.0, 3.0], [0.0, 0.0, 4.0, 4.0]]), ["N", "N"], np.array([0.9, 0.8]))
    >>> match_boxes(twice, truth).tolist()
    [0, -1]
    """
    if not 0.0 < iou <= 1.0:
        raise UsageError(f"an overlap of {iou!r} is impossible; give one above 0 and at most 1")
    matched = np.full(len(found.boxes), _FREE, np.intp)
    if not len(found.boxes) or not len(truth.boxes):
        return matched
    ignored = np.zeros(len(truth.boxes), np.bool_) if truth.ignored is None else truth.ignored
    same = np.asarray(found.labels)[:, None] == np.asarray(truth.labels)[None, :]
    overlap = np.where(same, iou_matrix(found.boxes, truth.boxes), -1.0)
    free = ~ignored
    least = min(iou, 1.0 - 1e-10)
    for at in np.argsort(-found.scores, kind="stable"):
        row = np.where(free, overlap[at], -1.0)
        best = int(row.size - 1 - np.argmax(row[::-1]))  # of equals the last, as COCO has it
        if row[best] >= least:
            matched[at] = best
            free[best] = False
        elif overlap[at, ignored].max(initial=-1.0) >= least:
            matched[at] = _IGNORED
    return matched


def match_images(images: Iterable[tuple[Found, Truth]], *, label: str, iou: float = 0.5) -> Matched:
    """Match one class over all images.

    Raises:
        UsageError: ``iou`` is out of range.
    """
    scores, hits, places, truths = [], [], [], []
    for number, (found, truth) in enumerate(images):
        mine, real = (np.asarray(one.labels, dtype=object) == label for one in (found, truth))
        some = Found(found.boxes[mine], [label] * int(mine.sum()), found.scores[mine])
        ignored = np.zeros(int(real.sum()), np.bool_) if truth.ignored is None else truth.ignored[real]
        matched = match_boxes(some, Truth(truth.boxes[real], [label] * ignored.size, ignored), iou=iou)
        kept = matched != _IGNORED
        scores.append(some.scores[kept])
        hits.append(matched[kept] >= 0)
        places.append(np.full(int(kept.sum()), number, np.intp))
        truths.append(int(np.count_nonzero(~ignored)))
    ranked = np.concatenate([np.zeros(0), *scores])
    order = np.argsort(-ranked, kind="stable")
    return Matched(
        ranked[order],
        np.concatenate([np.zeros(0, np.bool_), *hits])[order],
        np.concatenate([np.zeros(0, np.intp), *places])[order],
        np.array(truths, np.int64),
    )
