"""How the rate falls and when waiting ends, held against PyTorch's own schedulers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from candling.recipe import Training
from candling.train.schedule import Patience, cycles_of, progress_of, rate_at


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


def test_restarts_are_those_of_pytorch():
    """Within a cycle the rate is that of CosineAnnealingWarmRestarts; each cycle starts at a third of the last."""
    training = Training(schedule="restarts", restart_factor=1 / 3)
    sgd = optimizer()
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=8)
    for step in range(30):
        cycles = cycles_of(training, step=step, epoch_steps=8, images=100)
        ours = rate_at(training, progress=0.0, plateaus=0, cycles=cycles)
        assert ours == pytest.approx(sgd.param_groups[0]["lr"] / 3 ** (step // 8))
        sgd.step()
        theirs.step()


def test_the_published_restart_is_read_as_samples():
    """2,533,680 samples at batch 32 are one epoch: ten maxima in ten epochs, the last 7.6e-9; as steps, one."""
    images, epoch_steps = 2_533_680, 79_178
    samples, steps = (Training(schedule="restarts", restart_unit=unit) for unit in ("samples", "steps"))

    def rate(training: Training, step: int) -> float:
        cycles = cycles_of(training, step=step, epoch_steps=epoch_steps, images=images)
        return 1.5e-4 * rate_at(training, progress=0.0, plateaus=0, cycles=cycles)

    maxima = [rate(samples, epoch * epoch_steps) for epoch in range(10)]
    assert maxima == pytest.approx([1.5e-4 / 3**epoch for epoch in range(10)], rel=1e-6)
    assert maxima[-1] == pytest.approx(7.6e-9, rel=0.01)
    assert rate(samples, epoch_steps - 1) < 1e-10
    assert rate(steps, 791_780) == pytest.approx(1.17e-4, rel=0.01)


def test_restarts_may_come_after_any_number():
    """restart_every = 200 samples with 100 images is every second epoch; as steps it is every 200 updates."""
    samples = Training(restart_every=200)
    steps = Training(restart_every=200, restart_unit="steps")
    assert cycles_of(samples, step=20, epoch_steps=10, images=100) == 1.0
    assert cycles_of(steps, step=300, epoch_steps=10, images=100) == 1.5
