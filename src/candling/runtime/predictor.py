"""Frames to predictions: read, cut, prepare, predict; judges nothing, so it needs no limits.

Knows no method and no verdict. Whatever arrives can be asked in two ways: ``predict`` raises what goes wrong,
``attempt`` tells it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from candling.errors import BundleError, CandlingError, ImageError
from candling.pixels.align import Aligner, Movement, move_back, shape_aligned
from candling.pixels.prepare import PixelSpec, scale
from candling.pixels.read import read_image
from candling.pixels.tiling import cut
from candling.runtime.aligning import load_aligners
from candling.runtime.bundle import Bundle, load_bundle
from candling.runtime.engine import Engine, EngineName, Outputs, Precision, open_engine
from candling.runtime.frames import check_acquisition, check_frame, check_strip_frame
from candling.runtime.matching import load_matcher
from candling.types import Box, FloatArray, Frame, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.types import Region

__all__ = ["Predicted", "Predictor"]

_AHEAD: Final = 2  # files under way for each worker: enough to keep it busy while the caller is slow, little memory
_READER: Final = "candling-read"


@dataclass(frozen=True)
class Predicted:
    """What the graph says of one product, or why it says nothing.

    Attributes:
        product: its name, for a file its path.
        predictions: one a region, vial and frame; empty when there is an error.
        error: why there are none; None when there are.
        milliseconds: time by step; waiting for a free request is in none of them.
    """

    product: str
    predictions: tuple[Prediction, ...]
    error: CandlingError | None
    milliseconds: Mapping[str, float]


@dataclass(frozen=True)
class _Patch:
    """Where a patch is from, and how it was moved."""

    region: str
    box: Box
    vial: int | None
    frame: int | None
    movement: Movement


@dataclass(frozen=True)
class _Ready:
    """One product on its way to the engine: its patches, prepared, or why there are none."""

    product: str
    patches: tuple[_Patch, ...] = ()
    images: tuple[FloatArray, ...] = ()
    error: CandlingError | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)


class Predictor:
    """Frames to predictions: cut, prepare, run; it judges nothing, so it needs no limits.

    Where patches are aligned, what the graph gives by pixel is brought back to where the frame shows it.

    Attributes:
        recipe: resolved; says what is cut and how pixels are prepared.
        engine: the graph, opened.
    """

    def __init__(
        self,
        recipe: Recipe,
        engine: Engine,
        aligners: Mapping[str, Aligner] | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        if engine.input_shape != recipe.prepare.shape:
            raise BundleError(
                f"the graph takes images of {engine.input_shape} and the recipe prepares {recipe.prepare.shape}; "
                "they are not of one training"
            )
        if recipe.prepare.align != "none" and aligners is None:
            raise BundleError(f"the recipe aligns by {recipe.prepare.align!r} and no template was given; train again")
        if recipe.prepare.histogram != "none" and matcher is None:
            raise BundleError(
                f"the recipe matches histograms ({recipe.prepare.histogram}) and no template was given; train again"
            )
        self.recipe: Final = recipe
        self.engine: Final = engine
        self._aligners: Final[Mapping[str, Aligner]] = aligners or {}
        self._matcher: Final = matcher
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
            EngineError: the engine does not run its graph, or contradicts its witness.
        """
        bundle = path if isinstance(path, Bundle) else load_bundle(path)
        opened = open_engine(
            bundle.read_graph(),
            engine=engine,
            precision=precision or bundle.limits.precision,
            threads=threads,
            requests=requests,
            witness=bundle.card.witness,
        )
        return cls(bundle.recipe, opened, load_aligners(bundle), load_matcher(bundle))

    def predict(
        self, frame: Frame | None, *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> tuple[Prediction, ...]:
        """Say what the graph sees in one frame: one prediction a region, of each vial where it shows a strip.

        Args:
            frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, any size.
            maps: give anomaly maps.
            reconstructions: give reconstructions.
            nearest: name the nearest remembered cells, where the graph does.

        Raises:
            ImageError: there is no frame, it is of another type or shape, or a region does not fit it.
            EngineError: the engine failed.
        """
        return _or_raise(self.attempt(frame, maps=maps, reconstructions=reconstructions, nearest=nearest))

    def predict_file(
        self, path: Path, *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> tuple[Prediction, ...]:
        """Say what the graph sees in one image file.

        Raises:
            ImageError: the file cannot be read safely, or a region does not fit it.
            EngineError: the engine failed.
        """
        return _or_raise(self.attempt_file(path, maps=maps, reconstructions=reconstructions, nearest=nearest))

    def attempt(
        self,
        frame: Frame | None,
        *,
        product: str = "",
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Predicted:
        """Predict one frame; what goes wrong is told, not raised."""
        return self._run(self._ready(frame, product), maps=maps, reconstructions=reconstructions, nearest=nearest)

    def attempt_frames(
        self,
        frames: Sequence[Frame | None],
        *,
        product: str = "",
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Predicted:
        """Predict all patches of one acquisition in one call of the engine; what goes wrong is told, not raised.

        Args:
            frames: in the order they were taken, as many as the recipe's ``strip.frames``; None for a missing one.
            product: its name.
            maps: give anomaly maps.
            reconstructions: give reconstructions.
            nearest: name the nearest remembered cells, where the graph does.
        """
        ready = self._ready_frames(frames, product)
        return self._run(ready, maps=maps, reconstructions=reconstructions, nearest=nearest)

    def attempt_acquisition(
        self,
        paths: Sequence[Path],
        *,
        product: str = "",
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Predicted:
        """Predict the image files of one acquisition; what goes wrong is told, not raised."""
        ready = self._read_frames(paths, product)
        return self._run(ready, maps=maps, reconstructions=reconstructions, nearest=nearest)

    def attempt_file(
        self, path: Path, *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> Predicted:
        """Predict one image file; what goes wrong is told, not raised."""
        return self._run(self._read(path), maps=maps, reconstructions=reconstructions, nearest=nearest)

    def predict_files(
        self, paths: Iterable[Path], *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> Iterator[Predicted]:
        """Predict files in order, several at once; what cannot be read is told, not raised.

        Each worker takes a file through reading, preparing and the engine, so no core waits for another's picture.
        ``paths`` may be endless: it is drawn from only as far as the workers are ahead.
        """
        attempt = partial(self.attempt_file, maps=maps, reconstructions=reconstructions, nearest=nearest)
        return self._ahead(partial(attempt, path) for path in paths)

    def predict_acquisitions(
        self,
        acquisitions: Iterable[tuple[str, Sequence[Path]]],
        *,
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Iterator[Predicted]:
        """Predict acquisitions, (product, files of its frames) each, in order and several at once, as files are."""
        attempt = partial(self.attempt_acquisition, maps=maps, reconstructions=reconstructions, nearest=nearest)
        return self._ahead(partial(attempt, paths, product=product) for product, paths in acquisitions)

    def prepared(self, frame: Frame) -> tuple[FloatArray, ...]:
        """Give what the graph is shown of one frame: float32 (C, H, W) in [0, 1] a patch, in the predictions' order.

        Raises:
            ImageError: the frame is of another type or shape, or a region does not fit it.
        """
        ready = self._ready(frame, "")
        if ready.error is not None:
            raise ready.error
        return ready.images

    def _ahead(self, works: Iterable[Callable[[], Predicted]]) -> Iterator[Predicted]:
        waiting: deque[Future[Predicted]] = deque()
        remaining = iter(works)
        count = max(2, self.engine.requests)  # with one request the other worker reads meanwhile
        workers = ThreadPoolExecutor(count, thread_name_prefix=_READER)
        try:
            while True:
                for work in islice(remaining, _AHEAD * count - len(waiting)):
                    waiting.append(workers.submit(work))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            # an iterator that nobody ends may be collected in one of its own workers, which cannot wait for itself
            among_them = threading.current_thread().name.startswith(_READER)
            workers.shutdown(wait=not among_them, cancel_futures=True)

    def _read(self, path: Path) -> _Ready:
        began = time.perf_counter()
        try:
            frame = read_image(path)
        except (ImageError, MemoryError) as error:
            return _Ready(str(path), error=_told(error, str(path)), milliseconds={"read": _since(began)})
        took = _since(began)
        ready = self._ready(frame, str(path))
        return replace(ready, milliseconds={"read": took, **ready.milliseconds})

    def _read_frames(self, paths: Sequence[Path], product: str) -> _Ready:
        began, frames = time.perf_counter(), []
        for path in paths:
            try:
                frames.append(read_image(path))
            except (ImageError, MemoryError) as error:
                return _Ready(product, error=_told(error, str(path)), milliseconds={"read": _since(began)})
        took = _since(began)
        ready = self._ready_frames(frames, product)
        return replace(ready, milliseconds={"read": took, **ready.milliseconds})

    def _ready_frames(self, frames: Sequence[Frame | None], product: str) -> _Ready:
        """Check and prepare all frames of one acquisition."""
        strip = self.recipe.strip
        if strip is None and len(frames) == 1:
            return self._ready(frames[0], product)
        if strip is None:
            told = f"{len(frames)} frames came where one shows the product; check camera and trigger"
            return _Ready(product, error=ImageError(told))
        began = time.perf_counter()
        try:
            usable = check_acquisition(frames, strip, white=self._spec.white, coloured=self._spec.channels == 3)
            numbers: Sequence[int | None] = range(1, len(usable) + 1) if len(usable) > 1 else (None,)
            shown = [self._matched(frame) for frame in usable]
            groups = [(cut(frame, self._places), number) for frame, number in zip(shown, numbers, strict=True)]
            took, began = _since(began), time.perf_counter()
            found = [patch for pieces, number in groups for patch in self._patches(pieces, number)]
        except (ImageError, MemoryError) as error:
            return _Ready(product, error=_told(error, "the frames"), milliseconds={"prepare": _since(began)})
        patches, images = zip(*found, strict=True)
        return _Ready(product, patches, images, milliseconds={"cut": took, "prepare": _since(began)})

    def _ready(self, frame: Frame | None, product: str) -> _Ready:
        began, strip = time.perf_counter(), self.recipe.strip
        try:
            if strip is None:
                usable = check_frame(frame, self.recipe.frame)
            else:
                usable = check_strip_frame(frame, strip, white=self._spec.white, coloured=self._spec.channels == 3)
            patches, images = zip(*self._patches(cut(self._matched(usable), self._places), None), strict=True)
        except (ImageError, MemoryError) as error:
            return _Ready(product, error=_told(error, "the frame"), milliseconds={"prepare": _since(began)})
        return _Ready(product, patches, images, milliseconds={"prepare": _since(began)})

    def _matched(self, frame: Frame) -> Frame:
        """Give a whole frame the histogram it was trained with."""
        return frame if self._matcher is None else self._matcher.match(frame)

    def _patches(
        self, pieces: Iterable[tuple[Region, Box, Frame]], number: int | None
    ) -> Iterator[tuple[_Patch, FloatArray]]:
        """Prepare the patches of one frame: float32 (C, H, W) in [0, 1] each."""
        for region, box, patch in pieces:
            shaped, movement = shape_aligned(patch, self._spec, self._aligners.get(region.name))
            image = scale(shaped[None], white=self._spec.white)[0]
            yield _Patch(region.name, box, region.vial, number, movement), image

    def _run(self, ready: _Ready, *, maps: bool, reconstructions: bool, nearest: bool) -> Predicted:
        """Run the patches of one product."""
        if not ready.images:
            return Predicted(ready.product, (), ready.error, ready.milliseconds)
        batch = ready.images[0][None] if len(ready.images) == 1 else np.stack(ready.images)
        with self._running:
            began = time.perf_counter()
            try:
                outputs = self.engine.run(batch, maps=maps, reconstructions=reconstructions, nearest=nearest)
            except CandlingError as error:
                return Predicted(ready.product, (), error, ready.milliseconds)
            took = _since(began)
        predictions = tuple(_prediction(outputs, at, patch) for at, patch in enumerate(ready.patches))
        return Predicted(ready.product, predictions, None, {**ready.milliseconds, "predict": took})


def _prediction(outputs: Outputs, at: int, patch: _Patch) -> Prediction:
    """Take one patch out of a batch, and bring back to the frame what the graph says of an aligned patch."""
    movement = patch.movement
    values = None if outputs.anomaly_map is None else outputs.anomaly_map[at]
    redrawn = None if outputs.reconstruction is None else outputs.reconstruction[at]
    nearest = None if outputs.nearest is None else outputs.nearest[at]
    if not movement.still:  # what was not inspected never looks bad
        values = None if values is None else move_back(values, movement, outside=float(np.fmin.reduce(values, None)))
        redrawn = None if redrawn is None else move_back(redrawn, movement, outside=0.0)
        nearest = None if nearest is None else move_back(nearest, movement, outside=-1)
    return Prediction(
        region=patch.region,
        box=patch.box,
        scores={name: float(values[at]) for name, values in outputs.scores.items()},
        anomaly_map=values,
        reconstruction=redrawn,
        nearest=nearest,
        turn=movement.turn,
        vial=patch.vial,
        frame=patch.frame,
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
