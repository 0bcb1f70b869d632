"""What the mould leaves on every strip it makes: raised letters, ribs, ejector marks, seams; knows no grey value.

A relief is a height in px over the strip. Where it rises or falls, light is bent away; :func:`bend` tells how much.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.scenes.capsules.imprint import print_text
from candling.scenes.vials.geometry import GEOMETRY, outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["MOULDS", "bend"]

MOULDS = 6
"""Moulds that take turns on the line; each leaves its own marks."""

_MOULD_WORD = 7309
"""First word of a mould's seed."""

# digits as lines on a grid of 2 x 4, corners cut: right and down, as (x, y) in half-heights
_DIGITS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "0": (
        ((0.3, 0.0), (0.7, 0.0), (1.0, 0.4), (1.0, 1.6), (0.7, 2.0), (0.3, 2.0), (0.0, 1.6), (0.0, 0.4), (0.3, 0.0)),
    ),
    "1": (((0.2, 0.4), (0.6, 0.0), (0.6, 2.0)),),
    "2": (((0.0, 0.4), (0.3, 0.0), (0.7, 0.0), (1.0, 0.4), (1.0, 0.7), (0.0, 2.0), (1.0, 2.0)),),
    "3": (((0.0, 0.0), (1.0, 0.0), (0.45, 0.85), (0.8, 0.9), (1.0, 1.3), (0.9, 1.8), (0.5, 2.0), (0.0, 1.8)),),
    "4": (((0.8, 2.0), (0.8, 0.0), (0.0, 1.4), (1.1, 1.4)),),
    "5": (((1.0, 0.0), (0.1, 0.0), (0.0, 0.9), (0.6, 0.8), (1.0, 1.2), (0.9, 1.8), (0.5, 2.0), (0.0, 1.8)),),
    "6": (((0.9, 0.0), (0.3, 0.6), (0.0, 1.3), (0.2, 1.9), (0.7, 2.0), (1.0, 1.5), (0.8, 1.0), (0.1, 1.2)),),
    "7": (((0.0, 0.0), (1.0, 0.0), (0.4, 2.0)),),
}


@lru_cache(maxsize=MOULDS)
def bend(mould: int) -> tuple[FloatArray, FloatArray]:
    """Give how strongly a mould's relief bends light, and its slope towards the top: float32 (1024, 1280) each.

    Both are 0 on even plastic and near 1 at the edge of a letter; read-only, because all strips of a mould share them.
    """
    rng = np.random.default_rng([_MOULD_WORD, mould])
    height = np.concatenate([_vial(rng, vial) for vial in range(1, GEOMETRY.vials + 1)], axis=1)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    right = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    found = (np.sqrt(right * right + down * down), np.asarray(down, dtype=np.float32))  # cv2.magnitude does not repeat
    for array in found:
        array.setflags(write=False)
    return found


def _vial(rng: np.random.Generator, vial: int) -> FloatArray:
    tile = np.zeros((GEOMETRY.height, GEOMETRY.pitch_px), np.float32)
    middle = GEOMETRY.pitch_px / 2
    _press(tile, print_text("candling", 16.0, weight=0.26, spacing=0.26), row=86, column=middle, depth=1.7)
    _digits(tile, "5314 0276", row=124, left=middle - 62, size=9.0, depth=1.5)
    _digits(tile, str(vial), row=884, left=middle - 6 + rng.normal(0, 1), size=12.0, depth=1.2)
    _digits(tile, "10", row=150, left=middle - 14, size=7.0, depth=1.3)
    rows = (np.arange(GEOMETRY.height, dtype=np.float32) + 0.5)[:, None]
    across = np.abs(outline().across)
    for row in (186.0, 198.0, 210.0):  # ribs to grip the flag by
        tile += 1.6 * np.exp(-(((rows - row) / 2.2) ** 2)) * np.clip(8.0 * (0.82 - across), 0, 1)
    for row, strength in ((534.0, 0.9), (704.0, 1.2), (914.0, 1.0)):  # rings where mould inserts meet
        shift = row + rng.normal(0.0, 1.5)
        tile += strength * np.tanh((rows + 7.0 * across**2 - shift) / 2.0)
    for _ in range(rng.integers(2, 5)):  # ejector and vent marks
        _ring(tile, row=rng.uniform(470, 900), column=middle + rng.uniform(-58, 58), radius=rng.uniform(5, 12))
    line = middle + rng.uniform(-70, 70)
    columns = (np.arange(GEOMETRY.pitch_px, dtype=np.float32) + 0.5)[None, :]
    scar = np.exp(-(((columns - line) / 1.5) ** 2)) * np.exp(-(((rows - rng.uniform(560, 860)) / 60.0) ** 2))
    tile += 0.5 * scar  # a worn place of the mould
    return tile * outline().cover


def _press(tile: FloatArray, ink: FloatArray, *, row: float, column: float, depth: float) -> None:
    top, left = round(row - ink.shape[0] / 2), round(column - ink.shape[1] / 2)
    soft = cv2.GaussianBlur(ink, (0, 0), 1.0)
    tile[top : top + ink.shape[0], left : left + ink.shape[1]] += np.float32(2.2 * depth) * soft


def _digits(tile: FloatArray, text: str, *, row: float, left: float, size: float, depth: float) -> None:
    canvas = np.zeros(tile.shape, np.uint8)
    for place, digit in enumerate(text):
        for stroke in _DIGITS.get(digit, ()):
            corner = np.array([left + place * 1.55 * size, row - size])
            _stroke(canvas, np.array(stroke) * size + corner, thick=max(1, round(size / 4)))
    tile += np.float32(2.2 * depth / 255) * cv2.GaussianBlur(canvas, (0, 0), 1.0).astype(np.float32)


def _ring(tile: FloatArray, *, row: float, column: float, radius: float) -> None:
    canvas = np.zeros(tile.shape, np.uint8)
    turns = np.linspace(0, 2 * np.pi, 49)
    points = np.stack([column + radius * np.cos(turns), row + radius * np.sin(turns)], axis=1)
    _stroke(canvas, points, thick=2)
    tile += np.float32(1.1 / 255) * cv2.GaussianBlur(canvas, (0, 0), 1.2).astype(np.float32)


def _stroke(canvas: NDArray[np.uint8], points: NDArray[np.float64], *, thick: int) -> None:
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed], isClosed=False, color=255, thickness=thick, lineType=cv2.LINE_AA, shift=4)
