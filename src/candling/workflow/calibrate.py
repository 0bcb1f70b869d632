"""Score labelled images and choose limits from the scores; knows no disk beyond the images, and changes no bundle.

Limits are chosen on what will judge: the exported graph, in the engine and precision it is run with, on images that
went the way every image goes. They lie outside the graph, so they can be chosen again, for another goal or on other
images, without training:

    predictor = Predictor.load(bundle)
    limits = calibrate(predictor, calibration_samples(samples, bundle.recipe), goal="quantile")
    bundle = replace_limits(bundle, limits, reason="new lamp", by="A. Keller")
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.data.samples import SampleSet, content_hash, split_hold_out, training_samples
from candling.decide.limits import LABELLED_GOALS, ChosenLimit, choose_limit
from candling.errors import LimitError
from candling.runtime.bundle import LimitEntry, LimitsFile, MapRange, Range
from candling.runtime.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from candling.data.samples import Sample
    from candling.recipe import Recipe
    from candling.runtime.predictor import Predicted, Predictor
    from candling.types import FloatArray

__all__ = ["Scored", "calibrate", "calibration_samples", "score_samples", "set_by_hand"]

_USUAL_VALUE: Final[Mapping[str, float]] = {"quantile": 0.95, "false_reject": 0.05, "recall": 0.95}
"""The number of a goal that was named without one; Youden and F1 have none, a cost has no usual one."""

MANUAL: Final = "manual"
"""The goal of a limit that somebody set by hand."""


@dataclass(frozen=True)
class Scored:
    """What the graph says of one sample.

    Attributes:
        sample: the image and its label.
        scores: by (region, score): the values of all patches, larger is worse; may hold NaN.
        map_typical: the median of its anomaly maps; None when the graph gives none.
        map_highest: their largest value; None likewise.
        milliseconds: time by step.
    """

    sample: Sample
    scores: Mapping[tuple[str, str], tuple[float, ...]]
    map_typical: float | None
    map_highest: float | None
    milliseconds: Mapping[str, float]


def utc_now() -> datetime:
    """Give the time of now, in UTC."""
    return datetime.now(UTC)


def score_samples(
    source: Predictor | Inspector,
    samples: Iterable[Sample],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Score images in order, the way the line does; the next ones are read while the engine works.

    Args:
        source: what predicts.
        samples: labelled images.
        progress: called with (done, total) after each image.

    Raises:
        ImageError: an image cannot be read or does not fit the recipe's regions; the sentence names it.
        EngineError: the engine failed.
    """
    predictor, wanted = _predictor(source), list(samples)
    scored: list[Scored] = []
    for sample, predicted in zip(wanted, predictor.predict_files(sample.path for sample in wanted), strict=True):
        if predicted.error is not None:
            raise predicted.error
        scored.append(_scored(sample, predicted))
        if progress is not None:
            progress(len(scored), len(wanted))
    return scored


def calibration_samples(samples: SampleSet, recipe: Recipe, *, goal: str | None = None) -> tuple[Sample, ...]:
    """Choose the images of a set that limits may be chosen on: never those the network learned from, nor the test's.

    A split named ``validation`` is taken where there is one. Otherwise, for a goal that needs good images only, it is
    the part of the training images that training held out (the same seed and share give the same part), or all good
    images where the set has no training split; for a goal that needs labels, every image outside the training split.

    Args:
        samples: what lies on disk.
        recipe: of the bundle; its seed and share say what was held out.
        goal: None is the recipe's.

    Raises:
        SamplesError: too few images to have held any out.
        LimitError: the set holds no image of the kind the goal needs.
    """
    labelled = (recipe.limits.goal if goal is None else goal) in LABELLED_GOALS
    reserved = tuple(sample for sample in samples if sample.split == "validation" and (labelled or sample.is_good))
    if reserved and (not labelled or not all(sample.is_good for sample in reserved)):
        return reserved
    if labelled:
        return tuple(sample for sample in samples if sample.split != "train")
    if any(sample.split == "train" for sample in samples):
        return split_hold_out(training_samples(samples), recipe.training.hold_out, seed=recipe.training.seed)[1]
    return tuple(sample for sample in samples if sample.is_good)


def calibrate(
    source: Predictor | Inspector,
    samples: Iterable[Sample],
    *,
    goal: str | None = None,
    value: float | None = None,
    confidence: float | None = None,
    grey: float | None = None,
    scores: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> LimitsFile:
    """Choose a limit for each judged score in each region.

    A false-reject target is the product's, and a product is rejected by any of its limits, so each of n limits is
    chosen for an n-th of the target.

    Args:
        source: what predicts, in the engine and precision that will judge.
        samples: the images; a goal that needs good ones only leaves the others aside.
        goal: the rule (``candling.decide.limits.GOALS``); None is the recipe's.
        value: its number; None is the recipe's for the recipe's goal, else the usual one.
        confidence: of the stated intervals; None is the recipe's.
        grey: width of the grey zone as a share of the way from typical to limit; None is the recipe's.
        scores: names of the scores that get limits; None is the recipe's judged ones.
        progress: called with (done, total) images.
        clock: gives the time written beside each limit.

    Returns:
        Limits with an empty history, for ``save_bundle`` or ``replace_limits``.

    Raises:
        LimitError: no good image, a labelled goal without defects, a score that is no number or that the graph does not
            give, an impossible goal or value.
        ImageError: an image cannot be read; limits are not chosen from what happened to be readable.
        EngineError: the engine failed.
    """
    predictor = _predictor(source)
    engine, wishes = predictor.engine, predictor.recipe.limits
    goal = wishes.goal if goal is None else goal
    if value is None:
        value = wishes.value if goal == wishes.goal else _USUAL_VALUE.get(goal, 0.0)
    judged = tuple(dict.fromkeys(wishes.scores if scores is None else scores))
    _check_scores(judged, engine.score_names)
    used = _usable(samples, goal)
    scored = score_samples(predictor, used, progress=progress)
    _check_finite(scored, judged)
    keys = [(region.name, score) for region in predictor.recipe.places for score in judged]
    share = value / len(keys) if goal == "false_reject" else value
    data, when = content_hash(used), clock()
    chosen = [
        choose_limit(
            _values(scored, key, good=True),
            _values(scored, key, good=False) if goal in LABELLED_GOALS else None,
            goal=goal,
            value=share,
            confidence=wishes.confidence if confidence is None else confidence,
            grey=wishes.grey if grey is None else grey,
            region=key[0],
            score=key[1],
        )
        for key in keys
    ]
    return LimitsFile(
        precision=engine.precision,
        engine=engine.name,
        entries=tuple(_entry(one, data, when, target=value) for one in chosen),
        map_range=_map_range(scored),
    )


def set_by_hand(
    limits: LimitsFile, *, region: str, score: str, high: float, reject_high: float | None = None, at: datetime
) -> LimitsFile:
    """Give the same limits with one of them set to a number somebody decided; its stated rates fall away.

    Args:
        limits: the present ones.
        region: which region's.
        score: which score's.
        high: the largest accepted value, finite.
        reject_high: where a grey zone above it ends; None is no grey zone.
        at: when, with a time zone.

    Raises:
        LimitError: there is no such limit, or the numbers are not in order.
    """
    kept = [entry for entry in limits.entries if (entry.region, entry.score) != (region, score)]
    if len(kept) == len(limits.entries):
        there = ", ".join(f"{entry.score} in {entry.region}" for entry in limits.entries) or "none"
        raise LimitError(f"no limit for score {score!r} in region {region!r} to set; there are: {there}")
    if not math.isfinite(high) or not (reject_high is None or high <= reject_high < math.inf):
        raise LimitError(f"{region}: {score}: a limit is a finite number, and its grey zone ends above it; not {high}")
    old = next(entry for entry in limits.entries if (entry.region, entry.score) == (region, score))
    new = LimitEntry(
        region=region, score=score, high=high, reject_high=reject_high, typical=old.typical, goal=MANUAL, chosen_at=at
    )
    entries = tuple(new if entry is old else entry for entry in limits.entries)
    return limits.model_copy(update={"entries": entries, "history": ()})


def _predictor(source: Predictor | Inspector) -> Predictor:
    return source.predictor if isinstance(source, Inspector) else source


def _usable(samples: Iterable[Sample], goal: str) -> list[Sample]:
    """Keep what the goal needs; say what is missing before an hour of scoring."""
    given = list(samples)
    good = [sample for sample in given if sample.is_good]
    if not good:
        raise LimitError(f"no good image among {len(given)}, and every limit needs some; give good images")
    if goal not in LABELLED_GOALS:
        return good
    if len(good) == len(given):
        raise LimitError(
            f"the goal {goal!r} needs images of defects and all {len(given)} are good; "
            "give labelled images, or choose the goal false_reject or quantile"
        )
    return given


def _scored(sample: Sample, predicted: Predicted) -> Scored:
    scores: dict[tuple[str, str], tuple[float, ...]] = {}
    for prediction in predicted.predictions:
        for name, value in prediction.scores.items():
            key = prediction.region, name
            scores[key] = (*scores.get(key, ()), value)
    maps = [prediction.anomaly_map for prediction in predicted.predictions if prediction.anomaly_map is not None]
    return Scored(
        sample=sample,
        scores=scores,
        map_typical=_median(maps) if maps else None,
        map_highest=max(float(one.max()) for one in maps) if maps else None,
        milliseconds=predicted.milliseconds,
    )


def _median(maps: Sequence[FloatArray]) -> float:
    # every fourth pixel each way: a colour scale needs no more, and a full median costs as much as a small network
    return float(np.median(np.concatenate([one[::4, ::4].ravel() for one in maps])))


def _check_scores(judged: Sequence[str], given: Sequence[str]) -> None:
    for score in judged:
        if score not in given:
            raise LimitError(f"the graph gives no score {score!r}; it gives: {', '.join(given)}")


def _check_finite(scored: Sequence[Scored], judged: Sequence[str]) -> None:
    for one in scored:
        for (region, score), values in one.scores.items():
            strange = next((value for value in values if not math.isfinite(value)), None)
            if score in judged and strange is not None:
                raise LimitError(
                    f"{one.sample.path}: {score} is {strange} in region {region}, so no limit can be chosen; "
                    "look at the image, or train again"
                )


def _values(
    scored: Sequence[Scored], key: tuple[str, str], *, good: bool
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Collect one score of one region; a defect counts for the region it is known to lie in, else for every one."""
    return np.array(
        [
            value
            for one in scored
            if one.sample.is_good is good and (good or one.sample.region in (None, key[0]))
            for value in one.scores.get(key, ())
        ],
        dtype=np.float64,
    )


def _entry(chosen: ChosenLimit, data: str, when: datetime, *, target: float) -> LimitEntry:
    note = chosen.note
    if chosen.value != target:
        note = f"The target {target:g} is the product's; this limit has its share of it. {note}".rstrip()
    return LimitEntry(
        region=chosen.region,
        score=chosen.score,
        low=chosen.limit.low if math.isfinite(chosen.limit.low) else None,
        high=chosen.limit.high if math.isfinite(chosen.limit.high) else None,
        reject_low=chosen.limit.reject_low,
        reject_high=chosen.limit.reject_high,
        typical=chosen.limit.typical,
        goal=chosen.goal,
        value=chosen.value,
        confidence=chosen.confidence,
        samples_good=chosen.samples_good,
        samples_defect=chosen.samples_defect,
        false_reject=Range.of(chosen.false_reject),
        missed_defect=None if chosen.missed_defect is None else Range.of(chosen.missed_defect),
        data=data,
        note=note,
        chosen_at=when,
    )


def _map_range(scored: Sequence[Scored]) -> MapRange | None:
    """Describe the maps of good images; a map that is no number describes nothing."""
    good = [one for one in scored if one.sample.is_good]
    typical = [one.map_typical for one in good if one.map_typical is not None and math.isfinite(one.map_typical)]
    highest = [one.map_highest for one in good if one.map_highest is not None and math.isfinite(one.map_highest)]
    if not typical or not highest:
        return None
    return MapRange(typical=float(np.median(typical)), highest=max(highest))
