"""Frames to inspections: what the graph says, judged by a bundle's limits; knows no method and no command line.

    read -> cut -> prepare -> predict            predictor.py: what the graph says
                                      -> judge   here: what that means

Whatever arrives, an inspection leaves: a frame that is missing, torn, of a foreign type or unreadable, a score that is
no number, an engine that fails, each is a REJECT with its reason, never an accept and never an exception.

    inspector = Inspector.load(Path("capsule.bundle"))
    inspection = inspector.inspect(frame, product="17")     # uint8 (H, W)
    inspection.verdict                                      # Verdict.REJECT
    inspection.reasons[0].text                              # 'whole: window_error 0.0411 above its limit 0.0386'
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, Self

from candling.decide.policy import PatchKey, judge_product
from candling.errors import BundleError, LimitError
from candling.runtime.bundle import Bundle, load_bundle
from candling.runtime.counters import is_counter
from candling.runtime.predictor import Predicted, Predictor
from candling.types import Frame, Inspection, Limit, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from candling.recipe import Recipe
    from candling.runtime.engine import Engine, EngineName, Precision

__all__ = ["Inspector"]


class Inspector:
    """Frames to inspections, by one bundle.

    Attributes:
        bundle: verified.
        predictor: what runs its graph; may be used by itself.
        limits: by (region, score): the judged ones.
    """

    def __init__(self, bundle: Bundle, predictor: Predictor) -> None:
        self.bundle: Final = bundle
        self.predictor: Final = predictor
        self.limits: Final = _judged_limits(bundle, predictor.engine)
        self._judged = bundle.recipe.limits.scores
        self._expected = _expected_patches(bundle.recipe)

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
        """Load a bundle, verify it and open its graph.

        Args:
            path: the bundle's folder, or a bundle loaded before.
            engine: ``"openvino"``, ``"onnxruntime"``, or ``"auto"``: OpenVINO when it is installed.
            precision: None is the one the limits were chosen in; another one is refused, since scores move with it.
            threads: cores to use; None is all.
            requests: images run side by side; None is one a core, at most 4; 1 is the shortest wait for one image.

        Raises:
            BundleError: the bundle is damaged, foreign or incomplete.
            LimitError: a judged score has no limit, or the limits were chosen in another precision.
            EngineError: the engine does not run its graph.
        """
        bundle = path if isinstance(path, Bundle) else load_bundle(path)
        return cls(
            bundle, Predictor.load(bundle, engine=engine, precision=precision, threads=threads, requests=requests)
        )

    @property
    def engine(self) -> Engine:
        """The graph, opened."""
        return self.predictor.engine

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""
        return self.bundle.recipe

    def inspect(
        self,
        frame: Frame | None,
        *,
        product: str = "",
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Inspection:
        """Judge one frame.

        Args:
            frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, any size; None for one that never came.
            product: its name, for the record.
            maps: keep anomaly maps in the predictions.
            reconstructions: keep reconstructions.
            nearest: keep the nearest remembered cells, where the graph names them.
        """
        return self.judge(
            self.predictor.attempt(frame, product=product, maps=maps, reconstructions=reconstructions, nearest=nearest)
        )

    def inspect_strip(
        self,
        frames: Sequence[Frame | None],
        *,
        product: str = "",
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Inspection:
        """Judge one acquisition of a product that is seen in several frames.

        Args:
            frames: uint8 or uint16, all of the recipe's size, in the order they were taken; None for a missing one.
            product: its name, for the record.
            maps: keep anomaly maps in the predictions.
            reconstructions: keep reconstructions.
            nearest: keep the nearest remembered cells, where the graph names them.
        """
        attempt = self.predictor.attempt_frames
        return self.judge(attempt(frames, product=product, maps=maps, reconstructions=reconstructions, nearest=nearest))

    def inspect_acquisitions(
        self,
        acquisitions: Iterable[tuple[str, Sequence[Path]]],
        *,
        maps: bool = True,
        reconstructions: bool = False,
        nearest: bool = False,
    ) -> Iterator[Inspection]:
        """Judge acquisitions, (product, files of its frames) each, in order; the next ones are read meanwhile."""
        attempt = self.predictor.predict_acquisitions
        for predicted in attempt(acquisitions, maps=maps, reconstructions=reconstructions, nearest=nearest):
            yield self.judge(predicted)

    def inspect_file(
        self, path: Path, *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> Inspection:
        """Judge one image file; one that cannot be read is a reject with its reason."""
        return self.judge(
            self.predictor.attempt_file(path, maps=maps, reconstructions=reconstructions, nearest=nearest)
        )

    def inspect_files(
        self, paths: Iterable[Path], *, maps: bool = True, reconstructions: bool = False, nearest: bool = False
    ) -> Iterator[Inspection]:
        """Judge files in order; the next ones are read while the engine works. ``paths`` may be endless."""
        found = self.predictor.predict_files(paths, maps=maps, reconstructions=reconstructions, nearest=nearest)
        for predicted in found:
            yield self.judge(predicted)

    def judge(self, predicted: Predicted) -> Inspection:
        """Judge what the graph said; what it could not say is a reject."""
        began = time.perf_counter()
        if predicted.error is not None:
            reasons: tuple[Reason, ...] = (Reason(str(predicted.error)),)
            verdict, severity = Verdict.REJECT, math.inf
        else:
            verdict, severity, reasons = judge_product(
                predicted.predictions, self.limits, self._judged, expected=self._expected
            )
        return Inspection(
            product=predicted.product,
            verdict=verdict,
            severity=severity,
            reasons=reasons,
            predictions=predicted.predictions,
            milliseconds={**predicted.milliseconds, "judge": _since(began)},
            bundle=self.bundle.sha256,
        )


def _judged_limits(bundle: Bundle, engine: Engine) -> dict[tuple[str, str], Limit]:
    """Pick the limits that judge, after it is sure that none is missing and all mean what this engine computes."""
    chosen = bundle.limits
    if chosen.entries and engine.precision != chosen.precision:
        raise LimitError(
            f"{bundle.path}: the limits were chosen in {chosen.precision}, the engine computes in {engine.precision}, "
            f"which moves scores; use precision {chosen.precision!r}, or run `candling calibrate` in the other"
        )
    limits, picked = chosen.limits(), {}
    for score in bundle.recipe.limits.scores:
        if score not in engine.score_names:
            given = ", ".join(engine.score_names)
            raise BundleError(f"{bundle.path}: the recipe judges by {score!r}, which the graph does not give ({given})")
        for region in bundle.recipe.region_names:
            if (region, score) not in limits:
                instead = "it counts, so run `candling count`; or, to judge by this score, " * is_counter(bundle)
                raise LimitError(
                    f"{bundle.path}: no limit for score {score!r} in region {region!r}; "
                    f"{instead}run `candling calibrate`"
                )
            picked[region, score] = limits[region, score]
    return picked


def _expected_patches(recipe: Recipe) -> tuple[PatchKey, ...]:
    """Name every patch a strip must have: vial, region and frame; nothing where the product is no strip."""
    if recipe.strip is None:
        return ()
    frames: Sequence[int | None] = range(1, recipe.frames + 1) if recipe.frames > 1 else (None,)
    return tuple((place.vial, place.name, frame) for frame in frames for place in recipe.places)


def _since(began: float) -> float:
    """Give the milliseconds since a moment of ``time.perf_counter``."""
    return (time.perf_counter() - began) * 1e3
