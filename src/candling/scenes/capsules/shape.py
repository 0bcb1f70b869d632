"""How one capsule lies under the camera, and where every pixel is on its surface; knows no grey value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.scenes.defects import Surface

if TYPE_CHECKING:
    from candling.types import FloatArray

__all__ = ["Pose", "draw_pose", "surface_of"]

# all lengths are shares of the picture's side, measured on photographs of such capsules
_HALF_LENGTH = 0.425
_BODY_RADIUS = 0.128
_CAP_RADIUS = 0.135
_JOINT = 0.015


@dataclass(frozen=True)
class Pose:
    """Where a capsule lies; lengths in pixels, angles in radians.

    Attributes:
        x: column of its centre.
        y: row of its centre.
        angle: of its axis against the rows.
        half_length: from the centre to either end.
        body_radius: of the light half, right of the joint.
        cap_radius: of the dark half, which is pushed over the light one.
        joint: where along the axis the cap ends.
        body_roll: how far the light half's imprint is turned out of the middle.
        cap_roll: the same for the dark half.
    """

    x: float
    y: float
    angle: float
    half_length: float
    body_radius: float
    cap_radius: float
    joint: float
    body_roll: float
    cap_roll: float

    @property
    def cap_end(self) -> float:
        """Where along the axis the cap's dome begins."""
        return self.cap_radius - self.half_length

    @property
    def body_end(self) -> float:
        """Where along the axis the body's dome begins."""
        return self.half_length - self.body_radius


def draw_pose(rng: np.random.Generator, size: int, variation: float) -> Pose:
    """Draw a pose for a picture of ``size`` px; ``variation`` 1 is that of a careful feeding of parts."""
    jitter = variation * rng.normal(size=7)
    scale = size * (1.0 + 0.004 * jitter[2])
    return Pose(
        x=size * (0.5 + 0.004 * float(np.clip(jitter[0], -3, 3))),
        y=size * (0.5 + 0.006 * float(np.clip(jitter[1], -3, 3))),
        angle=math.radians(0.5) * float(np.clip(jitter[3], -4, 4)),
        half_length=scale * _HALF_LENGTH * (1.0 + 0.004 * float(np.clip(jitter[4], -3, 3))),
        body_radius=scale * _BODY_RADIUS,
        cap_radius=scale * _CAP_RADIUS,
        joint=size * (_JOINT + 0.003 * float(np.clip(jitter[5], -3, 3))),
        body_roll=0.12 * float(np.clip(jitter[6], -3, 3)),
        cap_roll=float(rng.uniform(-1.4, 1.4)),
    )


def surface_of(pose: Pose, size: int) -> tuple[Surface, FloatArray]:
    """Give the surface coordinates of every pixel of a picture of ``size`` px, and the cap's share of each pixel.

    The share, float32 (size, size) in [0, 1], falls from 1 to 0 over the pixel at the joint.
    """
    rows, columns = _grid(size)
    cos, sin = np.float32(math.cos(pose.angle)), np.float32(math.sin(pose.angle))
    down, right = rows - np.float32(pose.y), columns - np.float32(pose.x)
    along = right * cos + down * sin
    across = down * cos - right * sin
    cap = np.clip(np.float32(pose.joint + 0.5) - along, 0.0, 1.0)
    radius = np.float32(pose.body_radius) + np.float32(pose.cap_radius - pose.body_radius) * cap
    beyond = along - np.clip(along, np.float32(pose.cap_end), np.float32(pose.body_end))
    surface = Surface(
        along=along,
        across=across,
        radius=radius,
        beyond=beyond,
        outside=cv2.magnitude(beyond, across) - radius,
        centre=(pose.x, pose.y),
        angle=pose.angle,
        half_length=pose.half_length,
        thickness=pose.body_radius,
    )
    return surface, cap


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[FloatArray, FloatArray]:
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    return rows, columns
