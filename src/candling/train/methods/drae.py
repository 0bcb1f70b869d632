"""DRAE: a residual autoencoder with a dense bottleneck, trained as the generator of a GAN to remove noise.

Ferrari et al. 2024, for vials on a fast line. The generator is encoder, dense bottleneck, decoder and a second
encoder; it redraws images that Perlin noise was laid over. Its opponent tells good images from redrawn ones. On the
line only encoder and decoder work; the published score is 1 - SSIM (``dissimilarity``), the published map the absolute
error.

The published widths (``profile = "paper"``) do not fit the published time; ``line`` is sized for sixty patches within
half a second on a processor, ``tiny`` is for tests. Beyond the publication: a stem (see ``residual.py``), a moving
average of the weights, and a map and a score made from the latent.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train.adversary import BETAS, LONGEST, Adversary
from candling.train.augment import AugmentOptions, augment
from candling.train.averages import MovingAverage
from candling.train.blocks import Widths, fold
from candling.train.losses import ssim
from candling.train.method import for_moments
from candling.train.noise import NoiseLoss, Noisy, noise_loss, superimpose
from candling.train.residual import Generator, Layout, Redraw
from candling.train.scores import ScoreOptions, Scorer
from candling.train.updates import numbers, set_up, update
from candling.train.usual import Usual

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["PROFILES", "Drae", "Options", "build"]

PROFILES = {
    "paper": Layout(widths=(128, 256, 512, 1024), blocks=3, convolutions=3, stem=1),
    "line": Layout(widths=(16, 32, 64), blocks=2, convolutions=2, stem=4),
    "tiny": Layout(widths=(4, 8), blocks=2, convolutions=2, stem=4),
}
"""Named sizes of the networks."""


class Weights(BaseModel):
    """The recipe's ``[method.weights]``, of the generator's loss.

    Attributes:
        huber: of the Huber loss inside the contextual one.
        dissimilarity: of 1 - SSIM inside the contextual one.
        adversarial: of the difference of the discriminator's features; 0 trains without a discriminator.
        contextual: of the contextual loss.
        latent: of the difference of the two latents; 0 trains without the second encoder.
        noise: of the noise loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    huber: float = Field(default=2.0, ge=0)
    dissimilarity: float = Field(default=1.0, ge=0)
    adversarial: float = Field(default=1.0, ge=0)
    contextual: float = Field(default=50.0, ge=0)
    latent: float = Field(default=1.0, ge=0)
    noise: float = Field(default=3.0, ge=0)


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "drae"``.

    Attributes:
        profile: a named size: "paper" as published, "line" for a processor on a line, "tiny" for tests. The next four
            keys replace one number of it each.
        widths: channels after each stage; each stage halves height and width.
        blocks: residual blocks in each stage, the last of which changes the size.
        convolutions: in one block.
        stem: the picture enters and leaves as blocks of so many pixels squared.
        latent: numbers in the dense bottleneck.
        noise: probability that Perlin noise is laid over an image.
        noise_loss: "as_printed", "revised" as the later text has it, "consistent", or "off"; see ``noise.py``. As
            printed, it pulls the reconstruction away from the good image under the noise.
        weights: ``[method.weights]``, of the parts of the loss; the defaults are the published ones.
        average: the exported weights are a moving average with at most this share of the old; 0 takes the last.
        latent_map: the anomaly map shows what the unusual part of the latent draws, instead of the error.
        latent_reach: a number of the latent is usual within so many standard deviations of its mean over good images.
        augment: ``[method.augment]``, which variants of good images are good as well. Published for vials: turned by up
            to 22.5 degrees, upside down with probability 0.5.
        score: ``[method.score]``, the anomaly map and the scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    profile: Literal["paper", "line", "tiny"] = "line"
    widths: Widths | None = Field(default=None, min_length=1, strict=False)
    blocks: int | None = Field(default=None, ge=2, le=8)
    convolutions: Literal[2, 3] | None = None
    stem: Literal[1, 2, 4, 8] | None = None
    latent: int = Field(default=64, ge=1)
    noise: float = Field(default=0.75, ge=0, le=1)
    noise_loss: NoiseLoss = "consistent"
    weights: Weights = Weights()
    average: float = Field(default=0.99, ge=0, lt=1)
    latent_map: bool = False
    latent_reach: float = Field(default=2.0, gt=0)
    augment: AugmentOptions = AugmentOptions()
    score: ScoreOptions = ScoreOptions(
        names=("dissimilarity", "window_dissimilarity", "window_error", "map_top"), map="absolute_error"
    )

    @property
    def layout(self) -> Layout:
        """The profile, with the numbers that are given."""
        named = PROFILES[self.profile]
        return Layout(
            widths=self.widths or named.widths,
            blocks=self.blocks or named.blocks,
            convolutions=self.convolutions or named.convolutions,
            stem=self.stem or named.stem,
        )


def build(options: Options, plan: Plan) -> Drae:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small for SSIM, or their sides are no multiples of the network's stride.
    """
    return Drae(options, plan)


class Fitted(nn.Module):
    """What is learnt from good images after the networks: constants of the map, and what latents are usual."""

    def __init__(self, shape: tuple[int, int, int], options: Options) -> None:
        super().__init__()
        self.scorer = Scorer(shape, options.score)
        self.usual = Usual((options.latent,), reach=options.latent_reach)


class Comparison(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to map, scores and reconstruction."""

    def __init__(self, redraw: Redraw, fitted: Fitted, *, latent_map: bool) -> None:
        super().__init__()
        self.redraw, self.fitted, self.latent_map = redraw, fitted, latent_map

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        reconstruction, latent = self.redraw(image)
        outputs: dict[str, Tensor] = {
            **self.fitted.scorer(image, reconstruction),
            "rarity": self.fitted.usual.rarity(latent),
            "reconstruction": reconstruction,
        }
        if self.latent_map:
            usual = torch.sigmoid(self.redraw.draw(self.fitted.usual.pulled(latent)))
            outputs["anomaly_map"] = (reconstruction - usual).abs().mean(dim=1)
        return outputs


class Drae:
    """The training of one :class:`Generator` and its opponent; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        weights, layout = options.weights, options.layout
        self._generator = Generator(
            plan.shape, layout, bottleneck="dense", latent=options.latent, second=weights.latent > 0.0
        )
        network, optimizer = set_up(plan.fabric, self._generator, plan.training, betas=BETAS)
        self._exported = copy.deepcopy(self._generator.redraw)
        self._averaged = MovingAverage(self._exported, most=options.average).to(plan.fabric.device)
        self._fitted = Fitted(plan.shape, options).to(plan.fabric.device)
        self.networks: dict[str, nn.Module] = {
            "generator": network,
            "averaged": self._averaged,
            "fitted": self._fitted,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {"generator": optimizer}
        self._adversary = Adversary(plan, layout) if weights.adversarial > 0.0 else None
        if self._adversary is not None:
            self.networks["discriminator"] = self._adversary.network
            self.optimizers["discriminator"] = self._adversary.optimizer

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Redraw one batch from under noise; first the discriminator learns, then the generator."""
        clean = augment(batch.images, batch.generator, self._options.augment)
        noisy = superimpose(clean, batch.generator, probability=self._options.noise)
        reconstruction, latent, again = self.networks["generator"].train()(noisy.images)
        parts = self._parts(clean, noisy, reconstruction, latent, again)
        judged: dict[str, Tensor] = {}
        if self._adversary is not None:
            judged["discriminator"] = self._adversary.learn(clean, reconstruction)
            parts["adversarial"] = self._adversary.match(clean, reconstruction)
        losses = {"loss": self._total(parts), **parts, **judged}
        named = update(self._fabric, self.optimizers["generator"], losses, longest=LONGEST)
        self._averaged.follow(self._generator.redraw)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same task on held-out images, not augmented."""
        noisy = superimpose(batch.images, batch.generator, probability=self._options.noise)
        reconstruction, latent, again = self.networks["generator"].eval()(noisy.images)
        parts = self._parts(batch.images, noisy, reconstruction, latent, again)
        judged: dict[str, Tensor] = {}
        if self._adversary is not None:
            judged["discriminator"], parts["adversarial"] = self._adversary.measure(batch.images, reconstruction)
        return numbers({"loss": self._total(parts), **parts, **judged})

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the map's normalisation and the usual latents on good images, in float32 as on the line."""
        redraw, some = self._exported.eval(), for_moments(batches)
        self._fitted.scorer.fit((batch.images, redraw(batch.images)[0]) for batch in some)
        self._fitted.usual.fit(redraw.describe(batch.images) for batch in some)

    def graph(self) -> nn.Module:
        """Give anomaly map, scores and reconstruction of an image."""
        comparison = Comparison(self._exported, self._fitted, latent_map=self._options.latent_map)
        return fold(comparison).float().cpu().eval()

    def _parts(
        self, clean: Tensor, noisy: Noisy, reconstruction: Tensor, latent: Tensor, again: Tensor
    ) -> dict[str, Tensor]:
        """Name the parts of the generator's loss, unweighted, but for the adversarial one."""
        return {
            # delta = 1: half the mean squared error, as no pixel of [0, 1] is further away
            "huber": F.huber_loss(reconstruction, clean),
            "dissimilarity": 1.0 - ssim(clean, reconstruction).mean(),
            "latent": F.l1_loss(latent, again),
            "noise": noise_loss(self._options.noise_loss, clean, noisy, reconstruction),
        }

    def _total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Add up Ferrari et al. 2024, eq. 5 to 7, each weight applied once."""
        weights = self._options.weights
        contextual = weights.huber * parts["huber"] + weights.dissimilarity * parts["dissimilarity"]
        total = weights.contextual * contextual + weights.latent * parts["latent"] + weights.noise * parts["noise"]
        return total + weights.adversarial * parts["adversarial"] if "adversarial" in parts else total
