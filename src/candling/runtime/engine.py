"""Runs a graph: OpenVINO and ONNX Runtime behind one call, and the only file that names them; knows no method.

The graph contract, checked when a graph is opened:

    input   image           float32 (N, C, H, W) in [0, 1]; N free, or fixed where boxes are given
    output  anomaly_map     float32 (N, H, W)                          optional, larger is worse
    output  reconstruction  float32 (N, C, H, W)                       optional, for people
    output  boxes, labels, confidences   float32 (N, K, 4), int64 (N, K), float32 (N, K)
                                                                       optional, padded with confidence 0
    output  any other name  float32 (N,): a score, larger is worse

C, H and W are fixed. There is at least one score, or boxes. Everything lies inside the file (``onnx_guard``).

How images are fed. Large batches are slower on CPUs than small ones: one image's intermediate maps fit the cache,
sixteen do not (RUNTIME.md 0.2: 60 patches in one request cost 25 to 40 % more each, and gigabytes). So every image is
a request of its own, ``requests`` of them run side by side on ``threads // requests`` cores each, and the graph is
compiled for exactly one image where its N is free (a fixed shape took a fifth off OpenVINO's time). Because an image
never shares a request with another, its numbers do not depend on the batch it came in. ``requests=1`` gives all cores
to one image: the shortest wait for a single large one.

Precision is always said, never an engine's default: OpenVINO takes bfloat16 by itself on processors that have it
(RUNTIME.md, section 2, finding 3), and moved scores are worth nothing beside limits chosen without it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from candling.errors import EngineError, MissingExtraError
from candling.runtime.contract import BOXES, IMAGE, MAP, RECONSTRUCTION, Port, check_contract
from candling.runtime.onnx_guard import check_graph_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["Engine", "EngineName", "Outputs", "Precision", "available_threads", "open_engine"]

EngineName = Literal["auto", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]

_OPENVINO_TYPES: Final = {
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
_MOST_REQUESTS: Final = 4  # each holds its own intermediate maps


@dataclass(frozen=True)
class Outputs:
    """What the graph says of N images.

    Attributes:
        scores: float32 (N,) by name, larger is worse; NaN is possible and lies in no limit.
        anomaly_map: float32 (N, H, W), larger is worse; None when the graph has none or it was not asked for.
        reconstruction: float32 (N, C, H, W) in [0, 1]; None likewise.
        boxes: float32 (N, K, 4); None when the graph has none.
        labels: int64 (N, K); None when the graph has none.
        confidences: float32 (N, K), 0 is padding; None when the graph has none.
    """

    scores: Mapping[str, FloatArray]
    anomaly_map: FloatArray | None = None
    reconstruction: FloatArray | None = None
    boxes: FloatArray | None = None
    labels: NDArray[np.int64] | None = None
    confidences: FloatArray | None = None


def available_threads() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_engine(
    graph: Path | bytes,
    *,
    engine: EngineName = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
    requests: int | None = None,
    chunk: int = 1,
) -> Engine:
    """Open a graph for running, after its bytes and its ends were checked.

    Args:
        graph: an ONNX file, or its bytes.
        engine: ``"onnxruntime"``, ``"openvino"``, or ``"auto"``: OpenVINO when it is installed (1.1 to 2 times faster),
            else ONNX Runtime.
        precision: in which the graph computes; ``"bfloat16"`` needs OpenVINO and a processor that has it.
        threads: cores to use; None is all this process may use.
        requests: images run side by side; None is one a core, at most 4. 1 gives one image all cores.
        chunk: images in one request; a graph with a fixed N takes its own. More than 1 is for proving that a graph with
            a free N keeps it, and for processors that like large batches.

    Raises:
        EngineError: the file cannot be read or is refused (``onnx_guard``), breaks the contract, the engine does not
            take it, or the precision is not to be had here.
        MissingExtraError: OpenVINO was named and is not installed.
    """
    where = "graph" if isinstance(graph, bytes) else str(graph)
    data = graph if isinstance(graph, bytes) else _read(graph)
    check_graph_bytes(data, where=where)
    cores = available_threads() if threads is None else threads
    beside = min(cores, _MOST_REQUESTS) if requests is None else requests
    if cores < 1 or beside < 1 or chunk < 1:
        raise EngineError(f"threads, requests and chunk must be at least 1; they are {cores}, {beside} and {chunk}")
    order = _Order(data, precision, cores, min(beside, cores), chunk, where)
    if precision not in ("float32", "bfloat16"):
        raise EngineError(f"no precision {precision!r}; there are float32 and bfloat16")
    if engine == "auto":
        engine = "openvino" if importlib.util.find_spec("openvino") else "onnxruntime"
    if engine == "openvino":
        return Engine("openvino", _OpenVino(order), order)
    if engine == "onnxruntime":
        return Engine("onnxruntime", _OnnxRuntime(order), order)
    raise EngineError(f"no engine {engine!r}; there are auto, onnxruntime and openvino")


class Engine:
    """A graph ready to run; safe to call from several threads; closing it frees its own threads.

    Attributes:
        name: ``"onnxruntime"`` or ``"openvino"``.
        version: the engine's own version.
        precision: ``"float32"`` or ``"bfloat16"``: what was asked for, and what it computes in.
        threads: cores it uses.
        requests: images it runs side by side.
        input_shape: (C, H, W) of one image.
        score_names: the graph's scores, in its order.
        has_map: whether the graph gives an anomaly map.
        has_reconstruction: whether it gives a reconstruction.
    """

    def __init__(self, name: str, backend: _OnnxRuntime | _OpenVino, order: _Order) -> None:
        contract = check_contract(backend.inputs, backend.outputs, where=order.where)
        self.name: Final = name
        self.version: Final = backend.version
        self.precision: Final = order.precision
        self.threads: Final = order.threads
        self.requests: Final = order.requests
        self.input_shape: Final = contract.shape
        self.score_names: Final = contract.scores
        self.has_map: Final = MAP in contract.outputs
        self.has_reconstruction: Final = RECONSTRUCTION in contract.outputs
        self._where = order.where
        self._outputs = contract.outputs
        self._chunk = contract.batch or order.chunk
        self._pads = contract.batch is not None
        self._backend = backend
        backend.compile(self._chunk)
        self._pool = ThreadPoolExecutor(order.requests, "candling-engine") if order.requests > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads that run requests side by side."""
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, images: FloatArray, *, maps: bool = True, reconstructions: bool = False) -> Outputs:
        """Run the graph on N images.

        Args:
            images: float32 (N, C, H, W) in [0, 1]; N may be 0. Each image's numbers are the same in any batch.
            maps: give the anomaly map, where the graph has one; without it, it is not copied out.
            reconstructions: give the reconstruction, likewise.

        Raises:
            EngineError: the images have another shape or type than the graph takes, or the engine failed.
        """
        self._check(images)
        skipped = {name for name, asked in ((MAP, maps), (RECONSTRUCTION, reconstructions)) if not asked}
        wanted = tuple(name for name in self._outputs if name not in skipped)
        keep = len(images)
        # without an image one empty one is run and none of it given: so the shapes are right
        images = np.ascontiguousarray(images) if keep else np.zeros((1, *self.input_shape), np.float32)
        chunks = [self._fill(images[at : at + self._chunk]) for at in range(0, len(images), self._chunk)]
        if len(chunks) == 1 or self._pool is None:
            answers = [self._request(chunk, wanted) for chunk in chunks]
        else:
            answers = list(self._pool.map(self._request, chunks, [wanted] * len(chunks)))
        columns = (np.concatenate(parts)[:keep] for parts in zip(*answers, strict=True))
        return self._name(dict(zip(wanted, columns, strict=True)))

    def _check(self, images: FloatArray) -> None:
        expected = f"float32 (N, {', '.join(map(str, self.input_shape))})"
        if not isinstance(images, np.ndarray):
            raise EngineError(f"{self._where}: takes {expected}, was given {type(images).__name__}")
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != self.input_shape:
            raise EngineError(f"{self._where}: takes {expected}, was given {images.dtype} {images.shape}")

    def _fill(self, chunk: FloatArray) -> FloatArray:
        """Repeat the last image until a fixed N is full; ``run`` cuts the surplus off."""
        missing = self._chunk - len(chunk) if self._pads else 0
        return np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)]) if missing else chunk

    def _request(self, chunk: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        try:
            answers = self._backend.run(chunk, wanted)
        except Exception as error:
            raise EngineError(f"{self._where}: {self.name} failed: {_first_line(error)}") from error
        for name, answer in zip(wanted, answers, strict=True):
            if len(answer.shape) == 0 or len(answer) != len(chunk):
                raise EngineError(
                    f"{self._where}: output {name!r} has shape {answer.shape} for {len(chunk)} images, so N is lost; "
                    "export the graph with a free N"
                )
        return answers

    def _name(self, columns: Mapping[str, NDArray[Any]]) -> Outputs:
        parts = {name: columns.get(name) for name in (MAP, RECONSTRUCTION, *BOXES)}
        return Outputs({name: columns[name] for name in self.score_names}, **parts)


@dataclass(frozen=True)
class _Order:
    """What an engine is asked to run, and how."""

    graph: bytes
    precision: Precision
    threads: int
    requests: int
    chunk: int
    where: str

    @property
    def threads_each(self) -> int:
        """Cores for one request."""
        return max(1, self.threads // self.requests)


class _OnnxRuntime:
    """ONNX Runtime on the CPU, in float32."""

    def __init__(self, order: _Order) -> None:
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
            raise EngineError(f"{order.where}: onnxruntime refused the graph: {_first_line(error)}") from error
        self.version: str = runtime.__version__
        self.inputs = [_port_of_onnxruntime(end) for end in self._session.get_inputs()]
        self.outputs = [_port_of_onnxruntime(end) for end in self._session.get_outputs()]

    def compile(self, chunk: int) -> None:
        """Do nothing: a free N costs ONNX Runtime no time (measured)."""

    def run(self, images: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        answers: list[NDArray[Any]] = self._session.run(list(wanted), {IMAGE: images})
        return answers


class _OpenVino:
    """OpenVINO on the CPU; one stream a request."""

    def __init__(self, order: _Order) -> None:
        runtime = _import_openvino()
        self.version: str = str(runtime.__version__)
        self._order = order
        self._core = runtime.Core()
        if order.precision == "bfloat16":
            self._check_bfloat16()
        try:
            self._model = self._core.read_model(order.graph)
        except Exception as error:
            raise EngineError(f"{order.where}: openvino refused the graph: {_first_line(error)}") from error
        self.inputs = [_port_of_openvino(end) for end in self._model.inputs]
        self.outputs = [_port_of_openvino(end) for end in self._model.outputs]
        self._places = {port.name: place for place, port in enumerate(self.outputs)}
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def compile(self, chunk: int) -> None:
        """Compile for requests of ``chunk`` images; for one image with a fixed shape, which is a fifth faster."""
        order = self._order
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if order.precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": order.threads_each * order.requests,
            "NUM_STREAMS": order.requests,
            "ENABLE_CPU_PINNING": False,  # two processes would pin themselves to the same core
        }
        try:
            if chunk == 1:
                self._model.reshape([1, *self.inputs[0].shape[1:]])
            compiled = self._core.compile_model(self._model, "CPU", settings)
            for _ in range(order.requests):
                self._idle.put(compiled.create_infer_request())
            used = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
        except Exception as error:
            raise EngineError(
                f"{order.where}: openvino cannot run the graph: {_first_line(error)}; try engine 'onnxruntime'"
            ) from error
        if order.precision not in used:
            raise EngineError(f"{order.where}: openvino computes in {used} although {order.precision} was asked for")

    def run(self, images: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        request = self._idle.get()
        try:
            request.infer({0: images}, share_inputs=True)
            return [np.array(request.get_output_tensor(self._places[name]).data) for name in wanted]
        finally:
            self._idle.put(request)

    def _check_bfloat16(self) -> None:
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError(
                "this processor has no bfloat16; use precision 'float32' and run `candling calibrate` for it"
            )


def _import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry: since 1.29 it reports to a server and keeps a device number at home.

    The variables are read once, when the library is loaded: 1.29 and later know the first, some builds the second.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime  # type: ignore[no-any-return]


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
            f"engine 'openvino' is not installed ({error}); run: pip install 'candling[openvino]'"
        ) from error
    finally:
        if blocked:
            del sys.modules[converter]
    return openvino  # type: ignore[no-any-return]


def _port_of_onnxruntime(end: Any) -> Port:
    name = end.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    return Port(end.name, dtype, tuple(size if isinstance(size, int) else None for size in end.shape))


def _port_of_openvino(end: Any) -> Port:
    name = end.element_type.get_type_name()
    dtype = _OPENVINO_TYPES.get(name, name)
    shape = tuple(None if size.is_dynamic else size.get_length() for size in end.partial_shape)
    return Port(min(end.names, default=""), dtype, shape)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror or error}") from error


def _first_line(error: Exception) -> str:
    """Give the first line of a foreign message that says something, at most 200 characters of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    spoken = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return ((spoken or lines or [type(error).__name__])[0])[:200].rstrip(".")
