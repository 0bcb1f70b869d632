"""Where to cut a frame and how to put maps together again: regions, grids, stitching; knows no network and no file.

The promise of ``starts`` and ``grid``: every pixel lies in some patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from candling.errors import ImageError
from candling.types import Box, FloatArray, Frame, Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["cut", "grid", "hull", "starts", "stitch", "uncovered"]


def cut(frame: Frame, regions: Sequence[Region]) -> list[tuple[Region, Box, Frame]]:
    """Cut the named regions out of a frame; a region without a box is the whole frame.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        regions: what to cut, in order.

    Returns:
        One (region, its box in the frame, the patch) per region; patches are views, no pixel is copied.

    Raises:
        ImageError: a region does not lie inside the frame.

    >>> import numpy as np
    >>> frame = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> [(region, box, patch)] = cut(frame, [Region("neck", Box(top=1, left=2, height=2, width=2))])
    >>> patch.tolist()
    [[6, 7], [10, 11]]
    >>> cut(frame, [Region()])[0][1]
    Box(top=0, left=0, height=3, width=4)
    >>> cut(frame, [Region("flag", Box(top=0, left=3, height=1, width=2))])
    Traceback (most recent call last):
    candling.errors.ImageError: region 'flag' (rows 0 to 1, columns 3 to 5) does not fit the frame of 3 x 4 px \
(height x width); correct the recipe's regions or the camera's picture
    """
    height, width = frame.shape[:2]
    pieces = []
    for region in regions:
        box = region.box or Box(top=0, left=0, height=height, width=width)
        fits = 0 <= box.top < box.bottom <= height and 0 <= box.left < box.right <= width
        if not fits:
            raise ImageError(
                f"region {region.name!r} (rows {box.top} to {box.bottom}, columns {box.left} to {box.right}) does not "
                f"fit the frame of {height} x {width} px (height x width); "
                "correct the recipe's regions or the camera's picture"
            )
        pieces.append((region, box, frame[box.top : box.bottom, box.left : box.right]))
    return pieces


def starts(length: int, size: int, stride: int | None = None) -> list[int]:
    """Say where to cut one axis so that every pixel is in some patch; the last patch slides back.

    Args:
        length: of the axis, in pixels.
        size: of a patch, in pixels.
        stride: from one patch to the next, in pixels, at most ``size``; None is ``size``.

    Raises:
        ValueError: a patch does not fit, or the stride would leave pixels out.

    >>> starts(1024, 29)[-2:]
    [986, 995]
    >>> starts(10, 4, 3)
    [0, 3, 6]
    >>> starts(20, 29)
    Traceback (most recent call last):
    ValueError: a patch of 29 px does not fit into 20 px
    """
    stride = size if stride is None else stride
    if size < 1 or not 1 <= stride <= size:
        raise ValueError(
            f"size must be at least 1 px and stride between 1 px and the size; they are {size} and {stride}"
        )
    if length < size:
        raise ValueError(f"a patch of {size} px does not fit into {length} px")
    whole = list(range(0, length - size + 1, stride))
    return whole if whole[-1] == length - size else [*whole, length - size]


def grid(height: int, width: int, size: int, stride: int | None = None) -> list[Box]:
    """Lay square patches over a picture, row by row, so that every pixel is in some patch.

    Raises:
        ValueError: as :func:`starts`.

    >>> grid(5, 4, 4)
    [Box(top=0, left=0, height=4, width=4), Box(top=1, left=0, height=4, width=4)]
    """
    tops, lefts = starts(height, size, stride), starts(width, size, stride)
    return [Box(top, left, size, size) for top in tops for left in lefts]


def hull(boxes: Sequence[Box]) -> Box:
    """Give the smallest box around others, at least one.

    >>> hull([Box(0, 2, 4, 4), Box(3, 0, 4, 4)])
    Box(top=0, left=0, height=7, width=6)
    """
    top, left = min(box.top for box in boxes), min(box.left for box in boxes)
    return Box(top, left, max(box.bottom for box in boxes) - top, max(box.right for box in boxes) - left)


def uncovered(boxes: Iterable[Box], product: Box) -> int:
    """Count the pixels of a product that lie in no box: 0 proves that every one of them is seen.

    >>> uncovered([Box(0, 0, 4, 4), Box(0, 4, 4, 4)], Box(0, 0, 4, 8))
    0
    >>> uncovered([Box(0, 0, 4, 4), Box(0, 5, 4, 4)], Box(0, 0, 4, 8))
    4
    """
    seen = np.zeros((product.height, product.width), np.bool_)
    for box in boxes:
        top, left = max(box.top - product.top, 0), max(box.left - product.left, 0)
        seen[top : max(box.bottom - product.top, 0), left : max(box.right - product.left, 0)] = True
    return int(seen.size - np.count_nonzero(seen))


def stitch(
    maps: Iterable[FloatArray], boxes: Iterable[Box], shape: tuple[int, int], *, how: Literal["mean", "max"] = "mean"
) -> FloatArray:
    """Put the maps of patches together again; where patches overlap, by their mean or their largest value.

    Args:
        maps: one float (h, w) per box, of the box's size; NaN stays NaN.
        boxes: where each map lies.
        shape: (H, W) of the whole.
        how: what an overlap becomes.

    Returns:
        float32 (H, W).

    Raises:
        ValueError: numbers differ, a map is not of its box's size, a box lies outside, a pixel is in no box, or
            ``how`` is neither.

    >>> import numpy as np
    >>> boxes = grid(1, 3, 1)
    >>> stitch(np.float32([[[1]], [[2]], [[3]]]), boxes, (1, 3))
    array([[1., 2., 3.]], dtype=float32)
    >>> overlapping = [Box(0, 0, 1, 2), Box(0, 1, 1, 2)]
    >>> stitch(np.float32([[[1, 1]], [[3, 3]]]), overlapping, (1, 3)).tolist()
    [[1.0, 2.0, 3.0]]
    >>> stitch(np.float32([[[1, 1]], [[3, 3]]]), overlapping, (1, 3), how="max").tolist()
    [[1.0, 3.0, 3.0]]
    """
    if how not in ("mean", "max"):
        raise ValueError(f"how must be 'mean' or 'max'; it is {how!r}")
    whole = np.zeros(shape) if how == "mean" else np.full(shape, -np.inf)
    covered = np.zeros(shape, np.int32)
    for piece, box in zip(maps, boxes, strict=True):
        inside = box.top >= 0 and box.left >= 0 and box.bottom <= shape[0] and box.right <= shape[1]
        if not inside or piece.shape != (box.height, box.width):
            raise ValueError(f"a map of {piece.shape} does not fit {box} in a picture of {shape}")
        window = np.s_[box.top : box.bottom, box.left : box.right]
        whole[window] = whole[window] + piece if how == "mean" else np.maximum(whole[window], piece)
        covered[window] += 1
    if not covered.all():
        raise ValueError(f"{int((covered == 0).sum())} of {covered.size} pixels lie in no box")
    return (whole / covered if how == "mean" else whole).astype(np.float32)
