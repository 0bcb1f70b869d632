"""Is what the camera gave usable: one frame by itself, and the frames of one acquisition together; knows no graph.

A frame that is missing, black, saturated, of another size or the same one twice would be judged as something it is not;
each is refused in one sentence. What is wrong with the product itself is not seen here.
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

__all__ = ["check_acquisition", "check_frame", "check_strip_frame"]

_STEP: Final = 4  # every fourth pixel each way tells black from dark
_DARK, _MOST = 0.02, 0.99
"""Black is a frame with this share of its pixels below so much of white; saturated one with as many at white."""


def check_frame(frame: Frame | None, size: FrameSize | None = None) -> Frame:
    """Refuse what is no frame, or one of another ``size`` than the recipe's.

    Raises:
        ImageError: there is none, or it is of another type or shape than a frame has.
    """
    if frame is None:
        raise ImageError("no frame came in time; check camera and trigger")
    if not isinstance(frame, np.ndarray):
        raise ImageError(f"the frame is a {type(frame).__name__}, not an array; give uint8 or uint16")
    fits = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
    if frame.dtype not in (np.uint8, np.uint16) or not fits or frame.size == 0:
        raise ImageError(f"the frame is {frame.dtype} {frame.shape}; give uint8 or uint16 of shape (H, W) or (H, W, 3)")
    height, width = frame.shape[:2]
    if size is not None and (height, width) != (size.height, size.width):
        raise ImageError(
            f"the frame has {height} x {width} px (height x width) and the recipe's have {size.height} x {size.width}; "
            "check camera and recipe, or train on frames of this size"
        )
    return frame


def check_strip_frame(frame: Frame | None, strip: Strip, *, white: int | None) -> Frame:
    """Refuse a frame of a strip that cannot show it: also one of another size, a black and a saturated one.

    Args:
        frame: what came.
        strip: says how large a frame is.
        white: the value that counts as white; None is the largest of the frame's type.

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
    return usable


def check_acquisition(frames: Sequence[Frame | None], strip: Strip, *, white: int | None) -> tuple[Frame, ...]:
    """Refuse an acquisition that lacks a frame, has one too many, or one that cannot be used.

    Args:
        frames: in the order they were taken; None for one that never came.
        strip: says how many there must be, and how large.
        white: as in :func:`check_strip_frame`.

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
            usable.append(check_strip_frame(frame, strip, white=white))
        except ImageError as error:
            raise ImageError(f"frame {number} of {strip.frames}: {error}") from error
    for (one, first), (other, second) in combinations(enumerate(usable, start=1), 2):
        if np.array_equal(first, second):
            raise ImageError(
                f"frames {one} and {other} of {strip.frames} are the same picture; the camera sent one of them twice"
            )
    return tuple(usable)
