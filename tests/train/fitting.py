"""A tiny method and a small training of it, for the tests of fit.py and loop.py; importlib mode cannot import it."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from candling.recipe import Recipe, parse_recipe
from candling.train import checkpoint
from candling.train.data import PreparedSet
from candling.train.fit import fit
from candling.train.method import Batch, Plan
from candling.train.progress import Silent, Standing


class Tiny:
    """An autoencoder with batch norm, dropout and noise from the batch: all that a resume could get wrong."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        network = nn.Sequential(
            nn.Conv2d(plan.shape[0], 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ConvTranspose2d(8, plan.shape[0], 4, stride=2, padding=1),
            nn.Sigmoid(),
        ).to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(network.parameters(), lr=plan.training.learning_rate, fused=True)
        network, adam = plan.fabric.setup(network, adam)
        self.networks, self.optimizers = {"network": network}, {"network": adam}
        self.rates: list[float] = []
        self.finished: list[int] = []

    def step(self, batch: Batch):
        network, adam = self.networks["network"].train(), self.optimizers["network"]
        self.rates.append(adam.param_groups[0]["lr"])
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
        self.finished = torch.cat([batch.indices for batch in batches]).tolist()

    def graph(self):
        return self.networks["network"]


def build_tiny(name, options, plan):
    return Tiny(plan)


def recipe(**training) -> Recipe:
    lines = "\n".join(f"{key} = {value!r}" for key, value in {"precision": "float32", **training}.items())
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 16\nwidth = 16\n[method]\nname = 'tiny'\n"
        f"[training]\n{lines}\n[limits]\nscores = ['error']\n",
        where="test",
    )


def images(count: int, *, seed: int = 0) -> PreparedSet:
    return PreparedSet(np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8))


def run(work: Path, *, build=build_tiny, data="data", progress=None, resume=True, clock=time.monotonic, **training):
    """21 images in batches of 8 are 3 updates an epoch, 4 epochs are 12 updates."""
    work.mkdir(exist_ok=True)
    return fit(
        recipe(**{"epochs": 4, "batch_size": 8, **training}),
        images(21),
        images(5, seed=1),
        work=work,
        data=data,
        build=build,
        progress=progress,
        resume=resume,
        accelerator="cpu",
        clock=clock,
    )


def state(fitted) -> dict[str, torch.Tensor]:
    return checkpoint.network_weights(fitted.method)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rows(fitted) -> list[dict[str, str]]:
    """Give the curves without the seconds, which no two trainings share."""
    with fitted.curves.open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


class StopAt(Silent):
    """Sends a signal after some update, and remembers what it heard."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.at, self.number = step, number
        self.heard: list[str] = []

    def stage(self, sentence: str) -> None:
        self.heard.append(sentence)

    def stand(self, standing: Standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(self.number)
