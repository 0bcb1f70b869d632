"""Boxes of a frame that was seen in tiles: which tile owns a box, and which of overlapping boxes stays; no network.

Tiles overlap. Each has a core, and the cores part the frame: every point lies in one. A cell belongs to the tile whose
core holds its box's centre, so it is counted once. The core ends half an overlap away from the tile's inner edges: a
cell no larger than the overlap is whole in the tile that owns it. Take an overlap of at least twice the usual size.

Two tiles never see a cell quite alike. Where its centre lies within a few pixels of a seam, both may say the other owns
it, or both that they do. So boxes within ``slack_px`` of a core are kept as well, and of two that are one cell the
better one stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from candling.errors import UsageError
from candling.pixels.tiling import starts
from candling.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BoxSet", "Tile", "lay_tiles", "merge_tiles", "suppress"]

SLACK_PX: Final = 4.0
"""How far two tiles may disagree about the centre of one cell, in pixels."""

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class BoxSet:
    """Boxes side by side with what is said of them.

    Attributes:
        boxes: float64 (N, 4), left, top, right, bottom, edges in pixels.
        scores: float64 (N,), larger is surer.
        labels: intp (N,), the number of the class.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.intp]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,) or self.labels.shape != (count,):
            raise UsageError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and labels {self.labels.shape} do not belong "
                "together; give (N, 4), (N,) and (N,)"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> BoxSet:
        """Give some of them."""
        return BoxSet(self.boxes[which], self.scores[which], self.labels[which])


@dataclass(frozen=True)
class Tile:
    """A piece of a frame that a network sees, and its core, whose cells it owns."""

    box: Box
    core: Box


def lay_tiles(height: int, width: int, *, size: int | tuple[int, int], overlap: int) -> list[Tile]:
    """Lay tiles over a frame, row by row; one no larger than a tile is a single, smaller one.

    Args:
        height: of the frame, in pixels.
        width: of the frame.
        size: of a square tile, or its height and width.
        overlap: of neighbouring tiles at least, less than ``size``.

    Raises:
        UsageError: a size is impossible.

    >>> [(tile.box.left, tile.core.left, tile.core.right) for tile in lay_tiles(8, 20, size=8, overlap=4)]
    [(0, 0, 6), (4, 6, 10), (8, 10, 14), (12, 14, 20)]
    """
    sizes = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or not 0 <= overlap < min(sizes):
        raise UsageError(
            f"tiles of {size} px that overlap by {overlap} px cannot be laid over {height} x {width} px; "
            "let the overlap be smaller than the tile"
        )
    rows, columns = (_cuts(length, side, overlap) for length, side in zip((height, width), sizes, strict=True))
    return [
        Tile(Box(top, left, low - top, right - left), Box(first, begin, last - first, end - begin))
        for top, low, first, last in rows
        for left, right, begin, end in columns
    ]


def _cuts(length: int, size: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Give beginning and end of each tile along one axis, and of its core."""
    size = min(size, length)
    begins = starts(length, size, max(size - overlap, 1))
    middles = [(following + begin + size) // 2 for begin, following in pairwise(begins)]
    edges = [0, *middles, length]
    return [(begin, begin + size, edges[at], edges[at + 1]) for at, begin in enumerate(begins)]


def suppress(found: BoxSet, *, iou: float) -> NDArray[np.intp]:
    """Keep the surest of boxes of one class that overlap (non-maximum suppression).

    Args:
        found: N boxes.
        iou: two boxes that share more of their joint area than this are one object, in [0, 1].

    Returns:
        intp (M,), the numbers of those that stay, surest first; of equal scores the earlier.

    Raises:
        UsageError: ``iou`` is out of range.

    >>> some = np.array([[0.0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 12, 12]])
    >>> suppress(BoxSet(some, np.array([0.5, 0.9, 0.1]), np.array([0, 0, 0])), iou=0.5).tolist()
    [1, 2]
    """
    if not 0.0 <= iou <= 1.0:
        raise UsageError(f"an overlap of {iou!r} is impossible; give one from 0 to 1")
    order = np.argsort(-found.scores, kind="stable")
    areas = np.clip(found.boxes[:, 2:] - found.boxes[:, :2], 0.0, None).prod(axis=1)
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        shared = _shared(found.boxes[best], found.boxes[order])
        joined = areas[best] + areas[order] - shared
        alike = (shared > iou * joined) & (found.labels[order] == found.labels[best])
        order = order[~alike]
    return np.array(kept, np.intp)


def merge_tiles(
    tiles: Sequence[Tile], found: Sequence[BoxSet], *, iou: float = 0.5, slack_px: float = SLACK_PX
) -> BoxSet:
    """Put the boxes of tiles together, every cell once.

    Args:
        tiles: of :func:`lay_tiles`.
        found: the boxes of each tile, in the tile's own pixels.
        iou: two boxes of different tiles that share more than this are one cell.
        slack_px: how far beyond its core a tile's boxes are looked at.

    Returns:
        The boxes in the frame's pixels, tile by tile, in the order they came.

    Raises:
        UsageError: there is not one set of boxes a tile.
    """
    if len(tiles) != len(found):
        raise UsageError(f"{len(found)} sets of boxes for {len(tiles)} tiles; give one a tile")
    parts: list[BoxSet] = []
    owned: list[NDArray[np.bool_]] = []
    seam: list[NDArray[np.bool_]] = []
    number: list[NDArray[np.intp]] = []
    for at, (tile, some) in enumerate(zip(tiles, found, strict=True)):
        boxes = some.boxes + np.array([tile.box.left, tile.box.top] * 2, np.float64)
        depth = _depth((boxes[:, :2] + boxes[:, 2:]) / 2.0, tile.core)
        near = depth >= -slack_px
        parts.append(BoxSet(boxes[near], some.scores[near], some.labels[near]))
        owned.append(depth[near] >= 0.0)
        seam.append(depth[near] <= 2.0 * slack_px)  # what the other tile sees just outside may lie so deep in this one
        number.append(np.full(int(near.sum()), at, np.intp))
    merged = BoxSet(
        np.concatenate([np.zeros((0, 4)), *(part.boxes for part in parts)]),
        np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        np.concatenate([np.zeros(0, np.intp), *(part.labels for part in parts)]),
    )
    rank = np.concatenate([np.zeros(0, np.bool_), *owned])
    doubtful = np.flatnonzero(np.concatenate([np.zeros(0, np.bool_), *seam]))
    kept = np.ones(len(merged), np.bool_)
    kept[doubtful] = _one_each(
        merged.take(doubtful), np.concatenate([np.zeros(0, np.intp), *number])[doubtful], rank[doubtful], iou=iou
    )
    return merged.take(kept)


def _one_each(found: BoxSet, tile: NDArray[np.intp], owned: NDArray[np.bool_], *, iou: float) -> NDArray[np.bool_]:
    """Say which boxes near a seam stay: of one cell seen by several tiles, the one owned, then the surest.

    A box that its tile does not own and no other tile saw stays too: nobody else counts it.
    """
    kept = np.ones(len(found), np.bool_)
    areas = np.clip(found.boxes[:, 2:] - found.boxes[:, :2], 0.0, None).prod(axis=1)
    for at in np.lexsort((np.arange(len(found)), -found.scores, ~owned)):
        if not kept[at]:
            continue
        shared = _shared(found.boxes[at], found.boxes)
        alike = shared > iou * (areas[at] + areas - shared)
        kept &= ~(alike & (found.labels == found.labels[at]) & (tile != tile[at]))
    return kept


def _shared(box: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Give the area that a box shares with each of others, float64 (N,)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared: NDArray[np.float64] = np.clip(sides, 0.0, None).prod(axis=1)
    return shared


def _depth(centres: Boxes, core: Box) -> NDArray[np.float64]:
    """Say how deep points lie in a core, in pixels: below 0 outside; its right and lower edge belong to the next."""
    x, y = centres[:, 0], centres[:, 1]
    last = np.minimum(core.right - x, core.bottom - y)
    depth: NDArray[np.float64] = np.minimum(np.minimum(x - core.left, y - core.top), last)
    return np.where((depth == 0.0) & (last == 0.0), -1e-9, depth)
