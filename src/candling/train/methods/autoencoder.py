"""Convolutional autoencoder: learns to redraw good images and fails on what it never saw.

The defaults are the published capsule system: an encoder of three strided convolutions (32, 64, 128 channels), batch
norm and ReLU after each, dropout; a decoder of transposed convolutions that mirrors it and ends in a sigmoid; mean
squared error; Adam with weight decay. What its text leaves open is chosen here: kernel 3, padding 1, dropout 0.1 after
each stage of the encoder, batch norm before ReLU (so that it folds into the convolution on the line).

That network holds more numbers inside than the image has pixels, so it can learn to copy, defects included. The options
``bottleneck``, ``spoil`` and ``recursion`` are ways against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train import blocks
from candling.train.augment import AugmentOptions, augment
from candling.train.losses import ReconstructionLoss, reconstruction_losses
from candling.train.method import for_moments
from candling.train.scores import ScoreOptions, Scorer, Scoring
from candling.train.spoil import SpoilOptions, spoil
from candling.train.updates import numbers, set_up, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["Autoencoder", "Options", "build"]


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "autoencoder"``.

    Attributes:
        widths: channels after each stage; each stage halves height and width.
        kernel: of all convolutions. 4 divides evenly by the stride, which spares a faint chequerboard; 3 is lighter.
        downsample: by strided convolutions, or by the maximum of each 2 x 2 (the published alternative; odd kernel).
        dropout: share of values set to zero after each stage of the encoder while training.
        bottleneck: "none" as published; "narrow" squeezes each position of the innermost map to ``latent`` channels;
            "dense" squeezes the whole innermost map to ``latent`` numbers.
        latent: size of the bottleneck.
        loss: mean squared error, 1 - SSIM, or their weighted sum.
        mse_weight: of the mean squared error in the mixed loss.
        ssim_weight: of 1 - SSIM in the mixed loss.
        recursion: the network redraws its own result this many times on the line; while training, each update draws
            how often from 1 to this number (RcAE, AAAI 2026).
        spoil: ``[method.spoil]``, what is done to the images it must restore.
        augment: ``[method.augment]``, which variants of good images are good as well.
        score: ``[method.score]``, the anomaly map and the scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    widths: blocks.Widths = Field(default=(32, 64, 128), min_length=1, strict=False)
    kernel: blocks.Kernel = 3
    downsample: blocks.Downsample = "stride"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    bottleneck: Literal["none", "narrow", "dense"] = "none"
    latent: int = Field(default=64, ge=1)
    loss: ReconstructionLoss = "mse"
    mse_weight: float = Field(default=2.0, ge=0)
    ssim_weight: float = Field(default=1.0, ge=0)
    recursion: int = Field(default=1, ge=1, le=10)
    spoil: SpoilOptions = SpoilOptions()
    augment: AugmentOptions = AugmentOptions()
    score: ScoreOptions = ScoreOptions()


def build(options: Options, plan: Plan) -> Autoencoder:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small, their sides are no multiples of 2^stages, or options contradict.
    """
    return Autoencoder(options, plan)


class Network(nn.Module):
    """Encoder, bottleneck and decoder, and the scorer whose constants belong to them."""

    def __init__(self, shape: tuple[int, int, int], options: Options) -> None:
        super().__init__()
        inner = blocks.inner_shape(shape, options.widths)
        stages = [
            blocks.encoder(
                shape[0], options.widths, kernel=options.kernel, downsample=options.downsample, dropout=options.dropout
            )
        ]
        if options.bottleneck == "narrow":
            stages += blocks.narrow_ends(inner[0], options.latent, options.latent)
        elif options.bottleneck == "dense":
            stages += blocks.dense_ends(inner, options.latent, options.latent)
        stages.append(blocks.decoder(shape[0], options.widths, kernel=options.kernel))
        self.stages = nn.Sequential(*stages)
        self.recursion = options.recursion
        self.scorer = Scorer(shape, options.score)

    def forward(self, image: Tensor, recursion: int | None = None) -> Tensor:
        """Redraw (N, C, H, W), ``recursion`` times (as often as on the line when None): float32 in [0, 1]."""
        for _ in range(self.recursion if recursion is None else recursion):
            # in half precision the sigmoid would round its result to 1/256: as coarse as a good reconstruction is wrong
            image = torch.sigmoid(self.stages(image).float())
        return image


class Autoencoder:
    """The training of one :class:`Network`; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options = options
        self._fabric = plan.fabric
        self._network = Network(plan.shape, options)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {"network": network}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Restore one batch of spoiled images and learn from the difference."""
        self.networks["network"].train()
        recursion = int(
            torch.randint(1, self._options.recursion + 1, (), generator=batch.generator, device=batch.generator.device)
        )
        target = augment(batch.images, batch.generator, self._options.augment)
        return update(self._fabric, self.optimizers["network"], self._losses(target, batch, recursion))

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same task on held-out images, spoiled alike but not augmented, at the recursion of the line."""
        self.networks["network"].eval()
        return numbers(self._losses(batch.images, batch, self._options.recursion))

    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the anomaly map's normalisation on good images, in float32 as on the line."""
        redraw = self._network.eval()
        with torch.no_grad():
            redraw.scorer.fit((batch.images, redraw(batch.images)) for batch in for_moments(batches))

    def graph(self) -> nn.Module:
        """Give anomaly map, scores and reconstruction of an image."""
        network = blocks.fold(self._network).float().cpu()
        return Scoring(network, network.scorer).eval()

    def _losses(self, target: Tensor, batch: Batch, recursion: int) -> dict[str, Tensor]:
        options = self._options
        spoiled, _ = spoil(target, batch.generator, kinds=options.spoil.kinds, probability=options.spoil.probability)
        return reconstruction_losses(
            target,
            self.networks["network"](spoiled, recursion),
            kind=options.loss,
            mse_weight=options.mse_weight,
            ssim_weight=options.ssim_weight,
        )
