"""GRD-Net: a residual generator that removes spoilings, and a U-Net that marks what it removed.

Ferrari, Fraccaroli, Lamma 2023, after DRAEM (Zavrtanik et al. 2021) and GANomaly (Akcay et al. 2018). Good images are
spoiled; a generator of residual blocks with a narrow bottleneck restores them, and a U-Net that sees the image beside
its restoration learns where the spoiling was, within a region of interest when one is given. On the line the published
score is the largest mean of that map under a square of 21 px (``defect_probability``).

What differs from the publications by default, each an option: the U-Net is that of ``memory_unet``, which works on
blocks of pixels, knows where in the picture it is, and is told at 1/4 and 1/8 of the size how far image and restoration
are apart; it learns by an optimiser of its own. Spoilings take their texture from the product's own good images, no
external pictures; only what stands out of the texture is taught as defect; weights are averaged. A second score,
``unusual``, asks how far the U-Net's answer at a place is above what it is there for good images.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train.adversary import BETAS, LONGEST, Adversary
from candling.train.augment import AugmentOptions, augment
from candling.train.averages import MovingAverage
from candling.train.blocks import Widths, fold
from candling.train.comparing import Comparing, Design
from candling.train.interest import Interest, InterestOptions
from candling.train.losses import ssim
from candling.train.method import for_moments
from candling.train.residual import Generator, Layout, Redraw
from candling.train.spoil import SpoilOptions, spoil_many
from candling.train.updates import numbers, set_up, update_all
from candling.train.usual import Usual
from candling.train.visible import marking_losses, visible
from candling.train.windows import box_taps, gaussian_taps, smooth_same, smooth_valid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["GrdNet", "Options", "build"]

USUAL_SMOOTH_PX = 2.0
"""What is usual at a place is averaged over its neighbours under a Gaussian of this sigma, in the U-Net's pixels."""


class Weights(BaseModel):
    """The recipe's ``[method.weights]``, of the parts of the loss.

    Attributes:
        huber: of the Huber loss inside the contextual one.
        dissimilarity: of 1 - SSIM inside the contextual one.
        adversarial: of the difference of the discriminator's features; 0 trains without a discriminator.
        contextual: of the contextual loss.
        latent: of the difference of the two latents; 0 trains without the second encoder.
        focal: of the U-Net's focal loss.
        dice: of one minus the overlap of map and defect; 0 as published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    huber: float = Field(default=1.0, ge=0)
    dissimilarity: float = Field(default=1.0, ge=0)
    adversarial: float = Field(default=1.0, ge=0)
    contextual: float = Field(default=50.0, ge=0)
    latent: float = Field(default=1.0, ge=0)
    focal: float = Field(default=5.0, ge=0)
    dice: float = Field(default=1.0, ge=0)


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "grd_net"``.

    Attributes:
        widths: channels after each stage of generator and discriminator; each stage halves height and width.
        blocks: residual blocks in each stage.
        convolutions: in one block.
        stem: the generator's picture enters and leaves as blocks of so many pixels squared.
        latent: channels of the generator's bottleneck; 32 at 1/32 of the size as published.
        marker: the U-Net; ``told`` works on blocks and is told where it is and how far image and restoration are apart,
            ``published`` sees both, all at full size.
        marker_width: channels of the U-Net: ``told`` at a quarter of the size, ``published`` at all of it.
        marks: an image is spoiled once to this many times, all equally likely.
        faintest: a spoiled image is mixed with the good one; its share is uniform between this and 1.
        visible: a change counts as defect above so many times the texture around it; below it nothing is taught.
        gamma: exponent of the focal loss.
        alpha: weight of defects in the focal loss, one minus this of good places; None weighs them alike.
        weights: ``[method.weights]``, of the parts of the loss.
        average: the exported weights are a moving average with at most this share of the old; 0 takes the last.
        window_px: side of the square whose largest mean is the score ``defect_probability``. For the score ``unusual``
            the logits are averaged as widely, and measured in standard deviations above what is usual for good images
            at each place.
        top: share of the places whose mean are the scores ``map_top`` and ``unusual``.
        roi: ``[method.roi]``, where defects matter; a network taught so keeps still elsewhere.
        spoil: ``[method.spoil]``, what is done to good images.
        augment: ``[method.augment]``, which variants of good images are good as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    widths: Widths = Field(default=(16, 32, 64), min_length=1, strict=False)
    blocks: int = Field(default=2, ge=2, le=8)
    convolutions: Literal[2, 3] = 2
    stem: Literal[1, 2, 4, 8] = 4
    latent: int = Field(default=32, ge=1)
    marker: Design = "told"
    marker_width: int = Field(default=32, ge=4, le=256)
    marks: int = Field(default=6, ge=1, le=20)
    faintest: float = Field(default=1.0, gt=0, le=1)
    visible: float = Field(default=1.2, ge=0)
    gamma: float = Field(default=2.0, ge=0)
    alpha: float | None = Field(default=None, gt=0, lt=1)
    weights: Weights = Weights()
    average: float = Field(default=0.998, ge=0, lt=1)
    window_px: int = Field(default=21, ge=1)
    top: float = Field(default=0.002, gt=0, le=1)
    roi: InterestOptions = InterestOptions()
    spoil: SpoilOptions = SpoilOptions(
        probability=0.85,
        kinds=("perlin", "texture", "cutpaste", "scratch", "spot", "fill", "warp", "blur", "noise"),
    )
    augment: AugmentOptions = AugmentOptions(shift_px=4, brightness=0.06)


def build(options: Options, plan: Plan) -> GrdNet:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are too small for the windows, their sides are no multiples of the networks' strides, or
            the region of interest cannot be read or is empty.
    """
    return GrdNet(options, plan)


class Network(nn.Module):
    """Generator and U-Net, which learn together: the U-Net's loss reaches the generator through what it redrew."""

    generator: Generator
    marker: Comparing

    def __init__(self, generator: nn.Module, marker: nn.Module) -> None:
        super().__init__()
        self.generator, self.marker = generator, marker  # type: ignore[assignment]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give what the generator does for (N, C, H, W), and the U-Net's logits, float32 (N, 1, h, w)."""
        reconstruction, latent, again = self.generator(image)
        return reconstruction, latent, again, self.marker(image, reconstruction)


def _network(shape: tuple[int, int, int], options: Options) -> Network:
    second = options.weights.latent > 0.0
    generator = Generator(shape, _layout(options), bottleneck="narrow", latent=options.latent, second=second)
    return Network(generator, Comparing(shape, options.marker, width=options.marker_width))


def _layout(options: Options) -> Layout:
    return Layout(options.widths, blocks=options.blocks, convolutions=options.convolutions, stem=options.stem)


class Marking(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to map, scores and reconstruction."""

    def __init__(self, redraw: Redraw, marker: Comparing, usual: Usual, options: Options) -> None:
        super().__init__()
        self.redraw, self.marker, self.usual = redraw, marker, usual
        self.window_px, self.top = options.window_px, options.top

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract; the map is a probability."""
        reconstruction, logits = self.logits(image)
        probability = torch.sigmoid(logits)
        scores = {
            "map_top": _top_mean(probability, self.top),
            "unusual": _top_mean(self.usual.deviation(self.averaged(logits)), self.top),
        }
        if self.marker.stem > 1:
            scale = float(self.marker.stem)
            probability = F.interpolate(probability, scale_factor=scale, mode="bilinear", align_corners=False)
        anomaly_map = probability[:, 0]
        return {
            "defect_probability": smooth_valid(anomaly_map, box_taps(self.window_px)).amax(dim=(1, 2)),
            **scores,
            "anomaly_map": anomaly_map,
            "reconstruction": reconstruction,
        }

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the reconstruction (N, C, H, W), and logits, float32 (N, 1, h, w)."""
        reconstruction, _ = self.redraw(image)
        return reconstruction, self.marker(image, reconstruction)

    def averaged(self, logits: Tensor) -> Tensor:
        """Average logits under a Gaussian as wide as the square of the score, which has no corners: (N, h, w)."""
        sigma = math.sqrt((self.window_px**2 - 1) / 12.0) / self.marker.stem  # the square's, in the U-Net's pixels
        if sigma == 0.0:
            return logits[:, 0]
        return smooth_same(logits[:, 0], gaussian_taps(sigma, 2 * math.ceil(2.0 * sigma) + 1))


def _top_mean(maps: Tensor, share: float) -> Tensor:
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)


class GrdNet:
    """The training of one :class:`Network` and its opponent; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        if min(plan.shape[1:]) < options.window_px:
            raise RecipeError(
                f"method.window_px: a square of {options.window_px} px does not fit into images of "
                f"{plan.shape[1]} x {plan.shape[2]} px; lower it"
            )
        self._bare = _network(plan.shape, options)
        generator, restoring = set_up(plan.fabric, self._bare.generator, plan.training, betas=BETAS)
        marker, marking = set_up(plan.fabric, self._bare.marker, plan.training)
        self._network = Network(generator, marker)
        self._exported = copy.deepcopy(self._bare)
        self._averaged = MovingAverage(self._exported, most=options.average).to(plan.fabric.device)
        stem = self._exported.marker.stem
        size = (plan.shape[1] // stem, plan.shape[2] // stem)
        self._usual = Usual(size, smooth_px=USUAL_SMOOTH_PX).to(plan.fabric.device)
        self._interest = Interest(options.roi, plan.shape[1:])
        self.networks: dict[str, nn.Module] = {
            "generator": generator,
            "marker": marker,
            "averaged": self._averaged,
            "usual": self._usual,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {"generator": restoring, "marker": marking}
        self._adversary = Adversary(plan, _layout(options)) if options.weights.adversarial > 0.0 else None
        if self._adversary is not None:
            self.networks["discriminator"] = self._adversary.network
            self.optimizers["discriminator"] = self._adversary.optimizer

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Restore and mark one batch of spoiled images; first the discriminator learns, then the network."""
        clean = augment(batch.images, batch.generator, self._options.augment)
        parts, reconstruction = self._parts(self._network.train(), clean, batch)
        judged: dict[str, Tensor] = {}
        if self._adversary is not None:
            judged["discriminator"] = self._adversary.learn(clean, reconstruction)
            parts["adversarial"] = self._adversary.match(clean, reconstruction)
        losses = {"loss": self._total(parts), **parts, **judged}
        # the generator's gradient is not shortened: weighed fifty times, it would be at every step
        steps = [(self.optimizers["generator"], None), (self.optimizers["marker"], LONGEST)]
        named = update_all(self._fabric, steps, losses)
        self._averaged.follow(self._bare)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same task on held-out images with the averaged weights, in float32 as on the line."""
        parts, reconstruction = self._parts(self._exported.eval(), batch.images, batch)
        judged: dict[str, Tensor] = {}
        if self._adversary is not None:
            judged["discriminator"], parts["adversarial"] = self._adversary.measure(batch.images, reconstruction)
        return numbers({"loss": self._total(parts), **parts, **judged})

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit what logits are usual at each place, in float32 as on the line."""
        marking = self._marking()
        self._usual.fit(marking.averaged(marking.logits(batch.images)[1]) for batch in for_moments(batches))

    def graph(self) -> nn.Module:
        """Give anomaly map, scores and reconstruction of an image."""
        return fold(self._marking()).float().cpu().eval()

    def _marking(self) -> Marking:
        return Marking(self._exported.generator.redraw, self._exported.marker, self._usual, self._options).eval()

    def _parts(self, network: nn.Module, clean: Tensor, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Name the parts of the loss, unweighted, but for the adversarial one; and give the reconstruction."""
        options = self._options
        with torch.no_grad():
            spoiled = self._spoiled(clean, batch.generator)
            defect, undecided = visible(clean, spoiled, times=options.visible)
            # Ferrari et al. 2023, figure: the target is mask and region of interest
            matters = self._interest.of(batch.regions, clean.device)
            defect, undecided = defect & matters, undecided & matters
        reconstruction, latent, again, logits = network(spoiled)
        focal, dice = marking_losses(logits, defect, undecided, gamma=options.gamma, alpha=options.alpha)
        return {
            # delta = 1: half the mean squared error, as no pixel of [0, 1] is further away
            "huber": F.huber_loss(reconstruction, clean),
            "dissimilarity": 1.0 - ssim(clean, reconstruction).mean(),
            "latent": F.l1_loss(latent, again),
            "focal": focal,
            "dice": dice,
        }, reconstruction

    def _total(self, parts: Mapping[str, Tensor]) -> Tensor:
        weights = self._options.weights
        contextual = weights.huber * parts["huber"] + weights.dissimilarity * parts["dissimilarity"]
        total = weights.contextual * contextual + weights.latent * parts["latent"]
        total = total + weights.focal * parts["focal"] + weights.dice * parts["dice"]
        return total + weights.adversarial * parts["adversarial"] if "adversarial" in parts else total

    def _spoiled(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        spoiled = spoil_many(clean, generator, self._options.spoil, most=self._options.marks)
        if self._options.faintest < 1.0:
            draws = torch.rand((len(clean), 1, 1, 1), generator=generator, device=generator.device).to(clean)
            spoiled = torch.lerp(clean, spoiled, self._options.faintest + (1.0 - self._options.faintest) * draws)
        return spoiled
