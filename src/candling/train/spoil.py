"""Ways to spoil good images while training, so that a network must restore them; knows no network and no loss.

A spoiled image is not meant to look like a defect: it takes away the answer "copy what you see". The untouched image
stays the target. Everything is drawn for the whole batch at once, from one generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SpoilKind", "SpoilOptions", "perlin_mask", "perlin_noise", "spoil", "spoil_many", "spoil_often"]

SpoilKind = Literal["perlin", "texture", "cutpaste", "scratch", "spot", "fill", "warp", "blur", "noise", "stain"]

FINEST = 5
"""Perlin lattices have 2^0 ... 2^5 cells along each axis."""

LEAST_PIXELS = 25
"""A Perlin mask with fewer pixels is drawn again."""

LEAST_TURN = 0.35
"""What is pasted from elsewhere is turned by at least this, in radians: 20 degrees."""

TRIES = 8

_NODES = 2**FINEST + 1


class SpoilOptions(BaseModel):
    """The recipe's ``[method.spoil]``.

    Attributes:
        probability: that an image is spoiled.
        kinds: one of these is drawn for each spoiled image, all equally likely: ``perlin`` (bright noise in clouds),
            ``texture`` (clouds of another place of the same or another image, turned and zoomed), ``cutpaste`` (a
            rectangle of it),
            ``scratch`` (a thin curve, dark or bright), ``spot`` (soft ellipses), ``fill`` (an ellipse of local mean),
            ``warp`` (a place is dragged aside), ``blur`` and ``noise`` (an ellipse is smoothed, or grows rough),
            ``stain`` (clouds darker or lighter than what shines through them).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    probability: float = Field(default=0.0, ge=0, le=1)
    kinds: tuple[SpoilKind, ...] = Field(default=("perlin",), min_length=1, strict=False)


def spoil(
    images: Tensor,
    generator: torch.Generator,
    *,
    kinds: tuple[SpoilKind, ...],
    probability: float,
    upright: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spoil each image with a probability, in one of several ways.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        kinds: see :class:`SpoilOptions`.
        probability: in [0, 1]; 0 draws nothing and gives ``images`` itself.
        upright: what is pasted from elsewhere is only moved, neither turned nor zoomed.

    Returns:
        spoiled float32 (N, C, H, W) in [0, 1], and mask bool (N, 1, H, W), true where an image was painted over.
    """
    count, _, height, width = images.shape
    mask = torch.zeros((count, 1, height, width), dtype=torch.bool, device=images.device)
    if probability <= 0.0:
        return images, mask
    draw = _Draw(generator, images.device, upright=upright)
    chosen = draw.uniform((count,)) < probability
    kind = draw.integers((count,), len(kinds))
    spoiled = images.clone()
    for index, name in enumerate(kinds):
        (which,) = torch.nonzero(chosen & (kind == index), as_tuple=True)
        if len(which):
            opacity, paint, region = _PAINTERS[name](images, which, draw)
            spoiled[which] = torch.lerp(images[which], paint.expand(-1, images.shape[1], -1, -1), opacity).clamp_(
                0.0, 1.0
            )
            mask[which] = region
    return spoiled, mask


def spoil_often(images: Tensor, generator: torch.Generator, options: SpoilOptions, *, marks: int) -> Tensor:
    """Spoil each image up to ``marks`` times, the second and later ones half as likely as the one before.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        options: the kinds, and how likely the first one is.
        marks: at most so many spoilings of an image.
    """
    probability, spoiled = options.probability, images
    for _ in range(marks):
        spoiled, _ = spoil(spoiled, generator, kinds=options.kinds, probability=probability)
        probability *= 0.5
    return spoiled


def spoil_many(images: Tensor, generator: torch.Generator, options: SpoilOptions, *, most: int) -> Tensor:
    """Spoil each image from once to ``most`` times, all equally likely; with what is left of the probability, never.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        options: the kinds, and how likely an image is spoiled at all.
        most: at most so many spoilings of an image.
    """
    draw = _Draw(generator, images.device)
    times = (1 + draw.integers((len(images),), most)) * (draw.uniform((len(images),)) < options.probability)
    spoiled = images.clone()
    for turn in range(int(times.max())):
        (which,) = torch.nonzero(times > turn, as_tuple=True)
        spoiled[which], _ = spoil(spoiled[which], generator, kinds=options.kinds, probability=1.0)
    return spoiled


@dataclass(frozen=True)
class _Draw:
    """Random numbers of one generator, placed on the device of the images."""

    generator: torch.Generator
    device: torch.device
    upright: bool = False

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        numbers = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * numbers).to(self.device)

    def log_uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(shape, math.log(low), math.log(high)))

    def integers(self, shape: tuple[int, ...], count: int) -> Tensor:
        return torch.randint(count, shape, generator=self.generator, device=self.generator.device).to(self.device)

    def signs(self, shape: tuple[int, ...]) -> Tensor:
        return 1.0 - 2.0 * self.integers(shape, 2)


def perlin_noise(cells: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw gradient noise (Perlin 1985, with the quintic fade of 2002), scaled by the square root of 2.

    Args:
        cells: int64 (N, 2), lattice cells along rows and columns of each map, at most 32.
        shape: height and width in pixels.
        generator: draws the gradients.

    Returns:
        float32 (N, H, W), within [-1, 1].
    """
    angles = _Draw(generator, cells.device).uniform((len(cells), _NODES, _NODES), 0.0, 2.0 * math.pi)
    rows, row_slopes = _lattice(cells[:, 0], shape[0])
    columns, column_slopes = _lattice(cells[:, 1], shape[1])
    # sum over the four nodes of a cell of fade(y) fade(x) (gradient . distance), as two products of matrices
    down = row_slopes @ (angles.sin() @ columns.mT)
    right = rows @ (angles.cos() @ column_slopes.mT)
    return math.sqrt(2.0) * (down + right)


def _lattice(cells: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Weigh the lattice nodes at each pixel: the faded weight, and the weight times the distance; (N, size, nodes)."""
    pixels = torch.arange(size, device=cells.device) / size
    distance = pixels[None, :, None] * cells[:, None, None] - torch.arange(_NODES, device=cells.device)
    t = distance.abs().clamp(max=1.0)
    weight = 1.0 - t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
    return weight, weight * distance


def perlin_mask(count: int, shape: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw cloudy masks: where Perlin noise of random scales exceeds 0.5.

    Scales are 2^k cells along each axis, k uniform in 0 ... 5. A mask under 25 pixels is drawn again, up to 8 times in
    all (coarse noise often stays under 0.5 everywhere).

    Returns:
        noise float32 (count, 1, H, W) in [-1, 1] and mask bool (count, 1, H, W), on the generator's device.
    """
    draw = _Draw(generator, generator.device)
    noise = torch.zeros((count, *shape), device=generator.device)
    short = torch.arange(count, device=generator.device)
    for _ in range(TRIES):
        noise[short] = perlin_noise(2 ** draw.integers((len(short), 2), FINEST + 1), shape, generator)
        short = short[(noise[short] > 0.5).sum(dim=(1, 2)) < LEAST_PIXELS]
        if not len(short):
            break
    return noise.unsqueeze(1), (noise > 0.5).unsqueeze(1)


_Painted = tuple[Tensor, Tensor, Tensor]
"""Opacity float (n, 1, H, W) in [0, 1], paint float (n, 1 or C, H, W), region bool (n, 1, H, W)."""


def _perlin(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    # Ferrari et al. 2024: X* = (1 - M) X + (1 - beta) M X + beta N, N zero outside M, beta ~ U(0.5, 1)
    noise, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    return draw.uniform((len(which), 1, 1, 1), 0.5, 1.0) * mask, noise, mask


def _texture(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    _, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    return draw.uniform((len(which), 1, 1, 1), 0.5, 1.0) * mask, _elsewhere(images, which, draw), mask


def _cutpaste(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
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


def _elsewhere(images: Tensor, which: Tensor, draw: _Draw) -> Tensor:
    """Take the same or another image of the batch, moved elsewhere and slightly changed in brightness."""
    count = len(which)
    source = torch.where(draw.uniform((count,)) < 0.5, which, draw.integers((count,), len(images)))
    moved = _around(images, source, draw) if draw.upright else _turned(images[source], draw)
    return moved * draw.uniform((count, 1, 1, 1), 0.7, 1.3)


def _around(images: Tensor, source: Tensor, draw: _Draw) -> Tensor:
    height, width = _size(images)
    down, right = (draw.integers((len(source),), size).tolist() for size in (height, width))
    moves = zip(source.tolist(), down, right, strict=True)
    return torch.stack([images[index].roll(move, dims=(1, 2)) for index, *move in moves])


def _turned(images: Tensor, draw: _Draw) -> Tensor:
    """Move, turn and zoom: upright an image fits wherever a product repeats itself, and nobody could tell."""
    (height, width), count = _size(images), len(images)
    angle = draw.uniform((count,), LEAST_TURN, 2.0 * math.pi - LEAST_TURN)
    zoom, move = draw.log_uniform((count,), 0.5, 2.0), draw.uniform((count, 2), -0.5, 0.5)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    right = torch.stack((cosine, -sine * height / width, move[:, 0]), dim=1)
    down = torch.stack((sine * width / height, cosine, move[:, 1]), dim=1)
    grid = F.affine_grid(torch.stack((right, down), dim=1), [count, 1, height, width], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _scratch(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
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


def _curve(draw: _Draw, count: int, height: int, width: int, along: Tensor) -> Tensor:
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


def _spot(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    count = len(which)
    opacity = _ellipse(draw, count, _size(images), least=0.008, most=0.06)
    for _ in range(2):  # one to three spots
        opacity = torch.maximum(
            opacity, _ellipse(draw, count, _size(images), least=0.008, most=0.06) * draw.integers((count, 1, 1, 1), 2)
        )
    paint = images[which] + draw.signs((count, 1, 1, 1)) * draw.uniform((count, 1, 1, 1), 0.1, 0.6)
    return opacity, paint, opacity > 0.5


def _fill(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.03, most=0.15)
    coarse = F.adaptive_avg_pool2d(images[which], 8)
    return opacity, F.interpolate(coarse, size=_size(images), mode="bilinear"), opacity > 0.5


def _warp(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    """Drag a round place aside by up to 8 % of the shorter side, fading towards its rim."""
    height, width = _size(images)
    count, short = len(which), min(height, width)
    centre = draw.uniform((count, 2), 0.1, 0.9) * torch.tensor([height, width], device=draw.device)
    reach = draw.uniform((count, 1, 1), 0.04, 0.15) * short
    move = draw.signs((count, 2)) * draw.uniform((count, 2), 0.01, 0.08) * short
    rows = torch.arange(height, device=draw.device)[None, :, None] - centre[:, :1, None]
    columns = torch.arange(width, device=draw.device)[None, None, :] - centre[:, 1:, None]
    bell = torch.exp(-0.5 * (rows**2 + columns**2) / reach**2)
    down = torch.linspace(-1, 1, height, device=draw.device)[None, :, None] + 2.0 / height * move[:, :1, None] * bell
    right = torch.linspace(-1, 1, width, device=draw.device)[None, None, :] + 2.0 / width * move[:, 1:, None] * bell
    grid = torch.stack((right.expand(-1, height, -1), down.expand(-1, -1, width)), dim=3)
    paint = F.grid_sample(images[which], grid, padding_mode="reflection", align_corners=True)
    return torch.ones((count, 1, 1, 1), device=draw.device), paint, (bell > 0.1).unsqueeze(1)


def _blur(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.04, most=0.25)
    paint = images[which]
    for side in (7, 5):
        paint = F.avg_pool2d(paint, side, stride=1, padding=side // 2, count_include_pad=False)
    return opacity, paint, opacity > 0.5


def _noise(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    opacity = _ellipse(draw, len(which), _size(images), least=0.02, most=0.2)
    grain = torch.randn((len(which), *images.shape[1:]), generator=draw.generator, device=draw.generator.device)
    paint = images[which] + draw.uniform((len(which), 1, 1, 1), 0.03, 0.15) * grain.to(images.device)
    return opacity, paint, opacity > 0.5


def _stain(images: Tensor, which: Tensor, draw: _Draw) -> _Painted:
    """Darken or lighten clouds of Perlin noise, unevenly: what is behind shines through."""
    noise, mask = (part.to(images.device) for part in perlin_mask(len(which), _size(images), draw.generator))
    uneven = 1.0 + 0.4 * torch.randn(noise.shape, generator=draw.generator, device=draw.generator.device)
    uneven = F.avg_pool2d(uneven.to(images.device), 3, stride=1, padding=1, count_include_pad=False)
    strength = draw.signs((len(which), 1, 1, 1)) * draw.log_uniform((len(which), 1, 1, 1), 0.1, 0.7)
    opacity = mask * F.avg_pool2d(mask.to(images), 3, stride=1, padding=1)  # soft at the edge
    return opacity, images[which] * (1.0 + strength * uneven).clamp(min=0.0), mask


def _ellipse(draw: _Draw, count: int, shape: tuple[int, int], *, least: float, most: float) -> Tensor:
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


_PAINTERS: dict[str, Callable[[Tensor, Tensor, _Draw], _Painted]] = {
    "perlin": _perlin,
    "texture": _texture,
    "cutpaste": _cutpaste,
    "scratch": _scratch,
    "spot": _spot,
    "fill": _fill,
    "warp": _warp,
    "blur": _blur,
    "noise": _noise,
    "stain": _stain,
}
