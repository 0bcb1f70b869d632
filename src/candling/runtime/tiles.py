"""A map of an image that is larger than the graph: tile by tile into a file, with bounded memory; judges nothing.

A graph sees images of one size. A larger one is cut into overlapping tiles of that size, and of each tile's map only
what lies ``margin`` pixels inside is kept, except at the border of the image. With a margin of at least what one value
is computed from, and tiles that begin at multiples of ``step``, the map is the very one of a graph of the image's size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import tifffile

from candling.errors import DiskError, ImageError, UsageError
from candling.pixels.prepare import scale
from candling.runtime.frames import check_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from candling.runtime.engine import Engine
    from candling.types import Frame

__all__ = ["spans", "write_tiled_map"]


def write_tiled_map(
    engine: Engine,
    frame: Frame,
    path: Path,
    *,
    margin: int,
    step: int = 1,
    white: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the anomaly map of a large image as a float32 TIFF of the image's size.

    In memory are one tile and its map; the file is mapped, and so may be the frame.

    Args:
        engine: an opened graph that gives a map.
        frame: uint8 or uint16, (H, W) for a graph of one channel or (H, W, 3), no side shorter than the graph's.
        path: of the TIFF; replaced where it is.
        margin: pixels at a tile's inner sides that are not kept: half of what one value is computed from. The patch
            network of 29 px needs 14.
        step: where tiles may begin: at its multiples. 1 for a graph that does the same at every place; one that works
            in blocks of pixels needs their size, and the image is then continued by reflection up to a whole block.
        white: the value that becomes 1.0; None is the largest of the frame's type.
        progress: called with (done, total) tiles.

    Returns:
        ``path``.

    Raises:
        ImageError: the frame is of another kind than the graph takes, or smaller.
        UsageError: the margin leaves nothing of a tile, or the graph gives no map.
        EngineError: the engine failed.
        DiskError: the file cannot be written.
    """
    channels, height, width = engine.input_shape
    usable = check_frame(frame)
    if (1 if usable.ndim == 2 else 3) != channels:
        raise ImageError(f"the frame is {usable.shape} and the graph takes {channels} channels; convert it first")
    if usable.shape[0] < height or usable.shape[1] < width:
        raise ImageError(
            f"the frame of {usable.shape[0]} x {usable.shape[1]} px is smaller than the graph's tile of {height} x "
            f"{width} px (height x width); give a larger one, or train on smaller images"
        )
    if not engine.has_map:
        raise UsageError("the graph gives no anomaly map, so there is nothing to write; choose another bundle")
    rows = spans(usable.shape[0], height, margin, step)
    columns = spans(usable.shape[1], width, margin, step)
    try:
        out = tifffile.memmap(path, shape=usable.shape[:2], dtype=np.float32, metadata=None)
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}; choose another place") from error
    for number, (top, first, last) in enumerate(rows):
        for place, (left, begin, end) in enumerate(columns):
            tile = _tile(usable, top, left, height, width)
            values = engine.run(scale(tile[None], white=white)).anomaly_map
            assert values is not None
            out[first:last, begin:end] = values[0, first - top : last - top, begin - left : end - left]
            if progress is not None:
                progress(number * len(columns) + place + 1, len(rows) * len(columns))
    out.flush()
    return path


def spans(length: int, size: int, margin: int, step: int) -> list[tuple[int, int, int]]:
    """Say where tiles of one axis begin, and which pixels each gives: every pixel once.

    Args:
        length: of the axis, at least ``size``.
        size: of a tile.
        margin: pixels at a tile's inner sides that are not taken.
        step: tiles begin at its multiples; the last may reach over the end by less than that.

    Returns:
        where each tile begins, its first pixel that is taken, and the one after its last.

    Raises:
        UsageError: margin and step leave nothing of a tile.

    >>> spans(20, 10, 2, 1)
    [(0, 0, 8), (6, 8, 14), (10, 14, 20)]
    >>> spans(10, 10, 2, 4)
    [(0, 0, 10)]
    """
    forward = (size - 2 * margin) // step * step
    if margin < 0 or step < 1 or forward < 1:
        raise UsageError(
            f"a margin of {margin} px and a step of {step} px leave nothing of a tile of {size} px; lower them"
        )
    starts = [0]
    while starts[-1] + size < length:
        furthest = -(-(length - size) // step) * step  # the last tile may reach over the end by less than a step
        starts.append(min(starts[-1] + forward, furthest))
    ends = [start + size - margin for start in starts[:-1]] + [length]
    return list(zip(starts, [0, *ends[:-1]], ends, strict=True))


def _tile(frame: Frame, top: int, left: int, height: int, width: int) -> Frame:
    tile = frame[top : top + height, left : left + width]
    short = height - tile.shape[0], width - tile.shape[1]
    if any(short):
        wide: Frame = cv2.copyMakeBorder(tile, 0, short[0], 0, short[1], cv2.BORDER_REFLECT_101)
        return wide
    return tile
