"""The one loop: batches, learning rate, checkpoints, stopping; knows no loss, no network and no method by name.

Randomness before each update is a function of (seed, step), the order of the images one of (seed, epoch), and the state
on disk is whole: that is all that an exact resume needs.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from candling.errors import DiskError, TrainingError
from candling.train import checkpoint, curves
from candling.train.method import Batch, Method
from candling.train.progress import Progress, Standing
from candling.train.schedule import Patience, cycles_of, progress_of, rate_at
from candling.train.seeds import FINISH, STEP, VALIDATE, generator_for
from candling.train.stopping import Stopped, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from lightning_fabric import Fabric

    from candling.recipe import Training
    from candling.train.data import PreparedSet

__all__ = ["CHECKPOINT_SECONDS", "Counters", "Loop"]

CHECKPOINT_SECONDS = 30.0
"""The most work, in seconds, that a killed training repeats."""

CHECKPOINT_SHARE = 0.05
"""At most about this share of the time goes into checkpoints, however short the epochs are."""


@dataclass
class Counters:
    """Where the loop is, as numbers that a checkpoint can keep."""

    epoch: int = 0
    epoch_step: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    plateau: Patience = field(default_factory=Patience)
    stopping: Patience = field(default_factory=Patience)
    best_loss: float | None = None
    best_epoch: int = 0
    ended: str = ""

    def as_numbers(self) -> checkpoint.Numbers:
        """Give what a checkpoint keeps."""
        return {**vars(self), "plateau": self.plateau.as_numbers(), "stopping": self.stopping.as_numbers()}

    @classmethod
    def from_numbers(cls, numbers: checkpoint.Numbers) -> Counters:
        """Undo :meth:`as_numbers`."""
        watched = {name: Patience.from_numbers(numbers[name]) for name in ("plateau", "stopping")}
        return cls(**{**numbers, **watched})

    @property
    def means(self) -> dict[str, float]:
        """The mean of each training loss over the running epoch."""
        return {name: total / max(1, self.epoch_step) for name, total in self.sums.items()}


class Loop:
    """One session of a training; lives from ``fit`` to ``fit``."""

    def __init__(
        self,
        training: Training,
        good: PreparedSet,
        held_out: PreparedSet,
        *,
        method: Method,
        fabric: Fabric,
        path: Path,
        labels: checkpoint.Numbers,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self.training = training
        self.good, self.held_out = good, held_out
        self.method, self.fabric, self.progress, self.path = method, fabric, progress, path
        self.at = Counters()
        self.best: checkpoint.Weights | None = None
        self.labels = labels
        self.epoch_steps = good.epoch_steps(self.training.batch_size, world=fabric.world_size)
        self._rates = {name: [g["lr"] for g in o.param_groups] for name, o in method.optimizers.items()}
        self._clock, self._last = clock, clock()
        self._saved_at, self._save_cost, self._warned, self._share = 0.0, 0.0, False, 1.0
        self._pace: deque[tuple[float, int]] = deque(maxlen=20)

    def restore(self) -> None:
        """Put the checkpoint's state into the method and the counters; what was written after it is forgotten."""
        numbers, self.best = checkpoint.load_checkpoint(self.path, self.method)
        self.at = Counters.from_numbers(numbers["counters"])
        self._saved_at = self.at.seconds
        if self.fabric.is_global_zero:
            curves.forget_after(self.path.parent / curves.NAME, self.at.epoch)
            at, of = self.at.epoch + (not self.at.ended), self.training.epochs
            self.progress.stage(
                f"going on from the checkpoint: epoch {at} of {of}, {self.at.seconds:.0f} s trained so far"
            )
        # a budget may have been given anew
        if self.at.ended in ("epochs", "minutes"):
            self.at.ended = ""
        self._end_if_done()

    def run(self, wish: Wish) -> None:
        """Train until the budget is used or nothing improves any more."""
        self._last = self._clock()
        while not self.at.ended:
            self._run_epoch(wish)
        if self.best is not None:
            checkpoint.put_weights(self.method, self.best)

    def _run_epoch(self, wish: Wish) -> None:
        training, fabric = self.training, self.fabric
        batches = self.good.batches(
            self.at.epoch,
            seed=training.seed,
            batch_size=training.batch_size,
            rank=fabric.global_rank,
            world=fabric.world_size,
            start=self.at.epoch_step,
        )
        with closing(batches):
            for images, indices in batches:
                self._update(images, indices)
                done = self.at.epoch_step == self.epoch_steps
                if self._any(self._out_of_time()):
                    self.at.ended = "minutes"
                    break
                if self._any(wish.made) and not done:
                    self._stop()
                if not done and self.at.seconds - self._saved_at > CHECKPOINT_SECONDS:
                    self._try_to_save()
        self._close_epoch()
        if self._any(wish.made) and not self.at.ended:
            self._stop()

    def _update(self, images: torch.Tensor, indices: torch.Tensor) -> None:
        self._set_rates()
        generator = generator_for(self.training.seed, STEP, self.at.step, self.fabric.global_rank)
        try:
            losses = self.method.step(self._batch(images, indices, generator, self.good))
        except RuntimeError as error:
            raise _explained(error, len(images)) from error
        self._check_finite(losses, "loss")
        for name, value in losses.items():
            self.at.sums[name] = self.at.sums.get(name, 0.0) + value
        self.at.epoch_step += 1
        self.at.step += 1
        self._tick(len(images) * self.fabric.world_size)

    def _batch(
        self, images: torch.Tensor, indices: torch.Tensor, generator: torch.Generator, source: PreparedSet
    ) -> Batch:
        masks, boxes = source.masks_of(indices), source.boxes_of(indices)
        return Batch(
            self.fabric.to_device(images),
            self.fabric.to_device(indices),
            generator,
            source.regions_of(indices),
            None if masks is None else self.fabric.to_device(masks),
            None if boxes is None else self.fabric.to_device(boxes),
        )

    def _set_rates(self) -> None:
        used = progress_of(self.training, step=self.at.step, epoch_steps=self.epoch_steps, seconds=self.at.seconds)
        cycles = cycles_of(self.training, step=self.at.step, epoch_steps=self.epoch_steps, images=len(self.good))
        share = rate_at(self.training, progress=used, plateaus=self.at.plateau.plateaus, cycles=cycles)
        for name, optimizer in self.method.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * share
        self._share = share

    def _check_finite(self, losses: Mapping[str, float], what: str) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                where = f"in epoch {self.at.epoch + 1}, update {self.at.step + 1}"
                raise TrainingError(
                    f"the {what} {name!r} became {value} {where}; lower [training] learning_rate "
                    f"(it is {self.training.learning_rate:g}) and train again with --restart "
                    f"(the last good state is kept in {self.path})"
                )

    def _tick(self, images: int) -> None:
        now = self._count_time()
        self._pace.append((now, images))
        if not self.fabric.is_global_zero:
            return
        span = now - self._pace[0][0]
        speed = sum(count for _, count in list(self._pace)[1:]) / span if span > 0 else 0.0
        self.progress.stand(
            Standing(
                epoch=self.at.epoch + 1,
                epochs=self.training.epochs,
                step=self.at.step,
                epoch_step=self.at.epoch_step,
                epoch_steps=self.epoch_steps,
                losses=self.at.means,
                held_out=self.at.held_out,
                rate=self._share,
                images_per_second=speed,
                seconds=self.at.seconds,
                seconds_left=self._seconds_left(),
            )
        )

    def _seconds_left(self) -> float:
        left = self.training.epochs * self.epoch_steps - self.at.step
        by_steps = left * self.at.seconds / max(1, self.at.step)
        if self.training.minutes is None:
            return by_steps
        return max(0.0, min(by_steps, 60.0 * self.training.minutes - self.at.seconds))

    def _out_of_time(self) -> bool:
        return self.training.minutes is not None and self.at.seconds >= 60.0 * self.training.minutes

    def _close_epoch(self) -> None:
        """Judge the epoch on the held-out images, keep its weights if they are the best, decide whether to go on."""
        training = self._mean_over_ranks(self.at.means)
        self.at.held_out = self._mean_over_ranks(self._validate())
        self._check_finite(self.at.held_out, "held-out loss")
        self._count_time()
        watched = self.at.held_out["loss"]
        self.at.plateau = self.at.plateau.after(watched, patience=self.training.plateau_patience)
        if self.training.stop_patience is not None:
            self.at.stopping = self.at.stopping.after(watched, patience=self.training.stop_patience - 1)
        self.at.epoch += 1
        self.at.epoch_step, self.at.sums = 0, {}
        self._write_row(training)
        self._keep_best({"validation": watched, "training": training["loss"]}.get(self.training.keep))
        self._end_if_done()
        pause = min(self._save_cost / CHECKPOINT_SHARE, CHECKPOINT_SECONDS)
        if self.at.ended:
            self._save()
        elif self.at.seconds - self._saved_at >= pause:
            self._try_to_save()

    def _keep_best(self, loss: float | None) -> None:
        if loss is None:
            self.at.best_epoch = self.at.epoch
        elif self.at.best_loss is None or loss < self.at.best_loss:
            self.at.best_loss, self.at.best_epoch = loss, self.at.epoch
            self.best = checkpoint.network_weights(self.method)

    def _end_if_done(self) -> None:
        if self.at.ended:
            return
        if self.at.stopping.plateaus:
            self.at.ended = "no improvement"
        elif self.at.epoch >= self.training.epochs:
            self.at.ended = "epochs"
        elif self._any(self._out_of_time()):
            self.at.ended = "minutes"

    def _validate(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for number, (images, indices) in enumerate(self.held_out.in_order(self.training.batch_size)):
            # the same noise in every epoch, so that epochs can be compared
            generator = generator_for(self.training.seed, VALIDATE, number)
            batch = self._batch(images, indices, generator, self.held_out)
            for name, value in self.method.validate(batch).items():
                sums[name] = sums.get(name, 0.0) + value * len(images)
        return {name: total / len(self.held_out) for name, total in sums.items()}

    def in_order(self) -> Iterable[Batch]:
        """Give every good image once, for a method's ``finish``, which may walk through them again."""
        return _InOrder(self, self.good)

    def held_out_in_order(self) -> Iterable[Batch]:
        """Give every held-out good image once, for a method that begins by looking at them."""
        return _InOrder(self, self.held_out)

    def _write_row(self, training: Mapping[str, float]) -> None:
        row: dict[str, float] = {
            "epoch": self.at.epoch,
            "step": self.at.step,
            "seconds": self.at.seconds,
            "rate": self._share,
        }
        row |= {f"training_{name}": value for name, value in training.items()}
        row |= {f"held_out_{name}": value for name, value in self.at.held_out.items()}
        if self.fabric.is_global_zero:
            try:
                curves.append_row(self.path.parent / curves.NAME, row)
            except DiskError as error:
                self._warn(error)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            began = self._clock()
            numbers = {**self.labels, "counters": self.at.as_numbers()}
            checkpoint.save_checkpoint(self.path, self.method, numbers, best=self.best)
            self._save_cost = self._clock() - began
        self._saved_at = self.at.seconds

    def _try_to_save(self) -> None:
        """Save, or warn once and go on: a full disk may have room again before training ends."""
        try:
            self._save()
        except DiskError as error:
            self._saved_at = self.at.seconds
            self._warn(error)

    def _warn(self, error: DiskError) -> None:
        if not self._warned:
            self.progress.stage(f"{error}; training goes on, but could not be resumed from here")
        self._warned = True

    def _stop(self) -> None:
        self._save()
        raise Stopped(
            f"training stopped in epoch {self.at.epoch + 1} of {self.training.epochs} after {self.at.step} updates; "
            "the same command goes on from here"
        )

    def _any(self, mine: bool) -> bool:  # noqa: FBT001 - the one value it reduces
        """Tell whether a thing is so on any rank: all must leave the loop together."""
        if self.fabric.world_size == 1:
            return mine
        flag = self.fabric.all_reduce(torch.tensor(float(mine), device=self.fabric.device), reduce_op="sum")
        return bool(flag > 0)

    def _mean_over_ranks(self, losses: Mapping[str, float]) -> dict[str, float]:
        if self.fabric.world_size == 1:
            return dict(losses)
        mine = torch.tensor(list(losses.values()), dtype=torch.float64, device=self.fabric.device)
        means = self.fabric.all_reduce(mine, reduce_op="mean").tolist()
        return dict(zip(losses, means, strict=True))

    def _count_time(self) -> float:
        now = self._clock()
        self.at.seconds += now - self._last
        self._last = now
        return now


@dataclass(frozen=True)
class _InOrder:
    """Every image of a set in order; each walk begins anew and repeats the same numbers."""

    loop: Loop
    images: PreparedSet
    most: int | None = None

    def thinned(self, most: int) -> _InOrder:
        """Give ``most`` of the images, always the same."""
        return replace(self, most=most)

    def __iter__(self) -> Iterator[Batch]:
        loop, training = self.loop, self.loop.training
        for number, (images, indices) in enumerate(self.images.in_order(training.batch_size, most=self.most)):
            generator = generator_for(training.seed, FINISH, number)
            yield loop._batch(images, indices, generator, self.images)  # noqa: SLF001 - its own


def _explained(error: RuntimeError, images: int) -> Exception:
    """Name the remedy where memory ran out; other failures are the method's own."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return TrainingError(f"memory does not suffice for a batch of {images} images; lower [training] batch_size")
    return error
