"""Bytes to frames, safely: the format by its first bytes, the structure first, then the decoder; knows no file system.

A file is believed only after its structure was walked and its declared size found below a cap; only then are pixels
allocated. What OpenCV would answer with half a picture is an error here.

EXIF orientation is ignored on purpose: the frame is what the sensor saw, row by row, so that regions stay where the
recipe puts them. Alpha is dropped, not blended.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import ImageError
from candling.pixels.read import bmp, jpeg, png, tiff
from candling.pixels.read.facts import MAX_PIXELS, ImageFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from candling.types import Frame

__all__ = ["decode", "inspect_bytes"]

if "OPENCV_LOG_LEVEL" not in os.environ:  # what went wrong is said by ImageError, once
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_AS_STORED = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


def inspect_bytes(data: bytes, *, max_pixels: int = MAX_PIXELS, where: str = "image") -> ImageFacts:
    """Say what an image declares, after checking its structure; no pixel is allocated.

    Args:
        data: the bytes of a PNG, JPEG, BMP or TIFF, told by their beginning.
        max_pixels: the largest width x height accepted.
        where: names the image in messages.

    Raises:
        ImageError: it is none of these, damaged, cut short, lying about its size, or too large.

    >>> done, encoded = cv2.imencode(".png", np.zeros((3, 5), np.uint16))
    >>> inspect_bytes(encoded.tobytes())
    ImageFacts(width=5, height=3, channels=1, bits=16, format='png', pages=1)
    >>> inspect_bytes(b"hello, this is text", where="notes.png")
    Traceback (most recent call last):
    candling.errors.ImageError: notes.png: is no PNG, JPEG, BMP or TIFF image (it begins with b'hello, t'); convert it \
to one of these
    """
    return _inspector(data, where)(data, max_pixels=max_pixels, where=where)


def decode(data: bytes, *, page: int = 0, max_pixels: int = MAX_PIXELS, where: str = "image") -> Frame:
    """Decode an image, or fail with one sentence.

    Args:
        data: the bytes of a PNG, JPEG, BMP or TIFF.
        page: which picture of a TIFF of several, from 0.
        max_pixels: the largest width x height accepted.
        where: names the image in messages.

    Returns:
        uint8, or uint16 for 16-bit files; (H, W) for grey, (H, W, 3) RGB for colour and palettes (a BMP with a grey
        palette is grey). Samples of 1, 2 and 4 bits are spread over 0 to 255.

    Raises:
        ImageError: as :func:`inspect_bytes`; also when the pixels are damaged or there is no such page.

    >>> done, encoded = cv2.imencode(".png", np.full((1, 2, 3), (0, 0, 255), np.uint8))  # red, in OpenCV's order
    >>> decode(encoded.tobytes()).tolist()
    [[[255, 0, 0], [255, 0, 0]]]
    """
    inspector = _inspector(data, where)
    try:
        if inspector is tiff.inspect:
            return tiff.decode(data, page=page, max_pixels=max_pixels, where=where)
        facts = inspector(data, max_pixels=max_pixels, where=where)
        if page != 0:
            raise ImageError(f"{where}: has one page, so there is no page {page}; pages count from 0")
        return _decode_checked(data, facts, where)
    except MemoryError as error:
        raise ImageError(f"{where}: does not fit into memory; lower max_pixels, or free memory") from error


def _decode_checked(data: bytes, facts: ImageFacts, where: str) -> Frame:
    if facts.format == "png":
        return _decode_by_opencv(png.pixel_chunks(data), facts, where)
    frame = _decode_by_opencv(data, facts, where)
    if facts.format == "jpeg" and jpeg.ends_in_grey(frame):
        probed = _decode_by_opencv(jpeg.with_more_data(data), facts, where)
        if not np.array_equal(frame, probed):
            raise ImageError(f"{where}: the data of the JPEG end before the picture does; copy or take it again")
    return frame


def _inspector(data: bytes, where: str) -> Callable[..., ImageFacts]:
    if data.startswith(png.SIGNATURE):
        return png.inspect
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.inspect
    if data.startswith(tiff.SIGNATURES):
        return tiff.inspect
    if data.startswith(bmp.SIGNATURE):
        return bmp.inspect
    if not data:
        raise ImageError(f"{where}: is empty; copy or take the picture again")
    raise ImageError(
        f"{where}: is no PNG, JPEG, BMP or TIFF image (it begins with {data[:8]!r}); convert it to one of these"
    )


def _decode_by_opencv(data: bytes, facts: ImageFacts, where: str) -> Frame:
    flags = _AS_STORED | (cv2.IMREAD_COLOR if facts.channels == 3 else cv2.IMREAD_GRAYSCALE)
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _refused(facts, where) from error
    shape = (facts.height, facts.width) if facts.channels == 1 else (facts.height, facts.width, 3)
    if frame is None or frame.shape != shape or frame.dtype.itemsize * 8 != facts.bits:
        raise _refused(facts, where)
    decoded: Frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=frame) if facts.channels == 3 else frame
    return decoded


def _refused(facts: ImageFacts, where: str) -> ImageError:
    return ImageError(
        f"{where}: the pixels of the {facts.format.upper()} are damaged or cut short; copy or take the picture again"
    )
