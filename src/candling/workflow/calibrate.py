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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from candling.data.samples import (
    RESERVED,
    Acquisition,
    SampleSet,
    content_hash,
    group_acquisitions,
    split_hold_out,
    training_samples,
)
from candling.decide.levels import Unit, at_one_place, choose_together
from candling.decide.limits import LABELLED_GOALS, ChosenLimit, choose_limit
from candling.errors import LimitError
from candling.runtime.bundle import LimitEntry, LimitsFile, Range
from candling.workflow.scoring import (
    Scored,
    check_finite,
    map_range,
    predictor_of,
    score_acquisitions,
    score_samples,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from candling.data.samples import Sample
    from candling.decide.levels import Key
    from candling.recipe import Level, Recipe, Strip
    from candling.runtime.inspector import Inspector
    from candling.runtime.predictor import Predictor

__all__ = ["Scored", "calibrate", "calibration_samples", "score_samples", "set_by_hand"]

_USUAL_VALUE: Final[Mapping[str, float]] = {"quantile": 0.95, "false_reject": 0.05, "recall": 0.95}
"""The number of a goal that was named without one; Youden and F1 have none, a cost has no usual one."""

MANUAL: Final = "manual"
"""The goal of a limit that somebody set by hand."""


def utc_now() -> datetime:
    """Give the time of now, in UTC."""
    return datetime.now(UTC)


def calibration_samples(samples: SampleSet, recipe: Recipe, *, goal: str | None = None) -> tuple[Sample, ...]:
    """Choose the images of a set that limits may be chosen on: never those the network learned from, nor the test's.

    A split named ``validation`` or ``calibration`` is taken where there is one. Otherwise, for a goal that needs good
    images only, it is the part of the training images that training held out (the same seed and share give the same
    part), or all good images where the set has no training split; for a goal that needs labels, every image outside
    the training split and outside a kit.

    Args:
        samples: what lies on disk.
        recipe: of the bundle; its seed and share say what was held out.
        goal: None is the recipe's.

    Raises:
        SamplesError: too few images to have held any out.
        LimitError: the set holds no image of the kind the goal needs.
    """
    labelled = (recipe.limits.goal if goal is None else goal) in LABELLED_GOALS
    reserved = tuple(sample for sample in samples if sample.split in RESERVED and (labelled or sample.is_good))
    if reserved and (not labelled or not all(sample.is_good for sample in reserved)):
        return reserved
    if labelled:
        return tuple(sample for sample in samples if sample.split not in ("train", "kit"))
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
    level: Level | None = None,
    scores: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> LimitsFile:
    """Choose a limit for each judged score in each region.

    A false-reject target is the product's, and a product is rejected by any of its limits, so each of n limits is
    chosen for an n-th of the target, which keeps it whatever the scores have to do with each other; or, with
    ``limits.together``, all are moved together until the products at hand meet it. For a strip the target is counted at
    its level: in patches of one region; in strips, each one acquisition; or in products classified by their runs. For
    moving limits together see ``decide.levels``.

    Args:
        source: what predicts, in the engine and precision that will judge.
        samples: the images; a goal that needs good ones only leaves the others aside.
        goal: the rule (``candling.decide.limits.GOALS``); None is the recipe's.
        value: its number; None is the recipe's for the recipe's goal, else the usual one.
        confidence: of the stated intervals; None is the recipe's.
        grey: width of the grey zone as a share of the way from typical to limit; None is the recipe's.
        level: ``"patch"``, ``"strip"`` or ``"run"``; None is the recipe's. All but the first are for strips.
        scores: names of the scores that get limits; None is the recipe's judged ones.
        progress: called with (done, total) images.
        clock: gives the time written beside each limit.

    Returns:
        Limits with an empty history, for ``save_bundle`` or ``replace_limits``.

    Raises:
        LimitError: no good image, a labelled goal without defects, a score that is no number or that the graph does not
            give, an impossible goal or value, a level without a strip, or a product without all its runs.
        SamplesError: images of a strip do not say which acquisition they belong to.
        ImageError: an image cannot be read; limits are not chosen from what happened to be readable.
        EngineError: the engine failed.
    """
    predictor = predictor_of(source)
    engine, wishes, strip = predictor.engine, predictor.recipe.limits, predictor.recipe.strip
    level = wishes.level if level is None else level
    goal = wishes.goal if goal is None else goal
    if value is None:
        value = wishes.value if goal == wishes.goal else _USUAL_VALUE.get(goal, 0.0)
    judged = tuple(dict.fromkeys(wishes.scores if scores is None else scores))
    _check_scores(judged, engine.score_names)
    used = _usable(samples, goal)
    acquisitions = _counted(used, strip, level)
    scored = score_acquisitions(predictor, acquisitions, progress=progress)
    check_finite(scored, judged)
    keys = [(region, score) for region in predictor.recipe.region_names for score in judged]
    confidence = wishes.confidence if confidence is None else confidence
    grey = wishes.grey if grey is None else grey
    chosen: Sequence[ChosenLimit]
    together = strip is None and wishes.together and len(keys) > 1
    if together:
        units = [Unit(one.is_good, (found.scores,)) for one, found in zip(acquisitions, scored, strict=True)]
        chosen = choose_together(units, keys, goal=goal, value=value, confidence=confidence, grey=grey)
    elif strip is None or level == "patch":
        parts = len(keys) if strip is None else len(judged)
        share = value / parts if goal == "false_reject" else value
        chosen = _one_by_one(scored, keys, goal=goal, value=share, confidence=confidence, grey=grey)
    else:
        units, agree = _units(acquisitions, scored, strip, level)
        chosen = choose_together(units, keys, goal=goal, value=value, agree=agree, confidence=confidence, grey=grey)
    data, when = content_hash(used), clock()
    return LimitsFile(
        precision=engine.precision,
        engine=engine.name,
        entries=tuple(
            _entry(one, data, when, level=level, note=_note(one, used, strip, level, target=value, together=together))
            for one in chosen
        ),
        map_range=map_range(scored),
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


def _counted(samples: Sequence[Sample], strip: Strip | None, level: Level) -> tuple[Acquisition, ...]:
    """Bring together what is scored at once: single frames for patches, whole acquisitions for strips and runs."""
    if strip is None and level != "patch":
        raise LimitError(f"limits of level {level!r} are for strips, and the recipe has no [strip]; choose patch")
    if strip is None or strip.frames == 1:
        return tuple(Acquisition((sample,)) for sample in samples)
    if level == "patch":  # ranks over a run are no frames a line sees
        return tuple(Acquisition((s,)) for s in samples if s.frame is None or s.frame.isdecimal())
    acquisitions = group_acquisitions(samples, strip.frames, choose=True)
    short = next((one for one in acquisitions if len(one.samples) < strip.frames), None)
    if short is not None:
        raise LimitError(
            f"{short.name} has {len(short.samples)} of {strip.frames} frames, and limits of level {level!r} need whole "
            "acquisitions; complete the table, or choose level patch"
        )
    return acquisitions


def _units(
    acquisitions: Sequence[Acquisition], scored: Sequence[Scored], strip: Strip, level: Level
) -> tuple[list[Unit], int]:
    """Give what the goal counts, and how many of its runs must agree: one, where they were brought to one place.

    Raises:
        LimitError: runs are counted, and a product has not exactly so many.
    """
    if level == "strip":
        return [Unit(one.is_good, (found.scores,)) for one, found in zip(acquisitions, scored, strict=True)], 1
    runs: dict[str, list[Mapping[Key, tuple[float, ...]]]] = {}
    good: dict[str, bool] = {}
    for acquisition, found in zip(acquisitions, scored, strict=True):
        name = acquisition.product or acquisition.name
        runs.setdefault(name, []).append(found.scores)
        good[name] = acquisition.is_good
    short = next((name for name, found in runs.items() if len(found) != strip.runs), None)
    if short is not None:
        raise LimitError(
            f"product {short!r} has {len(runs[short])} of {strip.runs} runs, and limits of level 'run' need all; "
            "give every product so many, or choose level strip"
        )
    units = [Unit(good[name], tuple(found)) for name, found in runs.items()]
    if strip.same_place:
        return [at_one_place(unit, agree=strip.agree) for unit in units], 1
    return units, strip.agree


def _one_by_one(
    scored: Sequence[Scored], keys: Sequence[Key], *, goal: str, value: float, confidence: float, grey: float
) -> list[ChosenLimit]:
    """Choose each limit from the patches of its region alone."""
    return [
        choose_limit(
            values_of(scored, key, good=True),
            values_of(scored, key, good=False) if goal in LABELLED_GOALS else None,
            goal=goal,
            value=value,
            confidence=confidence,
            grey=grey,
            region=key[0],
            score=key[1],
        )
        for key in keys
    ]


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


def _check_scores(judged: Sequence[str], given: Sequence[str]) -> None:
    for score in judged:
        if score not in given:
            raise LimitError(f"the graph gives no score {score!r}; it gives: {', '.join(given)}")


def _note(
    chosen: ChosenLimit,
    samples: Sequence[Sample],
    strip: Strip | None,
    level: Level,
    *,
    target: float,
    together: bool,
) -> str:
    """Say what a reader must know before trusting a limit, beside what choosing it already said."""
    notes = []
    if chosen.value != target:
        owner = "product" if strip is None else "patch"
        notes.append(f"The target {target:g} is the {owner}'s; this limit has its share of it.")
    if together:
        notes.append("All limits were moved together; counts and rates are those of products, which any may reject.")
    if level != "patch":
        counted = "strips" if level == "strip" else "products, classified by their runs"
        if level == "run" and strip is not None and strip.same_place:
            counted += ", which must reject the same place"
        notes.append(f"All regions' limits were moved together; counts and rates are those of {counted}.")
    if strip is not None and level != "run":
        products = len({sample.product or str(sample.path) for sample in samples})
        what = "patches" if level == "patch" else "strips"
        counted_all = chosen.samples_good + chosen.samples_defect
        if products < counted_all:
            notes.append(
                f"The {counted_all} {what} show {products} products; the interval counts each as independent and is "
                "too narrow."
            )
    return " ".join([*notes, chosen.note]).strip()


def _entry(chosen: ChosenLimit, data: str, when: datetime, *, level: Level, note: str) -> LimitEntry:
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
        level=level,
        chosen_at=when,
    )
