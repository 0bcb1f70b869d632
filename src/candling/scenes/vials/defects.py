"""The catalogue of a vial's defects: what each does to light and shape, where it may be; knows no frame and no run.

A defect is a change of the strip at rest: a factor on the light and a shift of the shape, over a small box. Contrast
takes both back towards nothing; the place stays. Two kinds need company: dirty foam floats on the level and is drawn
with what moves, and a bubble lies beside or over some bumps and dents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import UsageError
from candling.scenes.defects import clouds, difference_mask
from candling.scenes.vials.geometry import GEOMETRY, LEVEL, body_half_width
from candling.scenes.vials.moving import Floating
from candling.types import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["DEFECTS", "SEVERITIES", "Change", "Defect", "Flaw", "altered", "change_mask", "draw_flaw"]

SEVERITIES = ("critical", "major", "minor")
"""Classes of defects, worst first."""

DEFECTS: dict[str, str] = {
    "particle": "critical",
    "contaminated_foam": "critical",
    "deformation_light": "minor",
    "deformation_heavy": "major",
    "black_spot": "major",
    "burn": "major",
    "scratch_light": "minor",
    "scratch_deep": "major",
    "laser_cut": "minor",
    "bump_neck": "major",
    "bump_cap": "minor",
    "bump_beside_bubble": "major",
    "deformation_on_bubble": "critical",
}
"""Every defect that can be drawn, with its class."""

_SEED_WORD = 3
"""Second word of the seeds of defects."""


@dataclass(frozen=True)
class Defect:
    """What a defect is and where: ``row`` and ``column`` are its middle in px on a strip that lies in its place."""

    kind: str
    severity: str
    vial: int
    region: str
    row: float
    column: float


@dataclass(frozen=True)
class Change:
    """What a defect of full contrast does to a strip at rest; arrays are float32 (height, width) of the box.

    Attributes:
        box: where.
        gain: factor on the light.
        right: px to the right from which each pixel takes its light.
        down: px below.
    """

    box: Box
    gain: FloatArray
    right: FloatArray
    down: FloatArray


@dataclass(frozen=True)
class Flaw:
    """A defect with all that is needed to draw it: a change at rest or a seed of dirty foam, and a bubble beside it."""

    defect: Defect
    change: Change | None
    foam: int | None = None
    companion: Floating | None = None


def draw_flaw(kind: str, seed: int) -> Flaw:
    """Choose place and shape of a strip's defect.

    Raises:
        UsageError: no such defect.
    """
    if kind not in DEFECTS:
        raise UsageError(f"no defect {kind!r} can be drawn; there are: {', '.join(DEFECTS)}")
    rng = np.random.default_rng([seed, _SEED_WORD, *kind.encode()])
    vial = int(rng.integers(1, GEOMETRY.vials + 1))
    companion = foam = None
    if kind == "contaminated_foam":
        foam, change = int(rng.integers(2**31)), None
        row, column = LEVEL, GEOMETRY.axis(vial)
    else:
        change = _DRAW[kind](rng, vial)
        row, column = change.box.top + change.box.height / 2, change.box.left + change.box.width / 2
    if kind in {"bump_beside_bubble", "deformation_on_bubble"}:
        companion = _companion(rng, row, column - GEOMETRY.axis(vial), beside=kind == "bump_beside_bubble")
    defect = Defect(kind, DEFECTS[kind], vial, GEOMETRY.region_at(row), row, column)
    return Flaw(defect, change, foam, companion)


def altered(picture: FloatArray, change: Change, contrast: float) -> FloatArray:
    """Give the picture, float32 (1024, 1280), with the change at a contrast in [0, 1]; at 0 it is the picture."""
    if contrast <= 0.0:
        return picture
    box, whole = change.box, picture.copy()
    window = np.s_[box.top : box.bottom, box.left : box.right]
    part = picture[window]
    if change.right.any() or change.down.any():
        rows, columns = np.indices(part.shape, dtype=np.float32)
        shares = np.float32(contrast)
        right, down = (columns + box.left + shares * change.right, rows + box.top + shares * change.down)
        part = cv2.remap(picture, right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    whole[window] = np.clip(part * (1.0 + np.float32(contrast) * (change.gain - 1.0)), 0.0, 250.0)
    return whole


def change_mask(picture: FloatArray, change: Change) -> NDArray[np.uint8]:
    """Mark the pixels of a picture that a change of full contrast makes different: uint8 (1024, 1280), 0 or 255."""
    box = change.box
    window = np.s_[box.top : box.bottom, box.left : box.right]
    mask = np.zeros(picture.shape, np.uint8)
    marked = difference_mask(picture[window], altered(picture, change, 1.0)[window], 1.0).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    mask[window] = 255 * cv2.morphologyEx(marked, cv2.MORPH_CLOSE, kernel)
    return mask


class _Spot:
    """A square of px about a place of a vial, and how to lay changes over it."""

    def __init__(self, vial: int, *, row: float, across: float, reach: float) -> None:
        """Lay the square; what reaches beyond the frame is cut off."""
        column, half = GEOMETRY.axis(vial) + across, math.ceil(reach)
        top, left = max(0, round(row) - half), max(0, round(column) - half)
        bottom, right = min(GEOMETRY.height, round(row) + half), min(GEOMETRY.width, round(column) + half)
        self.box = Box(top, left, bottom - top, right - left)
        self.shape = (self.box.height, self.box.width)
        self.down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - row))[:, None]
        self.right = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - column))[None, :]
        self.across = self.right + np.float32(across)

    def change(self, gain: FloatArray, right: FloatArray | None = None, down: FloatArray | None = None) -> Change:
        """Make the change, even all around at the border of the square."""
        calm = np.zeros(self.shape, np.float32)
        edge = np.minimum(*(np.minimum(np.arange(n), np.arange(n)[::-1])[s] for n, s in _sides(self.shape)))
        fade = np.clip(edge / 4.0, 0.0, 1.0).astype(np.float32)
        parts = [calm if part is None else np.asarray(part * fade, dtype=np.float32) for part in (right, down)]
        return Change(self.box, np.asarray(1.0 + fade * (gain - 1.0), dtype=np.float32), parts[0], parts[1])

    def lines(self, path: NDArray[np.float64], width: float) -> FloatArray:
        """Draw a line through points (right, down) about the place: its share of each pixel, in [0, 1]."""
        fine = 4
        canvas = np.zeros((self.shape[0] * fine, self.shape[1] * fine), np.uint8)
        corner = np.array([-float(self.right[0, 0]), -float(self.down[0, 0])]) + 0.5
        points = np.round((path + corner) * fine * 16).astype(np.int32)
        thick = max(1, round(width * fine))
        cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=thick, lineType=cv2.LINE_AA, shift=4)
        small = cv2.resize(canvas, (self.shape[1], self.shape[0]), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.float32) / np.float32(255)


def _sides(shape: tuple[int, int]) -> tuple[tuple[int, tuple[slice | None, ...]], ...]:
    return (shape[0], (slice(None), None)), (shape[1], (None, slice(None)))


def _particle(rng: np.random.Generator, vial: int) -> Change:
    """Draw something that stuck to the wall: an angular dark grain, or a short fibre."""
    row = rng.uniform(LEVEL + 36.0, 955.0)
    spot = _Spot(vial, row=row, across=rng.uniform(-0.72, 0.72) * body_half_width(row), reach=24)
    if rng.uniform() < 0.3:
        turn, length = rng.uniform(0, math.pi), rng.uniform(12, 30)
        steps = np.linspace(-0.5, 0.5, 9)
        bow = rng.normal(0, 6) * (steps**2 - 0.25)
        path = np.stack([steps * length, bow], axis=1) @ _turned(turn)
        shade = 0.66 * spot.lines(path, rng.uniform(1.2, 2.2))
    else:
        radius = rng.uniform(2.6, 6.0)
        turns = np.sort(rng.uniform(0, 2 * math.pi, size=rng.integers(5, 9)))
        corners = np.stack([np.cos(turns), rng.uniform(0.6, 1.0) * np.sin(turns)], axis=1)
        corners *= radius * rng.uniform(0.65, 1.25, size=(len(turns), 1))
        shade = 0.78 * _filled(spot, corners)
    return spot.change(1.0 - cv2.GaussianBlur(shade, (0, 0), 0.7))


def _black_spot(rng: np.random.Generator, vial: int) -> Change:
    """Draw a grain of scorched plastic in the wall, anywhere on the vial: small, round, black."""
    row = float(rng.choice([rng.uniform(60, 215), rng.uniform(300, 540), rng.uniform(560, 950)]))
    across = rng.uniform(-0.8, 0.8) * body_half_width(row)
    spot, radius = _Spot(vial, row=row, across=across, reach=20), rng.uniform(2.0, 5.0)
    away = np.hypot(spot.right, spot.down * rng.uniform(0.85, 1.15)) - np.float32(radius)
    core = np.clip(0.5 - away / 1.4, 0.0, 1.0)
    return spot.change(1.0 - 0.88 * core - 0.10 * np.exp(-np.maximum(away, 0.0) / 3.0) * (1 - core))


def _burn(rng: np.random.Generator, vial: int) -> Change:
    """Draw scorched plastic: a brown ragged ring with a lighter middle, much like a bubble, and a drawn-out tail."""
    row, radius = rng.uniform(480.0, 930.0), rng.uniform(8.0, 19.0)
    spot = _Spot(vial, row=row, across=rng.uniform(-0.6, 0.6) * body_half_width(row), reach=3.2 * radius)
    ragged = 0.16 * clouds(rng, spot.shape, 0.6 * radius) + 0.04 * clouds(rng, spot.shape, 3.0)
    away = np.hypot(spot.right, spot.down * rng.uniform(0.8, 1.1)) / np.float32(radius) + ragged
    ring = np.exp(-(((away - 0.78) / 0.30) ** 2))
    inner = np.clip(1.15 - away, 0.0, 1.0)
    aside = (spot.right - 0.2 * spot.down * rng.normal()) / np.float32(0.6 * radius)
    tail = np.exp(-(aside**2)) * np.clip(-spot.down / (2.6 * radius), 0, 1) * np.clip(2.8 + spot.down / radius, 0, 1)
    return spot.change(1.0 - 0.62 * ring - 0.34 * inner - 0.20 * tail * (1 + ragged))


def _scratch(rng: np.random.Generator, vial: int, *, deep: bool) -> Change:
    """Draw a scratch on body or neck: light, a bundle of hair lines; deep, a furrow with a bright lip."""
    neck = rng.uniform() < 0.3
    row = rng.uniform(296.0, 335.0) if neck else rng.uniform(480.0, 920.0)
    length = rng.uniform(26.0, 44.0) if neck else rng.uniform(50.0, 130.0)
    room = max(body_half_width(row) - (12.0 if neck else 30.0), 4.0)
    spot = _Spot(vial, row=row, across=rng.uniform(-0.8, 0.8) * room, reach=0.5 * length + 10)
    turn = rng.normal(0.5 * math.pi, 0.35 if neck else 0.8)
    gain = np.ones(spot.shape, np.float32)
    for _ in range(1 if deep else rng.integers(2, 5)):
        steps = np.linspace(-0.5, 0.5, 12)
        wander = np.cumsum(rng.normal(0.0, 0.012 * length, size=12)) + (0.0 if deep else rng.normal(0.0, 4.0))
        path = np.stack([steps * length * rng.uniform(0.6, 1.0), wander - wander.mean() * deep], axis=1) @ _turned(turn)
        width = rng.uniform(1.6, 2.8) if deep else rng.uniform(0.5, 0.9)
        groove = spot.lines(path, width)
        lip = np.roll(groove, (1, 2) if deep else (0, 1), axis=(0, 1)) * (1 - groove)
        uneven = np.clip(0.75 + 0.4 * clouds(rng, spot.shape, 12.0), 0.15, 1.2)
        gain *= 1.0 - (0.56 if deep else 0.30) * uneven * groove
        gain *= 1.0 + (0.16 if deep else 0.05) * uneven * lip
    return spot.change(gain)


def _laser_cut(rng: np.random.Generator, vial: int) -> Change:
    """Draw a bad laser cut between the flags: molten beads along the line, and a piece burnt out beside it."""
    side = 1.0 if vial == 1 else -1.0 if vial == GEOMETRY.vials else float(rng.choice([-1.0, 1.0]))
    half = GEOMETRY.pitch_px / 2
    long = rng.uniform(16.0, 38.0)
    spot = _Spot(vial, row=rng.uniform(84.0, 168.0), across=side * (half - 8.0), reach=long + 20)
    ragged = 2.6 * clouds(rng, spot.shape, 7.0)
    line = spot.across - np.float32(side * (half - 2.0)) + ragged
    along = np.clip((long - np.abs(spot.down)) / 5.0, 0.0, 1.0)
    bead = np.exp(-((line / 4.2) ** 2)) * along * np.clip(0.7 + 0.5 * clouds(rng, spot.shape, 6.0), 0, 1.2)
    hole = _filled(spot, _blob(rng, rng.uniform(4.0, 9.0)))
    hole = np.asarray(np.roll(hole, round(side * 4.0), axis=1))
    gain = 1.0 - 0.52 * bead
    gain += hole * (1.17 - gain)
    rim = np.abs(cv2.Laplacian(cv2.GaussianBlur(hole, (0, 0), 1.6), cv2.CV_32F))
    return spot.change(gain * (1.0 - np.clip(2.2 * rim, 0.0, 0.5)))


def _bump(rng: np.random.Generator, vial: int, *, where: str) -> Change:
    """Draw a blister of the wall: a small lens that bends what is behind it, on the cap, the neck or the body."""
    row, radius, across = {
        "cap": (rng.uniform(64.0, 205.0), rng.uniform(9.0, 17.0), rng.uniform(-56.0, 56.0)),
        "neck": (rng.uniform(292.0, 340.0), rng.uniform(8.0, 13.0), rng.choice([-1, 1]) * rng.uniform(10.0, 27.0)),
        "body": (rng.uniform(670.0, 890.0), rng.uniform(12.0, 20.0), rng.uniform(-46.0, 46.0)),
    }[where]
    spot = _Spot(vial, row=row, across=float(across), reach=2.0 * radius + 8)
    away = np.hypot(spot.right, spot.down * rng.uniform(0.8, 1.2)) / np.float32(radius)
    dome = np.clip(1.0 - away**2, 0.0, 1.0)
    slope = np.float32(0.9) * np.exp(-(((away - 0.8) / 0.24) ** 2))
    towards = spot.down / np.maximum(np.hypot(spot.right, spot.down), 1.0)
    gain = 1.0 - 0.30 * slope * (1.0 + 0.55 * towards) + 0.12 * dome**2
    pull = -0.55 * np.exp(-(away**2))  # as a lens: what is behind is seen larger, an outline is pushed out
    return spot.change(gain, pull * spot.right, pull * spot.down)


def _deformation(rng: np.random.Generator, vial: int, *, heavy: bool, rows: tuple[float, float]) -> Change:
    """Press the body's side in: the outline moves and the wall folds."""
    side, row = float(rng.choice([-1.0, 1.0])), rng.uniform(*rows)
    half = body_half_width(row)
    depth = rng.uniform(9.0, 16.0) if heavy else rng.uniform(3.5, 6.5)
    tall = rng.uniform(24.0, 42.0)
    spot = _Spot(vial, row=row, across=side * 0.78 * half, reach=2.6 * tall)
    outward = side * spot.across - np.float32(half)  # px beyond the outline
    hollow = np.exp(-((spot.down / np.float32(tall)) ** 2))
    near = np.clip(1.0 + outward / (0.8 * half), 0.0, 1.0) * np.clip(1.0 - outward / 18.0, 0.0, 1.0)
    ridge = outward + np.float32(0.34 * half) - 0.012 * spot.down**2 + 0.2 * rng.normal() * spot.down
    fold = np.tanh(ridge / 3.0) * np.exp(-np.abs(ridge) / 13.0) * np.exp(-((spot.down / (0.9 * tall)) ** 2))
    second = spot.down - np.float32(rng.normal(0.0, 0.2) * tall) + 0.25 * outward
    crease = np.tanh(second / 2.5) * np.exp(-np.abs(second) / 11.0)
    within = np.clip(-outward / 6.0, 0.0, 1.0) * np.clip(1.6 + outward / (0.45 * half), 0.0, 1.0)
    strength = 0.36 if heavy else 0.15
    gain = 1.0 + strength * within * (-fold + 0.7 * crease - 0.35 * np.abs(fold))
    return spot.change(gain, side * np.float32(depth) * hollow * near)


def _companion(rng: np.random.Generator, row: float, across: float, *, beside: bool) -> Floating:
    """Draw the large bubble that lies in the liquid next to a bump, or over the edge of a dent; it hardly moves."""
    radius = rng.uniform(18.0, 27.0)
    step = radius + 20.0 if beside else 0.9 * radius
    inward = -math.copysign(1.0, across) * step
    return Floating(
        kind="bubble",
        across=float(across + inward),
        row=float(row + rng.uniform(-8.0, 8.0)),
        radius=float(radius),
        drift=float(rng.normal(0.0, 5.0)),
        sink=float(-rng.uniform(0.0, 5.0)),
        phase=float(rng.uniform(0.0, 6.0)),
    )


def _blob(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    turns = np.linspace(0, 2 * math.pi, 14, endpoint=False)
    return np.stack([np.cos(turns), 1.5 * np.sin(turns)], axis=1) * radius * rng.uniform(0.7, 1.2, size=(14, 1))


def _filled(spot: _Spot, corners: NDArray[np.float64]) -> FloatArray:
    canvas = np.zeros(spot.shape, np.uint8)
    corner = np.array([-float(spot.right[0, 0]), -float(spot.down[0, 0])])
    cv2.fillPoly(canvas, [np.round((corners + corner) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(canvas, dtype=np.float32) / np.float32(255)


def _turned(angle: float) -> NDArray[np.float64]:
    """Give the matrix that turns rows of points by an angle."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


_DRAW: dict[str, Callable[[np.random.Generator, int], Change]] = {
    "particle": _particle,
    "deformation_light": lambda rng, vial: _deformation(rng, vial, heavy=False, rows=(790.0, 920.0)),
    "deformation_heavy": lambda rng, vial: _deformation(rng, vial, heavy=True, rows=(790.0, 920.0)),
    "black_spot": _black_spot,
    "burn": _burn,
    "scratch_light": lambda rng, vial: _scratch(rng, vial, deep=False),
    "scratch_deep": lambda rng, vial: _scratch(rng, vial, deep=True),
    "laser_cut": _laser_cut,
    "bump_neck": lambda rng, vial: _bump(rng, vial, where="neck"),
    "bump_cap": lambda rng, vial: _bump(rng, vial, where="cap"),
    "bump_beside_bubble": lambda rng, vial: _bump(rng, vial, where="body"),
    "deformation_on_bubble": lambda rng, vial: _deformation(rng, vial, heavy=True, rows=(660.0, 800.0)),
}
