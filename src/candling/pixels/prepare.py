"""Pixels to network input: grey or colour, one size, [0, 1]; the one definition, for training and for the line.

``prepare`` is ``scale`` of ``shape_frame``, nothing else. Training caches what ``shape_frame`` gives (small integers)
and scales it batch by batch; the line does both at once; the numbers are the same to the last bit. This file knows no
file format, no recipe and no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import ImageError

if TYPE_CHECKING:
    from candling.types import FloatArray, Frame

__all__ = ["PixelSpec", "prepare", "scale", "shape_frame"]


@dataclass(frozen=True)
class PixelSpec:
    """What the network wants to see.

    Attributes:
        channels: 1 for grey, 3 for colour.
        height: rows, in pixels.
        width: columns, in pixels.
        white: the value that becomes 1.0; None is the largest value of the frame's type (255 or 65535).

    >>> PixelSpec(1, 256, 128).white is None
    True
    """

    channels: int
    height: int
    width: int
    white: int | None = None


def shape_frame(frame: Frame, *, channels: int, height: int, width: int) -> Frame:
    """Bring a frame to the network's channels and size; its integer type stays.

    Colour becomes grey by ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B); grey becomes colour by three equal channels.
    An axis that shrinks is averaged over the area (``INTER_AREA``), an axis that grows is interpolated linearly. Where
    one axis shrinks and the other grows, the shrinking comes first: OpenCV's own area mode falls back to linear on both
    axes there, which would skip pixels, and with them thin scratches.

    Args:
        frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB.
        channels: 1 or 3.
        height: rows of the result, at least 1.
        width: columns of the result, at least 1.

    Returns:
        The dtype of ``frame``; (height, width) for 1 channel, (height, width, 3) for 3. Where nothing had to change it
        is ``frame`` itself, not a copy.

    Raises:
        ImageError: the frame is of another type or shape, or empty.
        ValueError: ``channels`` is neither 1 nor 3, or a size is below 1.

    >>> import numpy as np
    >>> shape_frame(np.array([[0, 4], [8, 12]], np.uint8), channels=1, height=1, width=1)
    array([[6]], dtype=uint8)
    >>> red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    >>> int(shape_frame(red, channels=1, height=2, width=2)[0, 0])
    76
    >>> shape_frame(np.zeros((4, 6), np.uint16), channels=3, height=2, width=9).shape
    (2, 9, 3)
    """
    _check_frame(frame)
    if channels not in (1, 3) or height < 1 or width < 1:
        raise ValueError(
            f"channels must be 1 or 3 and the size at least 1 x 1; they are {channels}, {height} x {width}"
        )
    if frame.ndim == 3 and channels == 1:
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    frame = _resize(frame, height, width)
    if frame.ndim == 2 and channels == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB)
    return frame


def scale(frames: Frame, *, white: int | None = None) -> FloatArray:
    """Divide by white and clip: what the network reads.

    Args:
        frames: uint8 or uint16, (N, H, W) grey or (N, H, W, 3) RGB.
        white: the value that becomes 1.0; brighter is 1.0 too. None is the largest value of the type.

    Returns:
        float32 (N, C, H, W) in [0, 1], C-contiguous; one float32 division a pixel.

    Raises:
        ImageError: another type or shape.
        ValueError: ``white`` is below 1.

    >>> import numpy as np
    >>> scale(np.array([[[0, 51, 255]]], np.uint8))
    array([[[[0. , 0.2, 1. ]]]], dtype=float32)
    >>> scale(np.array([[[0, 4095, 5000]]], np.uint16), white=4095).ravel().tolist()
    [0.0, 1.0, 1.0]
    >>> scale(np.zeros((2, 4, 5, 3), np.uint8)).shape
    (2, 3, 4, 5)
    """
    if frames.dtype not in (np.uint8, np.uint16) or not (
        frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)
    ):
        raise ImageError(
            f"frames are {frames.dtype} {frames.shape}; give uint8 or uint16 of shape (N, H, W) or (N, H, W, 3)"
        )
    largest = int(np.iinfo(frames.dtype).max)
    white = largest if white is None else white
    if white < 1:
        raise ValueError(f"white must be at least 1; it is {white}")
    planes = frames[:, None] if frames.ndim == 3 else frames.transpose(0, 3, 1, 2)
    scaled = np.empty(planes.shape, np.float32)
    np.divide(planes, np.float32(white), out=scaled, dtype=np.float32, casting="unsafe")
    if white < largest:
        np.minimum(scaled, np.float32(1), out=scaled)
    return scaled


def prepare(frame: Frame, spec: PixelSpec) -> FloatArray:
    """Turn one frame into what the network reads: ``scale`` of ``shape_frame``.

    Args:
        frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, any size.
        spec: what the network wants.

    Returns:
        float32 (C, H, W) in [0, 1], C-contiguous.

    Raises:
        ImageError: the frame is of another type or shape, or empty.

    >>> import numpy as np
    >>> prepare(np.full((8, 8, 3), 51, np.uint8), PixelSpec(1, 2, 2)).tolist()
    [[[0.20000000298023224, 0.20000000298023224], [0.20000000298023224, 0.20000000298023224]]]
    """
    shaped = shape_frame(frame, channels=spec.channels, height=spec.height, width=spec.width)
    prepared: FloatArray = scale(shaped[None], white=spec.white)[0]
    return prepared


def _check_frame(frame: Frame) -> None:
    kind: object = getattr(frame, "dtype", type(frame).__name__)
    shape: tuple[int, ...] = getattr(frame, "shape", ())
    shape_fits = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
    if kind not in (np.uint8, np.uint16) or not shape_fits or frame.size == 0:  # foreign byte order is another kind
        raise ImageError(f"the frame is {kind} {shape}; give uint8 or uint16 of shape (H, W) or (H, W, 3)")


def _resize(frame: Frame, height: int, width: int) -> Frame:
    rows, columns = frame.shape[:2]
    smaller = min(rows, height), min(columns, width)
    if smaller != (rows, columns):
        frame = cv2.resize(frame, (smaller[1], smaller[0]), interpolation=cv2.INTER_AREA)
    if smaller != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return frame
