"""What training tells whoever watches it: stages, counts, and where the loop stands; draws nothing itself.

The command line draws a bar from it, a service would fill a page; the loop knows neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Progress", "Silent", "Standing"]


@dataclass(frozen=True)
class Standing:
    """Where the loop stands after one update.

    Attributes:
        epoch: the running epoch, from 1.
        epochs: the most there can be.
        step: updates made in all.
        epoch_step: updates made in this epoch.
        epoch_steps: updates an epoch has.
        losses: mean of each training loss over this epoch so far; ``"loss"`` is the watched one.
        held_out: losses on the held-out good images after the last complete epoch; empty before.
        rate: share of the starting learning rate that is in use, in [0, 1].
        images_per_second: over the last updates.
        seconds: trained so far, earlier sessions included.
        seconds_left: estimate until ``epochs`` or the ``minutes`` are reached, whichever comes first.
    """

    epoch: int
    epochs: int
    step: int
    epoch_step: int
    epoch_steps: int
    losses: Mapping[str, float] = field(default_factory=dict)
    held_out: Mapping[str, float] = field(default_factory=dict)
    rate: float = 1.0
    images_per_second: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0


class Progress(Protocol):
    """Who watches. In a distributed run only the first process tells."""

    def stage(self, sentence: str) -> None:
        """Hear in one line what begins, or a decision that was taken."""
        ...

    def count(self, done: int, total: int) -> None:
        """Hear how far the stage has come, in images."""
        ...

    def stand(self, standing: Standing) -> None:
        """Hear where the loop stands; called after each update."""
        ...


class Silent:
    """Watch nothing."""

    def stage(self, sentence: str) -> None:
        """Ignore a stage."""

    def count(self, done: int, total: int) -> None:
        """Ignore a count."""

    def stand(self, standing: Standing) -> None:
        """Ignore where the loop stands."""
