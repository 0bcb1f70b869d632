"""The facts of updates.py: the optimiser a recipe asks for, and one step down the gradient."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from candling.recipe import Training
from candling.train.updates import numbers, set_up, update


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def test_the_network_is_placed_channels_last_with_adam():
    """Weights of convolutions lie channels last, and Adam holds the recipe's rate and weight decay."""
    network = nn.Conv2d(3, 4, 3)
    wrapped, optimizer = set_up(fabric(), network, Training(learning_rate=0.02, weight_decay=0.1))
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert optimizer.param_groups[0]["lr"] == 0.02
    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert next(wrapped.parameters()) is network.weight


def test_the_fused_optimiser_is_plain_adam():
    """After ten updates the weights are those of torch's own loop-based Adam with the same decay, to rounding."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    wrapped, optimizer = set_up(fabric(), ours, Training(learning_rate=0.01, weight_decay=0.05))
    plain = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=0.05, fused=False, foreach=False)
    for _ in range(10):
        inputs = torch.randn(4, 5)
        update(fabric(), optimizer, {"loss": wrapped(inputs).square().mean()})
        plain.zero_grad()
        theirs(inputs).square().mean().backward()
        plain.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_only_the_loss_moves_the_weights():
    """Other named values are reported, not descended; every one comes back as a plain number."""
    layer = nn.Linear(1, 1)
    wrapped, optimizer = set_up(fabric(), layer, Training())
    before = layer.bias.item()
    out = wrapped(torch.ones(1, 1)).sum()
    named = update(fabric(), optimizer, {"loss": 0.0 * out, "part": out})
    assert named == {"loss": 0.0, "part": pytest.approx(out.item())}
    assert layer.bias.item() == before
    assert all(type(value) is float for value in numbers({"a": out}).values())


def test_a_long_gradient_is_shortened():
    """A gradient of norm 5 is brought to norm 1 in its direction; a short one stays."""
    for scale, norm in ((1.0, 1.0), (0.1, 0.5)):
        layer = nn.Linear(2, 1, bias=False)
        wrapped, optimizer = set_up(fabric(), layer, Training())
        out = wrapped(scale * torch.tensor([[3.0, 4.0]])).sum()
        update(fabric(), optimizer, {"loss": out}, longest=1.0)
        assert layer.weight.grad is not None
        assert layer.weight.grad.norm().item() == pytest.approx(norm, rel=1e-4)


def test_adam_takes_other_memories():
    """Both betas reach the optimiser."""
    _, optimizer = set_up(fabric(), nn.Linear(2, 1), Training(), betas=(0.5, 0.99))
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.99)
