"""Train a method: from the beginning, or on from where an interrupted training stood; the loop itself is ``loop.py``.

A training that was killed at any moment goes on from its last checkpoint and ends with the very same weights as one
that was left alone (on one processor, with one number of threads). Only a ``minutes`` budget measures real time, and so
ends at another update each time. This file knows no loss, no network and no method by name.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.errors import TrainingError
from candling.train import checkpoint, curves
from candling.train.devices import is_first, open_fabric
from candling.train.loop import Loop
from candling.train.method import Begins, Method, Plan, build_method
from candling.train.precision import Builder, PrecisionChoice, choose_precision
from candling.train.progress import Progress, Silent
from candling.train.seeds import START, generator_for
from candling.train.stopping import listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lightning_fabric import Fabric

    from candling.recipe import Recipe
    from candling.train.data import PreparedSet

__all__ = ["Fitted", "fit", "training_key"]


@dataclass(frozen=True)
class Fitted:
    """What the loop gives back.

    Attributes:
        method: with the weights of the epoch to keep, finished.
        precision: which was used, and why.
        epochs: complete epochs, and the begun one when ``minutes`` ended training inside it.
        steps: updates.
        seconds: spent in the loop, over all sessions.
        ended: why: ``"epochs"``, ``"minutes"``, ``"no improvement"`` or ``"nothing to update"``.
        kept_epoch: the epoch whose weights are kept.
        kept_loss: the loss they were kept for; None where the last ones are kept.
        curves: the table of the losses.
        fabric: the processes and the device that trained.
    """

    method: Method
    precision: PrecisionChoice
    epochs: int
    steps: int
    seconds: float
    ended: str
    kept_epoch: int
    kept_loss: float | None
    curves: Path
    fabric: Fabric


def training_key(recipe: Recipe, data: str) -> str:
    """Hash what a checkpoint depends on: the images, their preparation, the method, and the training's settings.

    The budget (``epochs``, ``minutes``) is left out: an interrupted training may be given more or less of it.
    """
    shape = recipe.model_dump(mode="json", include={"prepare", "regions", "method", "training"})
    del shape["training"]["epochs"], shape["training"]["minutes"]
    return hashlib.sha256(json.dumps([shape, data], sort_keys=True).encode()).hexdigest()


def fit(
    recipe: Recipe,
    good: PreparedSet,
    held_out: PreparedSet,
    *,
    work: Path,
    data: str,
    progress: Progress | None = None,
    resume: bool = True,
    build: Builder = build_method,
    accelerator: str = "auto",
    clock: Callable[[], float] = time.monotonic,
) -> Fitted:
    """Train a method, from the beginning or from the checkpoint in ``work``.

    Args:
        recipe: with a resolved ``[prepare]``.
        good: the images to learn from.
        held_out: good images for the schedule, for stopping, and for choosing the weights to keep.
        work: an existing folder for the checkpoint and the curves.
        data: hash of the images; a checkpoint of other images is refused.
        progress: who watches.
        resume: go on from a checkpoint in ``work``; False begins anew and replaces it.
        build: makes the method.
        accelerator: as Lightning Fabric names them.
        clock: seconds, never going back.

    Raises:
        TrainingError: the loss is no longer a number, memory does not suffice, or the checkpoint belongs elsewhere.
        DiskError: the final state cannot be written (a checkpoint on the way only warns).
        Stopped: Ctrl-C or SIGTERM; the state is on disk.
    """
    progress = progress if progress is not None and is_first() else Silent()
    path = work / checkpoint.NAME
    key = training_key(recipe, data)
    stored = _stored(path, key) if resume and path.is_file() else None
    if stored is not None:
        precision = PrecisionChoice(**stored["precision"])
    else:
        precision = choose_precision(recipe, good, build=build, progress=progress, accelerator=accelerator)
    fabric = open_fabric(precision.chosen, accelerator=accelerator)
    generator_for(recipe.training.seed, START)
    method = build(recipe.method.name, recipe.method.options, Plan(recipe.prepare.shape, recipe.training, fabric))
    labels = {"key": key, "precision": precision.as_numbers()}
    loop = Loop(
        recipe.training,
        good,
        held_out,
        method=method,
        fabric=fabric,
        path=path,
        labels=labels,
        progress=progress,
        clock=clock,
    )
    if isinstance(method, Begins):
        method.begin(loop.in_order(), loop.held_out_in_order(), progress)
    if stored is not None and method.optimizers:
        loop.restore()
    elif fabric.is_global_zero:
        curves.forget_after(work / curves.NAME, 0)
    with listening() as wish:
        if method.optimizers:
            loop.run(wish)
    progress.stage("finishing the method on the good images")
    method.finish(loop.in_order())
    return _fitted(loop, precision)


def _fitted(loop: Loop, precision: PrecisionChoice) -> Fitted:
    return Fitted(
        method=loop.method,
        precision=precision,
        epochs=loop.at.epoch,
        steps=loop.at.step,
        seconds=loop.at.seconds,
        ended=loop.at.ended or "nothing to update",
        kept_epoch=loop.at.best_epoch,
        kept_loss=loop.at.best_loss,
        curves=loop.path.parent / curves.NAME,
        fabric=loop.fabric,
    )


def _stored(path: Path, key: str) -> checkpoint.Numbers:
    numbers = checkpoint.read_numbers(path)
    if numbers["key"] != key:
        raise TrainingError(
            f"{path.parent}: holds the training of another recipe or of other images; "
            "add --restart to begin anew, or choose another --out"
        )
    return numbers
