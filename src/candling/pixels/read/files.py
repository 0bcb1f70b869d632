"""Files to frames: the file's size and kind first, then its bytes, which tell the format; its name never does."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import ImageError
from candling.pixels.read.facts import MAX_PIXELS
from candling.pixels.read.frames import decode, inspect_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.pixels.read.facts import ImageFacts
    from candling.types import Frame

__all__ = ["MAX_BYTES", "SUFFIXES", "count_pages", "inspect_file", "read_image", "read_mask"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Suffixes of files worth trying, in lower case; what a file is, its bytes say."""

MAX_BYTES = 2**28
"""The largest file read unless told otherwise: 256 MiB."""


def read_image(path: Path | str, *, page: int = 0, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Frame:
    """Read one image file.

    Args:
        path: of a PNG, JPEG, BMP or TIFF.
        page: which picture of a TIFF of several, from 0.
        max_pixels: the largest width x height accepted.
        max_bytes: the largest file accepted.

    Returns:
        uint8 or uint16, (H, W) grey or (H, W, 3) RGB; as :func:`candling.pixels.read.decode`.

    Raises:
        ImageError: the file cannot be opened, is too large, or is no sound image; the message begins with the path.
    """
    return decode(_bytes_of(Path(path), max_bytes), page=page, max_pixels=max_pixels, where=str(path))


def read_mask(
    path: Path, *, page: int = 0, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> NDArray[np.bool_]:
    """Read a mask: every pixel that is not black is defect, whatever the bit depth or palette.

    Returns:
        bool (H, W).

    Raises:
        ImageError: as :func:`read_image`.
    """
    frame = read_image(path, page=page, max_pixels=max_pixels, max_bytes=max_bytes)
    marked: NDArray[np.bool_] = np.logical_or.reduce(frame != 0, axis=2) if frame.ndim == 3 else np.not_equal(frame, 0)
    return marked


def count_pages(path: Path, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> int:
    """Count the pictures in a file: 1, or the pages of a TIFF.

    Raises:
        ImageError: as :func:`read_image`.
    """
    return inspect_file(path, max_pixels=max_pixels, max_bytes=max_bytes).pages


def inspect_file(path: Path, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> ImageFacts:
    """Say what the header of a file promises, without decoding it.

    Raises:
        ImageError: as :func:`read_image`.
    """
    return inspect_bytes(_bytes_of(path, max_bytes), max_pixels=max_pixels, where=str(path))


def _bytes_of(path: Path, max_bytes: int) -> bytes:
    try:
        facts = Path(path).stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError(f"{path}: is not a file; give the path of one image")
        if facts.st_size > max_bytes:
            raise ImageError(f"{path}: has {facts.st_size} bytes, more than the {max_bytes} allowed; raise max_bytes")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
