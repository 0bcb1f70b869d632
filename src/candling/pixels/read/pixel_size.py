"""How large a pixel is, as the microscope wrote it into a TIFF: OME's XML or ImageJ's description; decodes no pixel.

The plain resolution of a TIFF is not believed: programs write 72 dots an inch where they know nothing.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from defusedxml import ElementTree as Safe
from defusedxml.common import DefusedXmlException

from candling.pixels.read.tiff_directory import SIGNATURES, page_offsets

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["pixel_size"]

_DESCRIPTION, _ACROSS, _DOWN = 270, 282, 283
_SIDES: Final = (_DOWN, _ACROSS)
_ASCII, _RATIONAL = 2, 5
_MOST_ENTRIES: Final = 4096

_UM: Final[Mapping[str, float]] = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,  # the Greek letter, as OME writes it
    "\\u00b5m": 1.0,  # ImageJ's way of writing it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
"""Micrometres in a unit, as programs name it."""


def pixel_size(data: bytes, *, where: str = "image") -> tuple[float, float] | None:
    """Give height and width of one pixel in micrometres; None where nobody said, or in a unit that is no length.

    Args:
        data: the bytes of an image file; only a TIFF can hold a size.
        where: names the image in messages.

    Raises:
        ImageError: the TIFF's structure is damaged.

    >>> pixel_size(b"no TIFF") is None
    True
    """
    if data[:4] not in SIGNATURES:
        return None
    tags = _tags(data, page_offsets(data, where)[0])
    text = _text(data, tags.get(_DESCRIPTION))
    size = _from_ome(text) if "<OME" in text else _from_imagej(text, *(_ratio(data, tags.get(at)) for at in _SIDES))
    return size if size is not None and all(math.isfinite(side) and side > 0.0 for side in size) else None


def _from_ome(text: str) -> tuple[float, float] | None:
    """Read PhysicalSizeY and PhysicalSizeX of the first Pixels; OME's unit is the micrometre unless it says another."""
    try:
        root = Safe.fromstring(text.encode(), forbid_dtd=True)
    except (ParseError, ValueError, DefusedXmlException):
        return None
    pixels = next((one for one in root.iter() if one.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    sides = []
    for axis in "YX":
        unit = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").strip())
        number = _number(pixels.get(f"PhysicalSize{axis}"))
        if unit is None or number is None:
            return None
        sides.append(number * unit)
    return sides[0], sides[1]


def _from_imagej(text: str, down: float | None, across: float | None) -> tuple[float, float] | None:
    """Read ImageJ's unit; its pixels a unit are the TIFF's resolution."""
    found = re.search(r"^unit=(.+?)\s*$", text, re.MULTILINE) if text.startswith("ImageJ=") else None
    unit = _UM.get(found.group(1).lower()) if found else None
    if unit is None or not down or not across:
        return None
    return unit / down, unit / across


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _tags(data: bytes, offset: int) -> dict[int, tuple[int, int, int]]:
    """Give kind, number and place of the values of each tag of a directory."""
    order, big = ">" if data[:2] == b"MM" else "<", data[2:4] in (b"+\0", b"\0+")
    head, entry, inline = (order + "Q", order + "HHQQ", 8) if big else (order + "H", order + "HHII", 4)
    (count,) = struct.unpack_from(head, data, offset)
    first, length = offset + struct.calcsize(head), struct.calcsize(entry)
    tags = {}
    for at in range(min(count, _MOST_ENTRIES)):
        place = first + at * length
        if place + length > len(data):
            break
        tag, kind, number, value = struct.unpack_from(entry, data, place)
        size = number * {_ASCII: 1, _RATIONAL: 8}.get(kind, 0)
        if size:
            tags[tag] = kind, number, place + length - inline if size <= inline else value
    return tags


def _text(data: bytes, tag: tuple[int, int, int] | None) -> str:
    if tag is None or tag[0] != _ASCII or tag[2] + tag[1] > len(data):
        return ""
    return data[tag[2] : tag[2] + tag[1]].rstrip(b"\0").decode("utf-8", errors="replace")


def _ratio(data: bytes, tag: tuple[int, int, int] | None) -> float | None:
    if tag is None or tag[0] != _RATIONAL or tag[2] + 8 > len(data):
        return None
    over, under = struct.unpack_from((">" if data[:2] == b"MM" else "<") + "II", data, tag[2])
    return over / under if under else None
