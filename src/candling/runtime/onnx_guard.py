"""Looks through an ONNX file before any engine sees it; knows nothing of engines.

External data lets a graph read any file its process may read (CVE-2022-25882, CVE-2024-27318, CVE-2026-27489), and
lets weights change while the graph's hash does not. Operators outside the ONNX standard come from libraries that only
some engines have, and some of them (``EPContext``) open files of their own. A bundle has neither.

Every message of onnx.proto3 that can hold a tensor or a node is walked: initializers (dense and sparse), node
attributes, subgraphs, functions and training graphs. The walk is bounded in depth and in number of messages, and it
skips over the weights without copying them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from candling.errors import EngineError
from candling.runtime.onnx_wire import VARINT, WireError, fields

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_GRAPH_BYTES", "check_graph_bytes"]

MAX_GRAPH_BYTES: Final = 2**31 - 1
"""What protobuf itself allows in one message."""

STANDARD_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""The operator sets of the ONNX standard."""

_IR_VERSION_KEY: Final = b"\x08"  # field 1, a number: what ONNX begins with, and neither XML nor an ORT flatbuffer
_MAX_DEPTH: Final = 64  # protobuf's own readers stop at 100
_MAX_MESSAGES: Final = 2_000_000

_CHILDREN: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Tensor": {},
}
"""Which fields of which message of onnx.proto3 hold messages that are walked."""


@dataclass
class _Found:
    """What the walk has seen: operators by domain, and the functions the model defines itself."""

    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)


def check_graph_bytes(data: bytes, *, where: str = "graph") -> None:
    """Refuse an ONNX file that is no whole model, reads other files or uses operators outside the standard.

    Args:
        data: the file's bytes.
        where: what the message calls it.

    Raises:
        EngineError: not an ONNX model, damaged, too large or too deep; a tensor lies outside the file; an operator is
            neither of the ONNX standard nor defined as a function inside the model.
    """
    if len(data) > MAX_GRAPH_BYTES:
        raise EngineError(f"{where}: {len(data)} bytes are more than an ONNX file can hold ({MAX_GRAPH_BYTES})")
    if data[:1] != _IR_VERSION_KEY:
        raise EngineError(f"{where}: not an ONNX model; give the file that `candling train` exports")
    found = _Found()
    try:
        graphs = _walk(memoryview(data), found, where)
    except WireError as error:
        raise EngineError(f"{where}: not a whole ONNX model ({error}); export it again") from error
    if graphs != 1:
        raise EngineError(f"{where}: holds {graphs} graphs where an ONNX model has one; export it again")
    for domain, operator in sorted(found.operators - found.functions):
        if domain not in STANDARD_DOMAINS:
            raise EngineError(
                f"{where}: operator {operator!r} of {domain!r} is not of the ONNX standard; export with standard ones"
            )


def _walk(data: memoryview, found: _Found, where: str) -> int:
    """Visit every message that can hold a tensor or a node; give the number of main graphs."""
    graphs = 0
    visited = 0
    todo: list[tuple[str, memoryview, int]] = [("Model", data, 0)]
    while todo:
        kind, message, depth = todo.pop()
        visited += 1
        if depth > _MAX_DEPTH or visited > _MAX_MESSAGES:
            raise WireError("nested too deeply" if depth > _MAX_DEPTH else "too many parts")
        children = _CHILDREN[kind]
        texts: dict[int, str] = {}
        for number, wire, value in fields(message):
            if kind == "Tensor":
                _check_tensor(number, wire, value, where)
            elif number in children:
                if not isinstance(value, memoryview):
                    raise WireError(f"field {number} of a {kind} is no message")
                todo.append((children[number], value, depth + 1))
                graphs += kind == "Model" and children[number] == "Graph"
            elif number in _TEXTS.get(kind, ()):
                texts[number] = _text(value)
        _note(kind, texts, found)
    return graphs


_TEXTS: Final[Mapping[str, tuple[int, int]]] = {"Node": (7, 4), "Function": (10, 1)}
"""The fields (domain, name) by which a node names its operator and a function itself."""


def _note(kind: str, texts: Mapping[int, str], found: _Found) -> None:
    if kind in _TEXTS:
        domain, name = (texts.get(number, "") for number in _TEXTS[kind])
        (found.operators if kind == "Node" else found.functions).add((domain, name))


def _check_tensor(number: int, wire: int, value: int | memoryview, where: str) -> None:
    """Refuse data_location (field 14) other than DEFAULT, and any external_data (field 13)."""
    if number == 13 or (number == 14 and (wire != VARINT or value != 0)):
        raise EngineError(
            f"{where}: the graph keeps weights in another file, which a bundle must not; "
            "export it with everything inside (external_data=False)"
        )


def _text(value: int | memoryview) -> str:
    if not isinstance(value, memoryview) or len(value) > 4096:
        raise WireError("a name is no text")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise WireError("a name is no text") from error
