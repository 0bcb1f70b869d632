"""One look at each file: its hash, its header, a small grey picture and how it is exposed; judges nothing."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import ImageError
from candling.pixels.read import ImageFacts, decode, inspect_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.types import Frame

__all__ = ["Exposure", "ImageLook", "MaskLook", "look_at_image", "look_at_mask", "small_side"]

_LARGEST_SMALL = 192
_STATISTICS_PIXELS = 2**16
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
"""What sensors of 8, 10, 12, 14 and 16 bits give for full light."""


@dataclass(frozen=True)
class Exposure:
    """How light falls into one picture, in its own grey levels.

    Attributes:
        dark: the level below which 0.5 % of the pixels lie.
        bright: the level above which 0.5 % of the pixels lie.
        clipped: share of the pixels at full light, in [0, 1].
    """

    dark: float
    bright: float
    clipped: float


@dataclass(frozen=True)
class ImageLook:
    """What one look at an image gave.

    Attributes:
        sample: the image and what is known about it.
        sha256: of the file's bytes; empty when they could not be read.
        problem: the reader's sentence when the image cannot be used, else empty. What follows is None then.
        facts: what the header says.
        small: uint8 (S, S), grey, 16-bit ones stretched to their own range: for comparing pictures with each other.
        exposure: how it is exposed.
    """

    sample: Sample
    sha256: str
    problem: str
    facts: ImageFacts | None = None
    small: NDArray[np.uint8] | None = None
    exposure: Exposure | None = None


@dataclass(frozen=True)
class MaskLook:
    """What one look at a mask gave.

    Attributes:
        sample: the image it belongs to.
        path: the mask's file.
        problem: the reader's sentence when it cannot be read, else empty.
        width: in pixels.
        height: in pixels.
        values: the smallest distinct nonzero values, at most eight.
        share: nonzero pixels, in [0, 1].
    """

    sample: Sample
    path: Path
    problem: str
    width: int = 0
    height: int = 0
    values: tuple[int, ...] = ()
    share: float = 0.0


def small_side(samples: Sequence[Sample]) -> int:
    """Choose the side of the small pictures of a set: 192 px, or less where the images themselves are smaller."""
    sides = []
    for sample in samples[:: max(1, len(samples) // 16)]:
        try:
            facts = inspect_bytes(sample.path.read_bytes())
        except (ImageError, OSError):
            continue
        sides.append(min(facts.width, facts.height))
    return int(np.clip(np.median(sides), 24, _LARGEST_SMALL)) if sides else _LARGEST_SMALL


def look_at_image(sample: Sample, side: int) -> ImageLook:
    """Read and decode an image once and keep what the rules need; its small picture has ``side`` px."""
    try:
        data = sample.path.read_bytes()
    except OSError as error:
        return ImageLook(sample, "", f"{sample.path}: cannot be read: {error.strerror or error}; check its permissions")
    digest = hashlib.sha256(data).hexdigest()
    try:
        facts = inspect_bytes(data, where=str(sample.path))
        frame = decode(data, where=str(sample.path))
    except ImageError as error:
        return ImageLook(sample, digest, str(error))
    grey = _grey(frame)
    exposure = _exposure(grey)
    return ImageLook(sample, digest, "", facts, _small(grey, side, exposure), exposure)


def look_at_mask(sample: Sample, path: Path) -> MaskLook:
    """Read a mask and count what is in it."""
    try:
        frame = decode(path.read_bytes(), where=str(path))
    except ImageError as error:
        return MaskLook(sample, path, str(error))
    except OSError as error:
        return MaskLook(sample, path, f"{path}: cannot be read: {error.strerror or error}; check its permissions")
    flat = frame if frame.ndim == 2 else frame.max(axis=2)
    counts = np.bincount(flat.ravel())
    values = np.flatnonzero(counts[1:]) + 1
    return MaskLook(
        sample,
        path,
        "",
        width=flat.shape[1],
        height=flat.shape[0],
        values=tuple(int(value) for value in values[:8]),
        share=1.0 - float(counts[0]) / flat.size,
    )


def _grey(frame: Frame) -> Frame:
    return frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _exposure(grey: Frame) -> Exposure:
    step = max(1, math.isqrt(grey.size // _STATISTICS_PIXELS))
    some = grey[::step, ::step]
    highest = int(some.max())
    counts = np.cumsum(np.bincount(some.ravel()))
    dark, bright = np.searchsorted(counts, [0.005 * some.size, 0.995 * some.size])
    clipped = float(np.mean(some == highest)) if highest in _FULL_SCALES else 0.0
    return Exposure(dark=float(dark), bright=float(bright), clipped=clipped)


def _small(grey: Frame, side: int, exposure: Exposure) -> NDArray[np.uint8]:
    shrinks = min(grey.shape) >= side
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if small.dtype != np.uint8:
        span = max(exposure.bright - exposure.dark, 1.0)
        small = np.clip((small.astype(np.float32) - exposure.dark) * (255.0 / span), 0.0, 255.0)
    return np.asarray(small, dtype=np.uint8)
