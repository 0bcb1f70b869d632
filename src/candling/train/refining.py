"""A training set that cleans itself: which good images count, and how much; knows no network and no method.

After Beggel, Pfeiffer and Bischl 2019. Training has three parts, as shares of its epochs: all images count alike; then
round by round a one-class machine looks at the latents, and what lies outside counts no more; at last the rejected
images that are redrawn worst count against the network, which unlearns them. No label is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import TrainingError
from candling.train.one_class import fit_one_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from candling.train.facts import Fact

__all__ = ["Looked", "RefineOptions", "Refining", "weighted"]

MOST_REJECTED = 0.5
"""A refinement that rejects a larger share of the good images has found no outsiders, but two kinds of good ones."""

Looked = tuple[Tensor, Tensor]
"""Of all good images in order: latents float32 (N, d) and reconstruction errors float32 (N,)."""


class RefineOptions(BaseModel):
    """The recipe's ``[method.refine]``.

    Attributes:
        rounds: how often images are rejected; 0 trains on all good images alike. Published: 10.
        pretraining: share of ``training.epochs`` before the first round.
        retraining: share of them after the last round, in which some rejected images count against the network.
        outside: share of the counting images that a round rejects, the outermost ones. Published: 0.02; smaller for
            uniform images.
        percentile: of the rejected images' errors; those redrawn worse count against the network. Published: 0.8.
        negative_weight: with which they count. The publication does not say; 0 takes them out like the others.
        clip: an image that counts against the network does so until its error is so many times that percentile.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    rounds: int = Field(default=0, ge=0, le=100)
    pretraining: float = Field(default=0.2, ge=0, lt=1)
    retraining: float = Field(default=0.4, ge=0, lt=1)
    outside: float = Field(default=0.02, gt=0, lt=1)
    percentile: float = Field(default=0.8, ge=0, le=1)
    negative_weight: float = Field(default=-0.1, ge=-10, le=0)
    clip: float = Field(default=2.0, ge=1)

    @model_validator(mode="after")
    def _rounds_have_time(self) -> RefineOptions:
        if self.pretraining + self.retraining >= 1.0:
            raise ValueError(
                f"pretraining {self.pretraining} and retraining {self.retraining} leave no time for the rounds; "
                "their sum must stay below 1"
            )
        return self


class Refining(nn.Module):
    """The weights of all good images; part of a checkpoint.

    Attributes:
        weights: float32 (N,), 1 for an image that counts, 0 for one that is rejected, below 0 for one to unlearn.
        ceiling: float32 (), the error at which an image of a weight below 0 counts no further.
        seen: int64 (), how many images all updates together have seen.
        done: int64 (), how many of the rounds and the retraining have begun.
    """

    weights: Tensor
    ceiling: Tensor
    seen: Tensor
    done: Tensor

    def __init__(self, count: int, options: RefineOptions, *, epochs: int) -> None:
        """Begin with ``count`` good images that all count; ``epochs`` is what the shares are of."""
        super().__init__()
        self.options = options
        self.register_buffer("weights", torch.ones(count))
        self.register_buffer("ceiling", torch.tensor(1.0))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))
        span = 1.0 - options.pretraining - options.retraining
        begins = [options.pretraining + span * number / max(1, options.rounds) for number in range(options.rounds)]
        self._turns = [share * epochs for share in (*begins, 1.0 - options.retraining)] if options.rounds else []

    def after(self, images: int, look: Callable[[], Looked]) -> None:
        """Note that an update has seen ``images``; where a part of the training ends, look and weigh anew.

        Raises:
            TrainingError: less than half of the images would be left.
        """
        if not len(self.weights):  # nobody has counted the images: a trial of precision
            return
        self.seen += images
        while int(self.done) < len(self._turns) and int(self.seen) >= self._next_turn():
            latents, errors = look()
            if int(self.done) < self.options.rounds:
                self._reject(latents)
            else:
                self._unlearn(errors)
            self.done += 1

    def _next_turn(self) -> int:
        return round(self._turns[int(self.done)] * len(self.weights))

    @property
    def rejected(self) -> NDArray[np.int64]:
        """Number the images that do not count, int64 (K,), in order."""
        return np.flatnonzero(self.weights.cpu().numpy() <= 0.0)

    def facts(self) -> dict[str, Fact]:
        """Give the lines of a card; none where all images count alike."""
        if not self.options.rounds:
            return {}
        return {
            "refinement rounds": min(int(self.done), self.options.rounds),
            "refinement rejected": int((self.weights <= 0.0).sum()),
            "refinement unlearned": int((self.weights < 0.0).sum()),
        }

    @torch.no_grad()
    def _reject(self, latents: Tensor) -> None:
        """Take out what lies outside of the images that still count."""
        points = latents.double().cpu().numpy()
        (counting,) = np.nonzero(self.weights.cpu().numpy() > 0.0)
        machine = fit_one_class(points[counting], self.options.outside)
        # with a Gaussian kernel many points lie on the border itself, where rounding would decide: take the outermost
        outermost = np.argsort(machine.decision(points[counting]), kind="stable")
        out = counting[outermost[: round(self.options.outside * len(counting))]]
        left, count = len(counting) - len(out), len(self.weights)
        if left < (1.0 - MOST_REJECTED) * count:
            raise TrainingError(
                f"refinement round {int(self.done) + 1} would leave {left} of {count} good images, less than half; "
                "lower method.refine.outside or method.refine.rounds, or add images"
            )
        self.weights[torch.from_numpy(out).to(self.weights.device)] = 0.0

    @torch.no_grad()
    def _unlearn(self, errors: Tensor) -> None:
        """Let the rejected images that are redrawn worst count against the network."""
        out = self.weights <= 0.0
        if not bool(out.any()):
            return
        limit = torch.quantile(errors[out].float(), self.options.percentile)
        self.weights[out & (errors.to(self.weights) > limit)] = self.options.negative_weight
        self.ceiling.copy_(self.options.clip * limit.clamp(min=torch.finfo(torch.float32).tiny))


def weighted(losses: Tensor, weights: Tensor, ceiling: Tensor) -> Tensor:
    """Average losses (N,) under weights (N,): Beggel et al. 2019, eq. 3, those of a weight below 0 up to ``ceiling``.

    >>> weighted(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 0.0, -0.5]), torch.tensor(4.0)).item()
    -0.3333333432674408
    """
    counted = torch.where(weights < 0.0, torch.minimum(losses, ceiling), losses)
    return (weights * counted).sum() / len(losses)
