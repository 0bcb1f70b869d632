"""What of a strip stands still: light, plastic, walls, liquid column, mould marks; knows no frame and no defect.

Two pictures hold it: the strip as if every vial were empty, and as if every vial were full. Where in between the liquid
stands is decided frame by frame. Grey levels are float32 in 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.scenes.defects import clouds
from candling.scenes.vials.geometry import FLAG_BOTTOM, GEOMETRY, LEVEL, WEB_EDGES, outline, strip_ends
from candling.scenes.vials.relief import MOULDS, bend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["Still", "draw_still"]

_STEPS = 1024
_SEED_WORD = 1
"""Second word of the seeds of what stands still."""


@dataclass(frozen=True)
class Still:
    """The fixed traits of one strip; arrays are float32, read-only.

    Attributes:
        empty: (1024, 1280) the strip without liquid.
        full: (1024, 1280) the strip full of liquid; equal to ``empty`` where there is no cavity.
        levels: the row of each vial's liquid level, five numbers.
    """

    empty: FloatArray
    full: FloatArray
    levels: tuple[float, ...]


def draw_still(seed: int) -> Still:
    """Draw the traits that a strip keeps in all its runs."""
    rng = np.random.default_rng([seed, _SEED_WORD])
    gap, spread = bend(int(rng.integers(MOULDS))), np.clip(rng.normal(size=8), -2.5, 2.5)
    light = _light(rng)
    shape = light.shape
    grain = _grain(rng, shape)
    tiles = [_vial(rng, thickness=0.085 + 0.006 * spread[0], haze=1.0 + 0.012 * spread[1]) for _ in range(5)]
    empty, full = (np.concatenate([pair[side] for pair in tiles], axis=1) for side in range(2))
    cover, hollow, web = (np.tile(part, (1, GEOMETRY.vials)) for part in (_wall(), outline().hollow, outline().web))
    ends = strip_ends()
    web = web * ends
    depth = np.float32(1.0 + 0.12 * spread[2])
    relief = 1.0 - np.minimum(0.34 * depth * gap[0], 0.6) - 0.10 * depth * gap[1]
    marked = relief * (1.0 + grain)
    full = full * (1.0 + 0.5 * (marked - 1.0))  # liquid evens the inner face: half of every mark is gone
    plate = (0.845 + 0.008 * np.float32(spread[3])) * (1.0 + 0.8 * grain) * _cut(rng)
    behind = 1.0 + web * (plate - 1.0)
    empty = behind + cover * (empty * marked - behind)
    full = empty + hollow * (full - empty)
    levels = tuple(float(LEVEL + 5.0 * spread[4] + shift) for shift in np.clip(rng.normal(0.0, 4.0, size=5), -9, 9))
    pictures = [np.asarray(cv2.GaussianBlur(light * part, (0, 0), 0.75), dtype=np.float32) for part in (empty, full)]
    for picture in pictures:
        picture.setflags(write=False)
    return Still(pictures[0], pictures[1], levels)


def _light(rng: np.random.Generator) -> FloatArray:
    """Draw the lit screen behind the strip: brightest in the middle, leaning a little from strip to strip."""
    down = np.linspace(-1, 1, GEOMETRY.height, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, GEOMETRY.width, dtype=np.float32)[None, :]
    lean = np.clip(rng.normal(size=3), -2.5, 2.5).astype(np.float32)
    level = np.float32(222.0 + 1.6 * lean[0])
    return np.asarray(
        level * (1.0 - 0.035 * right**2 - 0.05 * down**2 + 0.010 * lean[1] * right + 0.008 * lean[2] * down),
        dtype=np.float32,
    )


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Draw the plastic's unevenness as shares of its brightness: cloudy, streaked where it flowed, grained."""
    height, width = shape
    streaks = np.asarray(rng.standard_normal((9, width // 6), dtype=np.float32))
    grain = 0.010 * clouds(rng, (height, width), 70.0) + 0.009 * clouds(rng, (height, width), 16.0)
    grain += 0.012 * cv2.resize(streaks, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.standard_normal((height // 2, width // 2), dtype=np.float32), (width, height))
    grain += 0.009 * fine
    return np.asarray(grain, dtype=np.float32)


def _vial(rng: np.random.Generator, *, thickness: float, haze: float) -> tuple[FloatArray, FloatArray]:
    """Draw one vial, empty and full, as shares of the light that passes: float32 (1024, 256) each."""
    wall = thickness + 0.004 * float(np.clip(rng.normal(), -2, 2))
    lean = 0.05 * float(np.clip(rng.normal(), -2, 2))  # the wall is thicker on one side
    steps = np.linspace(0.0, 1.0, _STEPS)
    places = _places()
    empty, full = (table.astype(np.float32)[places] for table in (_hollow_wall(steps, wall), _liquid_lens(steps)))
    side = 1.0 + np.float32(lean) * outline().across * np.abs(outline().across)
    rows = (np.arange(GEOMETRY.height, dtype=np.float32) + 0.5)[:, None]
    is_plate = np.clip((FLAG_BOTTOM + 40.0 - rows) / 50.0, 0.0, 1.0)
    rim = _rim()
    flat = np.float32(0.800 * haze) * rim[0]
    empty = empty * side * rim[1] * np.float32(0.865 * haze)
    empty += is_plate * (flat - empty)
    return empty, full * side * rim[2] * np.float32(0.93 * haze)


def _hollow_wall(across: NDArray[np.float64], wall: float) -> NDArray[np.float64]:
    """Give the light through an empty tube at a place across it, 0 the axis, 1 the edge: Beer's law and refraction."""
    chord = np.sqrt(np.maximum(1.0 - across**2, 0.0))
    chord -= np.sqrt(np.maximum((1.0 - wall) ** 2 - across**2, 0.0))
    passed = np.exp(-0.115 * (chord / wall - 1.0))
    edge = np.clip((across - 0.86) / 0.14, 0.0, 1.0)
    return np.asarray(passed * (1.0 - 0.42 * edge**1.5 + 0.22 * np.exp(-(((across - 0.978) / 0.012) ** 2))))


def _liquid_lens(across: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the light through a full tube: a strong lens, dark where its rays leave the lit screen."""
    bent = np.clip((across - 0.64) / 0.27, 0.0, 1.0)
    dark = bent * bent * (3.0 - 2.0 * bent)
    caught = np.exp(-(((across - 0.945) / 0.022) ** 2))  # light that ran round inside the wall
    hot = np.exp(-(((across - 0.58) / 0.10) ** 2))
    return np.asarray(1.0 + 0.035 * hot - 0.66 * dark + 0.24 * caught)


@lru_cache(maxsize=1)
def _places() -> NDArray[np.int32]:
    """Give each pixel's place in a table over the distance from the axis."""
    return np.asarray(np.minimum(np.abs(outline().across) * (_STEPS - 1), _STEPS - 1), dtype=np.int32)


@lru_cache(maxsize=1)
def _wall() -> FloatArray:
    return outline().cover


@lru_cache(maxsize=1)
def _rim() -> tuple[FloatArray, ...]:
    """Give how an outline darkens a flat plate, an empty and a full vial towards it: float32 (1024, 256) each."""
    depth = np.maximum(outline().inside, 0.0)
    rows = (np.arange(GEOMETRY.height, dtype=np.float32) + 0.5)[:, None]
    low = np.clip((rows - 900.0) / 60.0, 0.0, 1.0)  # the bottom is thick
    plate = 1.0 - 0.38 * np.exp(-depth / 2.2) - 0.10 * np.exp(-(((depth - 7.0) / 2.0) ** 2))
    neck = np.clip((rows - 262.0) / 8.0, 0.0, 1.0) * np.clip((400.0 - rows) / 50.0, 0.0, 1.0)
    empty = 1.0 - 0.30 * np.exp(-depth / 2.0) - 0.42 * low * np.exp(-depth / 10.0)
    empty -= neck * (0.26 * np.exp(-(((depth - 8.0) / 1.6) ** 2)) + 0.08 * np.exp(-depth / 5.0))  # its bore
    empty -= 0.16 * np.exp(-(((rows - 268.0) / 2.0) ** 2))  # where the flag is twisted off
    full = 1.0 - 0.35 * np.exp(-depth / 2.0) - 0.58 * low * np.exp(-depth / 13.0)
    full += 0.22 * low * np.exp(-(((depth - 9.0) / 2.2) ** 2))
    return tuple(np.asarray(part, dtype=np.float32) for part in (plate, empty, full))


def _cut(rng: np.random.Generator) -> FloatArray:
    """Draw the webs' edges and the lines where the laser weakened them for tearing: shares, float32 (1024, 1280)."""
    line = np.ones((GEOMETRY.height, GEOMETRY.width), np.float32)
    rows = (np.arange(GEOMETRY.height, dtype=np.float32) + 0.5)[:, None]
    for row in WEB_EDGES:
        line -= 0.15 * np.exp(-(((rows - row) / 1.5) ** 2))
    for border in range(1, GEOMETRY.vials):
        middle = border * GEOMETRY.pitch_px + rng.normal(0.0, 0.5)
        columns = np.arange(GEOMETRY.pitch_px // 8, dtype=np.float32)[None, :] + border * GEOMETRY.pitch_px - 16 + 0.5
        away = columns - np.float32(middle)
        dashes = 0.5 + 0.5 * np.tanh(3.0 * np.sin((rows + rng.uniform(0, 12)) * np.float32(2 * np.pi / 12)))
        bead = -0.16 * np.exp(-((np.abs(away) - 3.2) ** 2) / 2.0) + (0.16 * dashes - 0.10) * np.exp(-(away**2) / 2.2)
        line[:, border * GEOMETRY.pitch_px - 16 : border * GEOMETRY.pitch_px + 16] += bead
    return line
