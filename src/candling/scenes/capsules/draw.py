"""A capsule's picture: material, imprint, light, shadow, lens and sensor; good, or with one defect and its mask.

Grey levels are float32 in 0 to 255 until the sensor rounds them. A defect is drawn before the sensor's noise is added,
and drawn last from the generator: the same generator gives the same capsule with and without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from candling.errors import UsageError
from candling.scenes import defects
from candling.scenes.capsules.imprint import print_text
from candling.scenes.capsules.shape import draw_pose, surface_of
from candling.scenes.defects import clouds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.scenes.capsules.shape import Pose
    from candling.scenes.defects import Surface
    from candling.types import FloatArray

__all__ = ["DEFECTS", "Background", "draw_capsule", "draw_defect"]

DEFECTS = ("crack", "faulty_imprint", "poke", "scratch", "squeeze")
"""The defects that can be drawn, named as in MVTec AD."""

Background = Literal["light", "dark"]

_SMALLEST, _LARGEST = 64, 2048
_PAPER_GREYS = {"light": 226.0, "dark": 46.0}
_TEXELS = 2.0
"""Texels of a print for one pixel of the picture."""


@dataclass(frozen=True)
class _Scene:
    """Everything random about one picture."""

    pose: Pose
    surface: Surface
    cap: FloatArray
    level: float
    body_grey: float
    cap_grey: float
    paper_grey: float
    ink: float
    lamp: float
    streak: FloatArray
    powder: FloatArray
    paper: FloatArray
    noise: FloatArray
    noise_level: float


@dataclass(frozen=True)
class _Skin:
    """The rows of the picture that the capsule reaches: float32 (rows, size) each.

    ``along`` and ``radius`` are in px; ``across`` and ``beyond`` are in radii, and with ``depth`` they are the surface
    normal (down, right, towards the camera).
    """

    along: FloatArray
    across: FloatArray
    beyond: FloatArray
    depth: FloatArray
    radius: FloatArray
    cap: FloatArray
    powder: FloatArray


def draw_capsule(
    rng: np.random.Generator, *, size: int = 256, difficulty: float = 0.5, background: Background = "light"
) -> NDArray[np.uint8]:
    """Draw a good capsule: uint8 (size, size) in [0, 255].

    Args:
        rng: everything random comes from here.
        size: side of the square picture, 64 to 2048 px.
        difficulty: in [0, 1]; how much pose, light, material and noise vary from picture to picture.
        background: what the capsule lies on.

    Raises:
        UsageError: size or difficulty is out of range, or there is no such background.
    """
    scene = _draw_scene(rng, size, difficulty, background)
    return _sense(_paint(scene, _body_print(scene)), scene)


def draw_defect(
    kind: str,
    rng: np.random.Generator,
    *,
    size: int = 256,
    difficulty: float = 0.5,
    background: Background = "light",
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a capsule with one defect: the picture, uint8 (size, size), and the defect's pixels, bool (size, size).

    ``difficulty`` also sets the defect's contrast: strong at 0, nearly invisible at 1. From a generator in the same
    state :func:`draw_capsule` draws the same capsule without the defect.

    Raises:
        UsageError: no such defect; size or difficulty is out of range.
    """
    if kind not in DEFECTS:
        raise UsageError(f"no defect {kind!r} can be drawn; there are: {', '.join(DEFECTS)}")
    scene = _draw_scene(rng, size, difficulty, background)
    strength = defects.strength_of(difficulty)
    ink = _body_print(scene)
    good = _paint(scene, ink)
    if kind == "faulty_imprint":
        altered = _paint(scene, defects.smudge(ink, rng, strength))
    else:
        draw = {"crack": defects.crack, "poke": defects.poke, "scratch": defects.scratch, "squeeze": defects.squeeze}
        altered = draw[kind](good, scene.surface, rng, strength)
    return _sense(altered, scene), defects.difference_mask(good, altered, strength)


def _draw_scene(rng: np.random.Generator, size: int, difficulty: float, background: Background) -> _Scene:
    if not _SMALLEST <= size <= _LARGEST:
        raise UsageError(f"a capsule of {size} px cannot be drawn; choose a size from {_SMALLEST} to {_LARGEST}")
    if background not in _PAPER_GREYS:
        raise UsageError(f"no background {background!r} can be drawn; there are: {', '.join(_PAPER_GREYS)}")
    if not 0.0 <= difficulty <= 1.0:
        raise UsageError(f"the difficulty must lie between 0 and 1; it is {difficulty}")
    variation = 0.6 + 0.8 * difficulty
    pose = draw_pose(rng, size, variation)
    surface, cap = surface_of(pose, size)
    jitter = variation * np.clip(rng.normal(size=6), -3.0, 3.0)
    shape = (size, size)
    return _Scene(
        pose=pose,
        surface=surface,
        cap=cap,
        level=1.0 + 0.012 * float(jitter[0]),
        body_grey=101.0 + 2.0 * float(jitter[1]),
        cap_grey=16.0 + 0.8 * float(jitter[2]),
        paper_grey=_PAPER_GREYS[background] + 1.5 * float(jitter[3]),
        ink=1.0 + 0.05 * float(jitter[4]),
        lamp=0.06 * float(jitter[5]),
        streak=rng.standard_normal((3, 24), dtype=np.float32),
        powder=clouds(rng, shape, 0.05 * size),
        paper=cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 0.5 + 0.25 * size / 256),
        noise=rng.standard_normal(shape, dtype=np.float32),
        noise_level=0.7 + 0.9 * difficulty,
    )


def _paint(scene: _Scene, body_ink: FloatArray) -> FloatArray:
    """Paint everything the light does, before lens and sensor: float32 (size, size)."""
    picture = _paper(scene)
    reach = scene.pose.cap_radius + abs(math.sin(scene.pose.angle)) * scene.pose.half_length + 2.0
    rows = slice(max(0, int(scene.pose.y - reach)), math.ceil(scene.pose.y + reach) + 1)
    skin = _skin(scene, rows)
    body, cap = _body(scene, skin, body_ink), _cap(scene, skin)
    product = body + skin.cap * (cap - body)
    picture[rows] += scene.surface.cover[rows] * (product - picture[rows])
    picture *= np.float32(scene.level)
    return picture


def _skin(scene: _Scene, rows: slice) -> _Skin:
    surface = scene.surface
    radius = surface.radius[rows]
    across, beyond = surface.across[rows] / radius, surface.beyond[rows] / radius
    depth = np.sqrt(np.maximum(1.0 - across * across - beyond * beyond, 0.0))
    return _Skin(surface.along[rows], across, beyond, depth, radius, scene.cap[rows], scene.powder[rows])


def _body(scene: _Scene, skin: _Skin, ink: FloatArray) -> FloatArray:
    """Paint the light half: a translucent shell over powder, a lamp's soft line, the cap's shadow, print."""
    across, beyond, depth = skin.across, skin.beyond, skin.depth
    grey = scene.body_grey * (0.80 + 0.24 * depth - 0.05 * across)
    grey += 1.3 * skin.powder
    rim = 1.0 - depth
    grey -= 13.0 * rim * rim  # the shell is seen edge on
    line = (across - np.float32(0.12 + scene.lamp)) / np.float32(0.07)
    inside = np.clip(1.0 - 4.0 * np.abs(beyond), 0.0, 1.0)
    grey += 15.0 * np.exp(-line * line) * inside
    spot = ((beyond - 0.42) / 0.16) ** 2 + ((across - 0.30 - scene.lamp) / 0.10) ** 2
    grey += 12.0 * np.exp(-spot)  # the lamp again, in the dome
    tip = (np.hypot(beyond - 0.35, across + 0.2) - 0.62) / 0.05
    grey -= 5.0 * np.exp(-tip * tip) * np.clip(3.0 * beyond, 0.0, 1.0)  # where the powder ends
    behind = (skin.along - np.float32(scene.pose.joint)) / np.float32(0.05 * scene.pose.body_radius)
    grey -= 26.0 * np.exp(-np.maximum(behind, 0.0))  # shadow of the cap's edge
    ink_here = _wrap(scene, skin, ink, roll=scene.pose.body_roll, place=1.22)
    return np.asarray(grey + 78.0 * scene.ink * ink_here * (1.0 - 0.25 * rim), dtype=np.float32)


def _cap(scene: _Scene, skin: _Skin) -> FloatArray:
    """Paint the dark half: gloss with ragged streaks, a bright dome, a lit edge at the joint, faint print."""
    pose, along, across, beyond, depth = scene.pose, skin.along, skin.across, skin.beyond, skin.depth
    grey = scene.cap_grey * (0.75 + 0.25 * depth)
    dome = ((beyond + 0.50) / 0.22) ** 2 + ((across + 0.05) / 0.62) ** 2
    rim = 1.0 - depth
    grey += 24.0 * np.exp(-dome) + 9.0 * rim * rim * rim  # the lamp in the dome; paper seen in the gloss at the edges
    place = np.clip((along - pose.cap_end) / (pose.joint - pose.cap_end), 0.0, 1.0) * (scene.streak.shape[1] - 1)
    inside = np.clip(1.0 - 5.0 * np.abs(beyond), 0.0, 1.0)
    columns = place.astype(np.float32)
    for index, (level, width, gain) in enumerate(((-0.12, 0.05, 9.0), (0.14, 0.04, 24.0), (0.21, 0.10, 10.0))):
        ragged = cv2.remap(scene.streak, columns, np.full_like(columns, index), cv2.INTER_CUBIC)
        line = (across - np.float32(level + scene.lamp) - 0.008 * ragged) / np.float32(width)
        grey += gain * np.clip(0.7 + 0.45 * ragged, 0.0, 1.6) * np.exp(-line * line) * inside
    edge = (along - np.float32(pose.joint - 0.02 * pose.body_radius)) / np.float32(0.025 * pose.body_radius)
    grey += 13.0 * np.exp(-edge * edge) * (0.4 + 0.6 * depth)
    ink = _wrap(scene, skin, _cap_print(scene), roll=scene.pose.cap_roll, place=-1.02)
    return np.asarray(grey + 62.0 * scene.ink * ink * depth, dtype=np.float32)


def _paper(scene: _Scene) -> FloatArray:
    """Paint what the capsule lies on: grain, a lamp brighter in the middle, the capsule's soft shadow."""
    surface, size = scene.surface, scene.noise.shape[0]
    tall = np.float32(1.0 / size)
    below = surface.across - np.float32(0.012 * size)
    away = np.maximum(cv2.magnitude(surface.beyond, below) - np.float32(scene.pose.body_radius), 0.0) * tall
    shadow = 0.36 * np.exp(-away / 0.055) + 0.16 * np.exp(-away / 0.20)
    fall = 0.05 * ((surface.across * tall) ** 2 + (surface.along * tall) ** 2) + 0.02 * surface.across * tall
    grey = np.float32(scene.paper_grey) * (1.0 - shadow) * (1.0 - fall)
    return np.asarray(grey + (2.0 + 0.008 * scene.paper_grey) * scene.paper, dtype=np.float32)


def _body_print(scene: _Scene) -> FloatArray:
    return print_text("250", _texels(0.34 * scene.pose.body_radius), weight=0.42, spacing=0.36)


def _cap_print(scene: _Scene) -> FloatArray:
    return print_text("@candling", _texels(0.20 * scene.pose.body_radius), weight=0.24, spacing=0.22)


def _texels(x_height: float) -> float:
    """Two texels a pixel; rounded, so that capsules of nearly one size share their letters."""
    return round(x_height * _TEXELS, 1)


def _wrap(scene: _Scene, skin: _Skin, ink: FloatArray, *, roll: float, place: float) -> FloatArray:
    """Wrap a print around the cylinder, its middle ``place`` radii along, turned by ``roll``: float32 (rows, size)."""
    turned = np.arcsin(np.clip(skin.across, -1.0, 1.0)) - np.float32(roll)
    columns = (skin.along - np.float32(place * scene.pose.body_radius)) * np.float32(_TEXELS)
    rows = turned * skin.radius * np.float32(_TEXELS)
    middle = (np.float32(ink.shape[1] / 2), np.float32(ink.shape[0] / 2))
    return np.asarray(cv2.remap(ink, columns + middle[0], rows + middle[1], cv2.INTER_LINEAR), dtype=np.float32)


def _sense(picture: FloatArray, scene: _Scene) -> NDArray[np.uint8]:
    """Blur as a lens does, add the sensor's noise (more where there is more light), round."""
    size = picture.shape[0]
    seen = cv2.GaussianBlur(picture, (0, 0), 0.45 + 0.10 * size / 256)
    seen += scene.noise * (scene.noise_level * np.sqrt(0.3 + seen * np.float32(1 / 200)))
    return np.asarray(np.clip(np.rint(seen), 0, 255), dtype=np.uint8)
