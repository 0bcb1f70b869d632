"""The loop: exact resume, budgets, schedule, stopping, what is kept, and what it says when it cannot go on."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from candling.errors import DiskError, TrainingError
from candling.recipe import Recipe, parse_recipe
from candling.train import checkpoint, loop
from candling.train.data import PreparedSet
from candling.train.fit import fit, training_key
from candling.train.progress import Silent, Standing
from candling.train.stopping import Stopped

if TYPE_CHECKING:
    from pathlib import Path

    from candling.train.method import Batch, Plan


class Tiny:
    """A convolutional autoencoder with batch norm, dropout and noise from the batch: all that a resume could get wrong."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        network = nn.Sequential(
            nn.Conv2d(plan.shape[0], 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.ConvTranspose2d(8, plan.shape[0], 4, stride=2, padding=1),
            nn.Sigmoid(),
        ).to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(network.parameters(), lr=plan.training.learning_rate, fused=True)
        network, adam = plan.fabric.setup(network, adam)
        self.networks, self.optimizers = {"network": network}, {"network": adam}
        self.finished = 0

    def step(self, batch: Batch):
        network, adam = self.networks["network"].train(), self.optimizers["network"]
        noise = torch.randn(batch.images.shape, generator=batch.generator)
        loss = (network(batch.images + 0.1 * noise) - batch.images).square().mean()
        adam.zero_grad(set_to_none=True)
        self.plan.fabric.backward(loss)
        adam.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def validate(self, batch: Batch):
        self.networks["network"].eval()
        return {"loss": (self.networks["network"](batch.images) - batch.images).square().mean().item()}

    def finish(self, batches):
        self.finished = sum(len(batch.images) for batch in batches)

    def graph(self):
        return self.networks["network"]


def build_tiny(name, options, plan):
    return Tiny(plan)


def recipe(**training) -> Recipe:
    lines = "\n".join(
        f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}"
        for k, v in {"precision": "float32", **training}.items()
    )
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 16\nwidth = 16\n[method]\nname = 'tiny'\n"
        f"[training]\n{lines}\n[limits]\nscores = ['error']\n",
        where="test",
    )


def images(count: int, *, seed: int = 0) -> PreparedSet:
    return PreparedSet(np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8))


def run(
    work: Path,
    *,
    good: int = 21,
    build=build_tiny,
    data: str = "data",
    progress=None,
    resume=True,
    clock=None,
    **training,
):
    work.mkdir(exist_ok=True)
    more = {} if clock is None else {"clock": clock}
    return fit(
        recipe(**{"epochs": 4, "batch_size": 8, **training}),
        images(good),
        images(5, seed=1),
        work=work,
        data=data,
        build=build,
        progress=progress,
        resume=resume,
        accelerator="cpu",
        **more,
    )


def state(fitted) -> dict[str, torch.Tensor]:
    return checkpoint.network_weights(fitted.method)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class StopAt(Silent):
    """Presses Ctrl-C after some update."""

    def __init__(self, step: int) -> None:
        self.at = step

    def stand(self, standing: Standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("keep", ["validation", "training", "last"])
def test_resume_after_ctrl_c_is_exact(tmp_path, step, keep):
    """A training stopped within or at the end of an epoch ends with the bits of one that was left alone."""
    whole = run(tmp_path / "whole", keep=keep, schedule="cosine")
    with pytest.raises(Stopped, match="the same command goes on"):
        run(tmp_path / "parts", keep=keep, schedule="cosine", progress=StopAt(step))
    resumed = run(tmp_path / "parts", keep=keep, schedule="cosine")
    assert same(state(whole), state(resumed))
    assert (whole.steps, whole.kept_epoch, whole.kept_loss) == (resumed.steps, resumed.kept_epoch, resumed.kept_loss)
    assert losses(whole) == losses(resumed)


def losses(fitted) -> list[tuple[str, ...]]:
    with fitted.curves.open() as file:
        return [tuple(v for k, v in row.items() if k != "seconds") for row in csv.DictReader(file)]
