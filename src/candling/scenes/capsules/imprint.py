"""Letters made of arcs and lines, printed onto capsules; the same with every version of OpenCV, whose fonts change."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from candling.types import FloatArray

__all__ = ["print_text"]

Stroke = NDArray[np.float64]
"""Points (N, 2) as (right, down) on a line of text; the x-height is 1, ascenders and digits reach up to -0.6."""

_FINE = 4
"""How many times finer than asked for letters are drawn before they are averaged down."""


def _arc(x: float, y: float, width: float, height: float, *ends: float) -> Stroke:
    """Give points of an ellipse's arc about (x, y), between two angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(ends[0], ends[1], 33))
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def _line(*points: tuple[float, float]) -> Stroke:
    return np.array(points, dtype=np.float64)


def _glyphs() -> dict[str, tuple[float, list[Stroke]]]:
    """Give each letter's width and strokes; "@" is an egg before a lamp, the sign of the house."""
    bowl = _arc(0.42, 0.58, 0.38, 0.42, 0, 360)
    hook = np.concatenate([_line((0.80, 0.18), (0.80, 1.10)), _arc(0.44, 1.10, 0.36, 0.34, 0, 130)])
    arch = np.concatenate([_arc(0.40, 0.52, 0.32, 0.36, 180, 360), _line((0.72, 1.0))])
    two = np.concatenate([_arc(0.42, -0.16, 0.38, 0.42, 190, 385), _line((0.06, 1.0), (0.82, 1.0))])
    five = np.concatenate([_line((0.76, -0.6), (0.16, -0.6), (0.10, 0.16)), _arc(0.38, 0.46, 0.42, 0.52, 222, 490)])
    egg = [_arc(0.58, 0.20, 0.52, 0.80, 0, 360), _arc(0.58, 0.20, 0.24, 0.46, 110, 250)]
    return {
        "c": (0.84, [_arc(0.44, 0.58, 0.40, 0.42, 48, 312)]),
        "a": (0.96, [bowl, _line((0.80, 0.18), (0.80, 1.0))]),
        "n": (0.88, [_line((0.08, 0.18), (0.08, 1.0)), arch]),
        "d": (0.96, [bowl, _line((0.80, -0.55), (0.80, 1.0))]),
        "l": (0.36, [_line((0.12, -0.55), (0.12, 1.0))]),
        "i": (0.36, [_line((0.12, 0.18), (0.12, 1.0)), _line((0.12, -0.28), (0.12, -0.26))]),
        "g": (0.96, [bowl, hook]),
        "2": (1.05, [two]),
        "5": (1.05, [five]),
        "0": (1.05, [_arc(0.43, 0.20, 0.40, 0.80, 0, 360)]),
        "@": (1.45, egg),
    }


@lru_cache(maxsize=32)
def print_text(text: str, scale: float, *, weight: float, spacing: float) -> FloatArray:
    """Print a text: float32 (H, W) in [0, 1], 1 where ink is, read-only because it is shared.

    Args:
        text: letters of "candling", digits of "250", and "@".
        scale: pixels of an x-height.
        weight: width of a stroke in x-heights.
        spacing: between letters in x-heights.
    """
    glyphs = _glyphs()
    margin = weight + 0.2
    width = sum(glyphs[letter][0] + spacing for letter in text) - spacing + 2 * margin
    rows, columns = (max(4, round(length * scale)) for length in (2.2 + 2 * margin, width))
    fine = scale * _FINE
    canvas = np.zeros((rows * _FINE, columns * _FINE), np.uint8)
    left, thick = margin, max(1, round(weight * fine))
    for letter in text:
        advance, strokes = glyphs[letter]
        for stroke in strokes:
            points = np.round((stroke + np.array([left, margin + 0.7])) * fine * 16).astype(np.int32)
            cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=thick, lineType=cv2.LINE_AA, shift=4)
        left += advance + spacing
    ink = np.asarray(cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA) / np.float32(255))
    ink.setflags(write=False)
    return ink
