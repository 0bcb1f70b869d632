"""The header of a BMP, checked against the file's length before any pixel is allocated; decodes nothing."""

from __future__ import annotations

import struct

from candling.errors import ImageError
from candling.pixels.read.facts import ImageFacts, check_size

__all__ = ["SIGNATURE", "inspect"]

SIGNATURE = b"BM"

_HEADERS = (12, 40, 52, 56, 108, 124)  # OS/2, Windows 3 and its two extensions, Windows 4 and 5
_PLAIN, _MASKED = 0, 3


def inspect(data: bytes, *, max_pixels: int, where: str) -> ImageFacts:
    """Check a BMP's header against its length and give its facts.

    Raises:
        ImageError: the file is shorter than its header declares, the header is impossible, the kind is run-length
            coded, or the size is above ``max_pixels``.
    """
    if len(data) < 26:
        raise ImageError(f"{where}: the BMP ends early, after {len(data)} bytes; copy or take the picture again")
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS or len(data) < 14 + size:
        raise ImageError(f"{where}: begins like a BMP but has no BMP header; give a PNG, JPEG, BMP or TIFF image")
    if size == 12:
        width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
        kind, colours, entry = _PLAIN, 0, 3
    else:
        width, height, planes, depth, kind = struct.unpack_from("<iiHHI", data, 18)
        colours, entry = struct.unpack_from("<I", data, 46)[0], 4
    height = abs(height)  # negative: the rows run from top to bottom
    check_size(width, height, max_pixels=max_pixels, where=where)
    masked = kind == _MASKED and depth in (16, 32)
    if planes != 1 or depth not in (1, 4, 8, 16, 24, 32) or not (kind == _PLAIN or masked):
        raise ImageError(
            f"{where}: a BMP of {depth} bits with compression {kind}; save it uncompressed, with 8, 24 or 32 bits"
        )
    palette = (colours or 2**depth) if depth <= 8 else 0
    if size == 12:
        palette = min(palette, max(0, offset - 26) // 3)  # OS/2 writers may store fewer colours
    table = 14 + size + (12 if masked and size == 40 else 0)
    stride = (width * depth + 31) // 32 * 4
    if palette > 2**depth or offset < table + palette * entry or offset + stride * height > len(data):
        raise ImageError(
            f"{where}: the BMP declares {width} x {height} px of {depth} bits but has {len(data)} bytes; "
            "the file is cut or damaged, copy or take the picture again"
        )
    grey = depth <= 8 and _is_grey(data[table : table + palette * entry], entry)
    return ImageFacts(width, height, 1 if grey else 3, 8, "bmp")


def _is_grey(palette: bytes, entry: int) -> bool:
    return palette[0::entry] == palette[1::entry] == palette[2::entry]
