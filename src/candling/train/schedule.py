"""How the learning rate falls and when training ends, as arithmetic; knows no optimiser, no clock and no network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from candling.recipe import Training

__all__ = ["Patience", "cycles_of", "progress_of", "rate_at"]


def progress_of(training: Training, *, step: int, epoch_steps: int, seconds: float) -> float:
    """Say how much of the budget is used, in [0, 1]: updates or minutes, whichever is further.

    Without ``minutes`` it depends on the step alone, so that a resumed training repeats the same rates.
    """
    used = step / (training.epochs * epoch_steps)
    if training.minutes is not None:
        used = max(used, seconds / (60.0 * training.minutes))
    return min(used, 1.0)


def cycles_of(training: Training, *, step: int, epoch_steps: int, images: int) -> float:
    """Say how many cosines of ``schedule = "restarts"`` lie behind, with the share of the running one.

    Args:
        training: its ``restart_unit`` and ``restart_every`` are read.
        step: updates made.
        epoch_steps: updates of one epoch.
        images: good images to train on, which one epoch shows once.
    """
    every = images if training.restart_every is None else training.restart_every
    if training.restart_unit == "steps":
        return step / every
    return (step * images) / (epoch_steps * every)  # one division: a whole epoch is a whole cycle, not just under it


def rate_at(training: Training, *, progress: float, plateaus: int, cycles: float = 0.0) -> float:
    """Give the share of the starting learning rate to use, in [0, 1].

    Args:
        training: says how the rate falls.
        progress: of the budget, see :func:`progress_of`.
        plateaus: met so far.
        cycles: cosines so far, see :func:`cycles_of`.
    """
    if training.schedule == "restarts":
        # Loshchilov and Hutter 2017, eq. 5, cycles of one length; each starts at a share of the last one's start
        start = training.restart_factor ** math.floor(cycles)
        return start * 0.5 * (1.0 + math.cos(math.pi * (cycles % 1.0)))
    if training.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if training.schedule == "plateau":
        return training.plateau_factor**plateaus
    return 1.0


@dataclass(frozen=True)
class Patience:
    """Watch one loss, epoch by epoch, and count how long it has not become better.

    Better means lower by more than one part in ten thousand, as in PyTorch's ``ReduceLROnPlateau``.

    Attributes:
        best: the best value so far.
        waited: epochs since it was reached, or since the last plateau.
        plateaus: how often the patience ran out.
    """

    best: float = math.inf
    waited: int = 0
    plateaus: int = 0

    def after(self, value: float, *, patience: int) -> Patience:
        """Give the state after one more epoch; a plateau is met when more than ``patience`` epochs were no better."""
        if math.isinf(self.best) or value < self.best - 1e-4 * abs(self.best):
            return replace(self, best=value, waited=0)
        if self.waited + 1 > patience:
            return replace(self, waited=0, plateaus=self.plateaus + 1)
        return replace(self, waited=self.waited + 1)

    def as_numbers(self) -> dict[str, float | None]:
        """Give what a checkpoint keeps; JSON knows no infinity."""
        return {**asdict(self), "best": None if math.isinf(self.best) else self.best}

    @classmethod
    def from_numbers(cls, numbers: dict[str, float | None]) -> Patience:
        """Undo :meth:`as_numbers`."""
        best = numbers["best"]
        return cls(math.inf if best is None else best, int(numbers["waited"] or 0), int(numbers["plateaus"] or 0))
