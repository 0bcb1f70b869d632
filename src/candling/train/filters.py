"""The kernels of a graph's convolutions as pictures, for people; knows no method: it reads the graph itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from candling.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["draw_filters", "filters_of"]

_GAP = 1
_LEAST = 2


def filters_of(graph: bytes) -> list[FloatArray]:
    """Give the kernels of each convolution of an ONNX graph in its order, float32 (out, in, rows, columns).

    Convolutions of 1 x 1 are left out: there is nothing to see. Weights that several share are given once.
    """
    model = onnx.load_from_string(graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    names = dict.fromkeys(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    found = [numpy_helper.to_array(weights[name]).astype(np.float32) for name in names if name in weights]
    return [kernels for kernels in found if kernels.ndim == 4 and min(kernels.shape[2:]) >= _LEAST]


def draw_filters(kernels: FloatArray, *, scale: int = 4) -> NDArray[np.uint8]:
    """Draw the kernels of one convolution: a row for each output, a column for each input.

    Args:
        kernels: float32 (out, in, rows, columns).
        scale: pixels for each weight.

    Returns:
        uint8 (H, W) grey: middle grey is 0, white and black are the largest weight of the row, either way.

    Raises:
        UsageError: not four axes, or a scale below 1.
    """
    if kernels.ndim != 4 or scale < 1:
        raise UsageError(f"kernels have four axes and a scale of at least 1; given are {kernels.shape} and {scale}")
    outputs, inputs, rows, columns = kernels.shape
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    levels = 127.5 * (1.0 + np.divide(kernels, largest, out=np.zeros_like(kernels), where=largest > 0))
    large = np.rint(levels).astype(np.uint8).repeat(scale, axis=2).repeat(scale, axis=3)
    gaps = ((0, 0), (0, 0), (0, _GAP), (0, _GAP))
    return (
        np.pad(large, gaps)
        .transpose(0, 2, 1, 3)
        .reshape(outputs * (rows * scale + _GAP), inputs * (columns * scale + _GAP))[:-_GAP, :-_GAP]
    )
