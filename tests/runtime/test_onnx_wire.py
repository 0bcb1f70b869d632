"""Protobuf's wire format, checked against what the library itself writes."""

from __future__ import annotations

import pytest

from candling.runtime.onnx_wire import BYTES, VARINT, WireError, fields, numbers

onnx = pytest.importorskip("onnx")


def test_the_fields_of_a_message_are_those_the_library_wrote() -> None:
    """Numbers and texts of a tensor, in the order of the file; a text is a view."""
    tensor = onnx.TensorProto(name="weights", dims=[3, 300], data_type=1)
    found = list(fields(memoryview(tensor.SerializeToString())))
    named = {number: value for number, wire, value in found if wire == BYTES and number == 8}
    assert bytes(named[8]) == b"weights"
    assert [value for number, wire, value in found if (number, wire) == (2, VARINT)] == [1]
    dims = [one for number, _, value in found if number == 1 for one in numbers(value)]
    assert dims == [3, 300]


@pytest.mark.parametrize("torn", [b"\x0a", b"\x0a\x05ab", b"\x08\xff", b"\x03", b"\x00"])
def test_torn_messages_are_told(torn) -> None:
    """No length, too short a value, half a number, a group, field number 0."""
    with pytest.raises(WireError):
        list(fields(memoryview(torn)))


def test_torn_numbers_are_told() -> None:
    """Packed numbers that end within one."""
    with pytest.raises(WireError):
        numbers(memoryview(b"\x03\x96"))
