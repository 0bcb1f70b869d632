"""Opens a graph, holds it to the contract and runs images through it; knows none of the engines' own calls."""

from __future__ import annotations

import importlib.util
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from candling.errors import EngineError
from candling.runtime.contract import BOXES, CELLS, DENSITY, MAP, NEAREST, RECONSTRUCTION, check_contract
from candling.runtime.engine.on_onnxruntime import OnnxRuntime
from candling.runtime.engine.on_openvino import OpenVino
from candling.runtime.engine.order import EngineName, Order, Precision, first_line
from candling.runtime.engine.witness import contradiction, statement, witness_picture
from candling.runtime.onnx_guard import check_graph_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["Engine", "Outputs", "available_threads", "open_engine"]

_MOST_REQUESTS: Final = 4  # each holds its own intermediate maps
_COMPILATIONS: Final = 3  # before an engine that contradicts the witness is given up


@dataclass(frozen=True)
class Outputs:
    """What the graph says of N images.

    Attributes:
        scores: float32 (N,) by name, larger is worse; NaN is possible and lies in no limit.
        anomaly_map: float32 (N, H, W), larger is worse; None when the graph has none or it was not asked for.
        reconstruction: float32 (N, C, H, W) in [0, 1]; None likewise.
        nearest: int64 (N, h, w), the remembered good cell each cell resembles most, -1 where unknown; None likewise.
        cells: float32 (N, 3, H, W), background, inside and rim of cells, as in ``pixels.instances``; None likewise.
        density: float32 (N, H, W), cells a pixel: the sum over an image is its count; None likewise.
        boxes: float32 (N, K, 4); None when the graph has none.
        labels: int64 (N, K); None when the graph has none.
        confidences: float32 (N, K), 0 is padding; None when the graph has none.
    """

    scores: Mapping[str, FloatArray]
    anomaly_map: FloatArray | None = None
    reconstruction: FloatArray | None = None
    nearest: NDArray[np.int64] | None = None
    cells: FloatArray | None = None
    density: FloatArray | None = None
    boxes: FloatArray | None = None
    labels: NDArray[np.int64] | None = None
    confidences: FloatArray | None = None


def available_threads() -> int:
    """Count the cores this process may use: those it may run on, within the time a container grants it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(_granted(Path("/sys/fs/cgroup/cpu.max")))))


def _granted(limit: Path) -> float:
    """Read a container's share of processor time in cores (cgroup v2: quota and period in microseconds, or "max")."""
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return float(os.cpu_count() or 1)


def open_engine(
    graph: Path | bytes,
    *,
    engine: EngineName = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
    requests: int | None = None,
    chunk: int = 1,
    witness: Mapping[str, float] | None = None,
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
        witness: what the graph must say of the witness picture (``witness.statement``); each request is held against
            it, and the graph compiled again where one contradicts. None proves nothing.

    Raises:
        EngineError: the file cannot be read or is refused (``onnx_guard``), breaks the contract, the engine does not
            take it, the precision is not to be had here, or the engine contradicts the witness.
        MissingExtraError: OpenVINO was named and is not installed.
    """
    where = "graph" if isinstance(graph, bytes) else str(graph)
    data = graph if isinstance(graph, bytes) else _read(graph)
    check_graph_bytes(data, where=where)
    cores = available_threads() if threads is None else threads
    beside = min(cores, _MOST_REQUESTS) if requests is None else requests
    if cores < 1 or beside < 1 or chunk < 1:
        raise EngineError(f"threads, requests and chunk must be at least 1; they are {cores}, {beside} and {chunk}")
    if precision not in ("float32", "bfloat16"):
        raise EngineError(f"no precision {precision!r}; there are float32 and bfloat16")
    order = Order(data, precision, cores, min(beside, cores), chunk, where)
    if engine == "auto":
        engine = "openvino" if importlib.util.find_spec("openvino") else "onnxruntime"
    if engine == "openvino":
        return Engine("openvino", OpenVino(order), order, witness=witness)
    if engine == "onnxruntime":
        return Engine("onnxruntime", OnnxRuntime(order), order, witness=witness)
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
        has_nearest: whether it names the remembered good cells nearest to the image's.
        has_cells: whether it tells the insides and rims of cells from background.
        has_density: whether it says how many cells there are in each pixel.
        has_boxes: whether it gives boxes.
    """

    def __init__(
        self,
        name: str,
        backend: OnnxRuntime | OpenVino,
        order: Order,
        *,
        witness: Mapping[str, float] | None = None,
    ) -> None:
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
        self.has_nearest: Final = NEAREST in contract.outputs
        self.has_cells: Final = CELLS in contract.outputs
        self.has_density: Final = DENSITY in contract.outputs
        self.has_boxes: Final = BOXES[0] in contract.outputs
        self._where = order.where
        self._outputs = contract.outputs
        self._chunk = contract.batch or order.chunk
        self._backend = backend
        self._pool = ThreadPoolExecutor(order.requests, "candling-engine") if order.requests > 1 else None
        try:
            self._compile(witness)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads that run requests side by side."""
        if self._pool is not None:
            self._pool.shutdown()

    def run(
        self, images: FloatArray, *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> Outputs:
        """Run the graph on N images.

        Args:
            images: float32 (N, C, H, W) in [0, 1]; N may be 0. Each image's numbers are the same in any batch.
            maps: give the anomaly map, where the graph has one; without it, it is not copied out.
            reconstructions: give the reconstruction, likewise.
            nearest: give the nearest remembered cells, likewise.

        Raises:
            EngineError: the images have another shape or type than the graph takes, or the engine failed.
        """
        self._check(images)
        asked = {MAP: maps, RECONSTRUCTION: reconstructions, NEAREST: nearest}
        skipped = {name for name, wished in asked.items() if not wished}
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

    def _compile(self, witness: Mapping[str, float] | None) -> None:
        """Compile until no request contradicts the witness: what computes garbage once does so until compiled anew."""
        told = None
        for _ in range(_COMPILATIONS):
            self._backend.compile(self._chunk)
            told = self._contradiction(witness) if witness else None
            if told is None:
                return
        other = "onnxruntime" if self.name == "openvino" else "openvino"
        raise EngineError(
            f"{self._where}: {self.name} computes garbage, also when it compiles the graph {_COMPILATIONS} times: "
            f"{told}; use engine {other!r}"
        )

    def _contradiction(self, witness: Mapping[str, float]) -> str | None:
        """Run every request once on the witness picture; say where one contradicts."""
        wanted = [name for name in self._outputs if name in {*self.score_names, MAP, "confidences"}]
        images = np.repeat(witness_picture(self.input_shape)[None], self._chunk, axis=0)
        every = [images] * self.requests  # they stand in line, so each runs one
        run = map if self._pool is None else self._pool.map
        for answers in list(run(self._request, every, [wanted] * self.requests)):
            for at in range(self._chunk):
                said = statement({name: part[at : at + 1] for name, part in zip(wanted, answers, strict=True)})
                told = contradiction(said, witness, self.precision)
                if told is not None:
                    return told
        return None

    def _check(self, images: FloatArray) -> None:
        expected = f"float32 (N, {', '.join(map(str, self.input_shape))})"
        if not isinstance(images, np.ndarray):
            raise EngineError(f"{self._where}: takes {expected}, was given {type(images).__name__}")
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != self.input_shape:
            raise EngineError(f"{self._where}: takes {expected}, was given {images.dtype} {images.shape}")

    def _fill(self, chunk: FloatArray) -> FloatArray:
        """Repeat the last image until the request is full; ``run`` cuts the surplus off."""
        missing = self._chunk - len(chunk)
        return np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)]) if missing else chunk

    def _request(self, chunk: FloatArray, wanted: Sequence[str]) -> list[NDArray[Any]]:
        try:
            answers = self._backend.run(chunk, wanted)
        except Exception as error:
            raise EngineError(f"{self._where}: {self.name} failed: {first_line(error)}") from error
        for name, answer in zip(wanted, answers, strict=True):
            if len(answer.shape) == 0 or len(answer) != len(chunk):
                raise EngineError(
                    f"{self._where}: output {name!r} has shape {answer.shape} for {len(chunk)} images, so N is lost; "
                    "export the graph with a free N"
                )
        return answers

    def _name(self, columns: Mapping[str, NDArray[Any]]) -> Outputs:
        parts = {name: columns.get(name) for name in (MAP, RECONSTRUCTION, NEAREST, CELLS, DENSITY, *BOXES)}
        return Outputs({name: columns[name] for name in self.score_names}, **parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror or error}") from error
