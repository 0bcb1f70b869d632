"""The ways to spoil: each paints some images of a batch, and says where and how opaquely; draws nothing by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from candling.train.spoil.perlin import perlin_mask
from candling.train.windows import smooth_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from candling.train.spoil.draw import Draw

__all__ = ["PAINTERS", "Painted"]

LEAST_TURN = 0.35
"""What is pasted from elsewhere is turned by at least this, in radians: 20 degrees."""

_BLUR = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]) / 35.0
"""Windows of 7 and 5 px, one after the other."""

Painted = tuple[Tensor, Tensor, Tensor]
"""Opacity float (n, 1, H, W) in [0, 1], paint float (n, 1 or C, H, W), region bool (n, 1, H, W)."""


def _perlin(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    # Ferrari et al. 2024: X* = (1 - M) X + (1 - beta) M X + beta N, N zero outside M, beta ~ U(0.5, 1)
    noise, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    return draw.uniform((len(which), 1, 1, 1), 0.5, 1.0) * mask, noise, mask


def _texture(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    _, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    return draw.uniform((len(which), 1, 1, 1), 0.5, 1.0) * mask, _elsewhere(images, which, draw), mask


def _cutpaste(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    # Li et al. 2021, section 2.2, with smaller patches as well: area share 0.2 to 10 %, aspect 0.3 to 3.3
    height, width = _size(images)
    count = len(which)
    area = draw.log_uniform((count,), 0.002, 0.1) * height * width
    aspect = draw.log_uniform((count,), 0.3, 3.3)
    sides = torch.stack(((area * aspect).sqrt(), (area / aspect).sqrt()))
    rows, columns = (
        _span(size, side, draw.uniform((count,))) for size, side in zip((height, width), sides, strict=True)
    )
    mask = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
    return mask.to(images), _elsewhere(images, which, draw), mask


def _span(size: int, length: Tensor, place: Tensor) -> Tensor:
    """Mark ``length`` of ``size`` pixels, starting at a share ``place`` of the room there is: bool (n, size)."""
    length = length.round().clamp(2, size)
    start = (place * (size - length + 1)).floor()
    pixels = torch.arange(size, device=length.device)
    return (pixels >= start[:, None]) & (pixels < (start + length)[:, None])


def _elsewhere(images: Tensor, which: Tensor, draw: Draw) -> Tensor:
    """Take the same or another image of the batch, moved elsewhere and slightly changed in brightness."""
    count = len(which)
    source = torch.where(draw.uniform((count,)) < 0.5, which, draw.integers((count,), len(images)))
    moved = _around(images, source, draw) if draw.upright else _turned(images[source], draw)
    return moved * draw.uniform((count, 1, 1, 1), 0.7, 1.3)


def _around(images: Tensor, source: Tensor, draw: Draw) -> Tensor:
    height, width = _size(images)
    down, right = (draw.integers((len(source),), size).tolist() for size in (height, width))
    moves = zip(source.tolist(), down, right, strict=True)
    return torch.stack([images[index].roll(move, dims=(1, 2)) for index, *move in moves])


def _turned(images: Tensor, draw: Draw) -> Tensor:
    """Move, turn and zoom: upright an image fits wherever a product repeats itself, and nobody could tell."""
    (height, width), count = _size(images), len(images)
    angle = draw.uniform((count,), LEAST_TURN, 2.0 * math.pi - LEAST_TURN)
    zoom, move = draw.log_uniform((count,), 0.5, 2.0), draw.uniform((count, 2), -0.5, 0.5)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    right = torch.stack((cosine, -sine * height / width, move[:, 0]), dim=1)
    down = torch.stack((sine * width / height, cosine, move[:, 1]), dim=1)
    grid = F.affine_grid(torch.stack((right, down), dim=1), [count, 1, height, width], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _scratch(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    """Draw a cubic curve of 5 to 60 % of the image, 1 to 4 px thick at 256 px, thinner towards its ends."""
    height, width = _size(images)
    count, scale = len(which), min(height, width) / 256.0
    along = torch.linspace(0.0, 1.0, math.ceil(0.9 * min(height, width)), device=images.device)
    points = _curve(draw, count, height, width, along)
    thickness = draw.log_uniform((count, 1), 0.5, 2.0) * scale
    taper = (4.0 * along * (1.0 - along)).sqrt()  # 0 at both ends, 1 in the middle
    radius = 0.5 + (thickness - 0.5).clamp(min=0.0) * taper
    opacity = _stamped(points, radius, (height, width), reach=math.ceil(2.0 * scale) + 1)
    paint = images[which] + draw.signs((count, 1, 1, 1)) * draw.uniform((count, 1, 1, 1), 0.1, 0.6)
    return opacity, paint, opacity > 0.5


def _curve(draw: Draw, count: int, height: int, width: int, along: Tensor) -> Tensor:
    """Give points (n, p, 2) in pixels (row, column) along cubic Bezier curves of random place, heading and bend."""
    extent = torch.tensor([height, width], device=along.device)
    start = draw.uniform((count, 1, 2)) * extent
    length = draw.log_uniform((count, 1), 0.05, 0.6) * min(height, width)
    heading = draw.uniform((count, 1), 0.0, 2.0 * math.pi)
    # each third of the curve turns by up to 45 degrees
    turns = torch.cumsum(torch.cat((heading, draw.uniform((count, 2), -math.pi / 4, math.pi / 4)), dim=1), dim=1)
    strides = torch.stack((turns.sin(), turns.cos()), dim=2) * (length / 3.0).unsqueeze(2)
    controls = torch.cat((start, start + torch.cumsum(strides, dim=1)), dim=1)
    back = 1.0 - along
    weights = torch.stack((back**3, 3.0 * back**2 * along, 3.0 * back * along**2, along**3), dim=1)
    return weights @ controls


def _stamped(points: Tensor, radius: Tensor, shape: tuple[int, int], *, reach: int) -> Tensor:
    """Stamp soft-edged discs (n, p, 2) of radius (n, p) px into maps (n, 1, H, W) in [0, 1]; the largest value wins."""
    height, width = shape
    steps = torch.arange(-reach, reach + 1, device=points.device)
    offsets = torch.cartesian_prod(steps, steps)
    pixels = points.round().long().unsqueeze(2) + offsets  # (n, p, o, 2)
    distance = (pixels - points.unsqueeze(2)).square().sum(dim=3).sqrt()
    rows, columns = pixels.unbind(dim=3)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    value = (radius.unsqueeze(2) + 0.5 - distance).clamp(0.0, 1.0) * inside
    where = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    maps = torch.zeros((len(points), height * width), device=points.device)
    return maps.scatter_reduce_(1, where.flatten(1), value.flatten(1), "amax").view(-1, 1, height, width)


def _spot(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    count = len(which)
    opacity = _ellipse(draw, count, _size(images), least=0.008, most=0.06)
    for _ in range(2):  # one to three spots
        opacity = torch.maximum(
            opacity, _ellipse(draw, count, _size(images), least=0.008, most=0.06) * draw.integers((count, 1, 1, 1), 2)
        )
    paint = images[which] + draw.signs((count, 1, 1, 1)) * draw.uniform((count, 1, 1, 1), 0.1, 0.6)
    return opacity, paint, opacity > 0.5


def _fill(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.03, most=0.15)
    coarse = F.adaptive_avg_pool2d(images[which], 8)
    return opacity, F.interpolate(coarse, size=_size(images), mode="bilinear"), opacity > 0.5


def _warp(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    """Drag a round place aside by up to 8 % of the shorter side, fading towards its rim."""
    height, width = _size(images)
    count, short = len(which), min(height, width)
    centre = draw.uniform((count, 2), 0.1, 0.9) * torch.tensor([height, width], device=draw.device)
    reach = draw.uniform((count, 1, 1), 0.04, 0.15) * short
    move = draw.signs((count, 2)) * draw.uniform((count, 2), 0.01, 0.08) * short
    rows = torch.arange(height, device=draw.device)[None, :, None] - centre[:, :1, None]
    columns = torch.arange(width, device=draw.device)[None, None, :] - centre[:, 1:, None]
    bell = torch.exp(-0.5 * (rows**2 + columns**2) / reach**2)
    paint = _dragged(images[which], move[:, :1, None] * bell, move[:, 1:, None] * bell)
    return torch.ones((count, 1, 1, 1), device=draw.device), paint, (bell > 0.1).unsqueeze(1)


def _blister(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    """Look through a small round lens: what is behind is larger or smaller, and the lens has a dark or bright rim."""
    height, width = _size(images)
    count, short = len(which), min(height, width)
    centre = draw.uniform((count, 2), 0.05, 0.95) * torch.tensor([height, width], device=draw.device)
    radius = (draw.log_uniform((count, 1, 1), 0.02, 0.1) * short).clamp(min=1.5)
    rows = torch.arange(height, device=draw.device)[None, :, None] - centre[:, :1, None]
    columns = torch.arange(width, device=draw.device)[None, None, :] - centre[:, 1:, None]
    away = ((rows * draw.uniform((count, 1, 1), 0.8, 1.25)) ** 2 + columns**2).sqrt() / radius
    pull = draw.signs((count, 1, 1)) * draw.uniform((count, 1, 1), 0.2, 0.6) * torch.exp(-(away**2))
    behind = _dragged(images[which], pull * rows, pull * columns)
    rim = torch.exp(-(((away - draw.uniform((count, 1, 1), 0.7, 0.95)) / 0.25) ** 2))
    shade = draw.signs((count, 1, 1)) * draw.uniform((count, 1, 1), 0.05, 0.5) * rim
    paint = behind * (1.0 + shade).unsqueeze(1)
    return torch.ones((count, 1, 1, 1), device=draw.device), paint, (away < 1.3).unsqueeze(1)


def _dragged(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Take each pixel from ``down`` and ``right`` px away, float (n, H, W)."""
    height, width = _size(images)
    rows = torch.linspace(-1, 1, height, device=images.device)[None, :, None] + 2.0 / height * down
    columns = torch.linspace(-1, 1, width, device=images.device)[None, None, :] + 2.0 / width * right
    return F.grid_sample(images, torch.stack((columns, rows), dim=3), padding_mode="reflection", align_corners=True)


def _blur(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.04, most=0.25)
    paint = smooth_same(images[which].flatten(0, 1), _BLUR).view(-1, *images.shape[1:])
    return opacity, paint, opacity > 0.5


def _noise(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.02, most=0.2)
    grain = torch.randn((len(which), *images.shape[1:]), generator=draw.generator, device=draw.generator.device)
    paint = images[which] + draw.uniform((len(which), 1, 1, 1), 0.03, 0.15) * grain.to(images.device)
    return opacity, paint, opacity > 0.5


def _stain(images: Tensor, which: Tensor, draw: Draw) -> Painted:
    """Darken or lighten clouds of Perlin noise, unevenly: what is behind shines through."""
    noise, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    uneven = 1.0 + 0.4 * torch.randn(noise.shape, generator=draw.generator, device=draw.generator.device)
    uneven = F.avg_pool2d(uneven.to(images.device), 3, stride=1, padding=1, count_include_pad=False)
    strength = draw.signs((len(which), 1, 1, 1)) * draw.log_uniform((len(which), 1, 1, 1), 0.1, 0.7)
    opacity = mask * F.avg_pool2d(mask.to(images), 3, stride=1, padding=1)  # soft at the edge
    return opacity, images[which] * (1.0 + strength * uneven).clamp(min=0.0), mask


def _ellipse(draw: Draw, count: int, shape: tuple[int, int], *, least: float, most: float) -> Tensor:
    """Draw one soft-edged ellipse a map, half-axes a share of the shorter side: float (n, 1, H, W) in [0, 1]."""
    height, width = shape
    centre = draw.uniform((count, 2)) * torch.tensor([height, width], device=draw.device)
    long, short = (draw.log_uniform((2, count), least, most) * min(height, width)).clamp(min=1.0)
    angle = draw.uniform((count,), 0.0, math.pi)
    softness = draw.uniform((count, 1, 1), 0.1, 1.0)
    cosine, sine = angle.cos(), angle.sin()
    rows = torch.arange(height, device=draw.device) - centre[:, :1]
    columns = torch.arange(width, device=draw.device) - centre[:, 1:]
    # (distance in half-axes)^2 = a y^2 + 2 b y x + c x^2, as one product of (H, 3) and (3, W)
    a = (cosine / long) ** 2 + (sine / short) ** 2
    b = cosine * sine * (long**-2.0 - short**-2.0)
    c = (sine / long) ** 2 + (cosine / short) ** 2
    left = torch.stack((a[:, None] * rows**2, 2.0 * b[:, None] * rows, torch.ones_like(rows)), dim=2)
    right = torch.stack((torch.ones_like(columns), columns, c[:, None] * columns**2), dim=1)
    # half opaque on the ellipse itself, opaque inside and clear outside within the softness
    return (0.5 + (1.0 - left @ right) / (2.0 * softness)).clamp_(0.0, 1.0).unsqueeze(1)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


PAINTERS: dict[str, Callable[[Tensor, Tensor, Draw], Painted]] = {
    "perlin": _perlin,
    "texture": _texture,
    "cutpaste": _cutpaste,
    "scratch": _scratch,
    "spot": _spot,
    "fill": _fill,
    "warp": _warp,
    "blister": _blister,
    "blur": _blur,
    "noise": _noise,
    "stain": _stain,
}
