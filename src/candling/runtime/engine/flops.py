"""How much arithmetic one image costs in a graph: counted from the shapes that flow through it; times nothing.

Counted are the operators that do nearly all of it, convolutions and products of matrices, a multiplication and an
addition as two operations. The shapes are those ONNX Runtime meets when it runs the graph as it is, on one image.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from candling.errors import EngineError
from candling.runtime.contract import IMAGE
from candling.runtime.engine.order import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["count_flops", "flops_of"]

Shape = tuple[int, ...]


def count_flops(graph: bytes, shape: tuple[int, int, int]) -> int:
    """Count the operations of one image.

    Args:
        graph: an ONNX model that keeps the contract.
        shape: (C, H, W) of its input.

    Raises:
        EngineError: the graph does not run.
    """
    return sum(flops_of(*node) for node in _nodes(graph, shape))


def flops_of(operator: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Count the operations of one node; 0 for operators that are not counted.

    Args:
        operator: its name in ONNX.
        inputs: shapes of its inputs.
        outputs: shapes of its outputs.

    >>> flops_of("Conv", [(1, 8, 32, 32), (16, 8, 3, 3)], [(1, 16, 32, 32)])
    2359296
    >>> flops_of("MatMul", [(1, 10, 64), (64, 5)], [(1, 10, 5)])
    6400
    """
    if operator == "Conv":  # every output value is a sum over the kernel of one group
        return 2 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if operator == "ConvTranspose":  # every input value is spread over it
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if operator == "MatMul":
        return 2 * math.prod(outputs[0]) * inputs[0][-1]
    if operator == "Gemm":  # the first factor, turned or not, has as many rows as the result
        return 2 * math.prod(inputs[0]) * outputs[0][1]
    return 0


def _nodes(graph: bytes, shape: tuple[int, int, int]) -> Iterator[tuple[str, list[Shape], list[Shape]]]:
    """Run one image and give (operator, input shapes, output shapes) of every node that ran."""
    with tempfile.TemporaryDirectory(prefix="candling-flops-") as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "nodes")
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights have no shape
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            session.run(None, {IMAGE: np.zeros((1, *shape), np.float32)})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        except Exception as error:
            raise EngineError(f"graph: cannot be run to count its operations: {first_line(error)}") from error
    for event in events:
        facts = event.get("args", {})
        if event.get("cat") == "Node" and "output_type_shape" in facts:
            yield facts["op_name"], _shapes(facts["input_type_shape"]), _shapes(facts["output_type_shape"])


def _shapes(described: Sequence[dict[str, list[int]]]) -> list[Shape]:
    return [tuple(sizes) for one in described for sizes in one.values()]
