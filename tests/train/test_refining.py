"""The facts of refining.py: when images are rejected, which, what counts against the network, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.errors import RecipeError, TrainingError
from candling.train.method import check_method
from candling.train.refining import RefineOptions, Refining, weighted

COUNT = 200


def looked(strange: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of which the last ``strange`` lie far out and are redrawn badly."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(COUNT, 2, generator=generator)
    errors = torch.rand(COUNT, generator=generator)
    if strange:
        latents[-strange:] += 12.0
        errors[-strange:] += 3.0
    return latents, errors


def run(options: RefineOptions, *, epochs: int = 100, look=looked) -> tuple[Refining, list[tuple[int, int, int]]]:
    """Give (epoch, rejected, unlearned) wherever the weights changed."""
    refining = Refining(COUNT, options, epochs=epochs)
    changes = []
    for epoch in range(epochs):
        before = refining.weights.clone()
        refining.after(COUNT, look)
        if not torch.equal(before, refining.weights):
            changes.append((epoch + 1, int((refining.weights <= 0).sum()), int((refining.weights < 0).sum())))
    return refining, changes


def test_rounds_and_retraining_come_when_their_share_of_the_epochs_is_done():
    """With the published shares of 2000 epochs in all: rounds at 20, 24, ... 56, retraining at 60 of 100 epochs."""
    refining, changes = run(RefineOptions(rounds=10, outside=0.03))
    assert changes[0][0] == 20
    assert changes[-1][0] == 60
    assert {epoch for epoch, _, _ in changes} <= {*range(20, 60, 4), 60}
    assert int(refining.done) == 11
    assert refining.facts()["refinement rounds"] == 10


def test_what_lies_far_out_is_rejected_and_the_worst_unlearned():
    """The strange images do not count after the rounds; the fifth of the rejected that is redrawn worst counts."""
    refining, _ = run(RefineOptions(rounds=3, outside=0.05))
    rejected = refining.rejected
    assert set(range(COUNT - 6, COUNT)) <= set(rejected.tolist())
    assert len(rejected) <= 0.2 * COUNT
    unlearned = np.flatnonzero(refining.weights.numpy() < 0)
    assert 0 < len(unlearned) <= 0.2 * len(rejected) + 1
    assert set(unlearned.tolist()) <= set(range(COUNT - 6, COUNT))
    assert refining.weights[unlearned].unique().tolist() == pytest.approx([-0.1])


def test_without_rounds_all_count():
    """Off by default: nothing is looked at, nothing is told."""
    refining, changes = run(RefineOptions(), look=None)
    assert changes == []
    assert refining.facts() == {}
    assert refining.weights.eq(1).all()


def test_a_resumed_refinement_goes_on():
    """Weights, count and place are in its state: loaded into a new one it goes on with the same rounds."""
    options = RefineOptions(rounds=4, outside=0.05)
    first, second = Refining(COUNT, options, epochs=10), Refining(COUNT, options, epochs=10)
    for _ in range(4):
        first.after(COUNT, looked)
    second.load_state_dict(first.state_dict())
    for each in (first, second):
        for _ in range(6):
            each.after(COUNT, looked)
    assert torch.equal(first.weights, second.weights)


def test_rejecting_everything_is_refused():
    """A round that would leave less than half of the images says so, with the keys to change."""
    with pytest.raises(TrainingError, match=r"method\.refine\.outside") as caught:
        run(RefineOptions(rounds=3, outside=0.99))
    assert "of 200 good images" in str(caught.value)


def test_the_shares_must_leave_time():
    """Pretraining and retraining that fill all epochs are refused before training, with the key's path."""
    with pytest.raises(RecipeError, match=r"method\.refine.*leave no time"):
        check_method("adversarial_autoencoder", {"refine": {"rounds": 2, "pretraining": 0.6, "retraining": 0.5}})


def test_a_negative_weight_counts_up_to_the_ceiling_only():
    """Beyond the ceiling an unlearned image gives no gradient: the loss cannot run away."""
    losses = torch.tensor([1.0, 5.0, 2.0], requires_grad=True)
    total = weighted(losses, torch.tensor([1.0, -0.5, -0.5]), torch.tensor(3.0))
    total.backward()
    assert total.item() == pytest.approx((1.0 - 0.5 * 3.0 - 0.5 * 2.0) / 3)
    assert losses.grad.tolist() == pytest.approx([1 / 3, 0.0, -0.5 / 3])
