"""Turns one good image into another good image: flips, turns, shifts, brightness; knows no defects (see spoil).

Everything is off unless the recipe asks for it: a mirrored capsule may be a defect.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

__all__ = ["AugmentOptions", "augment"]


class AugmentOptions(BaseModel):
    """The recipe's ``[method.augment]``.

    Attributes:
        flip_left_right: probability of a mirror image, left for right.
        flip_up_down: probability of a mirror image, top for bottom.
        turn_degrees: the image turns about its middle by up to this angle, either way; the border is repeated.
        shift_px: the image moves by up to this many pixels along each axis; the border is repeated.
        brightness: grey values are multiplied by up to one plus or minus this.
        noise: standard deviation of Gaussian noise, white being 1.
        still: probability that every colour of an image becomes one of them: where colours are the frames of a run,
            what moves has stood still.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    flip_left_right: float = Field(default=0.0, ge=0, le=1)
    flip_up_down: float = Field(default=0.0, ge=0, le=1)
    turn_degrees: float = Field(default=0.0, ge=0, le=180)
    shift_px: int = Field(default=0, ge=0)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0, lt=1)
    still: float = Field(default=0.0, ge=0, le=1)


def augment(images: Tensor, generator: torch.Generator, options: AugmentOptions) -> Tensor:
    """Draw a variant of each image.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness; it draws nothing for what is off.
        options: what may happen.

    Returns:
        float32 (N, C, H, W) in [0, 1]; ``images`` itself when everything is off.
    """
    count, channels, height, width = images.shape
    if options.still > 0.0 and channels > 1:
        chosen = _chosen(images, generator, options.still)
        shown = torch.randint(channels, (count, 1, 1, 1), generator=generator, device=generator.device)
        one = images.gather(1, shown.to(images.device).expand(-1, 1, height, width))
        images = torch.where(chosen, one, images)
    if options.flip_left_right > 0.0:
        images = torch.where(_chosen(images, generator, options.flip_left_right), images.flip(3), images)
    if options.flip_up_down > 0.0:
        images = torch.where(_chosen(images, generator, options.flip_up_down), images.flip(2), images)
    if options.turn_degrees > 0.0:
        images = _turned(images, generator, math.radians(options.turn_degrees))
    if options.shift_px > 0:
        limit = options.shift_px
        shifts = torch.randint(-limit, limit + 1, (count, 2), generator=generator, device=generator.device).to(
            images.device
        )
        rows = (torch.arange(height, device=images.device) + shifts[:, :1]).clamp(0, height - 1)
        columns = (torch.arange(width, device=images.device) + shifts[:, 1:]).clamp(0, width - 1)
        images = torch.stack([image[:, r][:, :, c] for image, r, c in zip(images, rows, columns, strict=True)])
    if options.brightness > 0.0:
        draws = torch.rand((count, 1, 1, 1), generator=generator, device=generator.device).to(images)
        images = (images * (1.0 + options.brightness * (2.0 * draws - 1.0))).clamp(0.0, 1.0)
    if options.noise > 0.0:
        noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images.device)
        images = (images + options.noise * noise).clamp(0.0, 1.0)
    return images


def _turned(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """Turn each image by an angle of up to ``most`` radians, between pixels linearly."""
    count, _, height, width = images.shape
    draws = torch.rand(count, generator=generator, device=generator.device).to(images)
    angle = most * (2.0 * draws - 1.0)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # both sides run from -1 to 1, whatever their lengths
    rows = (cosine, -sine * height / width, zero, sine * width / height, cosine, zero)
    grid = F.affine_grid(torch.stack(rows, dim=1).view(count, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _chosen(images: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    draws = torch.rand((len(images), 1, 1, 1), generator=generator, device=generator.device)
    return (draws < probability).to(images.device)
