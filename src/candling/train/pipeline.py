"""From a folder of good images to a bundle: the order of the steps, and nothing of how each is done.

The state of a training lies in ``<out>.training`` beside the bundle until the bundle is complete; the same command goes
on from there. What was at ``out`` before stays until the new bundle takes its place, whole.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import ValidationError

from candling.disk import new_folder
from candling.errors import DiskError, OutputExistsError, RecipeError, UsageError
from candling.recipe import Recipe, Training, explain
from candling.runtime.bundle import Bundle, load_bundle
from candling.train import checkpoint, curves
from candling.train.allocator import keep_large_buffers
from candling.train.devices import is_first, open_fabric
from candling.train.finishing import finish_bundle
from candling.train.fit import fit
from candling.train.gathering import PREPARED, Images, gather_images
from candling.train.method import (
    Plan,
    build_method,
    check_method,
)
from candling.train.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


__all__ = ["train_bundle", "work_folder"]

MAPS = {"anomaly_map", "reconstruction", "nearest", "cells", "density", "boxes", "labels", "confidences"}
"""Outputs that are no scores."""


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
        images = gather_images(recipe, data, work, progress=progress)
        _check_judged(images)
        fitted = fit(
            images.recipe, images.good, images.held_out, work=work, data=images.hash, progress=progress, resume=resume
        )
        if fitted.fabric.is_global_zero:
            finish_bundle(images, fitted, out, overwrite=overwrite, progress=progress, created=now())
            _clear(work)
        fitted.fabric.barrier()
    return load_bundle(out)


def _check_judged(images: Images) -> None:
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
