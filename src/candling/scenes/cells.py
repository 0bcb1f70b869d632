"""Drawn fields of fluorescent nuclei with every nucleus numbered: touching, faint, none at all; knows no network.

A field is what a microscope's camera gives: smooth outlines of several sizes, some pressed against each other, a soft
glow around them, light that falls off to one side, and noise. Three contrasts are drawn, as far apart as exposures of
one screen are. What is true of a field is its numbered mask; boxes and counts follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np

from candling.disk import replaced_folder
from candling.errors import DiskError, UsageError
from candling.pixels.instances import boxes_of_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.types import FloatArray, Frame

__all__ = ["CONTRASTS", "CellField", "Contrast", "draw_cells", "write_dataset"]

Contrast = Literal["low", "medium", "high"]

CONTRASTS: Final[Mapping[Contrast, float]] = {"low": 0.03, "medium": 0.12, "high": 0.45}
"""How bright nuclei are above their background, in shares of white."""

_WHITE: Final = {8: 255, 16: 4095}
"""Fields of 16 bits hold 12-bit values, as most cameras of microscopes give."""

_BACKGROUND, _NOISE = 0.035, 0.0025  # shares of white
_SMALLEST, _LARGEST = 64, 8192
_ATTEMPTS = 40
_SEEN = 0.6  # a nucleus of which less than this share is visible is not drawn
_LEAST_PX = 30  # smaller pieces at the edge are not drawn either: real sets call them debris
_CORNERS = 48


@dataclass(frozen=True)
class CellField:
    """One field and what is true of it.

    Attributes:
        frame: uint8 or uint16 (H, W); 16 bits hold values up to 4095 or so.
        labels: uint16 (H, W), 0 background, k is nucleus k, from 1 without gaps.
        contrast: how it was exposed.
    """

    frame: Frame
    labels: NDArray[np.uint16]
    contrast: Contrast

    @property
    def count(self) -> int:
        """How many nuclei there are."""
        return int(self.labels.max())

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Left, top, right, bottom of every nucleus, edges in pixels: float64 (N, 4)."""
        return boxes_of_instances(self.labels)[0].astype(np.float64)


def draw_cells(
    rng: np.random.Generator,
    *,
    height: int = 256,
    width: int = 256,
    cells: int = 40,
    radius_px: float = 8.0,
    touching: float = 0.3,
    contrast: Contrast = "medium",
    bits: Literal[8, 16] = 16,
) -> CellField:
    """Draw one field.

    Args:
        rng: where chance comes from.
        height: rows.
        width: columns.
        cells: how many nuclei are wanted; fewer are drawn where no more fit, 0 is an empty field.
        radius_px: their typical radius.
        touching: share of them that are pressed against another, in [0, 1].
        contrast: how bright they are.
        bits: 8, or 16 with values up to 4095.

    Raises:
        UsageError: a size, a number or a share is out of range.
    """
    for name, side in (("height", height), ("width", width)):
        if not _SMALLEST <= side <= _LARGEST:
            raise UsageError(f"a {name} of {side} px cannot be drawn; choose one from {_SMALLEST} to {_LARGEST}")
    if cells < 0 or not 2.0 <= radius_px <= min(height, width) / 4 or not 0.0 <= touching <= 1.0:
        raise UsageError(
            f"{cells} cells of {radius_px:g} px, {touching:g} of them touching, cannot be drawn; give a count from 0 "
            f"on, a radius from 2 to {min(height, width) / 4:g} px and a share from 0 to 1"
        )
    if contrast not in CONTRASTS or bits not in _WHITE:
        raise UsageError(f"no contrast {contrast!r} of {bits} bits; choose {', '.join(CONTRASTS)}, and 8 or 16")
    labels = _place(rng, (height, width), cells, radius_px, touching)
    light = _light(rng, labels) * CONTRASTS[contrast] + _BACKGROUND
    shade = _shade(rng, (height, width))
    noise = rng.standard_normal((height, width), np.float32)
    exposed = light * shade + noise * _NOISE * np.sqrt(light / _BACKGROUND)
    white = _WHITE[bits]
    levels = np.rint(np.clip(exposed * white, 0, white))
    return CellField(levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16), labels, contrast)


def _place(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, radius_px: float, touching: float
) -> NDArray[np.uint16]:
    """Lay nuclei side by side; who comes later never covers who is there."""
    labels = np.zeros(shape, np.uint16)
    placed: list[tuple[float, float, float]] = []  # x, y and radius
    for _ in range(cells):
        press = bool(placed) and rng.random() < touching
        radius = radius_px * float(np.clip(rng.normal(1.0, 0.2), 0.5, 1.6))
        for _ in range(_ATTEMPTS):
            if press:
                x, y, other = placed[int(rng.integers(len(placed)))]
                angle, apart = rng.uniform(0, 2 * np.pi), 0.95 * (radius + other)
                x, y = x + apart * float(np.cos(angle)), y + apart * float(np.sin(angle))
            else:
                x, y = float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))
            gap = -0.1 if press else 0.35
            free = all(np.hypot(x - a, y - b) >= (1.0 + gap) * (radius + c) for a, b, c in placed[-400:])
            if (free or press) and _fill(rng, labels, len(placed) + 1, (x, y, radius)):
                placed.append((x, y, radius))
                break
    return labels


def _fill(
    rng: np.random.Generator, labels: NDArray[np.uint16], number: int, circle: tuple[float, float, float]
) -> bool:
    """Draw one outline into what is still free; False where too little of it would be seen."""
    x, y, radius = circle
    if not (0 <= x < labels.shape[1] and 0 <= y < labels.shape[0]):
        return False
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    outline = np.ones(_CORNERS)
    for wave in (2, 3, 4):
        outline += rng.normal(0, 0.12 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    stretch = float(rng.uniform(0.8, 1.25))
    turn = float(rng.uniform(0, np.pi))
    along, across = radius * outline * np.cos(angles) * stretch, radius * outline * np.sin(angles) / stretch
    corners = np.stack(
        [x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn)], axis=1
    )
    reach = int(np.ceil(2.2 * radius)) + 2
    left, top = max(int(x) - reach, 0), max(int(y) - reach, 0)
    window = labels[top : int(y) + reach, left : int(x) + reach]
    whole = np.zeros((2 * reach + 2, 2 * reach + 2), np.uint8)
    offset = np.array([int(x) - reach, int(y) - reach])
    cv2.fillPoly(whole, [np.rint(corners - offset).astype(np.int32)], 1)
    rows, columns = window.shape
    part = whole[top - int(offset[1]) :, left - int(offset[0]) :][:rows, :columns]
    free = (part > 0) & (window == 0)
    inside = max(int(part.sum()), 1)
    if np.count_nonzero(free) < max(_SEEN * inside, _LEAST_PX):
        return False
    pieces, marks = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
    if pieces > 2:  # a nucleus is one piece
        free = marks == 1 + int(np.argmax(np.bincount(marks[marks > 0] - 1)))
        if np.count_nonzero(free) < max(_SEEN * inside, _LEAST_PX):
            return False
    window[free] = number
    return True


def _light(rng: np.random.Generator, labels: NDArray[np.uint16]) -> FloatArray:
    """Give the light of the nuclei, about 1 inside them: brightness and texture of each, focus, and a wide glow."""
    brightness = np.concatenate([[0.0], np.clip(rng.normal(1.0, 0.25, int(labels.max())), 0.35, 2.0)])
    texture = cv2.GaussianBlur(rng.standard_normal(labels.shape, np.float32), (0, 0), 2.0)
    texture /= max(float(texture.std()), 1e-6)
    sharp = brightness.astype(np.float32)[labels] * np.clip(1.0 + 0.12 * texture, 0.3, 2.0)
    focused = cv2.GaussianBlur(sharp, (0, 0), 1.1)
    light: FloatArray = focused + 0.08 * cv2.GaussianBlur(sharp, (0, 0), 9.0)
    return light


def _shade(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Give light that falls off slowly to one side, by 15 % at most."""
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.15)
    rows, columns = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in shape)
    along = rows[:, None] * np.float32(np.sin(angle)) + columns[None, :] * np.float32(np.cos(angle))
    return np.float32(1.0 - fall / 2) - np.float32(fall) * along


def write_dataset(
    folder: Path,
    *,
    seed: int,
    images: int = 24,
    empty: int = 2,
    cells: tuple[int, int] = (10, 60),
    height: int = 256,
    width: int = 256,
    bits: Literal[8, 16] = 16,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw fields into ``images/``, their numbered masks into ``labels/`` under the same names, and ``counts.csv``.

    Contrasts take turns; the last ``empty`` fields hold nothing. Every field has a generator of its own, made from the
    seed and its number: a set with more images begins with those of a smaller one, as far as neither is empty. The
    folder appears when it is complete. ``progress`` is told (fields done, fields in all). Returns the folder.

    Raises:
        UsageError: a number is out of range, or as :func:`draw_cells`.
        OutputExistsError: the folder exists, is not empty, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    if not 0 <= empty <= images or images < 1 or not 0 <= cells[0] <= cells[1]:
        raise UsageError("a data set needs at least 1 image, no more empty ones than that, and counts from low to high")
    lines = ["image,cells,contrast"]
    with replaced_folder(folder, overwrite=overwrite) as fresh:
        for number in range(images):
            rng = np.random.default_rng([seed, number])
            contrast = tuple(CONTRASTS)[number % len(CONTRASTS)]
            wanted = int(rng.integers(cells[0], cells[1] + 1)) if number < images - empty else 0
            drawn = draw_cells(rng, height=height, width=width, cells=wanted, contrast=contrast, bits=bits)
            name = f"field_{number:03d}.png"
            _write(fresh / "images" / name, drawn.frame)
            _write(fresh / "labels" / name, drawn.labels)
            lines.append(f"{name},{drawn.count},{contrast}")
            if progress is not None:
                progress(number + 1, images)
        (fresh / "counts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _write(path: Path, picture: Frame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:  # pragma: no cover
        raise DiskError(f"{path}: the picture could not be encoded as PNG")
    path.write_bytes(data.tobytes())
