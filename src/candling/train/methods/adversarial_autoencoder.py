"""Adversarial autoencoder: pulls the latents of good images to N(0, 1), so that what lies far out is rare.

After Makhzani et al. 2016 and Beggel, Pfeiffer and Bischl 2019. Encoder and decoder learn to redraw; a discriminator
learns to tell latents from draws of the prior, and the encoder learns to deceive it. Beside the scores of the
reconstruction the graph gives ``rarity``: minus the logarithm of the prior's density at the image's latent, in nats.
``[method.refine]`` lets the training set clean itself, which is what the prior was wanted for.

The defaults are the published dense layers of 1000 with two latent numbers, batch norm in the encoder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train import blocks
from candling.train.adversary import BETAS
from candling.train.augment import AugmentOptions, augment
from candling.train.refining import RefineOptions, Refining, weighted
from candling.train.scores import ScoreOptions, Scorer
from candling.train.updates import numbers, set_up, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress

__all__ = ["AdversarialAutoencoder", "Options", "build"]


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "adversarial_autoencoder"``.

    Attributes:
        network: "dense" as published, or "convolutional", whose sides must be multiples of 2 to the number of widths.
        hidden: units of each of the two dense layers, also of the discriminator's.
        widths: of "convolutional", channels after each stage, each of which halves height and width.
        latent: numbers in the bottleneck.
        adversarial: True as said; False trains the same network without prior and discriminator, for comparison.
        adversarial_rate: learning rate of the discriminator and of the deceit, as a share of ``learning_rate``.
        refine: ``[method.refine]``, how the training set cleans itself.
        augment: ``[method.augment]``, which variants of good images are good as well.
        score: ``[method.score]``, the anomaly map and the scores beside ``rarity``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    network: Literal["dense", "convolutional"] = "dense"
    hidden: int = Field(default=1000, ge=1, le=2**14)
    widths: blocks.Widths = Field(default=(32, 64, 128), min_length=1, strict=False)
    latent: int = Field(default=2, ge=1, le=4096)
    adversarial: bool = True
    adversarial_rate: float = Field(default=1.0, gt=0, le=10)
    refine: RefineOptions = RefineOptions()
    augment: AugmentOptions = AugmentOptions()
    score: ScoreOptions = ScoreOptions(
        names=("mean_squared_error", "top_error", "window_error", "map_top"), smooth_px=1.0, window_px=5
    )


def build(options: Options, plan: Plan) -> AdversarialAutoencoder:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small, or their sides do not fit a convolutional network.
    """
    return AdversarialAutoencoder(options, plan)


class Network(nn.Module):
    """Encoder to a latent, decoder from it."""

    def __init__(self, shape: tuple[int, int, int], options: Options) -> None:
        super().__init__()
        size = math.prod(shape)
        if options.network == "dense":
            self.encoder = nn.Sequential(
                nn.Flatten(), *_dense(size, options.hidden), *_dense(options.hidden, options.hidden)
            )
            self.describe: nn.Module = nn.Linear(options.hidden, options.latent)
            self.decoder = nn.Sequential(
                nn.Linear(options.latent, options.hidden),
                nn.ReLU(inplace=True),
                nn.Linear(options.hidden, options.hidden),
                nn.ReLU(inplace=True),
                nn.Linear(options.hidden, size),
                nn.Unflatten(1, shape),
            )
        else:
            inner = blocks.inner_shape(shape, options.widths)
            self.describe, unfold = blocks.dense_ends(inner, options.latent, options.latent)
            self.encoder = blocks.encoder(shape[0], options.widths)
            self.decoder = nn.Sequential(*unfold, *blocks.decoder(shape[0], options.widths))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Redraw float32 (N, C, H, W) in [0, 1]; give the drawing and the latent, float32 (N, n)."""
        latent = self.latent(image)
        return self.draw(latent), latent

    def latent(self, image: Tensor) -> Tensor:
        """Describe images: float32 (N, n)."""
        return self.describe(self.encoder(image)).float()

    def draw(self, latent: Tensor) -> Tensor:
        """Draw latents as images in [0, 1]."""
        return torch.sigmoid(self.decoder(latent).float())


def prior_rarity(latent: Tensor) -> Tensor:
    """Give minus the log-density of N(0, 1) at latents (N, n), in nats: float32 (N,), n / 2 ln(2 pi) at the origin."""
    return 0.5 * (latent * latent).sum(dim=1) + 0.5 * latent.shape[1] * math.log(2.0 * math.pi)


class Graph(nn.Module):
    """What is exported: the scores of the reconstruction, and ``rarity``."""

    def __init__(self, network: Network, scorer: Scorer) -> None:
        super().__init__()
        self.network, self.scorer = network, scorer

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract for float32 (N, C, H, W) in [0, 1]."""
        reconstruction, latent = self.network(image)
        return {
            **self.scorer(image, reconstruction),
            "rarity": prior_rarity(latent),
            "reconstruction": reconstruction,
        }


class AdversarialAutoencoder:
    """The training of one :class:`Network` and its opponent; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._plan, self._fabric = options, plan, plan.fabric
        self._network = Network(plan.shape, options)
        self._scorer = Scorer(plan.shape, options.score).to(plan.fabric.device)
        self._refining = Refining(0, options.refine, epochs=plan.training.epochs)
        self._good: Iterable[Batch] = ()
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: dict[str, nn.Module] = {"network": network, "refining": self._refining}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"network": optimizer}
        if options.adversarial:
            rate = plan.training.model_copy(
                update={"learning_rate": plan.training.learning_rate * options.adversarial_rate}
            )
            discriminator = nn.Sequential(
                nn.Linear(options.latent, options.hidden),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Linear(options.hidden, options.hidden),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Linear(options.hidden, 1),
            )
            self.networks["discriminator"], self.optimizers["discriminator"] = set_up(
                plan.fabric, discriminator, rate, betas=BETAS
            )
            describing = [*self._network.encoder.parameters(), *self._network.describe.parameters()]
            deceit = torch.optim.Adam(describing, lr=rate.learning_rate, betas=BETAS)
            self.optimizers["deceit"] = plan.fabric.setup_optimizers(deceit)

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:  # noqa: ARG002
        """Count the good images, which are looked at again when the training set is refined."""
        self._good = good
        count = sum(len(batch.images) for batch in good)
        refining = Refining(count, self._options.refine, epochs=self._plan.training.epochs)
        self._refining = refining.to(self._fabric.device)
        self.networks["refining"] = self._refining

    def choices(self) -> Mapping[str, Fact]:
        """Say what the latent is, and which images refinement rejected."""
        prior = "N(0, 1)" if self._options.adversarial else "none"
        return {"latent numbers": self._options.latent, "latent prior": prior, **self._refining.facts()}

    def notes(self) -> Mapping[str, str]:
        """Say what ``rarity`` depends on."""
        return {"rarity": f"minus the log-density of N(0, 1) in {self._options.latent} dimensions"}

    def rejected(self) -> NDArray[np.int64]:
        """Number the good images that refinement rejected."""
        return self._refining.rejected

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Learn to redraw one batch, then to tell its latents from the prior, then to deceive; each image by weight."""
        network = self.networks["network"].train()
        target = augment(batch.images, batch.generator, self._options.augment)
        weights = self._counted(batch)
        errors = (network(target)[0] - target).square().mean(dim=(1, 2, 3))
        losses = {"loss": weighted(errors, weights, self._refining.ceiling), "mean_squared_error": errors.mean()}
        named = update(self._fabric, self.optimizers["network"], losses)
        if self._options.adversarial:
            named |= self._deceive(target, weights.clamp(min=0.0), batch.generator)
        self._refining.after(len(batch.images) * self._fabric.world_size, self._look)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on held-out images, without an update."""
        network = self.networks["network"].eval()
        redrawn, latent = network(batch.images)
        error = (redrawn - batch.images).square().mean()
        losses = {"loss": error, "mean_squared_error": error}
        if self._options.adversarial:
            judge = self.networks["discriminator"].eval()
            told, seen = judge(self._drawn(latent, batch.generator)), judge(latent)
            losses["discriminator"] = 0.5 * (F.softplus(-told).mean() + F.softplus(seen).mean())
            losses["deceit"] = F.softplus(-seen).mean()
        return numbers(losses)

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the map's normalisation on good images that count, in float32 as on the line."""
        network = self._network.eval()
        weights = self._refining.weights
        self._scorer.fit(
            (images, network(images)[0])
            for images in (
                batch.images[weights[batch.indices] > 0.0] if len(weights) else batch.images for batch in batches
            )
            if len(images)
        )

    def graph(self) -> nn.Module:
        """Give anomaly map, scores, rarity and reconstruction of an image."""
        return blocks.fold(Graph(self._network, self._scorer)).float().cpu().eval()

    def _deceive(self, target: Tensor, weights: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Let the discriminator learn, then the encoder against it; Makhzani et al. 2016, section 2."""
        network, judge = self.networks["network"], self.networks["discriminator"].train()
        latent = network(target)[1]
        told, seen = judge(self._drawn(latent, generator)).flatten(), judge(latent.detach()).flatten()
        judging = 0.5 * (F.softplus(-told.float()).mean() + (weights * F.softplus(seen.float())).mean())
        named = {"discriminator": judging}
        update(self._fabric, self.optimizers["discriminator"], {"loss": judging})
        judge.requires_grad_(requires_grad=False)
        deceit = (weights * F.softplus(-judge(latent).flatten().float())).mean()
        update(self._fabric, self.optimizers["deceit"], {"loss": deceit})
        judge.requires_grad_(requires_grad=True)
        return numbers({**named, "deceit": deceit})

    def _drawn(self, latent: Tensor, generator: torch.Generator) -> Tensor:
        """Draw as many latents from the prior."""
        return torch.randn(latent.shape, generator=generator, device=generator.device).to(latent.device)

    def _counted(self, batch: Batch) -> Tensor:
        weights = self._refining.weights
        return weights[batch.indices] if len(weights) else torch.ones(len(batch.images), device=batch.images.device)

    @torch.no_grad()
    def _look(self) -> tuple[Tensor, Tensor]:
        """Describe all good images: latents and errors."""
        network = self._network.eval()
        latents, errors = [], []
        for batch in self._good:
            redrawn, latent = network(batch.images)
            latents.append(latent)
            errors.append((redrawn - batch.images).square().mean(dim=(1, 2, 3)))
        return torch.cat(latents), torch.cat(errors)


def _dense(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(inplace=True)
