"""Defects of a rounded product, drawn into a picture before noise; knows no product, only its surface coordinates.

Pictures are float32 (H, W) in grey levels, 0 to 255. ``strength`` 1 is plain to see, 0 leaves a picture as it is.
Where a defect is, :func:`difference_mask` reads off the pictures with and without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from candling.types import FloatArray

__all__ = ["Surface", "clouds", "crack", "difference_mask", "poke", "scratch", "smudge", "squeeze", "strength_of"]

_VISIBLE = 7.0
"""A pixel belongs to a defect when, at full strength, it differs by so many grey levels."""

Points = NDArray[np.float64]
"""(N, 2) as (along, across) in px on a surface."""


@dataclass(frozen=True)
class Surface:
    """Where each pixel of a picture is on a product that is rounded about one axis; arrays are float32 (H, W), in px.

    Attributes:
        along: position along the axis, 0 at the centre.
        across: position across the axis, 0 on it.
        radius: the product's radius at this place of the axis.
        beyond: how far behind the beginning of an end's dome; 0 between the domes.
        outside: distance from the outline, negative inside.
        centre: (column, row) of the product's centre.
        angle: of the axis against the rows, in radians.
        half_length: from the centre to either end.
        thickness: the product's typical radius: the unit in which defects are sized.
    """

    along: FloatArray
    across: FloatArray
    radius: FloatArray
    beyond: FloatArray
    outside: FloatArray
    centre: tuple[float, float]
    angle: float
    half_length: float
    thickness: float

    @property
    def cover(self) -> FloatArray:
        """The product's share of each pixel, in [0, 1]."""
        return _narrow(np.clip(np.float32(0.5) - self.outside, 0.0, 1.0))

    def pixels(self, points: Points) -> NDArray[np.float64]:
        """Give (column, row) of points on the surface."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]) + np.array(self.centre))


def strength_of(difficulty: float) -> float:
    """Give a defect's contrast: 1 at difficulty 0, a 25th at difficulty 1, each step the same factor.

    >>> [round(strength_of(difficulty), 2) for difficulty in (0.0, 0.5, 1.0)]
    [1.0, 0.2, 0.04]
    """
    return float(25.0**-difficulty)


def difference_mask(good: FloatArray, altered: FloatArray, strength: float) -> NDArray[np.bool_]:
    """Mark the pixels, bool (H, W), that a defect changed, with the gaps of a pixel or two between them.

    The change that counts shrinks with the strength: a weak defect has the mask of a strong one.
    """
    changed = (np.abs(altered - good) > _VISIBLE * strength).astype(np.uint8)
    scale = max(good.shape) / 256
    reach = 1 + 2 * round(scale)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel))
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    # grains of a pixel or two are resampled texture; the largest part always stays
    kept = areas >= min(max(3.0, 4.0 * scale * scale), areas.max()) if count > 1 else areas > 0
    return np.asarray(kept[parts], dtype=np.bool_)


def crack(picture: FloatArray, surface: Surface, rng: np.random.Generator, strength: float) -> FloatArray:
    """Break the shell open: a jagged bright rift with splinters, and a dark lip under it."""
    unit = surface.thickness
    side = rng.choice([-1.0, 1.0])
    centre = _spot(surface, rng, across=side * rng.uniform(0.5, 0.88))
    path = _walk(centre, rng.normal(0.0, 0.12), unit * rng.uniform(0.6, 1.3), rng, bend=0.3)
    width = unit * rng.uniform(0.05, 0.11) * np.sin(np.linspace(0.2, math.pi - 0.2, len(path)))
    above, below = (rng.uniform(0.3, 1.6, size=(len(path), 1)) for _ in range(2))
    normal = _normals(path) * width[:, None]
    rift = _fill(surface, [np.concatenate([path + normal * above, (path - normal * below)[::-1]])])
    splinters = [_splinter(path[rng.integers(len(path))], unit, rng) for _ in range(rng.integers(3, 9))]
    shell = np.maximum(rift, _fill(surface, splinters) * np.float32(0.85)) * surface.cover
    lip = cv2.GaussianBlur(np.roll(shell, max(1, round(0.04 * unit)), axis=0), (0, 0), 0.03 * unit) * surface.cover
    altered = _blend(picture, 14.0, 0.7 * strength * lip)
    return _blend(altered, 205.0 + 30.0 * clouds(rng, picture.shape, 0.1 * unit), strength * shell)


def scratch(picture: FloatArray, surface: Surface, rng: np.random.Generator, strength: float) -> FloatArray:
    """Scratch the surface: a bundle of fine, nearly parallel, bright lines that come and go."""
    unit = surface.thickness
    centre = _spot(surface, rng, across=rng.uniform(-0.5, 0.5))
    turn = rng.normal(0.0, 0.6)
    grooves = np.zeros(picture.shape, np.float32)
    for _ in range(rng.integers(3, 8)):
        start = centre + rng.normal(0.0, 0.16, size=2) * unit
        path = _walk(start, turn + rng.normal(0.0, 0.1), unit * rng.uniform(0.4, 1.5), rng, bend=0.08)
        depth = np.abs(np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, 6), rng.uniform(-0.3, 1.0, size=6)))
        grooves = np.maximum(grooves, _line(surface, path, depth, width=unit * rng.uniform(0.012, 0.03)))
    gain = rng.uniform(90.0, 135.0)
    return _narrow(picture + strength * gain * grooves * surface.cover)


def poke(picture: FloatArray, surface: Surface, rng: np.random.Generator, strength: float) -> FloatArray:
    """Push the shell in at one spot: a dimple lit from above, torn skin in a broken bright rim, fine cracks around."""
    unit = surface.thickness
    centre = _spot(surface, rng, across=rng.uniform(-0.55, 0.55))
    size = unit * rng.uniform(0.20, 0.38)
    right, down = (surface.along - centre[0]) / size, (surface.across - centre[1]) / (size * rng.uniform(0.7, 1.0))
    distance = np.hypot(right, down) + 0.22 * clouds(rng, picture.shape, 0.7 * size)
    bowl = np.clip(1.0 - distance * np.abs(distance), 0.0, 1.0)
    torn = np.clip(clouds(rng, picture.shape, 0.16 * size) + clouds(rng, picture.shape, 0.4 * size), -0.8, 2.0) * bowl
    rim = np.exp(-(((distance - 0.9) / 0.16) ** 2))
    rim *= np.clip(0.4 + 1.1 * clouds(rng, picture.shape, 0.6 * size), 0.0, 1.2)
    star = np.zeros(picture.shape, np.float32)
    for turn in rng.uniform(0.0, 2 * math.pi, size=rng.integers(2, 6)):
        path = _walk(centre, turn, size * rng.uniform(2.4, 3.8), rng, bend=0.4)[8:]  # from the spot outwards
        star = np.maximum(star, _line(surface, path, np.linspace(1.0, 0.2, len(path)), width=0.02 * unit))
    relief = 60.0 * bowl * down - 14.0 * bowl + 52.0 * torn + 95.0 * rim + 70.0 * star
    change = np.maximum(relief, -0.85 * picture) * surface.cover  # light is added or taken away, never below black
    return _narrow(picture + strength * change)


def squeeze(picture: FloatArray, surface: Surface, rng: np.random.Generator, strength: float) -> FloatArray:
    """Press the product out of shape: the outline moves and the skin folds, at an end or at the waist."""
    dent = rng.uniform() < 0.3
    along, across, fold = (_dent if dent else _pinch)(
        surface, rng, strength * surface.thickness * rng.uniform(0.16, 0.30)
    )
    bent = _pull(picture, surface, along=along, across=across)
    inside = np.clip(-surface.outside / (0.15 * surface.thickness) - 0.8, 0.0, 1.0)
    # a fold turns the skin towards the light and away from it: bright skin shows more of that than dark skin
    return _narrow(bent + strength * 0.42 * fold * inside * (bent + 22.0))


def _dent(
    surface: Surface, rng: np.random.Generator, depth: float
) -> tuple[FloatArray | float, FloatArray | float, FloatArray]:
    """Push an end in: shifts along and across, in px, and the fold's shading, in [-1, 1]."""
    unit, end = surface.thickness, rng.choice([-1.0, 1.0])
    aside = surface.across - unit * rng.uniform(-0.5, 0.5)
    near = end * surface.along - surface.half_length + unit  # 0 where the end begins, a radius at its tip
    hollow = np.exp(-((aside / (0.5 * unit)) ** 2))
    shift = end * 1.4 * depth * np.clip(near / unit, 0.0, 1.2) * hollow * _fading(surface)
    return _narrow(shift), 0.0, _narrow(_crease(near - 0.4 * unit + 0.3 * aside**2 / unit, unit) * hollow)


def _pinch(
    surface: Surface, rng: np.random.Generator, depth: float
) -> tuple[FloatArray | float, FloatArray | float, FloatArray]:
    """Press the waist from one side or from both: as :func:`_dent`."""
    unit, side = surface.thickness, rng.choice([-1.0, 0.0, 1.0])
    level = np.clip(surface.across / surface.radius, -1.0, 1.0)
    away = surface.along - rng.uniform(-0.6, 0.6) * surface.half_length
    hollow = np.exp(-((away / (unit * rng.uniform(0.45, 0.8))) ** 2)) * _fading(surface)
    pressed = level if side == 0 else side * np.clip(0.5 + side * level, 0.0, 1.3)
    fold = _crease(away - rng.normal(0.0, 0.35) * surface.across, unit)
    return 0.0, _narrow(depth * hollow * pressed), _narrow(fold * np.clip(np.abs(level - 0.4 * side), 0.25, 1.0))


def _fading(surface: Surface) -> FloatArray:
    """Give the share of a deformation that reaches a pixel: all of it on the product, less and less beside it."""
    return np.exp(-np.maximum(surface.outside, 0.0) / np.float32(0.7 * surface.thickness))


def smudge(ink: FloatArray, rng: np.random.Generator, strength: float) -> FloatArray:
    """Spoil an imprint, float32 (H, W) in [0, 1]: erased, half missing, smeared, printed twice or rubbed off."""
    rows, columns = ink.shape
    kind = rng.integers(5)
    place, share = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.5)
    right = np.abs(np.linspace(0.0, 1.0, columns, dtype=np.float32) - np.float32(place)) / np.float32(share / 2)
    window = np.clip(4.0 * (1.0 - right), 0.0, 1.0)[None, :]
    if kind == 0:
        spoilt = np.zeros_like(ink)
    elif kind == 1:
        spoilt = ink * (1.0 - window)
    elif kind == 2:
        long = max(3, round(columns * rng.uniform(0.08, 0.16)))
        spoilt = cv2.filter2D(ink, -1, np.full((1, long), 1.0 / long, np.float32), anchor=(0, 0))
    elif kind == 3:
        step = max(2, round(rows * rng.uniform(0.07, 0.12))) * rng.choice([-1, 1])
        spoilt = np.maximum(0.75 * ink, 0.75 * np.roll(ink, (step, -abs(step)), axis=(0, 1)))
    else:
        down, across = np.mgrid[0:rows, 0:columns].astype(np.float32)
        lines = np.sin((across + rng.uniform(-0.6, 0.6) * down) * np.float32(2 * math.pi / (0.09 * rows)))
        spoilt = ink * (1.0 - window * (lines > -0.4))
    return _narrow(ink + strength * (spoilt - ink))


def clouds(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> FloatArray:
    """Draw smooth noise, float32 (H, W) of mean 0 and deviation near 0.8, with spots of about ``grain`` px."""
    rows, columns = (max(2, math.ceil(side / max(grain, 1.0)) + 1) for side in shape)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return _narrow(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def _spot(surface: Surface, rng: np.random.Generator, *, across: float) -> NDArray[np.float64]:
    """Choose a point on the surface, away from the ends; ``across`` is given in radii."""
    along = rng.uniform(-1.0, 1.0) * (surface.half_length - 0.8 * surface.thickness)
    return np.array([along, across * surface.thickness])


def _walk(centre: NDArray[np.float64], turn: float, length: float, rng: np.random.Generator, *, bend: float) -> Points:
    """Walk a path of this length whose middle is ``centre``, wandering by ``bend`` radians a step."""
    turns = turn + np.cumsum(rng.normal(0.0, bend, size=16)) * 0.5 + rng.normal(0.0, bend, size=16)
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / 16)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return np.asarray(path - path[8] + centre)


def _crease(ridge: FloatArray, unit: float) -> FloatArray:
    """Shade a fold by the distance from its ridge: one flank towards the light, the other away from it, in [-1, 1]."""
    return _narrow(-np.tanh(ridge / (0.025 * unit)) * np.exp(-np.abs(ridge) / (0.22 * unit)))


def _normals(path: Points) -> Points:
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _splinter(near: NDArray[np.float64], unit: float, rng: np.random.Generator) -> Points:
    corners = np.sort(rng.uniform(0.0, 2 * math.pi, size=rng.integers(3, 6)))
    reach = unit * rng.uniform(0.02, 0.09) * rng.uniform(0.4, 1.0, size=corners.size)
    centre = near + rng.normal(0.0, 0.10, size=2) * unit * (1.6, 0.8)
    return np.asarray(centre + np.stack([np.cos(corners) * 1.5, np.sin(corners)], axis=1) * reach[:, None])


def _fill(surface: Surface, outlines: Iterable[Points]) -> FloatArray:
    """Fill outlines with 1, smooth at their edges."""
    canvas = np.zeros(surface.along.shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [_fixed(surface, outline)], 255, cv2.LINE_AA, 4)
    return _narrow(canvas / np.float32(255))


def _line(surface: Surface, path: Points, depth: NDArray[np.float64], *, width: float) -> FloatArray:
    """Draw a line whose depth, in [0, 1], changes along the path; one thinner than a pixel is fainter instead."""
    canvas = np.zeros(surface.along.shape, np.uint8)
    points = _fixed(surface, path)
    faint, thick = min(1.0, 0.35 + width), max(1, round(width))
    for index in range(len(path) - 1):
        level = int(255 * faint * min(1.0, float(depth[index])))
        ends = points[index : index + 2]
        cv2.polylines(canvas, [ends], isClosed=False, color=level, thickness=thick, lineType=cv2.LINE_AA, shift=4)
    return _narrow(canvas / np.float32(255))


def _fixed(surface: Surface, points: Points) -> NDArray[np.int32]:
    """Give pixels in sixteenths, as OpenCV draws them with ``shift=4``."""
    return np.round(surface.pixels(points) * 16).astype(np.int32)


def _blend(picture: FloatArray, grey: float | FloatArray, share: FloatArray) -> FloatArray:
    return _narrow(picture + share * (grey - picture))


def _narrow(values: NDArray[np.floating]) -> FloatArray:
    return np.asarray(values, dtype=np.float32)


def _pull(
    picture: FloatArray, surface: Surface, *, along: FloatArray | float, across: FloatArray | float
) -> FloatArray:
    """Take each pixel from a place shifted along and across the axis by so many px."""
    rows, columns = np.indices(picture.shape, dtype=np.float32)
    cos, sin = math.cos(surface.angle), math.sin(surface.angle)
    right = (columns + along * cos - across * sin).astype(np.float32)
    down = (rows + along * sin + across * cos).astype(np.float32)
    return _narrow(cv2.remap(picture, right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
