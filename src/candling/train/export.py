"""A network becomes a graph, and the graph is proven equal to it number by number; knows no method.

The graph is one ONNX file in memory, with a free N, without external data, and without a word about the machine it was
made on. The proof runs it on real images in every engine that is installed, in batches of 1, 3 and 8, and holds each
output against the network's own.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from candling.errors import MissingExtraError, TrainingError
from candling.runtime.contract import BOXES, CELLS, DENSITY, NEAREST
from candling.runtime.engine import EngineName, Outputs, contradiction, open_engine, statement, witness_picture
from candling.train.same_boxes import same_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import onnx
    from numpy.typing import NDArray

    from candling.train.facts import Fact

__all__ = ["BATCHES", "MAP_TOLERANCE", "OPSET", "SCORE_TOLERANCE", "Exported", "Parity", "export"]

OPSET: Final = 18
"""The oldest operator set that holds all we need: every engine of the last years reads it."""

BATCHES: Final = (1, 3, 8)
"""Images in one request of the proof."""

SCORE_TOLERANCE: Final = 1e-4
"""A score may differ by this share of its largest value over the images."""

MAP_TOLERANCE: Final = 1e-3
"""A pixel of a map or a reconstruction may differ by this share of the largest one."""

MOVED: Final = 2.0
"""Where rounding moves the network itself further than a tolerance, the graph may differ so many times as far."""

MOST_MOVED: Final = 100.0
"""Tolerances up to which that is so: a network that moves further is none for the line."""

ROUNDED: Final = 8
"""So many times images and weights are rounded otherwise to find out how far that moves the network."""

ROUNDING: Final = 2.0**-23
"""What float32 may round at 1.0, where the pixels are: no smaller difference counts, however small the score."""


@dataclass(frozen=True)
class Parity:
    """How equal graph and network are.

    Attributes:
        images: how many real images were compared.
        batches: images in one request.
        opset: of the graph.
        differences: the largest absolute difference by (engine, output).
        scales: the largest absolute value of the network by output.
    """

    images: int
    batches: tuple[int, ...]
    opset: int
    differences: Mapping[tuple[str, str], float]
    scales: Mapping[str, float]

    def facts(self) -> dict[str, Fact]:
        """Give the lines of a card."""
        lines: dict[str, Fact] = {
            "images": self.images,
            "batches": ", ".join(map(str, self.batches)),
            "opset": self.opset,
            "score_tolerance": SCORE_TOLERANCE,
            "map_tolerance": MAP_TOLERANCE,
        }
        lines |= {f"{engine} {output}": value for (engine, output), value in self.differences.items()}
        return lines | {f"largest {output}": value for output, value in self.scales.items()}


@dataclass(frozen=True)
class Exported:
    """A graph and the proof that it is the network.

    Attributes:
        graph: one ONNX file.
        parity: the proof's figures.
        witness: what the network says of the witness picture, for every engine that will be opened; without values
            that are infinite there, or that not every engine of the proof repeats.
    """

    graph: bytes
    parity: Parity
    witness: Mapping[str, float]


def export(
    network: nn.Module,
    images: Tensor,
    *,
    opset: int = OPSET,
    batches: tuple[int, ...] = BATCHES,
    remembered: int | None = None,
) -> Exported:
    """Export a network that keeps the graph contract, and prove the graph equal to it.

    Args:
        network: ``forward(image)`` gives a dict of named outputs; float32, on the CPU, in evaluation mode.
        images: float32 (N, C, H, W) in [0, 1], N at least 1: real prepared images. Fewer than the largest batch are
            repeated.
        opset: the ONNX operator set.
        batches: images in one request of the proof.
        remembered: how many pictures the output ``nearest`` may name; None is any number.

    Raises:
        TrainingError: the network cannot be exported, gives NaN, names a picture that is not remembered, or the
            graph's numbers are not the network's.
        EngineError: an engine refuses the graph, or the graph breaks the contract.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    network = network.eval()
    few = -(-max(batches) // len(images))
    images = images.repeat(few, 1, 1, 1)[: max(len(images), *batches)].contiguous()
    expected = _run_network(network, images)
    graph = _to_onnx(network, images, names=list(expected), opset=opset)
    scales = {name: float(np.abs(values).max()) for name, values in expected.items() if name != NEAREST}
    differences: dict[tuple[str, str], float] = {}
    channels, height, width = images.shape[1:]
    unsteady = _Unsteady(network, images, expected)
    picture = witness_picture((channels, height, width))[None]
    witness = _witness(network, picture)
    seen = np.concatenate([images.numpy(), picture])
    for engine in _engines():
        for chunk in batches:
            given = _run_graph(graph, seen, engine=engine, chunk=chunk)
            real = {name: values[:-1] for name, values in given.items()}
            where = f"{engine}, batch {chunk}"
            for name, difference in _compare(expected, real, unsteady, where=where):
                differences[engine, name] = max(difference, differences.get((engine, name), 0.0))
            _check_nearest(expected, real, remembered, where=where)
            witness = _repeated(witness, {name: values[-1:] for name, values in given.items()})
    return Exported(graph, Parity(len(images), batches, opset, differences, scales), witness)


def _run_network(network: nn.Module, images: Tensor) -> dict[str, NDArray]:
    with torch.inference_mode():
        outputs = [network(image) for image in images.split(1)]
    joined = {name: torch.cat([output[name] for output in outputs]).numpy() for name in outputs[0]}
    for name, values in joined.items():
        if not np.isfinite(values).all():
            raise TrainingError(
                f"the network gives values of {name!r} that are infinite or not a number on good images; "
                "lower [training] learning_rate and train again"
            )
    return joined


@dataclass(frozen=True)
class _Unsteady:
    """How far rounding moves a network: images and weights are rounded otherwise, as an engine that folds layers does.

    Of two remembered cells as near either may win, and what a network makes of it differs. And what is measured in tiny
    spreads moves with the last bit of what it is measured from.
    """

    network: nn.Module
    images: Tensor
    expected: Mapping[str, NDArray]

    @cached_property
    def moved(self) -> Mapping[str, NDArray[np.float64]]:
        """Give the largest change of each output by image, float64 (N,); found when first asked."""
        names = [name for name in self.expected if name not in (*BOXES, NEAREST)]
        moved = {name: np.zeros(len(self.images)) for name in names}
        generator = torch.Generator().manual_seed(0)
        network, exact = copy.deepcopy(self.network), self.network.state_dict()
        for _ in range(ROUNDED):
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    value.copy_(exact[name] * (1.0 + _noise(value, generator)))
            given = _run_network(network, (self.images + 2.0 * _noise(self.images, generator)).clamp_(0.0, 1.0))
            for name in names:
                moved[name] = np.maximum(moved[name], _apart(self.expected[name], given[name]))
        return moved


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator).mul_(2.0).sub_(1.0).mul_(ROUNDING)


def _apart(values: NDArray, others: NDArray) -> NDArray[np.float64]:
    """Give the largest difference of each image: float64 (N,)."""
    largest: NDArray[np.float64] = np.abs(values.astype(np.float64) - others).reshape(len(values), -1).max(axis=1)
    return largest


def _witness(network: nn.Module, picture: NDArray) -> dict[str, float]:
    with torch.inference_mode():
        outputs = network(torch.from_numpy(picture))
    return statement({name: values.numpy() for name, values in outputs.items()})


def _repeated(witness: Mapping[str, float], answers: Mapping[str, NDArray]) -> dict[str, float]:
    """Keep what this engine says too: it is proven on real images, so what it cannot repeat is no use as a witness."""
    said = statement(answers)
    return {name: value for name, value in witness.items() if contradiction(said, {name: value}, "float32") is None}


def _run_graph(graph: bytes, images: NDArray, *, engine: EngineName, chunk: int) -> dict[str, NDArray]:
    """Run one engine and let go of it before the next is opened.

    OpenVINO puts the signal stack back that it found when it compiled: where two compiled graphs overlap in time, that
    may be the other's, freed by then, and the next Ctrl-C ends the process.
    """
    with open_engine(graph, engine=engine, requests=1, chunk=chunk) as opened:
        return _by_name(opened.run(images, maps=True, reconstructions=True, nearest=True))


def _compare(
    expected: Mapping[str, NDArray], given: Mapping[str, NDArray], unsteady: _Unsteady, *, where: str
) -> Iterator[tuple[str, float]]:
    """Give the largest difference of each output.

    Raises:
        TrainingError: an output is missing or differs by more than its tolerance.
    """
    if BOXES[0] in expected:
        yield from same_boxes(expected, given, where=where)
    for name, values in expected.items():
        if name not in given:
            raise TrainingError(f"the exported graph has no output {name!r} ({where}); the method breaks the contract")
        if name in BOXES:  # whose order rounding may change
            continue
        if name == NEAREST:  # of two cells as near either may win: there is nothing to measure
            continue
        apart = _apart(values, given[name])
        difference = float(apart.max())
        share = SCORE_TOLERANCE if values.ndim == 1 else MAP_TOLERANCE
        allowed = max(share * float(np.abs(values).max()), ROUNDING)
        if (
            not (apart <= allowed).all()
            and not (apart <= np.clip(MOVED * unsteady.moved[name], allowed, MOST_MOVED * allowed)).all()
        ):
            raise TrainingError(
                f"the exported graph is not the network: {name!r} differs by {difference:.3g} ({where}), "
                f"allowed is {allowed:.3g}; report this with the recipe"
            )
        yield name, difference


def _check_nearest(
    expected: Mapping[str, NDArray], given: Mapping[str, NDArray], remembered: int | None, *, where: str
) -> None:
    """Hold the nearest remembered cells against what is remembered; which of them is nearest is not compared."""
    if NEAREST not in expected:
        return
    wanted, cells = expected[NEAREST], given[NEAREST]
    if (cells.dtype, cells.shape) != (wanted.dtype, wanted.shape):
        raise TrainingError(
            f"the exported graph is not the network: {NEAREST!r} is {cells.dtype} {cells.shape} ({where}), "
            f"the network gives {wanted.dtype} {wanted.shape}; report this with the recipe"
        )
    pictures = cells // (cells.shape[1] * cells.shape[2])
    if cells.min() < -1 or (remembered is not None and pictures.max() >= remembered):
        raise TrainingError(
            f"{NEAREST!r} names pictures {pictures.min()} to {pictures.max()} ({where}) where {remembered} are "
            "remembered; the method breaks the contract"
        )


def _by_name(outputs: Outputs) -> dict[str, NDArray]:
    others = ("anomaly_map", "reconstruction", NEAREST, CELLS, DENSITY, "boxes", "labels", "confidences")
    arrays = {name: getattr(outputs, name) for name in others}
    return {**outputs.scores, **{name: array for name, array in arrays.items() if array is not None}}


def _engines() -> list[EngineName]:
    return ["onnxruntime", "openvino"] if importlib.util.find_spec("openvino") else ["onnxruntime"]


class _InOrder(nn.Module):
    """Give the outputs as a tuple in a fixed order, which is what an exporter can name."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return tuple(outputs[name] for name in self.names)


def _to_onnx(network: nn.Module, images: Tensor, *, names: list[str], opset: int) -> bytes:
    try:
        import onnxscript  # noqa: F401 - the exporter needs it and says so late
    except ImportError as error:
        raise MissingExtraError("exporting needs onnx and onnxscript; run: pip install 'candling[train]'") from error
    try:
        with _quiet():
            program = torch.onnx.export(
                _InOrder(network, names).eval(),
                (images[:2],),  # two: one image would be taken for a fixed N
                input_names=["image"],
                output_names=names,
                opset_version=opset,
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # what dynamo=True promises
            model = program.model_proto
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TrainingError(f"the network cannot be exported to ONNX: {first}") from error
    if "boxes" not in names and model.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value"):
        # the exporter falls back on the N of its example, and each image alone would then cost as much as two
        raise TrainingError(
            "the graph is fixed to batches of 2 images; somewhere its forward() turns N into a plain number, "
            "as len(tensor) does: take tensor.shape[0]"
        )
    _anonymise(model)
    return model.SerializeToString(deterministic=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush an exporter that warns, logs and prints about its own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _anonymise(model: onnx.ModelProto) -> None:
    """Remove everything that speaks of the machine or the code: stack traces, file names, module paths."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in _graphs(model):
        graph.doc_string = ""
        for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
            item.doc_string = ""
            del item.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Give the graph and every graph inside its nodes."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += list(_inner(graph.node))


def _inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
