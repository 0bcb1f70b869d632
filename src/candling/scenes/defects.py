"""Defects of a rounded product, drawn into a picture before noise; knows no product, only its surface coordinates.

Each function takes a picture, float32 (H, W) in grey levels, and gives the altered one; ``strength`` 1 is plain to see,
0 leaves the picture as it is. Where the defect is, :func:`difference_mask` reads off the two pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from candling.types import FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Surface", "crack", "difference_mask", "poke", "scratch", "smudge", "squeeze", "strength_of"]

_VISIBLE = 7.0
"""A pixel belongs to a defect when, at full strength, it differs by so many grey levels."""


@dataclass(frozen=True)
class Surface:
    """Where each pixel of a picture is on a product that is rounded about one axis; arrays are float32 (H, W), in px.

    Attributes:
        along: position along the axis, 0 at the centre.
        across: position across the axis, 0 on it.
        radius: the product's radius at this place of the axis.
        beyond: how far behind the beginning of an end's dome; 0 between the domes.
        outside: distance from the outline, negative inside.
        cap: 1 on the left part, 0 on the right one, smooth over one pixel between them.
        centre: (column, row) of the product's centre.
        angle: of the axis against the rows, in radians.
        ends: where the axis begins and ends.
        joint: where the left part ends.
    """

    along: FloatArray
    across: FloatArray
    radius: FloatArray
    beyond: FloatArray
    outside: FloatArray
    cap: FloatArray
    centre: tuple[float, float]
    angle: float
    ends: tuple[float, float]
    joint: float

    @property
    def cover(self) -> FloatArray:
        """The product's share of each pixel, in [0, 1]."""
        return np.clip(0.5 - self.outside, 0.0, 1.0)

    @property
    def thickness(self) -> float:
        """The product's typical radius in px: the unit defects are sized in."""
        return float(np.median(self.radius))

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give (column, row) of points (N, 2) given as (along, across) in px."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return points @ np.array([[cos, sin], [-sin, cos]]) + np.array(self.centre)


def strength_of(difficulty: float) -> float:
    """Give a defect's contrast: 1 at difficulty 0, a 25th at difficulty 1, each step the same factor.

    >>> [round(strength_of(difficulty), 2) for difficulty in (0.0, 0.5, 1.0)]
    [1.0, 0.2, 0.04]
    """
    return 25.0**-difficulty


def difference_mask(good: FloatArray, altered: FloatArray, strength: float) -> NDArray[np.bool_]:
    """Mark the pixels a defect of this strength changed, so that a weak one has the mask of a strong one."""
    return np.abs(altered - good) > _VISIBLE * strength


def crack(picture: FloatArray, surface: Surface, rng: np.random.Generator, strength: float) -> FloatArray:
    """Break the shell open: a jagged bright rift with splinters, dark along its lower lip."""
    size = surface.thickness
    centre, heading = _place(surface, rng, edge=True)
    length = size * rng.uniform(0.5, 1.1)
    steps = 14
    path = _walk(centre, heading, length, steps, rng, bend=0.35, jag=0.06 * size)
    width = size * rng.uniform(0.05, 0.12) * np.sin(np.linspace(0.15, math.pi - 0.15, steps)) ** 0.7
    width *= rng.uniform(0.4, 1.5, size=steps)
    normal = np.stack([-np.gradient(path[:, 1]), np.gradient(path[:, 0])], axis=1)[:, ::-1] * (1, 1)
    normal /= np.maximum(np.hypot(*normal.T)[:, None], 1e-6)
    outline = np.concatenate([path + normal * width[:, None], (path - normal * width[:, None] * 0.6)[::-1]])
    rift = _fill(surface, [outline])
    splinters = [_splinter(path[rng.integers(steps)], size, rng) for _ in range(rng.integers(3, 8))]
    bright = np.maximum(rift, 0.8 * _fill(surface, splinters))
    lip = np.clip(_shift(rift, 0.035 * size) - bright, 0.0, 1.0)
    inside = 205.0 + 38.0 * _clouds(rng, picture.shape, 0.12 * size)
    altered = _blend(picture, 18.0, 0.75 * strength * lip * surface.cover)
    return _blend(altered, inside, strength * bright * surface.cover)
