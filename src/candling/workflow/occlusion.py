"""Why a pixel is called a defect: cover parts of its surroundings and see how its map value changes; knows no method.

Zeiler and Fergus 2014 (ECCV, section 4.2). What makes the value fall when it is covered is what speaks for a defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from candling.errors import UsageError
from candling.pixels.prepare import PixelSpec, prepare
from candling.pixels.tiling import starts

if TYPE_CHECKING:
    from candling.runtime.engine import Engine
    from candling.types import FloatArray, Frame

__all__ = ["occlusion_map"]


def occlusion_map(
    engine: Engine,
    frame: Frame,
    place: tuple[int, int],
    *,
    around: int = 29,
    cover: int = 5,
    step: int = 2,
    white: int | None = None,
) -> FloatArray:
    """Give how much the value at one pixel falls when each part of its surroundings is covered by their mean.

    Args:
        engine: an opened graph that gives a map.
        frame: uint8 or uint16, (H, W) or (H, W, 3); brought to the graph's size.
        place: (row, column) in the graph's input.
        around: side of the square around the place that is looked at; the patch's, or more where a network sees more.
        cover: side of the square that covers, at most ``around``.
        step: pixels from one cover to the next.
        white: the value that becomes 1.0; None is the largest of the frame's type.

    Returns:
        float32 (around, around): the mean fall over all covers of a pixel; above 0 speaks for a defect. What would lie
        outside the image is 0.

    Raises:
        UsageError: the place is outside the image, a size is impossible, or the graph gives no map.
        ImageError: the frame is of another type or shape.
        EngineError: the engine failed.
    """
    channels, height, width = engine.input_shape
    if not engine.has_map:
        raise UsageError("the graph gives no anomaly map, so no value can be explained; choose another bundle")
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise UsageError(f"row {place[0]}, column {place[1]} is outside the graph's {height} x {width} px")
    if not 1 <= cover <= around or not 1 <= step <= cover:
        raise UsageError(
            f"step, cover and around must rise from 1 up; they are {step}, {cover} and {around}: give such as 2, 5, 29"
        )
    image = prepare(frame, PixelSpec(channels, height, width, white=white))
    top, left = place[0] - around // 2, place[1] - around // 2
    inside = np.s_[:, max(0, top) : top + around, max(0, left) : left + around]
    grey = image[inside].mean(axis=(1, 2), keepdims=True)
    whole = _value(engine, image, place)
    falls = np.zeros((around, around))
    times = np.zeros((around, around))
    for down in starts(around, cover, step):
        for across in starts(around, cover, step):
            first, begin = max(0, top + down), max(0, left + across)
            last, end = min(height, top + down + cover), min(width, left + across + cover)
            if first >= last or begin >= end:
                continue
            covered = image.copy()
            covered[:, first:last, begin:end] = grey
            window = np.s_[first - top : last - top, begin - left : end - left]
            falls[window] += whole - _value(engine, covered, place)
            times[window] += 1
    return (falls / np.maximum(times, 1)).astype(np.float32)


def _value(engine: Engine, image: FloatArray, place: tuple[int, int]) -> float:
    values = engine.run(image[None]).anomaly_map
    assert values is not None
    return float(values[0, place[0], place[1]])
