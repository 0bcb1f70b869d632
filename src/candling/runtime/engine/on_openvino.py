"""A graph in OpenVINO: the faster engine, float32 or bfloat16, always said; the only file that names it."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from queue import SimpleQueue
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from candling.errors import EngineError, MissingExtraError
from candling.runtime.contract import Port
from candling.runtime.engine.order import Order, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["OpenVino"]

_OPENVINO_TYPES: Final = {
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


class OpenVino:
    """OpenVINO on the CPU; one compiled graph a request.

    Several streams inside one compiled graph are prepared at once and share what they prepare. Of the processes that
    did so one in six computed garbage from then on (decision 0009), so each request has a compilation of its own with
    one stream, and one is compiled after another.

    Its Python binding fills tables of its own at the first call of this and that, and two threads that do so at once
    wait for each other for ever (seen: one process in ten that began with two requests side by side). So engines are
    opened, and the first request of a process is run, one at a time.
    """

    _alone: Final = RLock()
    _ran = False

    def __init__(self, order: Order) -> None:
        self._order = order
        with self._alone:
            runtime = _import_openvino()
            self._core = runtime.Core()
            if order.precision == "bfloat16":
                self._check_bfloat16()
            try:
                self._model = self._core.read_model(order.graph)
            except Exception as error:
                raise EngineError(f"{order.where}: openvino refused the graph: {first_line(error)}") from error
            self.inputs = [_port_of_openvino(end) for end in self._model.inputs]
            self.outputs = [_port_of_openvino(end) for end in self._model.outputs]
        self.version: str = str(runtime.__version__)
        self._places = {port.name: place for place, port in enumerate(self.outputs)}
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def compile(self, chunk: int) -> None:
        """Compile for requests of exactly ``chunk`` images, which is a fifth faster; what was compiled before goes.

        Idle requests stand in line, so as many runs as there are requests meet each of them once.
        """
        order = self._order
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if order.precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": order.threads_each,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # two processes would pin themselves to the same core
        }
        try:
            with self._alone:
                with _same_signal_stack():
                    self._idle = SimpleQueue()
                self._model.reshape([chunk, *self.inputs[0].shape[1:]])
                compiled = [self._compiled(settings) for _ in range(order.requests)]
                for each in compiled:
                    self._idle.put(each.create_infer_request())
                used = {str(each.get_property("INFERENCE_PRECISION_HINT")) for each in compiled}
        except Exception as error:
            raise EngineError(
                f"{order.where}: openvino cannot run the graph: {first_line(error)}; try engine 'onnxruntime'"
            ) from error
        if not all(order.precision in one for one in used):
            given = ", ".join(sorted(used))
            raise EngineError(f"{order.where}: openvino computes in {given} although {order.precision} was asked for")

    def _compiled(self, settings: dict[str, Any]) -> Any:
        with _same_signal_stack():  # for each, or the second would find the first one's stack
            return self._core.compile_model(self._model, "CPU", settings)

    def run(self, images: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        """Run the request that has been idle longest; the arrays are the caller's."""
        request = self._idle.get()
        try:
            if not self._ran:
                with self._alone:
                    if not self._ran:  # not those that waited: they run side by side
                        answers = self._ask(request, images, wanted)
                        OpenVino._ran = True
                        return answers
            return self._ask(request, images, wanted)
        finally:
            self._idle.put(request)

    def _ask(self, request: Any, images: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        request.get_input_tensor(0).data[:] = images
        request.start_async()
        request.wait()  # unlike infer(), this copies no output that nobody wants
        return [np.array(request.get_output_tensor(self._places[name]).data) for name in wanted]

    def _check_bfloat16(self) -> None:
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError(
                "this processor has no bfloat16; use precision 'float32' and run `candling calibrate` for it"
            )


class _SignalStack(ctypes.Structure):
    _fields_: ClassVar = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Put this thread's alternate signal stack back as it was.

    Compiling a graph sets one of OpenVINO's own, and freeing the graph restores the one it found. Where the lives of
    two graphs overlap, that may be one that is freed already, and the next signal, a Ctrl-C among them, kills the
    process.
    """
    if sys.platform != "linux":
        yield
        return
    call, before = ctypes.CDLL(None).sigaltstack, _SignalStack()
    known = call(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            call(ctypes.byref(before), None)


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its converter, whose import alone reports to a server and writes into the home folder.

    An entry of None makes ``import openvino.tools.ovc`` fail, which OpenVINO's ``__init__`` expects and passes over;
    the entry is taken away again, so that whoever wants the converter may still import it. It saves 50 ms too.
    """
    converter = "openvino.tools.ovc"
    blocked = "openvino" not in sys.modules and converter not in sys.modules
    if blocked:
        sys.modules[converter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"engine 'openvino' is not here ({error}); run: pip install 'candling[openvino]', or use 'onnxruntime'"
        ) from error
    finally:
        if blocked:
            del sys.modules[converter]
    return openvino  # type: ignore[no-any-return]


def _port_of_openvino(end: Any) -> Port:
    name = end.element_type.get_type_name()
    dtype = _OPENVINO_TYPES.get(name, name)
    shape = tuple(None if size.is_dynamic else size.get_length() for size in end.partial_shape)
    return Port(min(end.names, default=""), dtype, shape)
