"""Learn from good images what frames are aligned to, and whether aligning helps at all; knows no file, no recipe.

A template is the pixel-wise median of good images that were aligned to one another, so what one of them shows by chance
is not in it. Whether to align is decided on images that the template did not see.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import cv2
import numpy as np

from candling.pixels.align.aligner import Aligner
from candling.pixels.align.movement import Movement, Way, move, move_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from candling.types import FloatArray, Frame

__all__ = ["Decision", "decide", "learn_template"]

FrameT = TypeVar("FrameT", bound="Frame")

LEAST_GAIN: Final = 0.1
"""Aligning must lower the median differences of good images from the template by more than this share."""

MOST_LOST: Final = 0.05
"""Aligning may push at most this share of a typical good image's edges out of the frame."""

WORST: Final = 0.002
"""Share of the pixels that differ most: as many as the scores of the largest errors average."""

SMOOTHED_PX: Final = 1.5
"""Residuals and edges are taken of pictures smoothed by a Gaussian of this sigma."""

LEAST_IMAGES: Final = 8
"""Of fewer good images nothing is decided: they stay as they are."""

LEARNED_FROM: Final = 32
"""A template is learned from at most so many images, evenly spread."""

_CENTRES = 4  # images tried as the one to align the others to
_REFINEMENTS = 2


@dataclass(frozen=True)
class Decision:
    """How frames are aligned, and why.

    Attributes:
        way: what was chosen.
        facts: residuals by way, as shares of white, and the share of edges that aligning by it pushes out of the frame.
    """

    way: Literal["none", "shift", "turn"]
    facts: Mapping[str, float | int | str] = field(default_factory=dict)


def learn_template(
    frames: Sequence[Frame], way: Way, *, aspect: float | None = None, white: int | None = None
) -> NDArray[np.uint8]:
    """Align good images to one another and give their median: first to the most central of a few, then to the median.

    Args:
        frames: at least one, uint8 or uint16, all (H, W) or (H, W, 3) of one size.
        way: what may differ between them.
        aspect: height over width before they were brought to this size; None is that of this size.
        white: the value that becomes 255; None is the largest value of the frames' type.

    Returns:
        uint8 (H, W), grey.
    """
    greys = [_grey(frame, white) for frame in _spread(frames, LEARNED_FROM)]
    centres = [Aligner(grey, way) for grey in _spread(greys, _CENTRES)]
    found = [[centre.find(grey, aspect=aspect) for grey in greys] for centre in centres]
    best = max(range(len(centres)), key=lambda at: float(np.median([one.correlation for one in found[at]])))
    template = _median(greys, _centred(found[best]))
    for _ in range(_REFINEMENTS):
        aligner = Aligner(template, way)
        template = _median(greys, [aligner.find(grey, aspect=aspect) for grey in greys])
    return template


def decide(frames: Sequence[Frame], *, aspect: float | None = None, white: int | None = None) -> Decision:
    """Decide whether good images gain from being aligned, by shift or by shift and turn.

    Each half of the images is held against templates learned from the other half, so no image is measured by a template
    that has seen it. The residual is the mean absolute difference from the template; the worst is the same over the
    pixels that differ most, which scores look at: a background that stands still is moved with the product, and may
    then differ more. Both are taken of smoothed pictures: moving smooths noise, which alone must not count as a gain.
    A way is taken when, against every simpler way, the medians of both fall by more than :data:`LEAST_GAIN` and both
    are lower for most images, and when it pushes no more than :data:`MOST_LOST` of a typical image's edges out of the
    frame.

    Args:
        frames: good images, as for :func:`learn_template`.
        aspect: as there.
        white: as there.
    """
    if len(frames) < LEAST_IMAGES:
        return Decision("none", {"images": len(frames), "reason": f"fewer than {LEAST_IMAGES} good images"})
    greys = [_grey(frame, white) for frame in frames]
    simpler: list[NDArray[np.float64]] = []
    facts: dict[str, float | int | str] = {"images": len(greys)}
    chosen: Literal["none", "shift", "turn"] = "none"
    ways: tuple[Literal["none", "shift", "turn"], ...] = ("none", "shift", "turn")
    for way in ways:
        halves = [_held_against(greys[1 - half :: 2], greys[half::2], way, aspect) for half in (0, 1)]
        found = np.concatenate(halves)
        medians = zip(("residual", "worst", "lost"), np.median(found, axis=0), strict=True)
        facts |= {f"{name}_{way}": round(float(value), 5) for name, value in medians}
        differences, lost = found[:, :2], found[:, 2]
        if np.median(lost) <= MOST_LOST and all(_clearly_lower(differences, others) for others in simpler):
            chosen = way
        simpler.append(differences)
    return Decision(chosen, facts)


def _held_against(
    seen: Sequence[NDArray[np.uint8]],
    held: Sequence[NDArray[np.uint8]],
    way: Literal["none", "shift", "turn"],
    aspect: float | None,
) -> NDArray[np.float64]:
    """Give residual, worst and share of edges lost, of each held-back image: float64 (n, 3)."""
    if way == "none":
        template = _median(_spread(seen, LEARNED_FROM), None)
        return np.array([(*_differences(grey, template), 0.0) for grey in held])
    aligner = Aligner(learn_template(seen, way, aspect=aspect), way)
    found = [(grey, *aligner.align(grey, aspect=aspect)) for grey in held]
    return np.array([(*_differences(moved, aligner.template), _lost(grey, one)) for grey, moved, one in found])


def _clearly_lower(differences: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Tell whether residual and worst, float64 (n, 2), both fall by the median, and for most images."""
    fallen = np.median(differences, axis=0) < (1.0 - LEAST_GAIN) * np.median(others, axis=0)
    return bool(np.all(fallen & (np.mean(differences < others, axis=0) > 0.5)))


def _spread(items: Sequence[FrameT], most: int) -> Sequence[FrameT]:
    """Take at most so many, evenly spread."""
    return [items[at * len(items) // most] for at in range(most)] if len(items) > most else items


def _grey(frame: Frame, white: int | None) -> NDArray[np.uint8]:
    if frame.ndim == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    levels: NDArray[np.floating] = frame * (255.0 / (np.iinfo(frame.dtype).max if white is None else white))
    grey: NDArray[np.uint8] = np.rint(np.minimum(levels, 255.0)).astype(np.uint8)
    return grey


def _median(greys: Sequence[NDArray[np.uint8]], movements: Sequence[Movement] | None) -> NDArray[np.uint8]:
    moved = greys if movements is None else [move(g, m) for g, m in zip(greys, movements, strict=True)]
    middle: NDArray[np.float64] = np.median(np.stack(moved).astype(np.float32), axis=0)
    return np.rint(middle).astype(np.uint8)


def _centred(movements: list[Movement]) -> list[Movement]:
    """Shift the template so that frames move as little as can be; a product turned at will comes to the middle.

    With the template shifted by v, a frame turned by R moves by t - R v instead of t; v is the median of R^-1 t.
    """
    aspect = movements[0].aspect
    turns = [_rotation(movement.turn) for movement in movements]
    shifts = [np.array([movement.right, movement.down * aspect]) for movement in movements]  # in widths
    common = np.median([turn.T @ shift for turn, shift in zip(turns, shifts, strict=True)], axis=0)
    left = [shift - turn @ common for turn, shift in zip(turns, shifts, strict=True)]
    return [
        replace(movement, right=float(x), down=float(y) / aspect)
        for movement, (x, y) in zip(movements, left, strict=True)
    ]


def _rotation(turn: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.array([[cosine, -sine], [sine, cosine]])


def _differences(grey: Frame, template: NDArray[np.uint8]) -> tuple[float, float]:
    """Give the mean absolute difference of two smoothed pictures, of all and of the worst pixels: shares of white."""
    apart = cv2.absdiff(_smoothed(grey), _smoothed(template)).ravel() / 255.0
    count = max(1, round(WORST * apart.size))
    return float(apart.mean()), float(np.partition(apart, -count)[-count:].mean())


def _smoothed(grey: Frame) -> FloatArray:
    smooth: FloatArray = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SMOOTHED_PX)
    return smooth


def _lost(grey: NDArray[np.uint8], movement: Movement) -> float:
    """Give the share of an image's edges, by squared slope, that a movement pushes out of the frame."""
    if movement.still:
        return 0.0
    smooth = _smoothed(grey)  # edges, not the sensor's noise
    energy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) ** 2
    inside = move_back(np.ones(grey.shape, np.float32), movement, outside=0.0)
    return float((energy * (1.0 - inside)).sum() / max(float(energy.sum()), 1e-6))
