"""The opponent of a generator: a discriminator, its training, and the features it lends; knows no generator.

It learns to tell good images from redrawn ones; the generator learns to give it the same features (Akcay et al. 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.train.residual import Layout, encoder, inner_shape
from candling.train.updates import set_up, update

if TYPE_CHECKING:
    from candling.train.method import Plan

__all__ = ["BETAS", "LONGEST", "Adversary", "Discriminator", "judging_loss", "matching_loss"]

BETAS = (0.5, 0.999)
"""Adam's memories for both opponents (Radford et al. 2016)."""

LONGEST = 1.0
"""Gradients of both opponents are shortened to this norm."""


class Discriminator(nn.Module):
    """A residual encoder, and a dense layer that says how real its picture looks."""

    def __init__(self, shape: tuple[int, int, int], layout: Layout) -> None:
        super().__init__()
        channels, height, width = inner_shape(shape, layout)
        self.features = encoder(shape[0], layout)
        self.verdict = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give a logit, float32 (N,), above 0 for real, and the last convolution's maps, float32 (N, n, h, w)."""
        maps = self.features(image)
        return self.verdict(maps).flatten().float(), maps.float()


def judging_loss(real: Tensor, redrawn: Tensor) -> Tensor:
    """Average the cross-entropies of logits (N,) of real and of redrawn pictures; log 2 where it cannot tell."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(redrawn).mean())


def matching_loss(real: Tensor, redrawn: Tensor) -> Tensor:
    """Average the squared difference of two feature maps of one shape."""
    return (real.detach() - redrawn).square().mean()


class Adversary:
    """A discriminator and its optimiser.

    Attributes:
        network: as ``fabric.setup`` returned it.
        optimizer: its Adam.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._fabric = plan.fabric
        self._discriminator = Discriminator(plan.shape, layout)
        self.network, self.optimizer = set_up(plan.fabric, self._discriminator, plan.training, betas=BETAS)

    def learn(self, real: Tensor, redrawn: Tensor) -> Tensor:
        """Take one step towards telling good images from redrawn ones; both float32 (N, C, H, W) in [0, 1].

        Returns:
            the loss, a scalar without gradient.
        """
        self.network.train()
        loss = judging_loss(self.network(real)[0], self.network(redrawn.detach())[0])
        update(self._fabric, self.optimizer, {"loss": loss}, longest=LONGEST)
        return loss.detach()

    def match(self, real: Tensor, redrawn: Tensor) -> Tensor:
        """Measure how its features of redrawn images differ from those of the real ones; only ``redrawn`` learns."""
        # the bare module: a distributed wrapper would wait for gradients of weights that get none here
        discriminator = self._discriminator.requires_grad_(requires_grad=False)
        with self._fabric.autocast():
            with torch.no_grad():
                wanted = discriminator(real)[1]
            matched = matching_loss(wanted, discriminator(redrawn)[1])
        discriminator.requires_grad_(requires_grad=True)
        return matched

    @torch.no_grad()
    def measure(self, real: Tensor, redrawn: Tensor) -> tuple[Tensor, Tensor]:
        """Give the losses of :meth:`learn` and :meth:`match` without learning."""
        self.network.eval()
        (seen, wanted), (drawn, given) = self.network(real), self.network(redrawn)
        return judging_loss(seen, drawn), matching_loss(wanted, given)
