"""A capsule's picture: material, imprint, light, shadow, lens and sensor; good, or with one defect and its mask.

Values are grey levels, 0 to 255, in float32 until the sensor rounds them. A defect is drawn into the picture before
lens noise is added, so that the same generator gives the same capsule with and without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import UsageError
from candling.scenes import defects
from candling.scenes.capsules.shape import Pose, draw_pose, surface_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.scenes.defects import Surface
    from candling.types import FloatArray

__all__ = ["DEFECTS", "draw_capsule", "draw_defect"]

DEFECTS = ("crack", "faulty_imprint", "poke", "scratch", "squeeze")
"""The defects that can be drawn, named as in MVTec AD."""

_SMALLEST, _LARGEST = 64, 2048
_BODY_TEXT, _CAP_TEXT = "250", "candling"
_BODY_GREY, _CAP_GREY, _PAPER_GREY = 104.0, 17.0, 226.0
_TEXEL = 4.0 / 256.0
"""Side of one texel of an imprint in units of the body radius; fine enough for pictures of 1024 px."""


@dataclass(frozen=True)
class _Scene:
    """All that is random in one picture: two scenes of equal numbers give equal pictures."""

    pose: Pose
    surface: Surface
    level: float
    greys: tuple[float, float, float]
    light: tuple[float, float]
    body_clouds: FloatArray
    streaks: FloatArray
    paper: FloatArray
    noise: FloatArray
    noise_level: float
