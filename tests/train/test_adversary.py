"""The facts of adversary.py: what the opponent learns, what it lends, and that lending teaches it nothing."""

from __future__ import annotations

import math

import pytest
import torch
from lightning_fabric import Fabric

from candling.recipe import Training
from candling.train.adversary import Adversary, judging_loss, matching_loss
from candling.train.method import Plan
from candling.train.residual import Layout

SHAPE = (1, 32, 32)


def adversary(precision: str = "32-true") -> Adversary:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    return Adversary(
        Plan(SHAPE, Training(learning_rate=5e-3), fabric), Layout((4, 8), blocks=2, convolutions=2, stem=2)
    )


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, and noise of another brightness."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand((6, *SHAPE), generator=generator), 0.3 * torch.rand((6, *SHAPE), generator=generator)


def test_the_losses_are_worked_out_by_hand():
    """A logit of 0 costs log 2; sure and right costs next to nothing, sure and wrong as much as its logit."""
    zero, sure = torch.zeros(3), torch.full((3,), 20.0)
    assert float(judging_loss(zero, zero)) == pytest.approx(math.log(2))
    assert float(judging_loss(sure, -sure)) == pytest.approx(0.0, abs=1e-6)
    assert float(judging_loss(-sure, sure)) == pytest.approx(20.0)
    assert float(matching_loss(torch.ones(2, 3), torch.zeros(2, 3))) == 1.0


def test_it_learns_to_tell_real_from_redrawn():
    """Its loss falls clearly below that of guessing."""
    opponent = adversary()
    losses = [float(opponent.learn(*pictures())) for _ in range(30)]
    assert losses[-1] < 0.3 * losses[0]
    assert float(opponent.measure(*pictures())[0]) < math.log(2)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_only_the_redrawn_images_learn_from_its_features(precision):
    """The generator gets a gradient through the features; the opponent's weights get none and stay trainable."""
    opponent = adversary(precision)
    real, redrawn = pictures()
    redrawn.requires_grad_()
    opponent.match(real, redrawn).backward()
    assert redrawn.grad is not None
    assert float(redrawn.grad.abs().sum()) > 0.0
    assert all(weight.grad is None and weight.requires_grad for weight in opponent.network.parameters())


def test_it_does_not_teach_the_generator_while_it_learns():
    """Its own step leaves what is redrawn without a gradient."""
    real, redrawn = pictures()
    redrawn.requires_grad_()
    adversary().learn(real, redrawn)
    assert redrawn.grad is None
