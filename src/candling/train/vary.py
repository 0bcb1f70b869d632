"""Variants of patches and of their masks together: mirrored, turned, zoomed, lighter, noisier; knows no label.

``augment.py`` does the like for good images, where there is no mask to be moved along.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

__all__ = ["VaryOptions", "vary"]


class VaryOptions(BaseModel):
    """The recipe's ``[method.vary]``.

    Attributes:
        flip_left_right: half of the patches are mirrored, left for right.
        flip_up_down: half are mirrored, top for bottom.
        quarter_turns: each is turned by 0, 90, 180 or 270 degrees.
        zoom: rows and columns are each stretched by up to one plus or minus this; the border is repeated.
        shear_degrees: sheared by up to this angle, either way.
        brightness: grey values are multiplied by up to one plus or minus this, the same over a patch.
        gamma: spread of the logarithm of the power that grey values are raised to.
        noise: largest standard deviation of Gaussian noise, white being 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    flip_left_right: bool = True
    flip_up_down: bool = True
    quarter_turns: bool = True
    zoom: float = Field(default=0.0, ge=0, lt=1)
    shear_degrees: float = Field(default=0.0, ge=0, le=45)
    brightness: float = Field(default=0.15, ge=0, lt=1)
    gamma: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.05, ge=0, lt=1)


def vary(patches: Tensor, masks: Tensor, generator: torch.Generator, options: VaryOptions) -> tuple[Tensor, Tensor]:
    """Draw a variant of each patch, and the same of its masks where it is moved.

    Args:
        patches: float32 (N, C, S, S) in [0, 1]; not changed.
        masks: float32 (N, K, S, S); moved alike, never brightened.
        generator: the only source of randomness.
        options: what may happen.

    Returns:
        Patches in [0, 1] and masks, of the same shapes.
    """
    channels = patches.shape[1]
    both = torch.cat((patches, masks), dim=1)
    if options.flip_left_right:
        both = torch.where(_chance(both, generator) < 0.5, both.flip(3), both)
    if options.flip_up_down:
        both = torch.where(_chance(both, generator) < 0.5, both.flip(2), both)
    if options.quarter_turns:
        turns = torch.randint(4, (len(both),), generator=generator, device=generator.device).tolist()
        both = torch.stack([one.rot90(turn, (1, 2)) for one, turn in zip(both, turns, strict=True)])
    if options.zoom > 0.0 or options.shear_degrees > 0.0:
        both = _stretched(both, generator, options)
    patches, masks = both[:, :channels], both[:, channels:]
    if options.gamma > 0.0:
        draws = torch.randn((len(patches), 1, 1, 1), generator=generator, device=generator.device).to(patches)
        patches = patches.clamp(min=1e-3) ** (options.gamma * draws).exp()
    if options.brightness > 0.0:
        patches = patches * (1.0 + options.brightness * (2.0 * _chance(patches, generator) - 1.0))
    if options.noise > 0.0:
        noise = torch.randn(patches.shape, generator=generator, device=generator.device).to(patches)
        patches = patches + options.noise * _chance(patches, generator) * noise
    return patches.clamp(0.0, 1.0), masks


def _stretched(both: Tensor, generator: torch.Generator, options: VaryOptions) -> Tensor:
    """Stretch and shear about the middle, between pixels linearly."""
    count = len(both)
    draws = 2.0 * torch.rand((3, count), generator=generator, device=generator.device).to(both) - 1.0
    shear = torch.tan(math.radians(options.shear_degrees) * draws[2])
    zero = torch.zeros_like(shear)
    rows = (1.0 + options.zoom * draws[0], shear, zero, zero, 1.0 + options.zoom * draws[1], zero)
    grid = F.affine_grid(torch.stack(rows, dim=1).view(count, 2, 3), list(both.shape), align_corners=False)
    return F.grid_sample(both, grid, padding_mode="border", align_corners=False)


def _chance(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a number in [0, 1) for each patch: (N, 1, 1, 1)."""
    return torch.rand((len(patches), 1, 1, 1), generator=generator, device=generator.device).to(patches)
