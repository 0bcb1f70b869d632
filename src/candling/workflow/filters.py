"""The kernels of a graph's first convolutions as pictures, for people; knows no method, no file and no page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.errors import UsageError
from candling.runtime.kernels import kernels_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["Filters", "draw_filters", "first_filters"]

LAYERS: Final = 3
"""So many convolutions are shown."""

MOST: Final = 64, 32
"""Filters shown of one convolution, and channels of each."""

WIDEST: Final = 900
"""A picture is about so wide, in pixels: weights are drawn as large as that allows."""

_GAP: Final = 2
_GROUND: Final = 255


@dataclass(frozen=True)
class Filters:
    """The filters of one convolution, drawn.

    Attributes:
        caption: which convolution, how many filters of what size, and what of them is shown.
        picture: uint8 (H, W), as :func:`draw_filters` gives it.
    """

    caption: str
    picture: NDArray[np.uint8]


def first_filters(graph: bytes) -> tuple[Filters, ...]:
    """Draw the filters of a graph's first convolutions.

    Args:
        graph: the bytes of the ONNX file.

    Raises:
        EngineError: the bytes are no ONNX graph.
    """
    return tuple(_drawn(number, kernels) for number, kernels in enumerate(kernels_of(graph)[:LAYERS], start=1))


def draw_filters(kernels: FloatArray, *, scale: int = 4) -> NDArray[np.uint8]:
    """Draw the kernels of one convolution: a column for each filter, a row for each channel it sees.

    Filters that see a single channel are laid out in two rows, the first half above the second.

    Args:
        kernels: float32 (out, in, rows, columns).
        scale: pixels for each weight.

    Returns:
        uint8 (H, W) grey: middle grey is 0, white and black are the largest weight of the filter, either way; white
        lines lie between kernels.

    Raises:
        UsageError: not four axes, none of them empty, or a scale below 1.
    """
    if kernels.ndim != 4 or kernels.size == 0 or scale < 1:
        raise UsageError(f"kernels have four axes and a scale of at least 1; given are {kernels.shape} and {scale}")
    outputs, inputs = kernels.shape[:2]
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    levels = 127.5 * (1.0 + np.divide(kernels, largest, out=np.zeros_like(kernels), where=largest > 0))
    large = np.rint(levels).astype(np.uint8).repeat(scale, axis=2).repeat(scale, axis=3)
    tiles = np.pad(large, ((0, 0), (0, 0), (0, _GAP), (0, _GAP)), constant_values=_GROUND)
    tiles = tiles.transpose(1, 0, 2, 3)  # (in, out, rows, columns)
    if inputs == 1 and outputs > 1:
        tiles = np.pad(tiles, ((0, 0), (0, outputs % 2), (0, 0), (0, 0)), constant_values=_GROUND)
        tiles = tiles.reshape(2, -1, *tiles.shape[2:])
    down, across, high, wide = tiles.shape
    picture: NDArray[np.uint8] = tiles.transpose(0, 2, 1, 3).reshape(down * high, across * wide)[:-_GAP, :-_GAP]
    return picture


def _drawn(number: int, kernels: FloatArray) -> Filters:
    outputs, inputs, rows, columns = kernels.shape
    shown = kernels[: MOST[0], : MOST[1]]
    across = len(shown) if inputs > 1 else -(-len(shown) // 2)
    scale = int(np.clip((WIDEST / across - _GAP) / columns, 2, 10))
    size = f"{rows} x {columns} over {inputs} channel" + ("s" if inputs > 1 else "")
    cut = "" if shown.shape == kernels.shape else f"; the first {shown.shape[0]}, of {shown.shape[1]} channels"
    return Filters(f"Convolution {number}: {outputs} filters of {size}{cut}", draw_filters(shown, scale=scale))
