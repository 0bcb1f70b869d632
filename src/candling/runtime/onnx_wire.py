"""Protobuf's wire format, as far as ONNX files need it; knows no schema.

Reading the bytes themselves needs no library and copies no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BYTES", "VARINT", "WireError", "fields", "numbers"]

VARINT: Final = 0
BYTES: Final = 2
FIXED64: Final = 1
FIXED32: Final = 5


class WireError(Exception):
    """The bytes are not protobuf, or not of the schema that was expected."""


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Give (field number, wire type, value) of one message; a value of several bytes is a view, never a copy.

    Raises:
        WireError: the bytes are no message.

    >>> [(number, value) for number, _, value in fields(memoryview(bytes([8, 150, 1])))]
    [(1, 150)]
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0 or key > 0xFFFF_FFFF:  # readers cut a longer key to 32 bits: two meanings
            raise WireError("an impossible field number")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = _varint(message, at)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise WireError(f"wire type {wire}")  # groups (3, 4) are not used by ONNX; 6 and 7 do not exist
        if length > end - at:
            raise WireError("it ends too early")
        yield number, wire, message[at : at + length]
        at += length


def numbers(value: int | memoryview) -> list[int]:
    """Give the numbers of a field that may hold one, or several packed together.

    Raises:
        WireError: the bytes are no numbers.

    >>> numbers(3), numbers(memoryview(bytes([3, 150, 1])))
    ([3], [3, 150])
    """
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):  # at most ten bytes
        if at >= len(message):
            raise WireError("it ends too early")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise WireError("a number is too long")
