"""Where a strip of five vials and its regions lie in a frame, and the outline of one vial; knows no grey value.

The strip hangs flag up. A frame is cut into five columns, one a vial, and four rows, one a region: twenty squares of
256 px that together are the frame, so that no pixel goes unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.types import Box, Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = [
    "FLAG_BOTTOM",
    "FLAG_TOP",
    "GEOMETRY",
    "INSPECTED",
    "LEVEL",
    "RUN_FRAMES",
    "WEB_EDGES",
    "Geometry",
    "Outline",
    "body_half_width",
    "half_widths",
    "outline",
    "strip_ends",
]

RUN_FRAMES = 16
"""Frames of one run: the strip is moved once through half a turn."""

INSPECTED = (0, 7, 15)
"""The frames that are inspected: first, eighth, last."""

FLAG_TOP, FLAG_BOTTOM = 30.0, 226.0
"""Rows between which the flag is a plate."""

LEVEL = 592.0
"""Row of the liquid's level in a vial of nominal filling."""

WEB_EDGES = (62.0, 190.0, 470.0, 968.0)
"""Rows where the plates begin and end that join the flags and the bodies."""

_BOTTOM = 994.0
_BODY = 108.0
_END = 122.0
"""Half of the strip's outermost width: there the last web is cut."""

# the vial's half-width by row: plate of the flag, break-off waist, nozzle, shoulder, body with two waists, bottom
_ROWS = (30, 40, 60, 205, 226, 244, 258, 268, 276, 292, 310, 336, 352, 372, 396, 420, 444, 468, 492, 530, 700, 900, 940)
_WIDTHS = (70, 84, 90, 90, 82, 52, 30, 20, 19, 25, 28, 29, 31, 38, 52, 70, 88, 101, 107, 108, 107, 108, 107)


@dataclass(frozen=True)
class Geometry:
    """How a frame is cut: the boxes of the first vial's regions, repeated every ``pitch_px`` columns.

    >>> [box.left for vial in (1, 5) for _, box in GEOMETRY.patches(vial)][::4]
    [0, 1024]
    """

    height: int
    width: int
    vials: int
    pitch_px: int
    regions: tuple[Region, ...]

    def patches(self, vial: int) -> list[tuple[str, Box]]:
        """Give (region, box) of one vial, counted from 1."""
        shift = (vial - 1) * self.pitch_px
        boxes = [(region.name, region.box) for region in self.regions]
        return [(name, Box(box.top, box.left + shift, box.height, box.width)) for name, box in boxes if box]

    def region_at(self, row: float) -> str:
        """Name the region that a row lies in; rows outside the frame belong to the nearest region."""
        named = [(region.name, region.box) for region in self.regions if region.box]
        return next((name for name, box in named if row < box.bottom), named[-1][0])

    def vial_at(self, column: float) -> int:
        """Tell which vial, counted from 1, a column belongs to."""
        return int(min(max(column // self.pitch_px, 0), self.vials - 1)) + 1

    def axis(self, vial: int) -> float:
        """Give the column of a vial's axis."""
        return (vial - 0.5) * self.pitch_px


GEOMETRY = Geometry(
    height=1024,
    width=1280,
    vials=5,
    pitch_px=256,
    regions=(
        Region("r0_flag", Box(top=0, left=0, height=256, width=256)),
        Region("r1_upper", Box(top=256, left=0, height=256, width=256)),
        Region("r2_liquid", Box(top=512, left=0, height=256, width=256)),
        Region("r3_bottom", Box(top=768, left=0, height=256, width=256)),
    ),
)
"""The drawn line's frame of 1024 x 1280 px (height x width)."""


@dataclass(frozen=True)
class Outline:
    """One vial on its tile of 1024 x 256 px, its axis between the two middle columns; arrays are float32, read-only.

    Attributes:
        across: (H, W) distance from the axis in half-widths, negative left of it; 0 where there is no vial.
        inside: (H, W) distance from the vial's outline in px, negative outside, at most 60.
        cover: (H, W) the vial's share of each pixel, in [0, 1].
        web: (H, W) share of each pixel covered by the thin plate that joins neighbours, in [0, 1].
        hollow: (H, W) share of each pixel behind which there is a cavity, in [0, 1].
    """

    across: FloatArray
    inside: FloatArray
    cover: FloatArray
    web: FloatArray
    hollow: FloatArray


@lru_cache(maxsize=1)
def half_widths() -> FloatArray:
    """Give the vial's half-width at the middle of each row: float32 (1024,), read-only, 0 where there is none."""
    rows = np.arange(GEOMETRY.height) + 0.5
    curve = _smooth_curve(rows)
    corner = np.clip((rows - 940.0) / (_BOTTOM - 940.0), 0.0, 1.0)  # the bottom is rounded like a superellipse
    curve = curve * (1.0 - corner**3) ** (1 / 3)
    top = np.clip((FLAG_TOP + 18.0 - rows) / 18.0, 0.0, 1.0)
    curve -= 18.0 * (1.0 - np.sqrt(1.0 - np.minimum(top, 1.0) ** 2))
    curve[(rows < FLAG_TOP) | (rows > _BOTTOM)] = 0.0
    found = np.asarray(np.maximum(curve, 0.0), dtype=np.float32)
    found.setflags(write=False)
    return found


def body_half_width(row: float) -> float:
    """Give the half-width at one row."""
    return float(half_widths()[int(min(max(row, 0), GEOMETRY.height - 1))])


@lru_cache(maxsize=1)
def outline() -> Outline:
    """Give the outline that all vials of all strips share."""
    height, width = GEOMETRY.height, GEOMETRY.pitch_px
    half = half_widths()[:, None]
    column = (np.arange(width, dtype=np.float32) + 0.5 - width / 2)[None, :]
    across = np.where(half > 0, np.clip(column / np.maximum(half, 1.0), -1.6, 1.6), 0.0)
    inside = _distance(half)
    row = (np.arange(height, dtype=np.float32) + 0.5)[:, None]
    first, second, third, fourth = (row - np.float32(edge) + np.float32(0.5) for edge in WEB_EDGES)
    web = np.clip(first, 0, 1) - np.clip(second, 0, 1) + np.clip(third, 0, 1) - np.clip(fourth, 0, 1)
    cover = np.clip(inside + 0.5, 0, 1)
    cavity = np.clip((inside - 5.0) / 3.0, 0, 1) * np.clip((row - 268.0) / 4.0, 0, 1)
    parts = (across, inside, cover, np.broadcast_to(web, across.shape) * (1 - cover), cavity)
    arrays = [np.ascontiguousarray(part, dtype=np.float32) for part in parts]
    for array in arrays:
        array.setflags(write=False)
    return Outline(*arrays)


def strip_ends() -> FloatArray:
    """Give the share of each pixel that the two cut ends leave: float32 (1024, 1280) in [0, 1]."""
    column = np.arange(GEOMETRY.width, dtype=np.float32) + 0.5
    left, right = GEOMETRY.axis(1) - _END, GEOMETRY.axis(GEOMETRY.vials) + _END
    kept = np.clip(column - left + 0.5, 0, 1) * np.clip(right - column + 0.5, 0, 1)
    return np.broadcast_to(np.asarray(kept, np.float32), (GEOMETRY.height, GEOMETRY.width))


def _smooth_curve(rows: np.ndarray) -> np.ndarray:
    plain = np.interp(rows, _ROWS, _WIDTHS).astype(np.float32)[:, None]
    return np.asarray(cv2.GaussianBlur(plain, (1, 0), 5.0, borderType=cv2.BORDER_REPLICATE)[:, 0], dtype=np.float64)


def _distance(half: FloatArray) -> FloatArray:
    """Give the signed distance in px from the outline, positive inside: measured at four times the size."""
    fine, height, width = 4, GEOMETRY.height, GEOMETRY.pitch_px
    rows = (np.arange(height * fine) + 0.5) / fine
    wide = np.interp(rows, np.arange(height) + 0.5, half[:, 0])[:, None]
    column = ((np.arange(width * fine) + 0.5) / fine - width / 2)[None, :]
    filled = ((np.abs(column) <= wide) & (wide > 0)).astype(np.uint8)
    signed = (_exact(filled) - _exact(1 - filled)) / fine
    small = signed.reshape(height, fine, width, fine).mean(axis=(1, 3))
    return np.asarray(small, dtype=np.float32)


def _exact(filled: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the distance of filled pixels from the others, at most 240 px, to the last bit.

    OpenCV's own last bits depend on threads and memory; the square of a distance between pixels is a whole number.
    """
    distance = cv2.distanceTransform(filled, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(np.minimum(distance, 240.0).astype(np.float64) ** 2)))
