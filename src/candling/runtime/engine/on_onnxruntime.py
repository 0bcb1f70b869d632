"""A graph in ONNX Runtime: the leaner engine, float32 only; the only file that names it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from candling.errors import EngineError
from candling.runtime.contract import IMAGE, Port
from candling.runtime.engine.order import Order, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    """ONNX Runtime on the CPU, in float32."""

    def __init__(self, order: Order) -> None:
        if order.precision != "float32":
            raise EngineError(
                f"onnxruntime computes in float32 only, not in {order.precision}; use engine 'openvino', "
                "or precision 'float32' with limits calibrated for it"
            )
        runtime = _import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = order.threads_each
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised, not printed
        options.add_session_config_entry("session.load_model_format", "ONNX")  # what the guard read
        try:
            self._session = runtime.InferenceSession(order.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"{order.where}: onnxruntime refused the graph: {first_line(error)}") from error
        self.version: str = runtime.__version__
        self.inputs = [_port_of_onnxruntime(end) for end in self._session.get_inputs()]
        self.outputs = [_port_of_onnxruntime(end) for end in self._session.get_outputs()]

    def compile(self, chunk: int) -> None:
        """Do nothing: a free N costs ONNX Runtime no time (measured)."""

    def run(self, images: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        """Run one request; the arrays are the caller's."""
        answers: list[NDArray[Any]] = self._session.run(list(wanted), {IMAGE: images})
        return answers


def _import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry: since 1.29 it reports to a server and keeps a device number at home.

    The variables are read once, when the library is loaded: 1.29 and later know the first, some builds the second.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime  # type: ignore[no-any-return]


def _port_of_onnxruntime(end: Any) -> Port:
    name = end.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    return Port(end.name, dtype, tuple(size if isinstance(size, int) else None for size in end.shape))
