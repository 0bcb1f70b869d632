"""The graph contract as a check: what an engine reports of a graph's ends, held against the prose in ``engine``.

Knows names, types and shapes; no engine and no file. A violation is one sentence that names the offending end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from candling.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BOXES",
    "CELLS",
    "DENSITY",
    "IMAGE",
    "MAP",
    "NEAREST",
    "RECONSTRUCTION",
    "Contract",
    "Port",
    "check_contract",
]

IMAGE: Final = "image"
MAP: Final = "anomaly_map"
RECONSTRUCTION: Final = "reconstruction"
NEAREST: Final = "nearest"
CELLS: Final = "cells"
DENSITY: Final = "density"
BOXES: Final = ("boxes", "labels", "confidences")

_NO_SCORES: Final = frozenset({MAP, RECONSTRUCTION, NEAREST, CELLS, DENSITY, *BOXES})
_SCORE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """One end of a graph as its engine reports it: ``dtype`` a numpy name, a size None where the graph leaves it free.

    >>> str(Port("anomaly_map", "float32", (None, 256, 256)))
    'anomaly_map float32 (N, 256, 256)'
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {_show(self.shape)}"


@dataclass(frozen=True)
class Contract:
    """A graph that keeps the contract.

    Attributes:
        batch: the fixed N, or None where N is free.
        shape: (C, H, W) of one image.
        scores: the names of the scores, in the graph's order.
        outputs: all output names, in the graph's order.
    """

    batch: int | None
    shape: tuple[int, int, int]
    scores: tuple[str, ...]
    outputs: tuple[str, ...]


def check_contract(inputs: Sequence[Port], outputs: Sequence[Port], *, where: str = "graph") -> Contract:
    """Hold a graph's ends against the contract.

    Raises:
        EngineError: an input or output breaks it; the sentence names which, what it is and what it must be.
    """
    batch, shape = _check_input(inputs, where)
    names = [port.name for port in outputs]
    for name in names:
        if names.count(name) > 1:
            raise EngineError(f"{where}: two outputs are named {name!r}; give each its own name")
    for port in outputs:
        _check_output(port, batch, shape, where)
    parts = [name for name in BOXES if name in names]
    if parts and len(parts) < len(BOXES):
        missing = ", ".join(name for name in BOXES if name not in names)
        raise EngineError(f"{where}: output {parts[0]!r} comes without {missing}; boxes need all of {', '.join(BOXES)}")
    scores = tuple(name for name in names if name not in _NO_SCORES)
    if not scores and not parts:
        raise EngineError(f"{where}: no output is a score and none are boxes, so nothing could be judged; add a score")
    return Contract(batch, shape, scores, tuple(names))


def _check_input(inputs: Sequence[Port], where: str) -> tuple[int | None, tuple[int, int, int]]:
    given = "; ".join(str(port) for port in inputs) or "nothing"
    wanted = "the contract wants one input: image float32 (N, C, H, W)"
    if len(inputs) != 1 or inputs[0].name != IMAGE:
        raise EngineError(f"{where}: takes {given}, but {wanted}")
    port = inputs[0]
    if port.dtype != "float32" or len(port.shape) != 4:
        raise EngineError(f"{where}: input is {given}, but {wanted}")
    batch, channels, height, width = port.shape
    if channels is None or height is None or width is None:
        raise EngineError(f"{where}: input is {given}, but only N may be free; export it with fixed C, H and W")
    return batch, (channels, height, width)


def _check_output(port: Port, batch: int | None, shape: tuple[int, int, int], where: str) -> None:
    wanted_type, wanted = _expected(port, batch, shape)
    if len(port.shape) != len(wanted):
        kind = "" if port.name in _NO_SCORES else " (any other name is a score)"
        raise EngineError(
            f"{where}: output {port} breaks the contract, which wants {wanted_type} {_show(wanted)}{kind}"
        )
    if port.dtype != wanted_type:
        raise EngineError(f"{where}: output {port} breaks the contract, which wants {wanted_type} {_show(wanted)}")
    if batch is None and port.shape[0] is not None:
        raise EngineError(f"{where}: output {port} has a fixed N where the input's is free; export it with a free N")
    for size, expected in zip(port.shape, wanted, strict=True):
        if size is not None and expected is not None and size != expected:
            raise EngineError(f"{where}: output {port} breaks the contract, which wants {wanted_type} {_show(wanted)}")
    if len(wanted) == 1 and not _SCORE_NAME.fullmatch(port.name):
        raise EngineError(
            f"{where}: output {port.name!r} is no name for a score; use lower-case letters, digits and underscores"
        )


def _expected(port: Port, batch: int | None, shape: tuple[int, int, int]) -> tuple[str, _Shape]:
    count = port.shape[1] if len(port.shape) > 1 else None
    across = port.shape[2] if len(port.shape) > 2 else None
    table: Mapping[str, tuple[str, _Shape]] = {
        MAP: ("float32", (batch, *shape[1:])),
        RECONSTRUCTION: ("float32", (batch, *shape)),
        NEAREST: ("int64", (batch, count, across)),
        CELLS: ("float32", (batch, 3, *shape[1:])),
        DENSITY: ("float32", (batch, *shape[1:])),
        "boxes": ("float32", (batch, count, 4)),
        "labels": ("int64", (batch, count)),
        "confidences": ("float32", (batch, count)),
    }
    return table.get(port.name, ("float32", (batch,)))


def _show(shape: _Shape) -> str:
    """Write a shape with N for a free batch and a question mark for any other free size.

    >>> _show((None, 3, None)), _show((None,))
    ('(N, 3, ?)', '(N,)')
    """
    sizes = [("N" if at == 0 else "?") if size is None else str(size) for at, size in enumerate(shape)]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
