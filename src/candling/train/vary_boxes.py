"""Variants of pictures with the boxes in them: mirrored, turned, nearer and farther, lighter, another tint; no network.

``vary.py`` does the like for pictures with masks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

__all__ = ["VaryBoxesOptions", "vary_boxes"]

LEAST_SHARE = 0.4
"""A box of which less is left inside is none any more."""

LEAST_PX = 3.0
"""Nor is one with a shorter side."""


class VaryBoxesOptions(BaseModel):
    """The recipe's ``[method.vary]`` of a method that learns boxes.

    Attributes:
        flip_left_right: half of the pictures are mirrored, left for right.
        flip_up_down: half are mirrored, top for bottom.
        quarter_turns: each is turned by 0, 90, 180 or 270 degrees; of pictures that are not square, by 0 or 180.
        zoom: pictures are enlarged or shrunk by up to this factor (in logarithms, evenly), and moved.
        brightness: grey values are multiplied by up to one plus or minus this.
        gamma: spread of the logarithm of the power that grey values are raised to.
        tint: each colour by itself is multiplied by up to one plus or minus this.
        noise: largest standard deviation of Gaussian noise, white being 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    flip_left_right: bool = True
    flip_up_down: bool = True
    quarter_turns: bool = True
    zoom: float = Field(default=1.3, ge=1, le=4)
    brightness: float = Field(default=0.15, ge=0, lt=1)
    gamma: float = Field(default=0.15, ge=0, le=1)
    tint: float = Field(default=0.05, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0, lt=1)


def vary_boxes(
    images: Tensor, boxes: Tensor, generator: torch.Generator, options: VaryBoxesOptions
) -> tuple[Tensor, Tensor]:
    """Draw a variant of each picture, and move the boxes along.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        boxes: float32 (N, M, 5), left, top, right, bottom and class; class -1 is none.
        generator: the only source of randomness.
        options: what may happen.

    Returns:
        Pictures and boxes of the same shapes; boxes are cut at the edges, and those of which little is left are none.
    """
    height, width = images.shape[2:]
    matrix = _drawn(len(images), generator, options, square=height == width).to(images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images - mean, grid, padding_mode="zeros", align_corners=False) + mean
    return _exposed(moved, generator, options), _moved(boxes, matrix, height, width)


def _drawn(count: int, generator: torch.Generator, options: VaryBoxesOptions, *, square: bool) -> Tensor:
    """Give what takes a place of the variant to one of the picture, both from -1 to 1: float32 (N, 2, 3)."""
    draws = torch.rand((6, count), generator=generator, device=generator.device)
    across = torch.where(draws[0] < 0.5, -1.0, 1.0) if options.flip_left_right else torch.ones_like(draws[0])
    down = torch.where(draws[1] < 0.5, -1.0, 1.0) if options.flip_up_down else torch.ones_like(draws[1])
    if options.quarter_turns:
        half = torch.where(draws[2] < 0.5, -1.0, 1.0)
        across, down = across * half, down * half
    turned = draws[2] * 2.0 % 1.0 < 0.5 if options.quarter_turns and square else torch.zeros_like(draws[2]).bool()
    down = torch.where(turned, -down, down)  # or it would be a mirror
    size = options.zoom ** (2.0 * draws[3] - 1.0)  # of what is seen, picture being 1
    zero = torch.zeros_like(size)
    rows = torch.stack((torch.where(turned, zero, across * size), torch.where(turned, across * size, zero)), dim=1)
    columns = torch.stack((torch.where(turned, down * size, zero), torch.where(turned, zero, down * size)), dim=1)
    shift = (1.0 - size).abs() * (2.0 * draws[4:6] - 1.0)  # inside the picture, or the picture inside
    return torch.stack((torch.cat((rows, shift[0:1].mT), dim=1), torch.cat((columns, shift[1:2].mT), dim=1)), dim=1)


def _moved(boxes: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    scale = boxes.new_tensor([width, height])
    corners = boxes[..., :4].unflatten(2, (2, 2)) / scale * 2.0 - 1.0  # (N, M, 2, 2) x and y
    back = torch.linalg.inv(matrix[:, :, :2])
    moved = (corners - matrix[:, None, None, :, 2]) @ back.mT.unsqueeze(1)
    moved = (moved + 1.0) / 2.0 * scale
    low, high = moved.amin(dim=2), moved.amax(dim=2)
    inside = torch.cat((torch.clamp(low, min=0.0), torch.minimum(high, scale)), dim=2)
    sides = (inside[..., 2:] - inside[..., :2]).clamp(min=0.0)
    share = sides.prod(dim=2) / (high - low).prod(dim=2).clamp(min=1e-6)
    real = (boxes[..., 4] >= 0) & (share >= LEAST_SHARE) & (sides.amin(dim=2) >= LEAST_PX)
    label = torch.where(real, boxes[..., 4], -torch.ones_like(share))
    return torch.cat((torch.where(real.unsqueeze(2), inside, torch.zeros_like(inside)), label.unsqueeze(2)), dim=2)


def _exposed(images: Tensor, generator: torch.Generator, options: VaryBoxesOptions) -> Tensor:
    count, channels = images.shape[:2]

    def chance(wide: int = 1) -> Tensor:
        return torch.rand((count, wide, 1, 1), generator=generator, device=generator.device).to(images)

    images = images.clamp(0.0, 1.0)
    if options.gamma > 0.0:
        draws = torch.randn((count, 1, 1, 1), generator=generator, device=generator.device).to(images)
        images = images.clamp(min=1e-3) ** (options.gamma * draws).exp()
    factor = 1.0 + options.brightness * (2.0 * chance() - 1.0)
    if channels > 1:
        factor = factor * (1.0 + options.tint * (2.0 * chance(channels) - 1.0))
    images = images * factor
    if options.noise > 0.0:
        noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
        images = images + options.noise * chance() * noise
    return images.clamp(0.0, 1.0)
