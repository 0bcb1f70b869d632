"""The kernels of a graph's convolutions, read from the ONNX file itself; knows no engine, no method and no picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import EngineError
from candling.runtime.onnx_wire import VARINT, WireError, fields, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from candling.types import FloatArray

__all__ = ["kernels_of"]

_LEAST: Final = 2
"""A kernel of 1 x 1 shows nothing."""

_FLOAT: Final = 1  # TensorProto.DataType


def kernels_of(graph: bytes) -> list[FloatArray]:
    """Give the kernels of each convolution of an ONNX graph in its order.

    Left out are convolutions of 1 x 1 and those along one axis, where there is nothing to see, those that take each
    channel by itself, which smooth, and weights other than float32. Weights that several share are given once.

    Args:
        graph: the bytes of the ONNX file.

    Returns:
        float32 (out, in, rows, columns) each.

    Raises:
        EngineError: the bytes are no ONNX graph.
    """
    try:
        return list(_kernels(memoryview(graph)))
    except (WireError, UnicodeDecodeError) as error:
        raise EngineError(f"graph: not a whole ONNX model ({error}); export it again") from error


def _kernels(model: memoryview) -> Iterator[FloatArray]:
    named: dict[str, None] = {}
    weights: dict[str, memoryview] = {}
    for graph in _parts(model, 7):
        for node in _parts(graph, 1):
            inputs = [_text(one) for one in _parts(node, 1)]
            if [_text(one) for one in _parts(node, 4)] == ["Conv"] and len(inputs) > 1:
                named[inputs[1]] = None
        for tensor in _parts(graph, 5):
            weights |= {_text(name): tensor for name in _parts(tensor, 8)}
    for name in named:
        found = None if name not in weights else _array(weights[name])
        if found is not None and found.ndim == 4 and min(found.shape[2:]) >= _LEAST and _mixes(found):
            yield found


def _mixes(kernels: FloatArray) -> bool:
    """Tell kernels that mix channels, or look at the picture itself, from those that smooth each channel alike."""
    return kernels.shape[1] > 1 or bool(np.ptp(kernels, axis=0).max() > 0.0)


def _array(tensor: memoryview) -> FloatArray | None:
    """Give a float32 tensor; None for another type."""
    shape, kind, values = [], 0, np.zeros(0, "<f4")
    for number, wire, value in fields(tensor):
        if number == 1:
            shape += numbers(value)
        elif number == 2 and wire == VARINT:
            kind = numbers(value)[0]
        elif number in {4, 9} and isinstance(value, memoryview):  # floats packed, or the raw bytes
            values = np.frombuffer(value, "<f4") if len(value) % 4 == 0 else values
    if kind != _FLOAT or math.prod(shape) != values.size:
        return None
    return values.astype(np.float32).reshape(shape)


def _parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Give the values of one field of a message."""
    for number, _, value in fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _text(value: memoryview) -> str:
    return bytes(value).decode()
