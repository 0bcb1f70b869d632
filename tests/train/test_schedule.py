"""How the rate falls and when waiting ends, held against PyTorch's own schedulers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from candling.recipe import Training
from candling.train.schedule import Patience, progress_of, rate_at


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateaus_are_those_of_pytorch(patience):
    """On a noisy falling curve the rate is that of ReduceLROnPlateau, epoch by epoch."""
    rng = np.random.default_rng(0)
    losses = np.exp(-np.arange(60) / 20) + rng.normal(0, 0.03, 60) + 1.0
    training = Training(plateau_factor=0.5, plateau_patience=patience)
    sgd, ours = optimizer(), Patience()
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=patience, min_lr=0.0, eps=0.0)
    for loss in losses.tolist():
        theirs.step(loss)
        ours = ours.after(loss, patience=patience)
        assert rate_at(training, progress=0.0, plateaus=ours.plateaus) == pytest.approx(sgd.param_groups[0]["lr"])
    assert ours.plateaus >= 2


def test_a_loss_below_zero_can_improve():
    """A likelihood may be negative: better still means lower, and standing still is no improvement."""
    watch = Patience().after(-10.0, patience=5).after(-11.0, patience=5)
    assert (watch.best, watch.waited) == (-11.0, 0)
    assert watch.after(-11.0, patience=5).waited == 1


def test_patience_survives_a_checkpoint():
    """Its numbers are JSON's, infinity included, and give it back."""
    for watch in (Patience(), Patience(0.25, 3, 1)):
        assert Patience.from_numbers(watch.as_numbers()) == watch
        assert all(value is None or math.isfinite(value) for value in watch.as_numbers().values())


def test_cosine_falls_from_one_to_zero():
    """Half of the rate is left after half of the budget."""
    training = Training(schedule="cosine")
    assert [rate_at(training, progress=p, plateaus=0) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])


def test_constant_stays():
    """Neither progress nor plateaus move a constant rate."""
    assert rate_at(Training(schedule="constant"), progress=0.9, plateaus=3) == 1.0


def test_progress_follows_the_nearer_end():
    """Updates or minutes, whichever is further; without minutes the clock has no say."""
    free, bound = Training(epochs=10), Training(epochs=10, minutes=2.0)
    assert progress_of(free, step=25, epoch_steps=5, seconds=1e9) == 0.5
    assert progress_of(bound, step=25, epoch_steps=5, seconds=30.0) == 0.5
    assert progress_of(bound, step=25, epoch_steps=5, seconds=90.0) == 0.75
    assert progress_of(bound, step=0, epoch_steps=5, seconds=500.0) == 1.0
