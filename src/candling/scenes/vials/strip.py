"""A strip's frames: what stands still, what moves, one defect, the pose and the sensor put together; knows no file.

Everything is a function of (strip's seed, run, frame), and of the defect and its contrast. Except for the defect, a
strip looks the same with it and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import UsageError
from candling.scenes.vials.defects import altered, change_mask, draw_flaw
from candling.scenes.vials.geometry import GEOMETRY, RUN_FRAMES, outline
from candling.scenes.vials.moving import foam_shift, handle, moment, place
from candling.scenes.vials.sprites import foam_sprite, level_shade, put, sprite
from candling.scenes.vials.still import draw_still

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.scenes.vials.defects import Defect, Flaw
    from candling.scenes.vials.moving import Floating, Handling, Sway
    from candling.scenes.vials.sprites import Sprite
    from candling.scenes.vials.still import Still
    from candling.types import FloatArray

__all__ = ["Strip", "draw_frame", "draw_mask", "draw_strip", "make_strip", "rank_frames"]

_NOISE_WORD = 4
"""Second word of the seeds of a frame's pose and noise."""

_BAND = slice(512, 680)
"""Rows in which a level can be."""

_COARSE = 8
"""One value for so many px: the light that bubbles and drops pass on."""

_FOAM_HALF = 97


@dataclass(frozen=True)
class Strip:
    """One strip of five vials, ready to be drawn in any run; arrays are read-only.

    Attributes:
        seed: what makes it this strip.
        still: what stands still, with the defect in it.
        glow: float32 (2, 128, 160) the light of the good strip, empty and full, one value for 8 x 8 px.
        flaw: the defect with how it is drawn, or None.
        contrast: of the defect, in [0, 1].
        mask: uint8 (1024, 1280), 0 or 255, where the strip at rest is changed; None where nothing at rest is.
    """

    seed: int
    still: Still
    glow: FloatArray
    flaw: Flaw | None
    contrast: float
    mask: NDArray[np.uint8] | None

    @property
    def defect(self) -> Defect | None:
        """What its defect is and where."""
        return self.flaw.defect if self.flaw else None


def make_strip(seed: int, *, defect: str | None = None, contrast: float = 1.0) -> Strip:
    """Make a strip, good or with one defect.

    Args:
        seed: at least 0; equal seeds give equal strips.
        defect: a name of ``DEFECTS``, or None.
        contrast: of the defect; at 1 plain to see, at 0 gone, though its mask and its bubble stay.

    Raises:
        UsageError: no such defect, the contrast lies outside [0, 1], or the seed is negative.
    """
    if seed < 0:
        raise UsageError(f"a strip's seed must be 0 or more; it is {seed}")
    if not 0.0 <= contrast <= 1.0:
        raise UsageError(f"the contrast must lie between 0 and 1; it is {contrast}")
    flaw = draw_flaw(defect, seed) if defect is not None else None
    still, mask = draw_still(seed), None
    size = (GEOMETRY.width // _COARSE, GEOMETRY.height // _COARSE)
    glow = np.stack([cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (still.empty, still.full)])
    if flaw is not None and flaw.change is not None:
        vial = flaw.defect.vial - 1
        seen = still.empty.copy()
        level = round(still.levels[vial])
        seen[level:] = still.full[level:]
        mask = change_mask(seen, flaw.change)
        parts = [altered(part, flaw.change, contrast) for part in (still.empty, still.full)]
        still = type(still)(parts[0], parts[1], still.levels)
    return Strip(seed, still, np.asarray(glow, dtype=np.float32), flaw, contrast, mask)


def draw_strip(
    seed: int, run: int, frame: int, *, defect: str | None = None, contrast: float = 1.0
) -> NDArray[np.uint8]:
    """Draw one frame of one run of a strip: uint8 (1024, 1280) in [0, 255].

    To draw many frames of one strip, make it once by :func:`make_strip` and use :func:`draw_frame`.

    Raises:
        UsageError: as :func:`make_strip` and :func:`draw_frame`.
    """
    return draw_frame(make_strip(seed, defect=defect, contrast=contrast), run, frame)


def draw_frame(strip: Strip, run: int, frame: int) -> NDArray[np.uint8]:
    """Draw one frame of one run: uint8 (1024, 1280) in [0, 255].

    Raises:
        UsageError: the run is negative, or the frame is not one of a run's 16.
    """
    handling = _handling(strip, run, frame)
    picture = strip.still.empty.copy()
    picture[_BAND.stop :] = strip.still.full[_BAND.stop :]
    for vial in range(1, GEOMETRY.vials + 1):
        sway = handling.sways[vial - 1]
        _pour(picture, strip, vial, sway, frame)
        for thing in _things(strip, handling, vial):
            _float(picture, strip, vial, sway, thing, frame)
        if sway.foam is not None:
            _put_foam(picture, strip, vial, sway, frame, foam_sprite(sway.foam, sway.foam_share, _FOAM_HALF))
        if strip.flaw is not None and strip.flaw.foam is not None and vial == strip.flaw.defect.vial:
            _put_foam(picture, strip, vial, sway, frame, _faded(_dirt(strip.flaw.foam), strip.contrast))
    rng = np.random.default_rng([strip.seed, _NOISE_WORD, run, frame])
    return _sense(_posed(picture, _pose(handling, rng), cv2.INTER_LINEAR), rng)


def draw_mask(strip: Strip, run: int, frame: int) -> NDArray[np.uint8]:
    """Draw where the defect is in one frame: uint8 (1024, 1280), 255 on the defect, 0 elsewhere.

    The mask does not depend on the contrast, and a bubble over the defect takes nothing away from it.

    Raises:
        UsageError: as :func:`draw_frame`.
    """
    handling = _handling(strip, run, frame)
    mask = np.zeros((GEOMETRY.height, GEOMETRY.width), np.uint8) if strip.mask is None else strip.mask
    if strip.flaw is not None and strip.flaw.foam is not None:
        vial = strip.flaw.defect.vial
        here = np.zeros(mask.shape, np.float32)
        kept, own = _dirt(strip.flaw.foam)
        marks = ((1.0 - kept) > 0.15).astype(np.float32)
        _put_foam(here, strip, vial, handling.sways[vial - 1], frame, (np.ones_like(own), marks), light=1.0)
        mask = (here > 0.5).astype(np.uint8) * 255
    rng = np.random.default_rng([strip.seed, _NOISE_WORD, run, frame])
    return np.asarray(_posed(mask, _pose(handling, rng), cv2.INTER_NEAREST))


def rank_frames(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give the darkest and the lightest grey of each pixel over a run's frames, for training only.

    In the lightest, whatever moved has vanished; in the darkest, every place where it was is burnt in.

    Args:
        frames: uint8 (N, H, W), usually the 16 frames of one run.

    Returns:
        (darkest, lightest): uint8 (H, W) each.

    >>> darkest, lightest = rank_frames(np.array([[[3, 9]], [[5, 1]]], np.uint8))
    >>> darkest.tolist(), lightest.tolist()
    ([[3, 1]], [[5, 9]])
    """
    return frames.min(axis=0), frames.max(axis=0)


def _handling(strip: Strip, run: int, frame: int) -> Handling:
    if run < 0 or not 0 <= frame < RUN_FRAMES:
        raise UsageError(
            f"there is no frame {frame} of run {run}; runs count from 0, frames from 0 to {RUN_FRAMES - 1}"
        )
    return handle(strip.seed, run)


def _things(strip: Strip, handling: Handling, vial: int) -> tuple[Floating, ...]:
    things = handling.floating[vial - 1]
    if strip.flaw is not None and strip.flaw.companion is not None and vial == strip.flaw.defect.vial:
        things = (*things, strip.flaw.companion)
    return things


def _pour(picture: FloatArray, strip: Strip, vial: int, sway: Sway, frame: int) -> None:
    """Fill a vial up to its level: the liquid's picture below, the meniscus' band above it."""
    left = (vial - 1) * GEOMETRY.pitch_px + GEOMETRY.pitch_px // 2 - 106
    window = np.s_[_BAND, left : left + 212]
    across = np.arange(212, dtype=np.float32) - np.float32(105.5)
    rows = np.arange(_BAND.start, _BAND.stop, dtype=np.float32)[:, None] + np.float32(0.5)
    liquid, gain = level_shade(rows - _level(strip, vial, sway, frame, across)[None, :], sway.band)
    empty, full = strip.still.empty[window], strip.still.full[window]
    hollow = outline().hollow[_BAND, GEOMETRY.pitch_px // 2 - 106 : GEOMETRY.pitch_px // 2 + 106]
    mixed = empty + liquid * (full - empty)
    picture[window] = mixed + hollow * (mixed * gain - mixed)


def _level(strip: Strip, vial: int, sway: Sway, frame: int, across: FloatArray) -> FloatArray:
    """Give the row of the level at places across a vial; it climbs a little at the wall."""
    slope, rise = moment(sway, frame)
    climb = 6.0 * np.exp(-np.maximum(102.0 - np.abs(across), 0.0) / np.float32(7.0))
    return np.asarray(strip.still.levels[vial - 1] - rise + slope * across - climb, dtype=np.float32)


def _float(picture: FloatArray, strip: Strip, vial: int, sway: Sway, thing: Floating, frame: int) -> None:
    across, row = place(thing, frame)
    wet = thing.kind in {"bubble", "surface"}
    if thing.kind == "surface":
        row += float(_level(strip, vial, sway, frame, np.array([across], np.float32))[0])
    column = GEOMETRY.axis(vial) + across
    light = _glow(strip, row, column, wet=wet)
    put(picture, sprite(thing.kind, thing.radius, row, column), row=row, column=column, light=light)


def _glow(strip: Strip, row: float, column: float, *, wet: bool) -> float:
    down = min(max(int(row) // _COARSE, 0), strip.glow.shape[1] - 1)
    right = min(max(int(column) // _COARSE, 0), strip.glow.shape[2] - 1)
    return float(strip.glow[int(wet), down, right])


def _put_foam(
    picture: FloatArray, strip: Strip, vial: int, sway: Sway, frame: int, foam: Sprite, *, light: float | None = None
) -> None:
    """Put foam on a level, leaning with it."""
    slope, rise = moment(sway, frame)
    lean = np.array([[1.0, 0.0, 0.0], [slope, 1.0, -slope * _FOAM_HALF]])
    size = (foam[0].shape[1], foam[0].shape[0])
    kept, own = (
        np.asarray(cv2.warpAffine(part, lean, size, borderMode=cv2.BORDER_CONSTANT, borderValue=empty), np.float32)
        for part, empty in ((foam[0], 1.0), (foam[1], 0.0))
    )
    shift = foam_shift(sway, frame)
    row, column = strip.still.levels[vial - 1] - rise + slope * shift, GEOMETRY.axis(vial) + shift
    glow = _glow(strip, row + 30.0, column, wet=True) if light is None else light
    put(picture, (kept, own), row=row, column=column, light=glow)


def _dirt(seed: int) -> Sprite:
    share = 0.25 + 0.4 * float(np.random.default_rng([seed, 6]).uniform())
    return foam_sprite(seed, share, _FOAM_HALF, dirty=True)


def _faded(foam: Sprite, contrast: float) -> Sprite:
    share = np.float32(contrast)
    return 1.0 + share * (foam[0] - 1.0), share * foam[1]


def _pose(handling: Handling, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give the matrix that moves the strip from its place to where it lies in a frame, at most 2 px away."""
    right, down = np.array([handling.right, handling.down]) + rng.uniform(-0.25, 0.25, size=2)
    x, y, turn = GEOMETRY.width / 2, GEOMETRY.height / 2, handling.turn
    return np.array([[1.0, -turn, right + turn * y], [turn, 1.0, down - turn * x]])


def _posed(picture: NDArray[np.generic], pose: NDArray[np.float64], how: int) -> NDArray[np.generic]:
    size = (GEOMETRY.width, GEOMETRY.height)
    return np.asarray(cv2.warpAffine(picture, pose, size, flags=how, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=1)
def _noise() -> FloatArray:
    """Give a sheet of noise, float32 (1280, 1536), of which every frame takes another part."""
    return np.random.default_rng(_NOISE_WORD).standard_normal((1280, 1536), dtype=np.float32)


def _sense(picture: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add the sensor's noise, more where there is more light, and round."""
    sheet = _noise()
    top, left = (int(rng.integers(sheet.shape[i] - picture.shape[i] + 1)) for i in (0, 1))
    flips = rng.integers(2, size=2) * -2 + 1
    noise = sheet[top : top + picture.shape[0], left : left + picture.shape[1]][:: flips[0], :: flips[1]]
    level = np.sqrt(cv2.convertScaleAbs(picture).astype(np.float32) * np.float32(1 / 150) + np.float32(0.25))
    seen = np.asarray(picture, dtype=np.float32) + level * noise
    return np.asarray(cv2.convertScaleAbs(seen), dtype=np.uint8)
