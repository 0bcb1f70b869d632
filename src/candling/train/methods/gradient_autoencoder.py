"""Autoencoder that restores a picture and its gradient maps, and compares the gradients position by position.

Where an autoencoder of pixels asks whether a grey value is right, this one asks whether edges run where they should. It
restores spoiled good images: the picture, for people, and descriptors of the gradients around each position
(``gradients.py``). The difference between the descriptors of an image and the restored ones is measured against what
good images leave at that position (``positions.py``), so a printed edge is forgiven what it always does. Nothing in it
was trained on other pictures.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train.augment import AugmentOptions, augment
from candling.train.averages import MovingAverage, RunningMoments
from candling.train.blocks import fold
from candling.train.gradients import CELLS, Gradients, descriptor_size
from candling.train.positions import PositionOptions, Positions, fit_positions, smooth_three
from candling.train.restorer import STRIDE, Restorer
from candling.train.spoil import SpoilOptions, spoil_often
from candling.train.updates import numbers, set_up, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["GradientAutoencoder", "Options", "build"]

TARGET_RANGE = 8.0
"""Standardised descriptors beyond this many spreads count no further while training: a speck of dust is no lesson."""

LEAST_VARIANCE = 1e-8
"""A descriptor that no good image varies is compared in units of the root of this."""

CHANGED = 0.03
"""A pixel counts as spoiled when it moved by more than this."""


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "gradient_autoencoder"``.

    Attributes:
        width: channels of the network at a quarter of the size; up to four times as many below.
        middle: channels of its narrowest place, at 1/32 of the size.
        skips: where encoder and decoder are connected besides: at 1/8, at 1/16, both or nowhere. With 1/8 it learns
            faster to copy defects such as cracks than to restore what they cover.
        emphasis: a spoiled place weighs one plus this in the loss.
        picture: weight of the restored picture beside the two descriptor maps.
        average: the exported weights are a moving average with at most this share of the old; 0 takes the last.
        mean_too: the mean good image is compared as well, as the plainest restoration: what the network learnt to copy
            still deviates from it. False compares the restored one alone.
        top: share of the positions whose mean, above the mean of all, is the score ``anomaly``.
        marks: an image is spoiled up to this many times, the second and later ones half as likely.
        spoil: ``[method.spoil]``, what is done to the images it must restore.
        augment: ``[method.augment]``, which variants of good images are good as well.
        positions: ``[method.positions]``, the statistics of each position.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    width: int = Field(default=32, ge=4, le=256)
    middle: int = Field(default=64, ge=1, le=1024)
    skips: tuple[Literal[8, 16], ...] = Field(default=(16,), strict=False)
    emphasis: float = Field(default=10.0, ge=0)
    picture: float = Field(default=0.3, ge=0)
    average: float = Field(default=0.99, ge=0, lt=1)
    mean_too: bool = True
    top: float = Field(default=0.005, gt=0, le=1)
    marks: int = Field(default=3, ge=1, le=10)
    spoil: SpoilOptions = SpoilOptions(probability=0.9, kinds=("texture", "cutpaste", "scratch", "spot", "fill"))
    augment: AugmentOptions = AugmentOptions()
    positions: PositionOptions = PositionOptions()


def build(options: Options, plan: Plan) -> GradientAutoencoder:
    """Build the method for images of the plan's shape, whatever their size."""
    return GradientAutoencoder(options, plan)


class Observed(nn.Module):
    """Running moments of good images and of their descriptors, which make residuals comparable."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        size = descriptor_size(channels)
        self.image = RunningMoments(shape)
        self.maps = nn.ModuleList(RunningMoments((size, height // cell, width // cell)) for cell in CELLS)

    @property
    def moments(self) -> list[RunningMoments]:
        """The moments of the fine and of the coarse map."""
        return cast("list[RunningMoments]", list(self.maps))

    def standardised(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        """Give descriptors as deviation from their mean, in the unit of their spread around each position."""
        return [
            (values - moments.mean) * _sharpness(moments.variance)
            for values, moments in zip(maps, self.moments, strict=True)
        ]


def _sharpness(variance: Tensor) -> Tensor:
    """Take one over the spread, half of it from around the position, half from the whole surface."""
    near, whole = smooth_three(variance), variance.mean(dim=(2, 3), keepdim=True)
    return (0.5 * near + 0.5 * whole).clamp(min=LEAST_VARIANCE).rsqrt()


class Comparison(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to anomaly map, restored picture and scores."""

    def __init__(self, shape: tuple[int, int, int], options: Options, observed: Observed, restorer: nn.Module) -> None:
        super().__init__()
        self.shape, self.top, self.mean_too = shape, options.top, options.mean_too
        channels, height, width = _padded(shape)
        self.gradients = Gradients(channels)
        self.observed, self.restorer = observed, restorer
        size = descriptor_size(channels)
        self.positions = nn.ModuleList(
            Positions((size, height // cell, width // cell), options.positions)
            for cell in CELLS * (1 + options.mean_too)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        _, height, width = self.shape
        residuals, picture = self.residuals(pad(image))
        maps = [
            smooth_three(positions(values).unsqueeze(1))
            for positions, values in zip(self.positions, residuals, strict=True)
        ]
        fine, coarse = sum(maps[2::2], maps[0]), sum(maps[3::2], maps[1])
        both = fine + F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        small = both / len(maps)  # in spreads of one map, whatever is compared
        small = small[:, :, : -(-height // CELLS[0]), : -(-width // CELLS[0])]
        large = F.interpolate(small, scale_factor=float(CELLS[0]), mode="bilinear", align_corners=False)
        reconstruction = picture[:, :, :height, :width].clamp(0.0, 1.0)
        flat = small.flatten(1)
        top = flat.topk(max(1, round(self.top * flat.shape[1])), dim=1).values
        return {
            "anomaly": top.mean(dim=1) - flat.mean(dim=1),
            "map_peak": flat.amax(dim=1),
            "mean_squared_error": (image - reconstruction).square().mean(dim=(1, 2, 3)),
            "anomaly_map": large[:, 0, :height, :width],
            "reconstruction": reconstruction,
        }

    def residuals(self, padded: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give what is left of the standardised descriptors, and the restored picture.

        Returns:
            fine and coarse descriptors less the restored ones, then, with ``mean_too``, less those of the mean good
            image; and the picture (N, C, H, W).
        """
        *restored, picture = self.restorer(padded - self.observed.image.mean)
        standardised = self.observed.standardised(self.gradients(padded))
        left = [values - answer for values, answer in zip(standardised, restored, strict=True)]
        return left + (standardised if self.mean_too else []), picture + self.observed.image.mean


def _padded(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE


def pad(image: Tensor) -> Tensor:
    """Repeat the last row and column until both sides are multiples of 32."""
    below, right = -image.shape[2] % STRIDE, -image.shape[3] % STRIDE
    return F.pad(image, (0, right, 0, below), mode="replicate") if below or right else image


class GradientAutoencoder:
    """The training of one :class:`Restorer`; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        padded = _padded(plan.shape)
        size = descriptor_size(padded[0])
        self._network = Restorer(padded, size, width=options.width, middle=options.middle, skips=options.skips)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        averaged = MovingAverage(copy.deepcopy(self._network), most=options.average).to(plan.fabric.device)
        self._observed = Observed(padded).to(plan.fabric.device)
        self._averaged = averaged
        self._comparison = Comparison(plan.shape, options, self._observed, averaged.network).to(plan.fabric.device)
        self.networks: Mapping[str, nn.Module] = {"restorer": network, "averaged": averaged, "observed": self._observed}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"restorer": optimizer}

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Restore one batch of spoiled images, learn from the difference, and let the average follow."""
        restorer = self.networks["restorer"].train()
        clean = pad(augment(batch.images, batch.generator, self._options.augment))
        maps = self._described(clean)
        self._observe(clean, maps)
        named = update(self._fabric, self.optimizers["restorer"], self._losses(restorer, clean, maps, batch.generator))
        self._averaged.follow(self._network)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same task on held-out images with the averaged weights, in float32 as on the line."""
        clean = pad(batch.images)
        maps = self._described(clean)
        return numbers(self._losses(self._averaged.network.eval(), clean, maps, batch.generator))

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit the statistics of each position on what good images leave, in two walks through them."""
        comparison = self._comparison.eval()
        count = sum(len(batch.images) for batch in batches)

        def residuals() -> Iterator[tuple[Tensor, ...]]:
            for batch in batches:
                yield tuple(comparison.residuals(pad(batch.images))[0])

        fit_positions(cast("list[Positions]", list(comparison.positions)), residuals, count=count)

    def graph(self) -> nn.Module:
        """Give the comparison of an image with what the averaged network restores."""
        return fold(self._comparison).float().cpu().eval()

    @torch.no_grad()
    def _described(self, clean: Tensor) -> tuple[Tensor, ...]:
        """Describe one image after the other, which then stays in the processor's cache: twice as fast."""
        each = [self._comparison.gradients(image) for image in clean.split(1)]
        return tuple(torch.cat(maps) for maps in zip(*each, strict=True))

    def _observe(self, clean: Tensor, maps: tuple[Tensor, ...]) -> None:
        world = self._fabric.world_size

        def share(values: Tensor) -> Tensor:
            return self._fabric.all_reduce(values, reduce_op="mean") if world > 1 else values

        for moments, values in zip((self._observed.image, *self._observed.moments), (clean, *maps), strict=True):
            moments.observe(values, share=share, world=world)

    def _losses(
        self, restorer: nn.Module, clean: Tensor, maps: tuple[Tensor, ...], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compare what a network restores of spoiled images with what it should: each part is about 1 at first."""
        with torch.no_grad():
            spoiled = spoil_often(clean, generator, self._options.spoil, marks=self._options.marks)
            changed = ((spoiled - clean).abs().amax(dim=1, keepdim=True) > CHANGED).float()
            targets = self._observed.standardised(maps)
        mean = self._observed.image.mean
        fine, coarse, picture = restorer((spoiled - mean).contiguous(memory_format=torch.channels_last))
        parts = {}
        for name, restored, target, cell in zip(("fine", "coarse"), (fine, coarse), targets, CELLS, strict=True):
            weight = 1.0 + self._options.emphasis * F.avg_pool2d(changed, cell)
            error = (restored.float() - target.clamp(-TARGET_RANGE, TARGET_RANGE)).square().mean(dim=1, keepdim=True)
            parts[name] = (error * weight).sum() / weight.sum()
        contrast = self._observed.image.variance.mean() + 0.1 * mean.var() + 1e-6
        parts["picture"] = (picture.float() - (clean - mean)).square().mean() / contrast
        return {"loss": parts["fine"] + parts["coarse"] + self._options.picture * parts["picture"], **parts}
