"""The figures of an evaluation, each with its interval or the reason why there is none; knows no image, no engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from candling.measure.anomaly import (
    average_precision,
    best_f1,
    bootstrap,
    f1_at,
    false_reject_rate,
    image_auroc,
    missed_defect_rate,
)
from candling.workflow.evaluation import ClassResult, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from candling.types import Interval
    from candling.workflow.evaluation import ImageResult
    from candling.workflow.passage import Passage

    Scores = NDArray[np.float64]

__all__ = ["NO_DEFECT", "NO_GOOD", "Resampling", "class_results", "figure", "image_figures", "pixel_figures"]

NO_GOOD = "the data hold no good image"
NO_DEFECT = "the data hold no image with a defect"


@dataclass(frozen=True)
class Resampling:
    """How intervals are found: where chance comes from, how often images are drawn again, the confidence."""

    rng: np.random.Generator
    rounds: int
    confidence: float


def image_figures(
    results: Sequence[ImageResult],
    products: Sequence[str] | None,
    *,
    resampling: Resampling,
) -> tuple[dict[str, Figure], float | None]:
    """Compute the figures of whole images.

    Args:
        results: one an image.
        products: the product each image shows, to resample whole products; None when every image shows its own.
        resampling: how intervals are found.

    Returns:
        The figures by name, and the severity at which F1 is best: None where there is no such limit.
    """
    lacking = _lacking(results)
    estimate = partial(_estimate, results=results, products=products, resampling=resampling, lacking=lacking)
    good = [result.verdict for result in results if result.is_good]
    defect = [result.verdict for result in results if not result.is_good]
    found = {
        "image_auroc": estimate(image_auroc),
        "image_ap": estimate(average_precision),
        "f1": estimate(partial(f1_at, limit=0.5), of=_rejected),
        "best_f1": estimate(_best_f1),
        "missed_defect_rate": figure(missed_defect_rate(defect, confidence=resampling.confidence), NO_DEFECT),
        "false_reject_rate": figure(false_reject_rate(good, confidence=resampling.confidence), NO_GOOD),
    }
    best = best_f1(*_parted(results, _severity))
    return found, None if best is None or not np.isfinite(best[1]) else best[1]


def class_results(
    results: Sequence[ImageResult],
    products: Sequence[str] | None,
    *,
    resampling: Resampling,
) -> tuple[ClassResult, ...]:
    """Compute what is known of every class of defect, each against all good images, in alphabetical order."""
    classes = []
    for label in sorted({result.label for result in results if not result.is_good}):
        chosen = [index for index, result in enumerate(results) if result.label == label or result.is_good]
        part = [results[index] for index in chosen]
        named = None if products is None else [products[index] for index in chosen]
        own = [result for result in part if not result.is_good]
        auroc = _estimate(
            image_auroc,
            results=part,
            products=named,
            resampling=resampling,
            lacking=_lacking(part),
        )
        classes.append(
            ClassResult(
                label=label,
                count=len(own),
                detected=sum(not result.accepted for result in own),
                image_auroc=auroc,
                missed_defect_rate=figure(
                    missed_defect_rate([result.verdict for result in own], confidence=resampling.confidence), NO_DEFECT
                ),
                median_severity=float(np.median([result.severity for result in own])),
            )
        )
    return tuple(classes)


def pixel_figures(passage: Passage, *, limit: float, resampling: Resampling) -> dict[str, Figure]:
    """Compute the figures of pixels, with images resampled and never pixels.

    Args:
        passage: with the gathered pixel scores, or the reason why there are none.
        limit: of AUPRO, the largest false-reject rate of pixels.
        resampling: how intervals are found.
    """
    if passage.pixel_reason or passage.pixels is None:
        return dict.fromkeys(("pixel_auroc", "pixel_ap", "aupro"), Figure(None, reason=passage.pixel_reason))
    found = passage.pixels.estimate(
        rng=resampling.rng,
        limit=limit,
        rounds=resampling.rounds,
        confidence=resampling.confidence,
        products=passage.pixel_products,
    )
    lacking = "the masks leave no good pixel"
    return {
        "pixel_auroc": figure(found.auroc, lacking),
        "pixel_ap": figure(found.average_precision, lacking),
        "aupro": figure(found.aupro, lacking),
    }


def figure(interval: Interval | None, reason: str) -> Figure:
    """Make a figure of an estimate, or of the reason why there is none."""
    return Figure(None, reason=reason) if interval is None else Figure(interval.value, interval.low, interval.high)


def _estimate(
    metric: Callable[[Scores, Scores], float | None],
    *,
    results: Sequence[ImageResult],
    products: Sequence[str] | None,
    resampling: Resampling,
    lacking: str,
    of: Callable[[ImageResult], float] | None = None,
) -> Figure:
    if lacking:
        return Figure(None, reason=lacking)
    good, defect = _parted(results, of or _severity)
    named = None
    if products is not None:
        pairs = list(zip(results, products, strict=True))
        named = (
            [name for result, name in pairs if result.is_good],
            [name for result, name in pairs if not result.is_good],
        )
    interval = bootstrap(
        metric,
        good,
        defect,
        rng=resampling.rng,
        rounds=resampling.rounds,
        confidence=resampling.confidence,
        products=named,
    )
    return figure(interval, lacking)


def _parted(results: Sequence[ImageResult], of: Callable[[ImageResult], float]) -> tuple[Scores, Scores]:
    good = np.array([of(result) for result in results if result.is_good], dtype=np.float64)
    return good, np.array([of(result) for result in results if not result.is_good], dtype=np.float64)


def _severity(result: ImageResult) -> float:
    return result.severity


def _rejected(result: ImageResult) -> float:
    return float(not result.accepted)


def _best_f1(good: Scores, defect: Scores) -> float | None:
    best = best_f1(good, defect)
    return None if best is None else best[0]


def _lacking(results: Sequence[ImageResult]) -> str:
    if not any(result.is_good for result in results):
        return NO_GOOD
    return "" if any(not result.is_good for result in results) else NO_DEFECT
