"""The directories of a TIFF: which pages there are, and where the pixels of one page lie; unpacks nothing.

Everything a directory declares is checked against the file before it is believed: offsets, counts, sizes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import ImageError
from candling.pixels.read.facts import check_size, check_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIGNATURES", "Page", "page_offsets", "read_page"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 8, 32946, 32773
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3

_MOST_PAGES = 10_000
_MOST_ENTRIES = 4096
_MOST_BLOCKS = 2**16
_RATIOS = {NONE: 1, LZW: 4096, DEFLATE: 1032, OLD_DEFLATE: 1032, PACKBITS: 64}
"""Bytes that one compressed byte can give at most: an LZW code of 9 bits or more names a string of 4096 at most."""

_KINDS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # of the entries read here: BYTE to IFD8
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 320, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339

_Entries = dict[int, "NDArray[np.uint64]"]


@dataclass(frozen=True)
class Page:
    """One picture of a TIFF, checked: every block lies inside the file and is long enough for what it declares.

    Attributes:
        height: rows.
        width: columns.
        bits: of one sample: 1, 2, 4, 8 or 16.
        samples: of one pixel, alpha included.
        compression: one of NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS.
        photometric: one of WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE.
        planar: True when each sample has its own blocks.
        predictor: True when samples are stored as differences along the row.
        block: (rows, columns) of one strip or tile; strips are as wide as the page.
        tiled: True for tiles, which are stored whole even where they leave the page.
        spans: int64 (K, 2), offset and bytes of each block, plane by plane, row by row.
        colours: uint8 (K, 3) for a palette.
        big_endian: byte order of 16-bit samples.
    """

    height: int
    width: int
    bits: int
    samples: int
    compression: int
    photometric: int
    planar: bool
    predictor: bool
    block: tuple[int, int]
    tiled: bool
    spans: NDArray[np.int64]
    colours: NDArray[np.uint8] | None
    big_endian: bool

    @property
    def channels(self) -> int:
        """Of the decoded frame: 1 or 3."""
        return 3 if self.photometric in (RGB, PALETTE) else 1

    def block_rows(self, row: int) -> int:
        """The rows stored in the block that begins at this row."""
        return self.block[0] if self.tiled else min(self.block[0], self.height - row)

    @property
    def row_bytes(self) -> int:
        """Bytes of one unpacked row of a block."""
        return (self.block[1] * self.bits * (1 if self.planar else self.samples) + 7) // 8


class _Layout:
    """Byte order and field sizes: classic TIFF or BigTIFF."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where = data, where
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        self.word = "Q" if self.big else "I"
        self.count = "Q" if self.big else "H"
        self.entry = 20 if self.big else 12

    def number(self, kind: str, position: int) -> int:
        """One unsigned number; ImageError where the file ends before it."""
        if position + struct.calcsize(self.order + kind) > len(self.data):
            raise ImageError(
                f"{self.where}: the TIFF ends early, after {len(self.data)} bytes; copy or take the picture again"
            )
        value: int = struct.unpack_from(self.order + kind, self.data, position)[0]
        return value

    def entries_at(self, offset: int) -> tuple[int, int]:
        """(number of entries, position of the first) of the directory at an offset."""
        total = self.number(self.count, offset)
        first = offset + struct.calcsize(self.order + self.count)
        if not 1 <= total <= _MOST_ENTRIES or first + total * self.entry > len(self.data):
            raise ImageError(f"{self.where}: a directory of the TIFF is damaged; copy or take the picture again")
        return total, first


def page_offsets(data: bytes, where: str) -> list[int]:
    """Find the directory of each page.

    Raises:
        ImageError: the chain of pages leaves the file, turns in a circle, or is empty or endless.
    """
    layout = _Layout(data, where)
    offsets: dict[int, None] = {}  # keeps their order
    position = layout.number(layout.word, 8 if layout.big else 4)
    while position:
        if position in offsets or len(offsets) >= _MOST_PAGES:
            raise ImageError(f"{where}: the pages of the TIFF turn in a circle or are endless; the file is damaged")
        total, first = layout.entries_at(position)
        offsets[position] = None
        end = first + total * layout.entry
        position = layout.number(layout.word, end)
    if not offsets:
        raise ImageError(f"{where}: the TIFF holds no picture; take or save the picture again")
    return list(offsets)


def read_page(data: bytes, offset: int, *, max_pixels: int, where: str) -> Page:
    """Read and check the directory of one page.

    Raises:
        ImageError: it is damaged, declares what the file does not hold, is above ``max_pixels``, or of a kind not read:
            other compressions, float or signed samples, more than one extra channel.
    """
    layout = _Layout(data, where)
    tags = _read_entries(layout, offset)
    width, height = _one(tags, _WIDTH, 0), _one(tags, _HEIGHT, 0)
    check_size(width, height, max_pixels=max_pixels, where=where)
    samples, photometric = _one(tags, _SAMPLES, 1), _one(tags, _PHOTOMETRIC, BLACK_IS_ZERO)
    depths = _all(tags, _BITS)
    bits = depths.pop() if len(depths) == 1 else 0
    compression = _one(tags, _COMPRESSION, NONE)
    _check_kind(tags, bits=bits, samples=samples, photometric=photometric, compression=compression, where=where)
    planar = _one(tags, _PLANAR, 1) == 2 and samples > 1
    tiled = _TILE_WIDTH in tags
    rows = _one(tags, _TILE_HEIGHT, 0) if tiled else min(_one(tags, _STRIP_ROWS, height), height)
    columns = _one(tags, _TILE_WIDTH, 0) if tiled else width
    if rows < 1 or columns < 1:
        raise _damaged(where)
    stored = -(-height // rows) * rows * -(-width // columns) * columns if tiled else height * width
    if stored > max(max_pixels, 4 * height * width):  # a page of slivers, each a whole tile
        raise ImageError(f"{where}: the TIFF stores {stored} px for {height * width}; save it with smaller tiles")
    page = Page(
        height=height,
        width=width,
        bits=bits,
        samples=samples,
        compression=compression,
        photometric=photometric,
        planar=planar,
        predictor=_one(tags, _PREDICTOR, 1) == 2 and compression in (LZW, DEFLATE, OLD_DEFLATE),
        block=(rows, columns),
        tiled=tiled,
        spans=_spans(tags, len(data), tiled=tiled, where=where),
        colours=_colours(tags, bits, where) if photometric == PALETTE else None,
        big_endian=layout.order == ">",
    )
    _check_spans(page, where)
    return _joined(page)


def _read_entries(layout: _Layout, offset: int) -> _Entries:
    total, first = layout.entries_at(offset)
    inline = 8 if layout.big else 4
    tags: _Entries = {}
    for position in range(first, first + total * layout.entry, layout.entry):
        tag, kind = layout.number("H", position), layout.number("H", position + 2)
        if kind not in _KINDS:
            continue
        count, at = layout.number(layout.word, position + 4), position + 4 + inline
        dtype = np.dtype(layout.order + _KINDS[kind])
        if count * dtype.itemsize > inline:
            at = layout.number(layout.word, at)
        if at + count * dtype.itemsize > len(layout.data):
            raise _damaged(layout.where)
        tags.setdefault(tag, np.frombuffer(layout.data, dtype, count, at).astype(np.uint64))
    return tags


def _one(tags: _Entries, tag: int, default: int) -> int:
    values = tags.get(tag)
    return default if values is None or not len(values) else int(values[0])


def _all(tags: _Entries, tag: int) -> set[int]:
    """The different values of an entry; a missing one means 1 (bits, unsigned integers)."""
    values = tags.get(tag)
    return {1} if values is None else {int(value) for value in np.unique(values)}


def _check_kind(tags: _Entries, *, bits: int, samples: int, photometric: int, compression: int, where: str) -> None:
    if compression not in _RATIOS:
        raise ImageError(
            f"{where}: TIFF compression {compression} is not read; save it uncompressed, as LZW or deflate"
        )
    if not _all(tags, _SAMPLE_FORMAT) <= {1, 4} or bits not in (1, 2, 4, 8, 16):
        raise ImageError(f"{where}: the TIFF has other samples than unsigned 8 or 16 bits; convert it to 8 or 16 bits")
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        raise ImageError(f"{where}: TIFF colour model {photometric} is not read; save it as grey or RGB")
    extra = samples - (3 if photometric == RGB else 1)
    if extra not in (0, 1) or (bits < 8 and samples > 1) or (photometric == PALETTE and (extra or bits > 8)):
        raise ImageError(
            f"{where}: a TIFF of {samples} channels of {bits} bits, colour model {photometric}; save it as grey or RGB"
        )
    if _one(tags, _FILL_ORDER, 1) != 1:
        raise ImageError(f"{where}: the TIFF stores its bits in reverse order; save it with another program")
    predictor = _one(tags, _PREDICTOR, 1)
    if compression in (LZW, DEFLATE, OLD_DEFLATE) and (predictor not in (1, 2) or (predictor == 2 and bits < 8)):
        raise ImageError(f"{where}: TIFF predictor {predictor} at {bits} bits is not read; save it without a predictor")


def _spans(tags: _Entries, size: int, *, tiled: bool, where: str) -> NDArray[np.int64]:
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    lengths = tags.get(_TILE_BYTES if tiled else _STRIP_BYTES)
    if lengths is None and offsets is not None and len(offsets) == 1 and int(offsets[0]) < size:
        lengths = size - offsets  # old writers leave the length of a single strip out
    if offsets is None or lengths is None or len(lengths) != len(offsets):
        raise _damaged(where)
    if len(offsets) > _MOST_BLOCKS:
        raise ImageError(f"{where}: the TIFF is cut into {len(offsets)} blocks; save it with larger strips or tiles")
    if (offsets > size).any() or (lengths > size).any() or (offsets + lengths > size).any() or not lengths.all():
        raise ImageError(
            f"{where}: pixels of the TIFF lie outside the file of {size} bytes; it is cut or damaged, copy it again"
        )
    return np.stack([offsets, lengths], axis=1).astype(np.int64)


def _colours(tags: _Entries, bits: int, where: str) -> NDArray[np.uint8]:
    values = tags.get(_COLOURS)
    if values is None or len(values) != 3 * 2**bits:
        raise ImageError(f"{where}: the TIFF has indexed colours but no whole palette; save the picture again")
    table = values.reshape(3, -1).T
    return (table >> 8 if (table > 255).any() else table).astype(np.uint8)  # some writers store 8-bit colours


def _check_spans(page: Page, where: str) -> None:
    down, across = -(-page.height // page.block[0]), -(-page.width // page.block[1])
    blocks = down * across * (page.samples if page.planar else 1)
    if len(page.spans) != blocks:
        raise ImageError(
            f"{where}: the TIFF declares {page.width} x {page.height} px in {blocks} blocks but lists "
            f"{len(page.spans)}; the file is damaged, copy or take the picture again"
        )
    lengths = page.spans[:, 1]
    last = np.arange(blocks) // across % down == down - 1
    for chosen, row in ((~last, 0), (last, (down - 1) * page.block[0])):
        if chosen.any():
            needed = page.block_rows(row) * page.row_bytes
            check_stream(int(lengths[chosen].min()), needed, ratio=_RATIOS[page.compression], where=where)


def _joined(page: Page) -> Page:
    """Uncompressed strips that follow each other are one block."""
    offsets, lengths = page.spans[:, 0], page.spans[:, 1]
    whole = page.block[0] * page.row_bytes
    exact = (lengths[:-1] == whole).all() and (offsets[1:] == offsets[:-1] + whole).all()
    if page.compression != NONE or page.tiled or page.planar or not exact:
        return page
    span = np.array([[offsets[0], lengths.sum()]], np.int64)
    return replace(page, block=(page.height, page.width), spans=span)


def _damaged(where: str) -> ImageError:
    return ImageError(f"{where}: a directory of the TIFF is damaged; copy or take the picture again")
