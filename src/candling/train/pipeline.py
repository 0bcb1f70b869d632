"""From a folder of good images to a bundle: the order of the steps, and nothing of how each is done.

The state of a training lies in ``<out>.training`` beside the bundle until the bundle is complete; the same command goes
on from there. What was at ``out`` before stays until the new bundle takes its place, whole.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import ValidationError

from candling import __version__
from candling.data.samples import (
    SampleSet,
    content_hash,
    group_acquisitions,
    load_samples,
    split_hold_out,
    training_samples,
)
from candling.decide.limits import LABELLED_GOALS
from candling.disk import new_folder
from candling.errors import DiskError, OutputExistsError, RecipeError, UsageError
from candling.recipe import Recipe, Training, explain
from candling.runtime.aligning import TEMPLATE, encode_aligners
from candling.runtime.bundle import Bundle, Card, DataFacts, LimitsFile, load_bundle, save_bundle
from candling.runtime.cells import COUNTING
from candling.runtime.engine import open_engine
from candling.runtime.learned import FIT, HELD_OUT, LEARNED, encode_learned
from candling.runtime.matching import HISTOGRAMS, encode_matcher
from candling.runtime.predictor import Predictor
from candling.runtime.references import REFERENCES, encode_references
from candling.train import checkpoint, curves
from candling.train.aligning import Aligned, resolve_align
from candling.train.allocator import keep_large_buffers
from candling.train.cells import CellImages, choose_counting, load_cell_images, no_limits
from candling.train.cropping import resolve_crop
from candling.train.data import PreparedSet, prepare_set, resolve_prepare
from candling.train.devices import is_first, open_fabric, world_size
from candling.train.export import BATCHES, Exported, export
from candling.train.facts import hardware, versions
from candling.train.fit import Fitted, fit
from candling.train.labelled import split_defects, with_masks
from candling.train.losses import SSIM_DEFINITION
from candling.train.matching import Matching, resolve_matching
from candling.train.method import (
    Begins,
    Explains,
    Method,
    Plan,
    Remembers,
    build_method,
    check_method,
    learns_cells,
    learns_defects,
)
from candling.train.progress import Progress, Silent
from candling.train.rejected import rejected_files
from candling.workflow.calibrate import calibrate, calibration_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from candling.data.samples import Sample
    from candling.train.facts import Fact

__all__ = ["train_bundle", "work_folder"]

MAPS = {"anomaly_map", "reconstruction", "nearest", "cells"}
"""Outputs that are no scores."""

PREPARED = ("good", "held_out")
"""What prepared images are called in the work folder."""


def work_folder(out: Path) -> Path:
    """Say where the state of a training lies until its bundle is complete."""
    return out.with_name(f"{out.name}.training")


def train_bundle(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Bundle:
    """Train, export, prove, calibrate and save; or go on where the same command was interrupted.

    Args:
        recipe: what to train; every "auto" of ``[prepare]`` is decided from the good images.
        data: a folder or table of images; the good ones of split ``train`` are used, and for a method that learns
            defects those with a mask (see ``data.samples.labelled``).
        out: the bundle's folder.
        minutes: wall-clock budget instead of the recipe's.
        epochs: instead of the recipe's.
        seed: instead of the recipe's.
        resume: go on from the state beside ``out`` where there is one; False begins anew.
        overwrite: replace what is at ``out``, once the new bundle is complete.
        progress: who watches.
        now: the time that the card records.

    Raises:
        OutputExistsError: something is at ``out`` and ``overwrite`` is False.
        RecipeError: there is no such method, it has no such option, or its graph gives no such score.
        UsageError: an impossible budget or seed, or another training works in the same folder.
        DataError: there are fewer than two good images, or one cannot be read.
        TrainingError: training diverged, the state beside ``out`` is another training's, or graph and network differ.
        LimitError: no limit can be chosen from the held-out scores.
        DiskError: writing failed.
        Stopped: Ctrl-C or SIGTERM; the state is on disk.
    """
    progress = progress if progress is not None and is_first() else Silent()
    _refuse_existing(out, overwrite=overwrite)
    recipe = _with_budget(recipe, minutes=minutes, epochs=epochs, seed=seed)
    check_method(recipe.method.name, recipe.method.options)
    keep_large_buffers()
    work = new_folder(work_folder(out), overwrite=True)
    with _alone_in(work):
        images = _load(recipe, data, work, progress=progress)
        _check_judged(images)
        fitted = fit(
            images.recipe, images.good, images.held_out, work=work, data=images.hash, progress=progress, resume=resume
        )
        if fitted.fabric.is_global_zero:
            _finish(images, fitted, out, overwrite=overwrite, progress=progress, created=now())
            _clear(work)
        fitted.fabric.barrier()
    return load_bundle(out)


@dataclass(frozen=True)
class _Images:
    """What is learned from, read once.

    Attributes:
        recipe: with every "auto" decided.
        set: all that was found.
        good: prepared, to learn from.
        held_out: prepared, held out.
        hash: of the content of both.
        aligned: how they were aligned.
        matching: what their histograms were matched to.
        choices: of what was decided about their pixels, for the card.
        learned: the table of the images behind both, where a method learns defects or cells; None elsewhere.
        cells: the same where a method learns cells; None elsewhere.
    """

    recipe: Recipe
    set: SampleSet
    good: PreparedSet
    held_out: PreparedSet
    hash: str
    aligned: Aligned
    matching: Matching
    choices: Mapping[str, Fact]
    learned: bytes | None = None
    cells: CellImages | None = None


def _load(recipe: Recipe, data: Path, work: Path, *, progress: Progress) -> _Images:
    if learns_cells(recipe.method.name):
        return _of_cells(load_cell_images(recipe, data, progress=progress))
    found = load_samples(data)
    samples = training_samples(found)
    fit_samples, held = split_hold_out(samples, recipe.training.hold_out, seed=recipe.training.seed)
    progress.stage(f"reading {len(samples)} good images, {len(held)} of them held out")
    recipe, cropped = resolve_crop(recipe, fit_samples)
    matching = resolve_matching(recipe, fit_samples, folder=found.root)
    aligned = resolve_align(resolve_prepare(recipe, samples), fit_samples, matcher=matching.matcher)
    recipe = aligned.recipe
    learns = learns_defects(recipe.method.name)
    if learns:
        fit_defects, held_defects = split_defects(found, recipe)
        count = len(fit_defects) + len(held_defects)
        progress.stage(f"reading {count} defects with masks, {len(held_defects)} of them held out")
        fit_samples, held = (*fit_samples, *fit_defects), (*held, *held_defects)
    key = content_hash((*fit_samples, *held) if learns else samples)
    rank = os.environ.get("LOCAL_RANK", "0") if world_size() > 1 else "0"
    sets = [
        prepare_set(
            some,
            recipe,
            file=work / f"{name}-{rank}.npy",
            key=f"{key} {name}",
            progress=progress,
            aligners=aligned.aligners,
            matcher=matching.matcher,
        )
        for name, some in zip(PREPARED, (fit_samples, held), strict=True)
    ]
    choices = {**cropped, **matching.choices, **aligned.choices}
    if not learns:
        return _Images(recipe, found, sets[0], sets[1], key, aligned, matching, choices)
    good, held_out = (with_masks(one, some, recipe) for one, some in zip(sets, (fit_samples, held), strict=True))
    learned = encode_learned(((FIT, fit_samples), (HELD_OUT, held)))
    return _Images(recipe, found, good, held_out, key, aligned, matching, choices, learned)


def _of_cells(read: CellImages) -> _Images:
    return _Images(
        recipe=read.recipe,
        set=read.set,
        good=read.good,
        held_out=read.held_out,
        hash=read.hash,
        aligned=Aligned(read.recipe),
        matching=read.matching,
        choices=read.matching.choices,
        learned=read.learned,
        cells=read,
    )


def _check_judged(images: _Images) -> None:
    """Say before training what calibration would say after it: that the graph does not give a judged score."""
    recipe = images.recipe
    plan = Plan(recipe.prepare.shape, recipe.training, open_fabric("float32", accelerator="cpu", alone=True))
    graph = build_method(recipe.method.name, recipe.method.options, plan).graph()
    with torch.no_grad():
        given = sorted(set(graph(images.good.images(np.arange(1)))) - MAPS)
    for score in recipe.limits.scores:
        if score not in given:
            near = difflib.get_close_matches(score, given, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"limits.scores: the method gives no score {score!r}; {hint}it gives: {', '.join(given)}")


def _finish(
    images: _Images, fitted: Fitted, out: Path, *, overwrite: bool, progress: Progress, created: datetime
) -> None:
    """Export, calibrate and save."""
    progress.stage("exporting the graph and proving it equal to the network")
    pictures = fitted.method.references() if isinstance(fitted.method, Remembers) else None
    remembered = None if pictures is None else len(pictures)
    exported = export(fitted.method.graph(), _some(images, max(BATCHES)), remembered=remembered)
    limits = no_limits(exported) if images.cells else _limits(images, exported, progress=progress)
    extra = {curves.NAME: fitted.curves.read_bytes()} if fitted.curves.is_file() else {}
    if images.aligned.aligners:
        extra[TEMPLATE] = encode_aligners(images.recipe, images.aligned.aligners)
    if images.matching.matcher is not None:
        extra[HISTOGRAMS] = encode_matcher(images.matching.matcher)
    if pictures is not None:
        extra[REFERENCES] = encode_references(pictures)
    if images.learned is not None:
        extra[LEARNED] = images.learned
    if images.cells is not None:
        extra[COUNTING] = choose_counting(images.cells, exported, progress=progress)
    extra |= rejected_files(fitted.method, images.good, images.set, images.recipe)
    save_bundle(
        out,
        graph=exported.graph,
        recipe=images.recipe,
        limits=limits,
        card=_card(images, fitted, exported, limits, name=out.name, created=created),
        extra=extra,
        overwrite=overwrite,
    )


def _some(images: _Images, count: int) -> torch.Tensor:
    """Give prepared images for the proof: held-out ones first."""
    held = images.held_out.images(np.arange(min(count, len(images.held_out))))
    more = images.good.images(np.arange(min(count - len(held), len(images.good))))
    return torch.cat([held, more])


def _limits(images: _Images, exported: Exported, *, progress: Progress) -> LimitsFile:
    """Choose the first limits, from good images that the network did not learn from."""
    goal, value = images.recipe.limits.goal, images.recipe.limits.value
    if goal in LABELLED_GOALS:
        progress.stage(
            f"goal {goal!r} needs labelled defects; until `candling calibrate` sees some, "
            "limits aim at 5 % false rejects"
        )
        goal, value = "false_reject", 0.05
    samples = calibration_samples(images.set, images.recipe, goal=goal)
    level = images.recipe.limits.level
    if level == "run" and not _runs_complete(samples, images.recipe):
        progress.stage(
            "level 'run' needs all runs of every product; until `candling calibrate` sees them, limits are for strips"
        )
        level = "strip"
    progress.stage(f"choosing limits from {len(samples)} good images that were not learned from")
    with open_engine(exported.graph, witness=exported.witness) as engine:
        predictor = Predictor(images.recipe, engine, images.aligned.aligners, images.matching.matcher)
        return calibrate(predictor, samples, goal=goal, value=value, level=level, progress=progress.count)


def _runs_complete(samples: Sequence[Sample], recipe: Recipe) -> bool:
    """Tell whether every product has as many runs as its classification counts."""
    runs = Counter(one.product for one in group_acquisitions(samples, recipe.frames))
    return recipe.strip is not None and set(runs.values()) == {recipe.strip.runs}


def _card(
    images: _Images, fitted: Fitted, exported: Exported, limits: LimitsFile, *, name: str, created: datetime
) -> Card:
    training = images.recipe.training
    precision = {f"precision_{key}": value for key, value in fitted.precision.as_numbers().items()}
    return Card(
        name=name,
        method=images.recipe.method.name,
        created=created,
        candling=__version__,
        versions=versions(),
        hardware=hardware(fitted.fabric.device),
        seeds={"training": training.seed},
        data=DataFacts(
            name=images.set.root.name,
            sha256=images.hash,
            counts={"fit": len(images.good), "held_out": len(images.held_out)},
        ),
        training={
            "epochs": fitted.epochs,
            "updates": fitted.steps,
            "seconds": round(fitted.seconds, 3),
            "ended": fitted.ended,
            "kept_epoch": fitted.kept_epoch,
            "kept_loss": fitted.kept_loss,
            "processes": fitted.fabric.world_size,
            **precision,
        },
        parity=exported.parity.facts(),
        choices={**images.choices, **_choices(fitted.method)},
        witness=dict(exported.witness),
        scores=_score_notes(exported.parity.scales) | _notes(fitted.method),
        precision=limits.precision,
        engine=limits.engine,
    )


def _notes(method: Method) -> dict[str, str]:
    return dict(method.notes()) if isinstance(method, Explains) else {}


def _choices(method: Method) -> Mapping[str, Fact]:
    return method.choices() if isinstance(method, Begins) else {}


def _score_notes(outputs: Iterable[str]) -> dict[str, str]:
    """Say what the scores were computed from, for whoever compares limits of two bundles."""
    notes = {"image": "values divided by prepare.white, or else the largest of the frame's type, clipped to [0, 1]"}
    if any("dissimilarity" in name for name in outputs):
        notes["ssim"] = SSIM_DEFINITION
    return notes


def _with_budget(recipe: Recipe, *, minutes: float | None, epochs: int | None, seed: int | None) -> Recipe:
    given = {"minutes": minutes, "epochs": epochs, "seed": seed}
    update = {name: value for name, value in given.items() if value is not None}
    try:
        training = Training.model_validate({**recipe.training.model_dump(), **update})
    except ValidationError as error:
        raise UsageError(explain(error, Training)) from error
    return recipe.model_copy(update={"training": training})


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Say before hours of training what saving would say after them."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise OutputExistsError(f"{out}: exists already; add --overwrite, or choose another --out")


@contextmanager
def _alone_in(work: Path) -> Iterator[None]:
    """Keep a second training out of the same folder; the kernel frees the lock however the process ends."""
    try:
        import fcntl
    except ImportError:  # not a Unix: two trainings in one folder remain the user's care
        yield
        return
    if not is_first():
        yield
        return
    try:
        lock = (work / "lock").open("w")
    except OSError as error:
        raise DiskError(f"{work}: cannot be written: {error.strerror or error}; choose another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"{work}: another training works here; wait for it, or choose another --out") from error
        try:
            yield
        finally:
            if not (work / checkpoint.NAME).is_file():  # nothing to go on from
                _clear(work)


def _clear(work: Path) -> None:
    """Remove what training wrote; a file of somebody else's keeps its folder."""
    ours = [checkpoint.NAME, curves.NAME, "lock"]
    prepared = [path.name for name in PREPARED for path in work.glob(f"{name}-*.*")]
    for name in (*ours, *prepared):
        (work / name).unlink(missing_ok=True)
    with suppress(OSError):
        work.rmdir()
