"""The structure of a JPEG, walked before any pixel is allocated, and the signs of one cut short; decodes nothing.

JPEG carries no checksum: a flipped bit inside the compressed data cannot be told from a picture. What can be told is
told: a missing end, missing scans, a size the data cannot fill, and a stream that runs dry before the last row, for
which libjpeg paints the rest grey and says nothing to its caller. Not noticed: data that run dry inside the very last
block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import ImageError
from candling.pixels.read.facts import ImageFacts, check_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import Frame

__all__ = ["SIGNATURE", "ends_in_grey", "inspect", "with_more_data"]

SIGNATURE = b"\xff\xd8\xff"

_MOST_SEGMENTS = 10_000
_MOST_SCANS = 64  # encoders send 10 to 20; each costs the decoder a pass over the whole picture
_FILL = re.compile(rb"\xff+")  # a marker may begin with any number of them
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in compressed data: neither a stuffed FF nor a restart
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_PLAIN = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # tables, restart interval, comment, application data
_GREY = 128
_PROBE = b"\x55\xaa\x5a" * 32


@dataclass
class _Walk:
    """What has been met so far.

    ``missing`` holds, per component, the lowest bit not yet sent of each of the 64 coefficients (255: none sent).
    """

    kind: int = 0
    width: int = 0
    height: int = 0
    blocks: int = 0
    missing: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    scans: int = 0
    entropy: int = 0
    last_end: int = 0


def inspect(data: bytes, *, max_pixels: int, where: str) -> ImageFacts:
    """Check a JPEG from start to end marker and give its facts; no pixel is decoded.

    Raises:
        ImageError: a segment leaves the file, the end is missing, a component or a progressive scan was never sent, the
            kind is not baseline or progressive grey or YCbCr/RGB, or the declared size is impossible, above
            ``max_pixels`` or more than the data could ever hold.
    """
    walk = _walk(data, max_pixels, where)
    for left in walk.missing.values():
        if left.any():
            raise ImageError(f"{where}: the last scans of the JPEG are missing; copy or take the picture again")
    bits = 1 if walk.kind == _PROGRESSIVE else 2  # the shortest code of a block: DC alone, or DC and end-of-block
    if walk.entropy * 8 < walk.blocks * bits:
        raise ImageError(
            f"{where}: declares {walk.width} x {walk.height} px, which its {walk.entropy} bytes of data cannot hold; "
            "the file is damaged, copy or take the picture again"
        )
    return ImageFacts(walk.width, walk.height, len(walk.missing), 8, "jpeg")


def ends_in_grey(frame: Frame) -> bool:
    """Tell whether the last 8 x 8 block is the grey libjpeg paints where data are missing; some true pictures end so.

    >>> ends_in_grey(np.full((16, 16), 128, np.uint8)), ends_in_grey(np.zeros((16, 16), np.uint8))
    (True, False)
    """
    rows, columns = ((side - 1) % 8 + 1 for side in frame.shape[:2])
    return bool((frame[-rows:, -columns:] == _GREY).all())


def with_more_data(data: bytes) -> bytes:
    """Give the same JPEG with a little more compressed data before its end marker.

    A decoder that had all it needed gives the same picture; one that ran dry gives another.
    """
    end = _walk(data, 2**62, "image").last_end
    return data[:end] + _PROBE + data[end:]


def _walk(data: bytes, max_pixels: int, where: str) -> _Walk:
    walk, position = _Walk(), 2
    for _ in range(_MOST_SEGMENTS):
        fill = _FILL.match(data, position)
        if (fill.end() if fill else position) >= len(data):
            raise _ends_early(where, len(data))
        if fill is None:
            raise _damaged(where)
        position = fill.end() - 1
        marker = data[position + 1]
        if marker == _END:
            if not walk.last_end:
                raise ImageError(f"{where}: the JPEG holds no pixels; take the picture again")
            return walk
        start, end = position + 4, position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end > len(data) or start > len(data):
            raise _ends_early(where, len(data))
        position = end
        if marker in _FRAMES:
            _meet_frame(walk, marker, data[start:end], max_pixels, where)
        elif marker == _SCAN:
            _meet_scan(walk, data[start:end], where)
            following = _MARKER.search(data, end)
            if following is None:
                raise _ends_early(where, len(data))
            position = walk.last_end = following.start()
            walk.entropy += position - end
        elif marker not in _PLAIN or end < start:
            raise _damaged(where)
    raise ImageError(f"{where}: the JPEG has more than {_MOST_SEGMENTS} segments; save the picture again")


def _meet_frame(walk: _Walk, marker: int, body: bytes, max_pixels: int, where: str) -> None:
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
        raise ImageError(f"{where}: a JPEG of an unusual kind (lossless, hierarchical, arithmetic); save it as PNG")
    if walk.kind or len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _damaged(where)
    if body[0] != 8 or body[5] not in (1, 3):
        raise ImageError(f"{where}: a JPEG of {body[0]} bits and {body[5]} channels; save it as 8-bit grey or RGB")
    walk.kind, walk.height, walk.width = marker, int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    check_size(walk.width, walk.height, max_pixels=max_pixels, where=where)
    factors = [(code >> 4, code & 15) for code in body[7::3]]
    if not all(1 <= across <= 4 and 1 <= down <= 4 for across, down in factors):
        raise _damaged(where)
    most_across, most_down = (max(axis) for axis in zip(*factors, strict=True))
    for across, down in factors:
        walk.blocks += -(-walk.width * across // (8 * most_across)) * -(-walk.height * down // (8 * most_down))
    walk.missing = {number: np.full(64, 255, np.uint8) for number in body[6::3]}
    if len(walk.missing) != body[5]:
        raise _damaged(where)


def _meet_scan(walk: _Walk, body: bytes, where: str) -> None:
    walk.scans += 1
    if not walk.kind or len(body) < 4 or len(body) != 4 + 2 * body[0]:
        raise _damaged(where)
    if walk.scans > _MOST_SCANS:
        raise ImageError(f"{where}: the JPEG has more than {_MOST_SCANS} scans; save the picture again")
    first, last, low_bit = body[-3], body[-2], body[-1] & 15
    if walk.kind != _PROGRESSIVE:
        first, last, low_bit = 0, 63, 0
    if not first <= last <= 63:
        raise _damaged(where)
    for number in body[1:-3:2]:
        if number not in walk.missing:
            raise _damaged(where)
        walk.missing[number][first : last + 1] = low_bit


def _ends_early(where: str, size: int) -> ImageError:
    return ImageError(f"{where}: the JPEG ends early, after {size} bytes; copy or take the picture again")


def _damaged(where: str) -> ImageError:
    return ImageError(f"{where}: the JPEG is damaged; copy or take the picture again")
