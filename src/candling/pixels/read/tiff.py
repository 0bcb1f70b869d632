"""The pixels of a TIFF page, unpacked strictly: a block that gives too few bytes is an error; knows no file.

OpenCV reads 8-bit TIFFs through libtiff's lenient path: a torn block is black or half a picture, and no error. So
blocks are unpacked here: deflate by zlib, LZW and PackBits by libtiff behind a small TIFF of our own making whose
samples have 16 bits, for which OpenCV takes libtiff's strict path.
"""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from candling.errors import ImageError
from candling.pixels.read.facts import ImageFacts
from candling.pixels.read.tiff_directory import (
    DEFLATE,
    NONE,
    OLD_DEFLATE,
    PALETTE,
    SIGNATURES,
    WHITE_IS_ZERO,
    Page,
    page_offsets,
    read_page,
)
from candling.types import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from candling.types import Frame

    Fetch = Callable[[int, int], memoryview | bytes]

__all__ = ["SIGNATURES", "decode", "decode_window", "inspect"]


def inspect(data: bytes, *, max_pixels: int, where: str) -> ImageFacts:
    """Check a TIFF's pages and the directory of the first, and give its facts.

    Raises:
        ImageError: as :func:`decode`, but for the pixels themselves.
    """
    offsets = page_offsets(data, where)
    page = read_page(data, offsets[0], max_pixels=max_pixels, where=where)
    return ImageFacts(page.width, page.height, page.channels, max(8, page.bits), "tiff", len(offsets))


def decode(data: bytes, *, page: int, max_pixels: int, where: str) -> Frame:
    """Decode one page.

    Returns:
        uint8 (H, W) or (H, W, 3) for samples of 8 bits and less, spread over 0 to 255; uint16 for 16 bits. Black is 0.

    Raises:
        ImageError: there is no such page, it is damaged, or of a kind not read.
    """
    offsets = page_offsets(data, where)
    if not 0 <= page < len(offsets):
        raise ImageError(f"{where}: there is no page {page} among {len(offsets)}; pages count from 0")
    found = read_page(data, offsets[page], max_pixels=max_pixels, where=where)
    return _finish(_assemble(data, found, where), found)


def decode_window(fetch: Fetch, page: Page, box: Box, *, where: str) -> Frame:
    """Decode a part of a page; only the blocks that lie in it are fetched and unpacked.

    Args:
        fetch: gives so many bytes of the file (offset, length).
        page: of :func:`candling.pixels.read.tiff_directory.read_page`.
        box: inside the page.
        where: names the file in messages.

    Returns:
        as :func:`decode`, of the box's size.

    Raises:
        ImageError: a block is damaged, or the box reaches outside the page.
    """
    if box.top < 0 or box.left < 0 or box.bottom > page.height or box.right > page.width:
        raise ImageError(f"{where}: rows {box.top} to {box.bottom}, columns {box.left} to {box.right} lie outside")
    return _finish(_gather(fetch, page, box, where), page)


def _assemble(data: bytes, page: Page, where: str) -> NDArray[Any]:
    """Unpack every block and put it in its place: (H, W, samples) as stored."""
    view = memoryview(data)
    whole = Box(0, 0, page.height, page.width)
    return _gather(lambda offset, length: view[offset : offset + length], page, whole, where)


def _gather(fetch: Fetch, page: Page, box: Box, where: str) -> NDArray[Any]:
    """Unpack the blocks that lie in a box and put each in its place: (h, w, samples) as stored."""
    depth = 1 if page.planar else page.samples
    rows, columns = page.block
    down, across = -(-page.height // rows), -(-page.width // columns)
    pixels = np.empty((box.height, box.width, page.samples), np.uint16 if page.bits == 16 else np.uint8)
    for plane in range(page.samples if page.planar else 1):
        target = pixels[:, :, plane : plane + depth] if page.planar else pixels
        for row in range(box.top // rows, -(-box.bottom // rows)):
            top = max(row * rows, box.top)  # of what is wanted of these blocks
            for column in range(box.left // columns, -(-box.right // columns)):
                offset, length = page.spans[(plane * down + row) * across + column].tolist()
                first, stored = row * rows, page.block_rows(row * rows)
                if page.compression == NONE:  # rows above and below need not be fetched
                    stored = min(first + stored, box.bottom) - top
                    offset, length, first = offset + (top - first) * page.row_bytes, stored * page.row_bytes, top
                raw = _unpack(fetch(offset, length), page.compression, (stored, page.row_bytes), where)
                left = max(column * columns, box.left)
                block = _samples(raw, page, stored, depth)[top - first :, left - column * columns :]
                place = target[top - box.top :, left - box.left :][: block.shape[0], : block.shape[1]]
                place[...] = block[: place.shape[0], : place.shape[1]]
    return pixels


def _unpack(packed: memoryview | bytes, compression: int, shape: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Give the bytes of one block, uint8 (rows, bytes of a row)."""
    needed = shape[0] * shape[1]
    if compression == NONE:
        raw = np.frombuffer(packed, np.uint8, min(needed, len(packed)))
    elif compression in (DEFLATE, OLD_DEFLATE):
        try:
            raw = np.frombuffer(zlib.decompressobj().decompress(packed, needed), np.uint8)
        except zlib.error as error:
            raise _torn(where) from error
    else:
        raw = _unpack_by_libtiff(packed, compression, shape, where)
    if raw.size != needed:
        raise _torn(where)
    return raw.reshape(shape)


def _unpack_by_libtiff(
    packed: memoryview | bytes, compression: int, shape: tuple[int, int], where: str
) -> NDArray[np.uint8]:
    rows, row_bytes = shape
    if row_bytes % 2 == 0:
        return _decode_wrapped(packed, compression, (rows, row_bytes // 2), 16, where)
    if rows % 2 == 0:
        return _decode_wrapped(packed, compression, (rows // 2, row_bytes), 16, where)
    # An odd number of bytes is no number of 16-bit samples: the strict path proves all but the last row (or byte), the
    # lenient one gives the bytes.
    if rows > 1:
        _decode_wrapped(packed, compression, (rows // 2, row_bytes), 16, where)
    elif row_bytes > 1:
        _decode_wrapped(packed, compression, (1, row_bytes // 2), 16, where)
    return _decode_wrapped(packed, compression, shape, 8, where)


def _decode_wrapped(
    packed: memoryview | bytes, compression: int, shape: tuple[int, int], bits: int, where: str
) -> NDArray[np.uint8]:
    """Have libtiff unpack one block as a grey picture of ``bits`` bits, in this machine's byte order."""
    order, mark = ("<", b"II*\0") if sys.byteorder == "little" else (">", b"MM\0*")
    entries = [(256, shape[1]), (257, shape[0]), (258, bits), (259, compression), (262, 1)]
    entries += [(273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, shape[0]), (279, len(packed))]
    table = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in entries)
    wrapped = b"".join([mark, struct.pack(order + "IH", 8, len(entries)), table, bytes(4), packed])
    try:
        frame = cv2.imdecode(np.frombuffer(wrapped, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _torn(where) from error
    if frame is None or frame.shape != shape or frame.dtype.itemsize * 8 != bits:
        raise _torn(where)
    raw: NDArray[np.uint8] = frame.reshape(-1).view(np.uint8)
    return raw


def _samples(raw: NDArray[np.uint8], page: Page, rows: int, depth: int) -> NDArray[Any]:
    """Turn the bytes of a block into samples (rows, columns, depth)."""
    columns = page.block[1]
    if page.bits < 8:
        return _spread(raw, page.bits)[:, :columns, None]
    if page.bits == 16:
        wide = raw.view(">u2" if page.big_endian else "<u2").reshape(rows, columns, depth)
        samples: NDArray[Any] = wide.astype(np.uint16)
    else:
        samples = raw.reshape(rows, columns, depth)
    return np.cumsum(samples, axis=1, dtype=samples.dtype) if page.predictor else samples


def _spread(raw: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Take bytes apart into samples of 1, 2 or 4 bits, the highest first."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    spread: NDArray[np.uint8] = (raw[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    return spread.reshape(raw.shape[0], -1)


def _finish(pixels: NDArray[Any], page: Page) -> Frame:
    """Samples as stored to the frame people mean: colours looked up, alpha dropped, black at 0."""
    if page.photometric == PALETTE and page.colours is not None:
        coloured: Frame = page.colours[pixels[:, :, 0]]
        return coloured
    frame: Frame = np.ascontiguousarray(pixels[:, :, :3] if page.channels == 3 else pixels[:, :, 0])
    if page.bits < 8:
        frame *= np.uint8(255 // (2**page.bits - 1))
    if page.photometric == WHITE_IS_ZERO:
        np.invert(frame, out=frame)
    return frame


def _torn(where: str) -> ImageError:
    return ImageError(f"{where}: the pixels of the TIFF are damaged or cut short; copy or take the picture again")
