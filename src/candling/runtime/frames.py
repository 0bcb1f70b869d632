"""Is what the camera gave usable: one frame by itself, and the frames of one acquisition together; knows no graph.

A frame that is missing, black, saturated, of another size or colour or the same one twice would be judged as something
it is not; each is refused in one sentence. What is wrong with the product itself is not seen here.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.recipe import FrameSize, Strip
    from candling.types import Frame

__all__ = ["check_acquisition", "check_frame", "check_strip_frame", "is_coloured"]

_STEP: Final = 4  # every fourth pixel each way tells black from dark
_COLOURS: Final = ("red", "green", "blue")
_DARK, _MOST = 0.02, 0.99
"""Black is a frame with this share of its pixels below so much of white; saturated one with as many at white."""


def check_frame(frame: Frame | None, size: FrameSize | None = None) -> Frame:
    """Refuse what is no frame, or one of another ``size`` than the recipe's, or grey where it wants colour.

    Raises:
        ImageError: there is none, or it is of another type, shape or kind than a frame has.
    """
    if frame is None:
        raise ImageError("no frame came in time; check camera and trigger")
    if not isinstance(frame, np.ndarray):
        raise ImageError(f"the frame is a {type(frame).__name__}, not an array; give uint8 or uint16")
    fits = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
    if frame.dtype not in (np.uint8, np.uint16) or not fits or frame.size == 0:
        raise ImageError(f"the frame is {frame.dtype} {frame.shape}; give uint8 or uint16 of shape (H, W) or (H, W, 3)")
    if size is not None:
        _check_kind(frame, size)
    return frame


def is_coloured(frame: Frame) -> bool:
    """Tell colour from a grey picture stored with three channels, where compression may leave faint tints.

    Coloured is a frame with at least 1 % of its pixels further than 8 % of white between two channels.
    """
    if frame.ndim == 2:
        return False
    spread = frame.max(axis=2) - frame.min(axis=2)
    return bool(np.mean(spread > 0.08 * np.iinfo(frame.dtype).max) >= 0.01)


def _check_kind(frame: Frame, size: FrameSize) -> None:
    height, width = frame.shape[:2]
    if size.height is not None and (height, width) != (size.height, size.width):
        raise ImageError(
            f"the frame has {height} x {width} px (height x width) and the recipe's have {size.height} x {size.width}; "
            "check camera and recipe, or train on frames of this size"
        )
    if size.channels == 1 and is_coloured(frame):
        raise ImageError("the frame is in colour and the recipe's are grey; check the camera, or train on colour")
    if size.channels == 3 and frame.ndim == 2:
        raise ImageError("the frame is grey and the recipe's are in colour; check the camera, or train on grey frames")


def check_strip_frame(frame: Frame | None, strip: Strip, *, white: int | None, coloured: bool = False) -> Frame:
    """Refuse a frame of a strip that cannot show it: also one of another size, a black and a saturated one.

    Args:
        frame: what came.
        strip: says how large a frame is.
        white: the value that counts as white; None is the largest of the frame's type.
        coloured: whether the recipe looks at red, green and blue, of which no two may be the same picture: they are
            colours, or frames of one run put together.

    Raises:
        ImageError: it cannot be used.
    """
    usable = check_frame(frame)
    height, width = usable.shape[:2]
    if (height, width) != (strip.height, strip.width):
        raise ImageError(
            f"the frame has {height} x {width} px (height x width) and the recipe's have {strip.height} x "
            f"{strip.width}; check camera and recipe"
        )
    bright = int(np.iinfo(usable.dtype).max) if white is None else white
    values = usable[::_STEP, ::_STEP]
    if np.mean(values <= _DARK * bright) >= _MOST:
        raise ImageError("the frame is black; check lamp, lens cap and exposure")
    if np.mean(values >= bright) >= _MOST:
        raise ImageError("the frame is saturated; check lamp and exposure")
    if coloured:
        _check_colours(usable)
    return usable


def _check_colours(frame: Frame) -> None:
    """Refuse a grey frame, and one put together from a frame that came twice."""
    if frame.ndim == 2:
        raise ImageError("the frame is grey and the recipe's have three colours; put the frames of the run together")
    for (one, first), (other, second) in combinations(zip(_COLOURS, np.moveaxis(frame, 2, 0), strict=True), 2):
        if np.array_equal(first[::_STEP, ::_STEP], second[::_STEP, ::_STEP]) and np.array_equal(first, second):
            raise ImageError(
                f"{one} and {other} of the frame are the same picture; "
                "where colours are the frames of a run, one of them came twice"
            )


def check_acquisition(
    frames: Sequence[Frame | None], strip: Strip, *, white: int | None, coloured: bool = False
) -> tuple[Frame, ...]:
    """Refuse an acquisition that lacks a frame, has one too many, or one that cannot be used.

    Args:
        frames: in the order they were taken; None for one that never came.
        strip: says how many there must be, and how large.
        white: as in :func:`check_strip_frame`.
        coloured: likewise.

    Returns:
        The frames.

    Raises:
        ImageError: the sentence says which frame it is, counted from 1.
    """
    if len(frames) != strip.frames:
        raise ImageError(
            f"{len(frames)} frames came where one acquisition has {strip.frames}; check camera and trigger"
        )
    usable = []
    for number, frame in enumerate(frames, start=1):
        try:
            usable.append(check_strip_frame(frame, strip, white=white, coloured=coloured))
        except ImageError as error:
            raise ImageError(f"frame {number} of {strip.frames}: {error}") from error
    for (one, first), (other, second) in combinations(enumerate(usable, start=1), 2):
        if np.array_equal(first, second):
            raise ImageError(
                f"frames {one} and {other} of {strip.frames} are the same picture; the camera sent one of them twice"
            )
    return tuple(usable)
