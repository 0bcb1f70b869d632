"""Variational autoencoder: redraws an image from a few numbers of known distribution, and scores how rare these are.

Named as future work by the capsule project. The trunk is the autoencoder's; between its halves lie a mean and a log
variance for each latent number (Kingma and Welling 2014). While training, the latent is drawn from them; on the line
the mean is taken. Beside the scores of the reconstruction the graph gives ``rarity``: the Kullback-Leibler divergence
of the image's latent distribution from the prior N(0, 1), in nats.
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
from candling.train.scores import ScoreOptions, Scorer
from candling.train.spoil import SpoilOptions, spoil
from candling.train.updates import numbers, set_up, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["Options", "VariationalAutoencoder", "build"]

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -12.0, 8.0
"""Bounds outside of which exp() would leave the useful range of float32; training stays far inside."""


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "variational_autoencoder"``.

    Attributes:
        widths: channels after each stage; each stage halves height and width.
        kernel: of all convolutions.
        downsample: by strided convolutions, or by the maximum of each 2 x 2 (odd kernel).
        dropout: share of values set to zero after each stage of the encoder while training.
        layout: "dense" has ``latent`` numbers for the whole image, "spatial" for each position of the innermost map.
        latent: how many.
        beta: weight of the divergence, once warmed up. The loss is, per pixel, the reconstruction loss plus ``beta``
            times the divergence; with the mean squared error this is the evidence bound of a Gaussian with variance
            ``beta / 2``, so 0.01 trusts each pixel to about 0.07.
        warm_up_steps: updates over which the weight rises from 0, lest the latent falls silent first.
        loss: of the reconstruction: mean squared error, 1 - SSIM, or their weighted sum.
        mse_weight: of the mean squared error in the mixed loss.
        ssim_weight: of 1 - SSIM in the mixed loss.
        spoil: ``[method.spoil]``, what is done to the images it must restore.
        augment: ``[method.augment]``, which variants of good images are good as well.
        score: ``[method.score]``, the anomaly map and the scores beside ``rarity``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    widths: blocks.Widths = Field(default=(32, 64, 128, 128, 128), min_length=1, strict=False)
    kernel: blocks.Kernel = 3
    downsample: blocks.Downsample = "stride"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    layout: Literal["dense", "spatial"] = "dense"
    latent: int = Field(default=64, ge=1)
    beta: float = Field(default=0.01, ge=0)
    warm_up_steps: int = Field(default=500, ge=0)
    loss: ReconstructionLoss = "mse"
    mse_weight: float = Field(default=2.0, ge=0)
    ssim_weight: float = Field(default=1.0, ge=0)
    spoil: SpoilOptions = SpoilOptions()
    augment: AugmentOptions = AugmentOptions()
    score: ScoreOptions = ScoreOptions()


def build(options: Options, plan: Plan) -> VariationalAutoencoder:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small, their sides are no multiples of 2^stages, or options contradict.
    """
    return VariationalAutoencoder(options, plan)


class Network(nn.Module):
    """Encoder to a mean and a log variance, decoder from a latent, and the scorer whose constants belong to them.

    Attributes:
        latent_shape: of one image's latent.
        updates: int64 (), how many updates were made: where the warm-up stands.
    """

    updates: Tensor

    def __init__(self, shape: tuple[int, int, int], options: Options) -> None:
        super().__init__()
        inner = blocks.inner_shape(shape, options.widths)
        self.encoder = blocks.encoder(
            shape[0], options.widths, kernel=options.kernel, downsample=options.downsample, dropout=options.dropout
        )
        if options.layout == "dense":
            self.latent_shape: tuple[int, ...] = (options.latent,)
            self.describe, self.unfold = blocks.dense_ends(inner, 2 * options.latent, options.latent)
        else:
            self.latent_shape = (options.latent, *inner[1:])
            self.describe, self.unfold = blocks.narrow_ends(inner[0], 2 * options.latent, options.latent)
        self.decoder = blocks.decoder(shape[0], options.widths, kernel=options.kernel)
        self.scorer = Scorer(shape, options.score)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Redraw (N, C, H, W) from the latent mean plus ``noise`` (N, *latent_shape) in units of its deviation.

        Returns:
            the reconstruction, float32 (N, C, H, W) in [0, 1], and the divergence from the prior, float32 (N,) in nats.
        """
        mean, log_variance = self.describe(self.encoder(image)).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)
        latent = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise
        # Kingma and Welling 2014, appendix B
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
        return torch.sigmoid(self.decoder(self.unfold(latent)).float()), divergence.flatten(1).sum(dim=1)


class Graph(nn.Module):
    """What is exported: the scores of the reconstruction, and ``rarity``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract for float32 (N, C, H, W) in [0, 1]."""
        reconstruction, rarity = self.network(image)
        return {**self.network.scorer(image, reconstruction), "rarity": rarity, "reconstruction": reconstruction}


class VariationalAutoencoder:
    """The training of one :class:`Network`; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options = options
        self._fabric = plan.fabric
        self._network = Network(plan.shape, options)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {"network": network}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Redraw one batch from latents drawn at random and learn from the evidence bound."""
        self.networks["network"].train()
        target = augment(batch.images, batch.generator, self._options.augment)
        noise = torch.randn(
            (len(target), *self._network.latent_shape), generator=batch.generator, device=batch.generator.device
        )
        warm = min(1.0, (int(self._network.updates) + 1) / max(1, self._options.warm_up_steps))
        losses = self._losses(target, batch, noise.to(target.device), warm * self._options.beta)
        self._network.updates += 1
        return update(self._fabric, self.optimizers["network"], losses)

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on held-out images, from the latent mean and with the full weight of the divergence.

        With the weight of the warm-up, the loss would rise for no other reason than the rising weight.
        """
        self.networks["network"].eval()
        return numbers(self._losses(batch.images, batch, None, self._options.beta))

    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the anomaly map's normalisation on good images, in float32 as on the line."""
        network = self._network.eval()
        with torch.no_grad():
            network.scorer.fit((batch.images, network(batch.images)[0]) for batch in for_moments(batches))

    def graph(self) -> nn.Module:
        """Give anomaly map, scores, rarity and reconstruction of an image."""
        return Graph(blocks.fold(self._network).float().cpu()).eval()

    def _losses(self, target: Tensor, batch: Batch, noise: Tensor | None, beta: float) -> dict[str, Tensor]:
        options = self._options
        spoiled, _ = spoil(target, batch.generator, kinds=options.spoil.kinds, probability=options.spoil.probability)
        reconstruction, divergence = self.networks["network"](spoiled, noise)
        losses = reconstruction_losses(
            target, reconstruction, kind=options.loss, mse_weight=options.mse_weight, ssim_weight=options.ssim_weight
        )
        per_pixel = divergence.mean() / target[0].numel()
        return {**losses, "divergence": divergence.mean(), "loss": losses["loss"] + beta * per_pixel}
