"""Frames to predictions: read, cut, prepare, predict; judges nothing, so it needs no limits.

Knows no method and no verdict. Whatever arrives can be asked in two ways: ``predict`` raises what goes wrong,
``attempt`` tells it.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from candling.errors import BundleError, CandlingError, ImageError
from candling.pixels.prepare import PixelSpec, prepare
from candling.pixels.read import read_image
from candling.pixels.tiling import cut
from candling.runtime.bundle import Bundle, load_bundle
from candling.runtime.engine import Engine, EngineName, Outputs, Precision, open_engine
from candling.types import Box, FloatArray, Frame, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from candling.recipe import Recipe

__all__ = ["Predicted", "Predictor"]

_AHEAD: Final = 2  # files under way for each worker: enough to keep it busy while the caller is slow, little memory


@dataclass(frozen=True)
class Predicted:
    """What the graph says of one product, or why it says nothing.

    Attributes:
        product: its name, for a file its path.
        predictions: one a region; empty when there is an error.
        error: why there are none; None when there are.
        milliseconds: time by step; waiting for a free request is in none of them.
    """

    product: str
    predictions: tuple[Prediction, ...]
    error: CandlingError | None
    milliseconds: Mapping[str, float]


@dataclass(frozen=True)
class _Ready:
    """One product on its way to the engine: its patches, prepared, or why there are none."""

    product: str
    places: tuple[tuple[str, Box], ...] = ()
    images: tuple[FloatArray, ...] = ()
    error: CandlingError | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)


class Predictor:
    """Frames to predictions: cut, prepare, run; it judges nothing, so it needs no limits.

    Attributes:
        recipe: resolved; says what is cut and how pixels are prepared.
        engine: the graph, opened.
    """

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        if engine.input_shape != recipe.prepare.shape:
            raise BundleError(
                f"the graph takes images of {engine.input_shape} and the recipe prepares {recipe.prepare.shape}; "
                "they are not of one training"
            )
        self.recipe: Final = recipe
        self.engine: Final = engine
        self._places = recipe.places
        self._running = BoundedSemaphore(engine.requests)
        self._spec = PixelSpec(*recipe.prepare.shape, white=recipe.prepare.white)

    @classmethod
    def load(
        cls,
        path: Path | str | Bundle,
        *,
        engine: EngineName = "auto",
        precision: Precision | None = None,
        threads: int | None = None,
        requests: int | None = None,
    ) -> Self:
        """Open a bundle for predicting; ``precision`` None is the one its limits were chosen in.

        Raises:
            BundleError: the bundle is damaged, foreign or incomplete.
            EngineError: the engine does not run its graph.
        """
        bundle = path if isinstance(path, Bundle) else load_bundle(path)
        opened = open_engine(
            bundle.read_graph(),
            engine=engine,
            precision=precision or bundle.limits.precision,
            threads=threads,
            requests=requests,
        )
        return cls(bundle.recipe, opened)

    def predict(
        self, frame: Frame | None, *, maps: bool = True, reconstructions: bool = False
    ) -> tuple[Prediction, ...]:
        """Say what the graph sees in one frame: one prediction a region.

        Args:
            frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, any size.
            maps: give anomaly maps.
            reconstructions: give reconstructions.

        Raises:
            ImageError: there is no frame, it is of another type or shape, or a region does not fit it.
            EngineError: the engine failed.
        """
        return _or_raise(self.attempt(frame, maps=maps, reconstructions=reconstructions))

    def predict_file(self, path: Path, *, maps: bool = True, reconstructions: bool = False) -> tuple[Prediction, ...]:
        """Say what the graph sees in one image file.

        Raises:
            ImageError: the file cannot be read safely, or a region does not fit it.
            EngineError: the engine failed.
        """
        return _or_raise(self.attempt_file(path, maps=maps, reconstructions=reconstructions))

    def attempt(
        self, frame: Frame | None, *, product: str = "", maps: bool = True, reconstructions: bool = False
    ) -> Predicted:
        """Predict one frame; what goes wrong is told, not raised."""
        return self._run(self._ready(frame, product), maps=maps, reconstructions=reconstructions)

    def attempt_file(self, path: Path, *, maps: bool = True, reconstructions: bool = False) -> Predicted:
        """Predict one image file; what goes wrong is told, not raised."""
        return self._run(self._read(path), maps=maps, reconstructions=reconstructions)

    def predict_files(
        self, paths: Iterable[Path], *, maps: bool = True, reconstructions: bool = False
    ) -> Iterator[Predicted]:
        """Predict files in order, several at once; what cannot be read is told, not raised.

        Each worker takes a file through reading, preparing and the engine, so no core waits for another's picture.
        ``paths`` may be endless: it is drawn from only as far as the workers are ahead.
        """
        waiting: deque[Future[Predicted]] = deque()
        remaining = iter(paths)
        count = max(2, self.engine.requests)  # with one request the other worker reads meanwhile
        workers = ThreadPoolExecutor(count, thread_name_prefix="candling-read")
        try:
            while True:
                for path in islice(remaining, _AHEAD * count - len(waiting)):
                    waiting.append(workers.submit(self.attempt_file, path, maps=maps, reconstructions=reconstructions))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            workers.shutdown(cancel_futures=True)

    def _read(self, path: Path) -> _Ready:
        began = time.perf_counter()
        try:
            frame = read_image(path)
        except (ImageError, MemoryError) as error:
            return _Ready(str(path), error=_told(error, str(path)), milliseconds={"read": _since(began)})
        took = _since(began)
        ready = self._ready(frame, str(path))
        return _Ready(ready.product, ready.places, ready.images, ready.error, {"read": took, **ready.milliseconds})

    def _ready(self, frame: Frame | None, product: str) -> _Ready:
        began = time.perf_counter()
        try:
            pieces = cut(_check_frame(frame), self._places)
            images = tuple(prepare(patch, self._spec) for _, _, patch in pieces)
        except (ImageError, MemoryError) as error:
            return _Ready(product, error=_told(error, "the frame"), milliseconds={"prepare": _since(began)})
        places = tuple((region.name, box) for region, box, _ in pieces)
        return _Ready(product, places, images, None, {"prepare": _since(began)})

    def _run(self, ready: _Ready, *, maps: bool, reconstructions: bool) -> Predicted:
        """Run the patches of one product."""
        if not ready.images:
            return Predicted(ready.product, (), ready.error, ready.milliseconds)
        batch = ready.images[0][None] if len(ready.images) == 1 else np.stack(ready.images)
        with self._running:
            began = time.perf_counter()
            try:
                outputs = self.engine.run(batch, maps=maps, reconstructions=reconstructions)
            except CandlingError as error:
                return Predicted(ready.product, (), error, ready.milliseconds)
            took = _since(began)
        predictions = tuple(_prediction(outputs, at, region, box) for at, (region, box) in enumerate(ready.places))
        return Predicted(ready.product, predictions, None, {**ready.milliseconds, "predict": took})


def _check_frame(frame: Frame | None) -> Frame:
    if frame is None:
        raise ImageError("no frame came in time; check camera and trigger")
    if not isinstance(frame, np.ndarray):
        raise ImageError(f"the frame is a {type(frame).__name__}, not an array; give uint8 or uint16")
    fits = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
    if frame.dtype not in (np.uint8, np.uint16) or not fits or frame.size == 0:
        raise ImageError(f"the frame is {frame.dtype} {frame.shape}; give uint8 or uint16 of shape (H, W) or (H, W, 3)")
    return frame


def _prediction(outputs: Outputs, at: int, region: str, box: Box) -> Prediction:
    return Prediction(
        region=region,
        box=box,
        scores={name: float(values[at]) for name, values in outputs.scores.items()},
        anomaly_map=None if outputs.anomaly_map is None else outputs.anomaly_map[at],
        reconstruction=None if outputs.reconstruction is None else outputs.reconstruction[at],
    )


def _or_raise(predicted: Predicted) -> tuple[Prediction, ...]:
    if predicted.error is not None:
        raise predicted.error
    return predicted.predictions


def _told(error: ImageError | MemoryError, where: str) -> ImageError:
    return error if isinstance(error, ImageError) else ImageError(f"{where}: memory ran out while it was read")


def _since(began: float) -> float:
    """Give the milliseconds since a moment of ``time.perf_counter``."""
    return (time.perf_counter() - began) * 1e3
