"""What the graph says of labelled images, collected by region and score: what limits are chosen from; chooses none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from candling.data.samples import Acquisition
from candling.errors import LimitError
from candling.runtime.bundle import MapRange
from candling.runtime.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from candling.data.samples import Sample
    from candling.runtime.predictor import Predicted, Predictor
    from candling.types import FloatArray

__all__ = ["Scored", "check_finite", "map_range", "predictor_of", "score_acquisitions", "score_samples", "values_of"]


@dataclass(frozen=True)
class Scored:
    """What the graph says of one image, or of all frames of one acquisition.

    Attributes:
        sample: the image and its label; the first one of several frames.
        scores: by (region, score): the values of all patches, larger is worse; may hold NaN.
        map_typical: the median of its anomaly maps; None when the graph gives none.
        map_highest: their largest value; None likewise.
        milliseconds: time by step.
        vials: by (region, score): the vial of each value; None where the product is no strip.
    """

    sample: Sample
    scores: Mapping[tuple[str, str], tuple[float, ...]]
    map_typical: float | None
    map_highest: float | None
    milliseconds: Mapping[str, float]
    vials: Mapping[tuple[str, str], tuple[int | None, ...]]


def predictor_of(source: Predictor | Inspector) -> Predictor:
    """Give what predicts."""
    return source.predictor if isinstance(source, Inspector) else source


def score_samples(
    source: Predictor | Inspector,
    samples: Iterable[Sample],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Score images in order, each by itself, the way the line does; the next ones are read while the engine works.

    Args:
        source: what predicts.
        samples: labelled images.
        progress: called with (done, total) after each image.

    Raises:
        ImageError: an image cannot be read or does not fit the recipe's regions; the sentence names it.
        EngineError: the engine failed.
    """
    return score_acquisitions(source, [Acquisition((sample,)) for sample in samples], progress=progress)


def score_acquisitions(
    source: Predictor | Inspector,
    acquisitions: Sequence[Acquisition],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Score acquisitions in order; those of a single image are scored as that image, whatever the recipe's frames.

    Raises:
        ImageError: as :func:`score_samples`, or an acquisition lacks a frame or has one twice.
        EngineError: the engine failed.
    """
    predictor = predictor_of(source)
    if any(len(one.samples) > 1 for one in acquisitions):
        found = predictor.predict_acquisitions((one.name, one.paths) for one in acquisitions)
    else:
        found = predictor.predict_files(one.paths[0] for one in acquisitions)
    scored: list[Scored] = []
    for acquisition, predicted in zip(acquisitions, found, strict=True):
        if predicted.error is not None:
            raise predicted.error
        scored.append(_scored(acquisition.samples[0], predicted))
        if progress is not None:
            progress(len(scored), len(acquisitions))
    return scored


def values_of(
    scored: Sequence[Scored], key: tuple[str, str], *, good: bool
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Collect one score of one region; a defect counts where it is known to lie, else in every vial and region."""
    return np.array(
        [
            value
            for one in scored
            if one.sample.is_good is good and (good or one.sample.region in (None, key[0]))
            for value, vial in zip(one.scores.get(key, ()), one.vials.get(key, ()), strict=True)
            if good or _holds(one.sample, key[0], vial)
        ],
        dtype=np.float64,
    )


def check_finite(scored: Sequence[Scored], judged: Sequence[str]) -> None:
    """Refuse scores that are no numbers.

    Raises:
        LimitError: there is one among the judged scores.
    """
    for one in scored:
        for (region, score), values in one.scores.items():
            strange = next((value for value in values if not math.isfinite(value)), None)
            if score in judged and strange is not None:
                raise LimitError(
                    f"{one.sample.path}: {score} is {strange} in region {region}, so no limit can be chosen; "
                    "look at the image, or train again"
                )


def map_range(scored: Sequence[Scored]) -> MapRange | None:
    """Describe the maps of good images; a map that is no number describes nothing."""
    good = [one for one in scored if one.sample.is_good]
    typical = [one.map_typical for one in good if one.map_typical is not None and math.isfinite(one.map_typical)]
    highest = [one.map_highest for one in good if one.map_highest is not None and math.isfinite(one.map_highest)]
    if not typical or not highest:
        return None
    return MapRange(typical=float(np.median(typical)), highest=max(highest))


def _holds(sample: Sample, region: str, vial: int | None) -> bool:
    """Tell whether a patch may hold a sample's defect, as far as is known."""
    place = sample.place
    return place is None or (place.region in (None, region) and (vial is None or place.vial in (None, vial)))


def _scored(sample: Sample, predicted: Predicted) -> Scored:
    scores: dict[tuple[str, str], tuple[float, ...]] = {}
    vials: dict[tuple[str, str], tuple[int | None, ...]] = {}
    for prediction in predicted.predictions:
        for name, value in prediction.scores.items():
            key = prediction.region, name
            scores[key] = (*scores.get(key, ()), value)
            vials[key] = (*vials.get(key, ()), prediction.vial)
    maps = [prediction.anomaly_map for prediction in predicted.predictions if prediction.anomaly_map is not None]
    return Scored(
        sample=sample,
        scores=scores,
        map_typical=_median(maps) if maps else None,
        map_highest=max(float(one.max()) for one in maps) if maps else None,
        milliseconds=predicted.milliseconds,
        vials=vials,
    )


def _median(maps: Sequence[FloatArray]) -> float:
    # every fourth pixel each way: a colour scale needs no more, and a full median costs as much as a small network
    return float(np.median(np.concatenate([one[::4, ::4].ravel() for one in maps])))
