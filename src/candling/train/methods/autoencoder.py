"""Convolutional autoencoder after the capsule project: learns to redraw good images, and fails on what it never saw.

Encoder 1-32-64-128 by strided convolutions, batch norm and ReLU after each, dropout; the decoder mirrors it with
transposed convolutions and a sigmoid; mean squared error; Adam with weight decay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train import blocks
from candling.train.losses import ReconstructionLoss, reconstruction_losses
from candling.train.method import Batch, Plan
from candling.train.scores import Scorer, ScoreOptions
from candling.train.spoil import SpoilOptions

__all__ = ["Options", "build"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    widths: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1, strict=False)
    kernel: Literal[3, 4, 5] = 3
    downsample: blocks.Downsample = "stride"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    loss: ReconstructionLoss = "mse"
    mse_weight: float = 2.0
    ssim_weight: float = 1.0
    score: ScoreOptions = ScoreOptions()


def build(options: Options, plan: Plan) -> Autoencoder:
    return Autoencoder(options, plan)


class Network(nn.Module):
    def __init__(self, shape: tuple[int, int, int], options: Options) -> None:
        super().__init__()
        self.encoder = blocks.encoder(
            shape[0], options.widths, kernel=options.kernel, downsample=options.downsample, dropout=options.dropout
        )
        self.decoder = blocks.decoder(shape[0], options.widths, kernel=options.kernel)
        self.scorer = Scorer(shape, options.score)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(self.encoder(image)).float())


class Graph(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        reconstruction = self.network(image)
        return {**self.network.scorer(image, reconstruction), "reconstruction": reconstruction}


class Autoencoder:
    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        stride = blocks.stride_of(options.widths)
        if plan.shape[1] % stride or plan.shape[2] % stride:
            raise RecipeError(f"prepare: {plan.shape[1]} x {plan.shape[2]} must be multiples of {stride}")
        self._network = Network(plan.shape, options).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(
            self._network.parameters(), lr=plan.training.learning_rate, weight_decay=plan.training.weight_decay, fused=True
        )
        network, optimizer = plan.fabric.setup(self._network, optimizer)
        self.networks = {"network": network}
        self.optimizers = {"network": optimizer}

    def step(self, batch: Batch) -> Mapping[str, float]:
        network, optimizer = self.networks["network"], self.optimizers["network"]
        network.train()
        losses = self._losses(batch)
        optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(losses["loss"])
        optimizer.step()
        return {name: value.item() for name, value in losses.items()}

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        self.networks["network"].eval()
        return {name: value.item() for name, value in self._losses(batch).items()}

    def finish(self, batches: Iterable[Batch]) -> None:
        return

    def graph(self) -> nn.Module:
        return blocks.fold(Graph(copy.deepcopy(self._network))).float().cpu()

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        reconstruction = self.networks["network"](batch.images)
        o = self._options
        return reconstruction_losses(
            batch.images, reconstruction, kind=o.loss, mse_weight=o.mse_weight, ssim_weight=o.ssim_weight
        )
