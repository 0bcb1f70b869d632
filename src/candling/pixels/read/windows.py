"""A TIFF that is too large for memory, seen through windows: only the blocks a window needs are read and unpacked.

Its directory is checked as that of every TIFF is (``tiff_directory``), and damaged blocks are errors here too. Knows no
other format: PNG, JPEG and BMP can only be read whole.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, BinaryIO, Final, Self, cast

import numpy as np

from candling.errors import ImageError
from candling.pixels.read.facts import MAX_PIXELS
from candling.pixels.read.pixel_size import pixel_size
from candling.pixels.read.tiff import SIGNATURES, decode_window
from candling.pixels.read.tiff_directory import page_offsets, read_page
from candling.types import Box

if TYPE_CHECKING:
    from pathlib import Path

    from candling.pixels.read.tiff_directory import Page
    from candling.types import Frame

__all__ = ["MOST_PIXELS", "TiffWindows", "is_large"]

MOST_PIXELS: Final = 2**32
"""The largest picture seen through windows: 65536 x 65536."""

_BAND_ROWS: Final = 256


def is_large(path: Path) -> bool:
    """Tell whether a file is a TIFF of more pixels than an image read whole may have; False where nothing can be told.

    The size is read from its directory alone.
    """
    try:
        with TiffWindows.open(path) as found:
            return found.shape[0] * found.shape[1] > MAX_PIXELS
    except ImageError:
        return False


class TiffWindows:
    """The first page of a TIFF, open.

    Attributes:
        where: the file, for messages.
        shape: (H, W) in pixels.
        pixel_um: height and width of a pixel in micrometres; None where the file does not say.
    """

    def __init__(self, file: BinaryIO, page: Page, *, where: str, pixel_um: tuple[float, float] | None) -> None:
        self._file, self._page = file, page
        self.where: Final = where
        self.shape: Final = (page.height, page.width)
        self.pixel_um: Final = pixel_um

    @classmethod
    def open(cls, path: Path, *, max_pixels: int = MOST_PIXELS) -> Self:
        """Open a file and check its directory; close it by leaving ``with``.

        Raises:
            ImageError: it cannot be opened, is no TIFF, is damaged, or has more pixels than ``max_pixels``.
        """
        where = str(path)
        try:
            file = path.open("rb")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ImageError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
        try:
            page, pixel_um = _directory(file, where, max_pixels)
        except BaseException:
            file.close()
            raise
        return cls(file, page, where=where, pixel_um=pixel_um)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def window(self, box: Box) -> Frame:
        """Read a part: uint8 or uint16, (h, w) or (h, w, 3), as :func:`candling.pixels.read.decode`.

        Raises:
            ImageError: it lies outside, or a block is damaged.
        """
        return decode_window(self._fetch, self._page, box, where=self.where)

    def sample(self, longest: int) -> Frame:
        """Give every so many-th pixel of every so many-th row, so that no side is longer than ``longest`` px.

        Raises:
            ImageError: a block is damaged.
        """
        height, width = self.shape
        step = max(1, -(-max(height, width) // longest))
        parts = []
        for top in range(0, height, _BAND_ROWS):
            band = self.window(Box(top, 0, min(_BAND_ROWS, height - top), width))
            parts.append(band[-top % step :: step, ::step])
        return cast("Frame", np.concatenate(parts))

    def _fetch(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


def _directory(file: BinaryIO, where: str, max_pixels: int) -> tuple[Page, tuple[float, float] | None]:
    """Read the directory of the first page and the size of a pixel; the file is mapped meanwhile, not read."""
    if file.read(4) not in SIGNATURES:
        raise ImageError(f"{where}: is no TIFF, and only a TIFF can be read in parts; convert it to a tiled TIFF")
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            data = cast("bytes", mapped)  # slices of it are bytes
            page = read_page(data, page_offsets(data, where)[0], max_pixels=max_pixels, where=where)
            return page, pixel_size(data, where=where)
    except (OSError, ValueError) as error:
        raise ImageError(f"{where}: cannot be read ({error}); copy it to a local disk") from error
