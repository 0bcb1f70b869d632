"""The structure of a PNG, walked before any pixel is allocated; knows nothing of decoding.

libpng trusts a chunk's declared length: 73 corrupt bytes make OpenCV 4.14 and 5.0 allocate 2 GB and stop for seconds.
Here every chunk must lie inside the file and carry the right CRC, and the decoder is shown nothing but the chunks that
hold pixels: no text, colour profile, EXIF, animation frame or transparency reaches it.

Not noticed: a stream that holds more rows than IHDR declares, with every checksum right. To see it the pixels would
have to be inflated twice, at nearly half the price of decoding.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from candling.errors import ImageError
from candling.pixels.read.facts import ImageFacts, check_size, check_stream

__all__ = ["SIGNATURE", "inspect", "pixel_chunks"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MOST_CHUNKS = 40_000  # 256 MiB in the usual pieces of 8 KiB are 32,768; the walk must end within 200 ms
_DEFLATE_RATIO = 1032  # zlib's own bound: one byte of deflate gives at most 1032
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; a palette's sample is its index
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SHOWN = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


@dataclass
class _Walk:
    """What has been met so far."""

    header: bytes = b""
    palette: int = 0
    stream: int = 0
    closed: bool = False  # something else followed the IDAT run


def inspect(data: bytes, *, max_pixels: int, where: str) -> ImageFacts:
    """Check a PNG from signature to IEND and give its facts; no pixel is inflated.

    Raises:
        ImageError: a chunk leaves the file or has a wrong checksum, a part is missing or out of order, or the declared
            size is impossible, above ``max_pixels`` or more than the compressed stream could ever hold.
    """
    walk = _Walk()
    for name, start, end in _chunks(data, where):
        _meet(walk, name, data[start:end] if name == b"IHDR" else b"", end - start, where)
        if name == b"IHDR":
            _check_header(walk.header, max_pixels, where)
    if not walk.stream:
        raise ImageError(f"{where}: the PNG holds no pixels (no IDAT chunk); take or save the picture again")
    width, height, depth, colour = struct.unpack(">IIBB", walk.header[:10])
    if colour == 3 and not walk.palette:
        raise ImageError(f"{where}: the PNG has indexed colours but no palette; save the picture again")
    needed = height * (1 + (width * depth * _SAMPLES[colour] + 7) // 8)
    check_stream(walk.stream, needed, ratio=_DEFLATE_RATIO, where=where)
    return ImageFacts(width, height, 1 if colour in (0, 4) else 3, max(8, depth), "png")


def pixel_chunks(data: bytes) -> bytes:
    """Give the same PNG without the chunks that hold no pixels; ``data`` itself when there are none.

    The file must have passed :func:`inspect`.
    """
    spans = [(name, start - 8, end + 4) for name, start, end in _chunks(data, "image")]
    if all(name in _SHOWN for name, _, _ in spans):
        return data
    return b"".join([SIGNATURE, *(data[start:end] for name, start, end in spans if name in _SHOWN)])


def _chunks(data: bytes, where: str) -> list[tuple[bytes, int, int]]:
    """Give (name, start, end) of each chunk's content up to IEND; lengths and checksums are right."""
    found: list[tuple[bytes, int, int]] = []
    view = memoryview(data)
    position, size = len(SIGNATURE), len(data)
    while True:
        if position + 12 > size:
            raise ImageError(f"{where}: the PNG ends early, after {size} bytes; copy or take the picture again")
        length = int.from_bytes(view[position : position + 4], "big")
        start, end = position + 8, position + 8 + length
        name = data[position + 4 : start]
        if end + 4 > size:
            raise ImageError(
                f"{where}: a PNG chunk declares {length} bytes where {size - start} are left; "
                "the file is cut or damaged, copy or take the picture again"
            )
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError(f"{where}: the checksum of a PNG chunk is wrong; copy or take the picture again")
        found.append((name, start, end))
        if name == b"IEND":
            return found
        if len(found) > _MOST_CHUNKS:
            raise ImageError(f"{where}: the PNG has more than {_MOST_CHUNKS} chunks; save the picture again")
        position = end + 4


def _meet(walk: _Walk, name: bytes, header: bytes, length: int, where: str) -> None:
    if (name == b"IHDR") != (not walk.header):
        raise ImageError(f"{where}: the PNG does not begin with one header; the file is damaged")
    if name == b"IHDR":
        if length != 13:
            raise ImageError(f"{where}: the PNG header has {length} bytes, not 13; the file is damaged")
        walk.header = header
    elif name == b"PLTE":
        if walk.palette or walk.stream or length % 3 or not 3 <= length <= 768:
            raise ImageError(f"{where}: the PNG palette is damaged; save the picture again")
        walk.palette = length // 3
    elif name == b"IDAT":
        if walk.closed:
            raise ImageError(f"{where}: the pixels of the PNG are interrupted; the file is damaged")
        walk.stream += length
    elif not name.isalpha():
        raise ImageError(f"{where}: a PNG chunk has no name of letters; the file is damaged")
    elif name != b"IEND" and name[:1].isupper():
        raise ImageError(f"{where}: the PNG needs an unknown extension {name!r}; save it as a plain PNG")
    walk.closed = walk.closed or (walk.stream > 0 and name != b"IDAT")


def _check_header(header: bytes, max_pixels: int, where: str) -> None:
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    check_size(width, height, max_pixels=max_pixels, where=where)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ImageError(
            f"{where}: the PNG header is impossible (depth {depth}, colour type {colour}, compression {compression}, "
            f"filter {filtering}, interlace {interlace}); the file is damaged"
        )
