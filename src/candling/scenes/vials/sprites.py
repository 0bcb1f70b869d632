"""What bubbles, drops, foam and the liquid's level look like against light; knows not where they are.

A sprite is a pair of pictures: how much of what lies behind it stays, and how much of the vial's light is put there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["Sprite", "foam_sprite", "level_shade", "put", "sprite"]

Sprite = tuple["FloatArray", "FloatArray"]
"""(kept, own): float32 (h, w) each, odd sides; a picture P becomes ``kept * P + own * light``."""

_PARTS = 4
"""Places between two pixels at which a sprite is kept ready."""


def put(picture: FloatArray, what: Sprite, *, row: float, column: float, light: float) -> None:
    """Put a sprite into a picture, its middle at a place; what reaches over the picture's edge is cut off."""
    kept, own = what
    height, width = kept.shape
    top, left = round(row) - height // 2, round(column) - width // 2
    above, before = max(0, -top), max(0, -left)
    bottom, right = min(height, picture.shape[0] - top), min(width, picture.shape[1] - left)
    if above >= bottom or before >= right:
        return
    window = picture[top + above : top + bottom, left + before : left + right]
    window *= kept[above:bottom, before:right]
    window += np.float32(light) * own[above:bottom, before:right]


def sprite(kind: str, radius: float, row: float, column: float) -> Sprite:
    """Give the sprite of a bubble, drop or droplet whose middle lies at a place between pixels."""
    parts = [round((place - round(place)) * _PARTS) for place in (row, column)]
    return _sprite(kind, round(radius * 4), parts[0], parts[1])


@lru_cache(maxsize=4096)
def _sprite(kind: str, quarters: int, part_down: int, part_right: int) -> Sprite:
    radius = quarters / 4
    half = int(np.ceil(radius * 1.35)) + 2
    grid = np.arange(-half, half + 1, dtype=np.float32)
    down, right = grid[:, None] - part_down / _PARTS, grid[None, :] - part_right / _PARTS
    if kind in {"drop", "droplet"}:
        narrow = np.where(down < 0, 0.86 - 0.10 * np.clip(-down / radius, 0, 1), 0.92)
        away = np.hypot(down / np.float32(1.18), right / narrow) / np.float32(radius)
        return _finish(_drop_light(away, down / radius, right / radius), away, radius, through=0.25)
    tall = 0.86 if kind == "surface" else 1.0
    away = np.hypot(down / np.float32(tall), right) / np.float32(radius)
    return _finish(_bubble_light(away, down / radius, right / radius, kind), away, radius, through=0.45)


def _bubble_light(away: FloatArray, down: FloatArray, right: FloatArray, kind: str) -> FloatArray:
    """Give a bubble's own light: air in water spreads rays, so its edge is dark and only its middle lets light pass."""
    ring = np.exp(-(((away - 0.86) / 0.17) ** 2))
    middle = np.exp(-((away / 0.42) ** 2))
    glint = np.exp(-(((down + 0.42) ** 2 + (right + 0.30) ** 2) / 0.02))
    heavy = 0.62 if kind == "surface" else 0.54
    return np.asarray(0.93 - heavy * ring - 0.10 * (away > 0) * np.clip(away, 0, 1) + 0.12 * middle + 0.20 * glint)


def _drop_light(away: FloatArray, down: FloatArray, right: FloatArray) -> FloatArray:
    """Give a drop's own light: a lens with a dark edge, darkest above, and a bright spot below its middle."""
    edge = np.clip((away - 0.35) / 0.65, 0.0, 1.0)
    spot = np.exp(-(((down - 0.22) ** 2 + right**2) / 0.16))
    return np.asarray(0.95 - 0.62 * edge**1.4 * (1.0 - 0.25 * np.clip(down, -1, 1)) + 0.16 * spot)


def _finish(light: FloatArray, away: FloatArray, radius: float, *, through: float) -> Sprite:
    """Make the pair, smooth at the edge; ``through`` is the share of what lies behind that shines through."""
    cover = np.clip((1.0 - away) * np.float32(radius) + 0.5, 0.0, 1.0)
    kept = 1.0 - cover + through * cover * light
    return _fixed(kept, (1.0 - through) * cover * light)


@lru_cache(maxsize=64)
def foam_sprite(seed: int, share: float, half_width: int, *, dirty: bool = False) -> Sprite:
    """Draw foam on a level: a raft of small bubbles, (81, 2 * half_width + 1), its middle row at the level.

    Dirty foam is finer, higher, and a film of dirt hangs between its bubbles.
    """
    rng = np.random.default_rng([seed, 5 + dirty])
    height, width = 81, 2 * half_width + 1
    kept, own = np.ones((height, width), np.float32), np.zeros((height, width), np.float32)
    reach = max(14.0, share * half_width)
    middle = rng.uniform(-1, 1) * max(half_width - 14.0 - reach, 0.0) + half_width  # room to drift
    count = int(rng.uniform(0.55, 0.9) * reach * (1.9 if dirty else 0.75))
    bubbles = [
        (middle + np.clip(rng.normal(0, 0.5), -1, 1) * reach, rng.normal(-1.0, 6.5 if dirty else 3.5))
        for _ in range(count)
    ]
    if dirty:
        film = np.zeros((height, width), np.float32)
        for column, row in bubbles:
            cv2.circle(film, (round(column), round(40 + row)), 8, 1.0, -1)
        film = cv2.GaussianBlur(film, (0, 0), 2.5)
        film *= np.float32(0.42) + np.float32(0.14) * _speckle(rng, film.shape)
        kept *= 1.0 - film
    for column, row in bubbles:
        radius = float(np.clip(rng.lognormal(0.75 if dirty else 1.15, 0.4), 1.4, 8.0))
        one = sprite("bubble", radius, 40 + row, column)
        _lay(kept, own, one, row=40 + row, column=column)
    return _fixed(kept, own)


def _lay(kept: FloatArray, own: FloatArray, one: Sprite, *, row: float, column: float) -> None:
    """Lay one sprite over others: the pair of the two together."""
    put(kept, (one[0], np.zeros_like(one[1])), row=row, column=column, light=0.0)
    put(own, one, row=row, column=column, light=1.0)


def _speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    raw = rng.standard_normal((shape[0], shape[1]), dtype=np.float32)
    return np.asarray(np.clip(2.0 * cv2.GaussianBlur(raw, (0, 0), 1.3), -2.0, 2.0), dtype=np.float32)


def level_shade(below: FloatArray, band: float) -> tuple[FloatArray, FloatArray]:
    """Give what a meniscus does at so many px below the level, negative above it.

    Returns (liquid, gain): the liquid's share of each pixel, in [0, 1], and the factor on its light; the band of wet
    wall above the level bends light away, a bright line lies below it.
    """
    index = np.clip((below + 48.0) * 4.0, 0, 511).astype(np.int32)
    places = np.arange(512) / 4.0 - 48.0
    liquid = np.clip(places / 3.0 + 0.5, 0.0, 1.0)
    rise = np.clip((places + band + 3.0) / 3.0, 0, 1)  # the front edge is sharp
    fade = np.clip((1.5 - places) / 3.0, 0, 1)
    deep = 0.40 + 0.16 * np.clip(-places / band, 0, 1)
    gain = 1.0 - rise * fade * deep - 0.16 * np.exp(-(((places + band + 1.0) / 1.6) ** 2))
    gain += 0.09 * np.exp(-(((places - 5.5) / 2.6) ** 2)) - 0.05 * np.exp(-(((places - 13.0) / 5.0) ** 2))
    return np.asarray(liquid, np.float32)[index], np.asarray(gain, np.float32)[index]


def _fixed(kept: NDArray[np.floating], own: NDArray[np.floating]) -> Sprite:
    pair = (np.asarray(kept, dtype=np.float32), np.asarray(own, dtype=np.float32))
    for array in pair:
        array.setflags(write=False)
    return pair
