"""Pictures whose pixels number the objects: boxes, what a network learns of them, and numbers from what it says.

A network that only tells cell from background cannot part cells that touch. So it learns three things: background,
inside, and border, where border is the rim of every cell. Insides of touching cells are then apart; each is one cell,
and grows back over its rim. Knows no class and no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = [
    "BACKGROUND",
    "BORDER",
    "CENTRE",
    "INSIDE",
    "boxes_of_instances",
    "centres_of_instances",
    "discs_around",
    "inside_and_border",
    "number_instances",
]

BACKGROUND, INSIDE, BORDER = 0, 1, 2
"""What a network tells apart, in the order of its channels."""

CENTRE = 3
"""The inside's middle pixel, one an object: only where a density is learned, and no channel of its own."""


def boxes_of_instances(labels: NDArray[np.uint8] | NDArray[np.uint16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the box and the size of every object of a numbered mask.

    Args:
        labels: uint8 or uint16 (H, W); 0 is background, every other number one object, whatever numbers are used.

    Returns:
        int64 (N, 4) left, top, right, bottom, edges in pixels, by rising number; int64 (N,) their pixels.

    >>> boxes, sizes = boxes_of_instances(np.array([[0, 7, 7], [0, 0, 7], [2, 0, 0]], np.uint8))
    >>> boxes.tolist(), sizes.tolist()
    ([[0, 2, 1, 3], [1, 0, 3, 2]], [1, 3])
    """
    rows, columns = np.nonzero(labels)
    numbers = labels[rows, columns]
    order = np.argsort(numbers, kind="stable")
    rows, columns = rows[order], columns[order]
    _, starts, sizes = np.unique(numbers[order], return_index=True, return_counts=True)
    if not starts.size:
        return np.zeros((0, 4), np.int64), np.zeros(0, np.int64)
    least = [np.minimum.reduceat(values, starts) for values in (columns, rows)]
    most = [np.maximum.reduceat(values, starts) + 1 for values in (columns, rows)]
    return np.stack([*least, *most], axis=1).astype(np.int64), sizes.astype(np.int64)


def centres_of_instances(labels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.int64]:
    """Give one pixel of every object: the one nearest to the mean of them all, of equal ones the first.

    Args:
        labels: uint8 or uint16 (H, W), 0 background.

    Returns:
        int64 (N, 2) row and column, by rising number.

    >>> centres_of_instances(np.array([[0, 7, 7], [0, 0, 7], [2, 0, 0]], np.uint8)).tolist()
    [[2, 0], [0, 2]]
    """
    rows, columns = np.nonzero(labels)
    if not rows.size:
        return np.zeros((0, 2), np.int64)
    _, object_of = np.unique(labels[rows, columns], return_inverse=True)
    sizes = np.bincount(object_of)
    middles = [(np.bincount(object_of, places) / sizes)[object_of] for places in (rows, columns)]
    away = np.square(rows - middles[0]) + np.square(columns - middles[1])
    order = np.lexsort((away, object_of))
    first = order[np.concatenate([[0], np.cumsum(sizes)[:-1]])]
    return np.stack([rows[first], columns[first]], axis=1).astype(np.int64)


def discs_around(dots: NDArray[np.bool_], *, radius_px: float) -> NDArray[np.uint16]:
    """Number dots as discs, so that what learns from numbered masks learns from dots too.

    Args:
        dots: bool (H, W), True on each object; every pixel is a dot of its own.
        radius_px: of the discs; where two meet, a pixel belongs to the nearer dot.

    Returns:
        uint16 (H, W), 0 background, one number a dot.

    Raises:
        UsageError: the radius is below 1, or there are more than 65535 dots.

    >>> discs_around(np.array([[1, 0, 0, 0, 1, 0]], bool), radius_px=2).tolist()
    [[1, 1, 1, 2, 2, 2]]
    """
    count = int(np.count_nonzero(dots))
    if radius_px < 1 or count > np.iinfo(np.uint16).max:
        raise UsageError(f"{count} dots of {radius_px:g} px; take a radius of at least 1 and at most 65535 dots")
    if not count:
        return np.zeros(dots.shape, np.uint16)
    distance, nearest = cv2.distanceTransformWithLabels(
        (~dots).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of = np.zeros(int(nearest.max()) + 1, np.uint16)
    number_of[nearest[dots]] = np.arange(1, count + 1)
    return np.where(distance <= radius_px, number_of[nearest], 0).astype(np.uint16)


def inside_and_border(labels: NDArray[np.uint8] | NDArray[np.uint16], *, border_px: int = 2) -> NDArray[np.uint8]:
    """Give what a network learns of a numbered mask.

    Args:
        labels: uint8 or uint16 (H, W), 0 background.
        border_px: how wide the rim inside each object is; an object too thin to have an inside keeps its middle, one
            that a neighbour bites in two keeps the larger inside.

    Returns:
        uint8 (H, W), :data:`BACKGROUND`, :data:`INSIDE` or :data:`BORDER`. The image's edge makes no border.

    Raises:
        UsageError: the border is narrower than a pixel.

    >>> inside_and_border(np.array([[1, 1, 1, 2, 2, 2]], np.uint8), border_px=1).tolist()
    [[1, 1, 2, 2, 1, 1]]
    """
    if border_px < 1:
        raise UsageError(f"a border of {border_px} px parts nothing; take at least 1")
    told = np.zeros(labels.shape, np.uint8)
    boxes, _ = boxes_of_instances(labels)
    numbers = np.unique(labels)[-len(boxes) :] if len(boxes) else ()
    for (left, top, right, bottom), number in zip(boxes.tolist(), numbers, strict=True):
        window = np.s_[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
        mine = labels[window] == number
        told[window][mine] = BORDER
        told[window][_inside(mine, border_px)] = INSIDE
    return told


def _inside(mine: NDArray[np.bool_], border_px: int) -> NDArray[np.bool_]:
    """Give the largest piece of an object that lies further in than its border: one object, one inside."""
    if mine.all():  # nothing else in sight
        return mine
    depth = cv2.distanceTransform(mine.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = (depth > min(border_px, float(depth.max()) - 1e-3)).astype(np.uint8)
    pieces, marks, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if pieces > 2 else 1
    found: NDArray[np.bool_] = np.equal(marks, largest)
    return found


def number_instances(
    probabilities: FloatArray, *, border_px: int = 2, least_px: int = 0, least_inside: float = 0.0
) -> NDArray[np.uint16]:
    """Number the objects a network saw: each connected inside is one, and grows over the border next to it.

    Args:
        probabilities: float32 (3, H, W), of background, inside and border, adding up to 1.
        border_px: as it was learned; an inside grows so far, and one pixel more for what rounds away.
        least_px: smaller objects are dropped.
        least_inside: how likely a pixel must be inside to be part of one; the higher, the fewer touching objects are
            taken for one. What it costs an inside at its edge, the inside grows back.

    Returns:
        uint16 (H, W), 0 background, objects from 1 without gaps, from top to bottom.

    Raises:
        UsageError: another shape, or more than 65535 objects.

    >>> told = inside_and_border(np.array([[0, 1, 1, 1, 2, 2, 2, 0]], np.uint8), border_px=1)
    >>> number_instances(np.float32([told == kind for kind in range(3)]), border_px=1).tolist()
    [[0, 1, 1, 1, 2, 2, 2, 0]]
    """
    if probabilities.ndim != 3 or probabilities.shape[0] != 3:
        raise UsageError(f"probabilities are {probabilities.shape}; give (3, H, W): background, inside, border")
    kind = probabilities.argmax(axis=0)
    inside = (kind == INSIDE) & (probabilities[INSIDE] >= least_inside)
    count, seeds = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    if count == 1:
        return np.zeros(kind.shape, np.uint16)
    distance, nearest = cv2.distanceTransformWithLabels(
        (seeds == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(int(nearest.max()) + 1, np.int64)
    of_pixel[nearest[seeds > 0]] = seeds[seeds > 0]
    furthest = border_px + 1.5 + (border_px if least_inside > 0.0 else 0)
    grown = np.where((kind != BACKGROUND) & (distance <= furthest), of_pixel[nearest], 0)
    sizes = np.bincount(grown.ravel(), minlength=count)
    kept = np.flatnonzero(sizes[1:] >= max(least_px, 1)) + 1
    if kept.size > np.iinfo(np.uint16).max:
        raise UsageError(f"{kept.size} objects are more than 16 bits can number; take smaller tiles")
    renumbered = np.zeros(count, np.uint16)
    renumbered[kept] = np.arange(1, kept.size + 1)
    return renumbered[grown]
