"""Draw lumps of foreign matter into good pictures, with the masks they leave; knows no network and no loss.

A lump is a roundish body with an uneven rim, filled with matter of its own: a grey value that the picture itself shows,
grain of some size, perhaps a shade towards its middle. Beads, crumbs, films and drops all look somewhat so. What
spoilings (``spoil``) do to a picture is rubbed out again by a network that restores it; a lump is to be found.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LumpOptions", "draw_lumps"]

ORDERS: Final = (2, 3, 5, 7)
"""Waves along the rim."""

SCALES: Final = 4
"""Grain is drawn at 1, 2, 4 and 8 px."""

PROBED: Final = 64
"""So many pixels of a picture say which grey values it shows."""


class LumpOptions(BaseModel):
    """The recipe's ``[method.lumps]``.

    Attributes:
        smallest_px: least radius.
        largest_px: largest radius; sizes between are equally likely on a logarithmic scale.
        most: at most so many in a window.
        whole: share of the windows that stay without.
        longest: at most so many times as long as broad.
        brighter_than: the matter is as bright as a pixel of the picture that is brighter than at least this share of
            its pixels; 0 takes any, 0.5 the brighter half.
        grain: largest standard deviation of the matter's grain, white being 1.
        thinnest: least opacity; half of the lumps are solid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    smallest_px: float = Field(default=4.0, ge=1)
    largest_px: float = Field(default=45.0, ge=1)
    most: int = Field(default=5, ge=1, le=50)
    whole: float = Field(default=0.15, ge=0, lt=1)
    longest: float = Field(default=3.0, ge=1, le=20)
    brighter_than: float = Field(default=0.0, ge=0, lt=1)
    grain: float = Field(default=0.25, ge=0, le=1)
    thinnest: float = Field(default=0.6, gt=0, le=1)

    @model_validator(mode="after")
    def _sizes_are_in_order(self) -> LumpOptions:
        if self.smallest_px > self.largest_px:
            raise ValueError(f"smallest_px {self.smallest_px} must not exceed largest_px {self.largest_px}")
        return self


def draw_lumps(images: Tensor, generator: torch.Generator, options: LumpOptions) -> tuple[Tensor, Tensor]:
    """Draw lumps into each picture.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        options: what lumps are like.

    Returns:
        float32 (N, C, H, W) in [0, 1], and masks float32 (N, 1, H, W), 1 where a lump is.
    """
    count = len(images)
    uniform = _Uniform(generator, images)
    most = torch.floor(1 + options.most * uniform(count)).clamp(max=options.most)
    wanted = torch.where(uniform(count) < options.whole, torch.zeros_like(most), most)
    drawn, masks = images, torch.zeros_like(images[:, :1])
    for number in range(options.most):
        here = (number < wanted).to(images).view(-1, 1, 1, 1)
        depth, radius = _bodies(images, uniform, options)
        soft = uniform(count, 0.7, 2.0).view(-1, 1, 1, 1)
        inside = here * (depth * radius / soft + 0.5).clamp(0.0, 1.0)
        solid = (uniform(count) < 0.5).to(images)
        opacity = (solid + (1.0 - solid) * uniform(count, options.thinnest, 1.0)).view(-1, 1, 1, 1) * inside
        drawn = torch.lerp(drawn, _matter(drawn, depth, uniform, options), opacity)
        masks = torch.maximum(masks, (inside > 0.5).to(images))
    return drawn.clamp(0.0, 1.0), masks


class _Uniform:
    """Even random numbers of one generator, placed where the images are."""

    def __init__(self, generator: torch.Generator, like: Tensor) -> None:
        self.generator, self.like = generator, like

    def __call__(self, *shape: float, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw (n,) in [low, high): ``(n)`` or ``(n, low, high)``."""
        size, *bounds = shape
        low, high = bounds or (low, high)
        numbers = torch.rand(int(size), generator=self.generator, device=self.generator.device)
        return (low + (high - low) * numbers).to(self.like)

    def normal(self, *shape: int) -> Tensor:
        """Draw from a Gaussian of spread 1."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(self.like)


def _bodies(images: Tensor, uniform: _Uniform, options: LumpOptions) -> tuple[Tensor, Tensor]:
    """Give one body a picture: how deep a pixel lies in it, 0 on the rim and 1 in the middle, and its radius in px."""
    count, _, height, width = images.shape
    radius = torch.exp(uniform(count, math.log(options.smallest_px), math.log(options.largest_px))).view(-1, 1, 1)
    stretch = torch.exp(0.5 * uniform(count, 0.0, math.log(options.longest))).view(-1, 1, 1)
    angle = uniform(count, 0.0, math.pi).view(-1, 1, 1)
    rows = torch.arange(height, device=images.device).view(1, -1, 1) - uniform(count, 0.0, height).view(-1, 1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, -1) - uniform(count, 0.0, width).view(-1, 1, 1)
    along = (columns * angle.cos() + rows * angle.sin()) / stretch
    across = (rows * angle.cos() - columns * angle.sin()) * stretch
    around = torch.atan2(across, along)
    rim = torch.ones_like(around)
    for order in ORDERS:
        size, turn = uniform(count, 0.0, 0.2).view(-1, 1, 1), uniform(count, 0.0, 2.0 * math.pi).view(-1, 1, 1)
        rim = rim + size * torch.sin(order * around + turn)
    depth = 1.0 - torch.hypot(along, across) / (radius * rim.clamp(min=0.2))
    return depth.unsqueeze(1), radius.unsqueeze(1)


def _matter(images: Tensor, depth: Tensor, uniform: _Uniform, options: LumpOptions) -> Tensor:
    """Give what the lumps are made of: a grey value or colour of the picture itself, with grain and shade."""
    count, channels, height, width = images.shape
    places = (uniform(count * PROBED) * height * width).long().clamp(max=height * width - 1).view(count, 1, PROBED)
    probed = images.flatten(2).gather(2, places.expand(-1, channels, -1))  # (N, C, PROBED)
    order = probed.mean(dim=1).argsort(dim=1)
    rank = (uniform(count, options.brighter_than, 1.0) * PROBED).long().clamp(max=PROBED - 1)
    chosen = order.gather(1, rank.unsqueeze(1)).view(count, 1, 1).expand(-1, channels, -1)
    level = probed.gather(2, chosen).unsqueeze(3)
    shaded = (uniform(count) < 0.5).to(images) * uniform(count, -0.3, 0.3)
    return (
        level
        + uniform(count, 0.0, options.grain).view(-1, 1, 1, 1) * _grain((height, width), count, uniform)
        + shaded.view(-1, 1, 1, 1) * depth.clamp(0.0, 1.0)
    ).clamp(0.0, 1.0)


def _grain(shape: tuple[int, int], count: int, uniform: _Uniform) -> Tensor:
    """Give noise (N, 1, H, W) of spread 1, each picture's of its own mixture of sizes."""
    height, width = shape
    weights = torch.softmax(2.0 * uniform.normal(count, SCALES), dim=1)
    whole = torch.zeros((count, 1, height, width), dtype=weights.dtype, device=weights.device)
    for scale in range(SCALES):
        step = 2**scale
        noise = uniform.normal(count, 1, -(-height // step), -(-width // step))
        if step > 1:
            noise = F.interpolate(noise, scale_factor=float(step), mode="bilinear")[..., :height, :width]
        whole = whole + weights[:, scale].view(-1, 1, 1, 1) * noise
    return whole / whole.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)
