"""Why a place is called a defect: cover parts of its surroundings and see how its map value changes; knows no method.

Zeiler and Fergus 2014 (ECCV, section 4.2). What makes the value fall when it is covered is what speaks for a defect. A
map that keeps within [0, 1] is read as log odds: where a network is sure, its probability hardly moves, its odds do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import UsageError
from candling.pixels.tiling import starts

if TYPE_CHECKING:
    from collections.abc import Callable

    from candling.runtime.engine import Engine
    from candling.types import FloatArray

__all__ = ["occlusion_map", "surroundings"]

_SIDES: Final = 29, 57, 113, 225
"""Sides in pixels that are tried for what decides a value, the least first."""

_LEAST: Final = 1e-7
"""Probabilities nearer to 0 or 1 are rounding."""

_KEPT: Final = 0.1
"""What lies outside may move a value by this share of what covering all does."""


def surroundings(engine: Engine, image: FloatArray, place: tuple[int, int]) -> int:
    """Find the least square around a place that decides its value: all else may be covered and it hardly moves.

    Args:
        engine: an opened graph that gives a map.
        image: float32 (C, H, W), prepared.
        place: (row, column) in it.

    Returns:
        one of 29, 57, 113 and 225 px, but no more than the image's shorter side (odd).

    Raises:
        UsageError, EngineError: as :func:`occlusion_map`.
    """
    _check(engine, image, place)
    shorter = min(int(side) for side in image.shape[1:])
    most = shorter - 1 + shorter % 2
    grey = image.mean(axis=(1, 2), keepdims=True)
    read = _reading(engine, image, place)
    whole, nothing = read(image), read(np.broadcast_to(grey, image.shape))
    for side in _SIDES:
        if side >= most:
            return most
        covered = np.broadcast_to(grey, image.shape).copy()
        inside = np.s_[
            :,
            max(0, place[0] - side // 2) : place[0] + side // 2 + 1,
            max(0, place[1] - side // 2) : place[1] + side // 2 + 1,
        ]
        covered[inside] = image[inside]
        if abs(read(covered) - whole) <= _KEPT * abs(whole - nothing):
            return side
    return min(most, _SIDES[-1])


def occlusion_map(
    engine: Engine, image: FloatArray, place: tuple[int, int], *, around: int = 29, cover: int = 5, step: int = 2
) -> FloatArray:
    """Give how much the value at one place falls when each part of its surroundings is covered by their mean.

    Args:
        engine: an opened graph that gives a map.
        image: float32 (C, H, W) in [0, 1], prepared for it.
        place: (row, column) in the image.
        around: side of the square around the place that is looked at; the patch's, or more where a network sees more.
        cover: side of the square that covers, at most ``around``.
        step: pixels from one cover to the next.

    Returns:
        float32 (around, around): the mean fall over all covers of a pixel, of the map's value, or of its log odds
        where the whole map lies in [0, 1]; above 0 speaks for a defect. What would lie outside the image is 0.

    Raises:
        UsageError: the place is outside the image, a size is impossible, or the graph gives no map.
        EngineError: the engine failed, or takes images of another shape.
    """
    _check(engine, image, place)
    if not 1 <= cover <= around or not 1 <= step <= cover:
        raise UsageError(
            f"step, cover and around must rise from 1 up; they are {step}, {cover} and {around}: give such as 2, 5, 29"
        )
    _, height, width = image.shape
    top, left = place[0] - around // 2, place[1] - around // 2
    inside = np.s_[:, max(0, top) : top + around, max(0, left) : left + around]
    grey = image[inside].mean(axis=(1, 2), keepdims=True)
    read = _reading(engine, image, place)
    whole = read(image)
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
            falls[window] += whole - read(covered)
            times[window] += 1
    return (falls / np.maximum(times, 1)).astype(np.float32)


def _check(engine: Engine, image: FloatArray, place: tuple[int, int]) -> None:
    _, height, width = image.shape
    if not engine.has_map:
        raise UsageError("the graph gives no anomaly map, so no value can be explained; choose another bundle")
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise UsageError(f"row {place[0]}, column {place[1]} is outside the graph's {height} x {width} px")


def _reading(engine: Engine, image: FloatArray, place: tuple[int, int]) -> Callable[[FloatArray], float]:
    """Give what reads the value at a place off any image like this one: as it is, or as log odds."""

    def value(shown: FloatArray) -> FloatArray:
        values = engine.run(np.ascontiguousarray(shown[None])).anomaly_map
        assert values is not None
        found: FloatArray = values[0]
        return found

    whole = value(image)
    if whole.min() < 0.0 or whole.max() > 1.0:
        return lambda shown: float(value(shown)[place])

    def odds(shown: FloatArray) -> float:
        kept = min(max(float(value(shown)[place]), _LEAST), 1.0 - _LEAST)
        return math.log(kept / (1.0 - kept))

    return odds
