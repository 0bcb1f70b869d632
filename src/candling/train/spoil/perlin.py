"""Perlin noise, and cloudy masks made of it; knows no image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from candling.train.spoil.draw import Draw

__all__ = ["LEAST_PIXELS", "perlin_mask", "perlin_noise"]

FINEST = 5
"""Perlin lattices have 2^0 ... 2^5 cells along each axis."""

LEAST_PIXELS = 25
"""A Perlin mask with fewer pixels is drawn again."""

TRIES = 8

_NODES = 2**FINEST + 1


def perlin_noise(cells: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw gradient noise (Perlin 1985, with the quintic fade of 2002), scaled by the square root of 2.

    Args:
        cells: int64 (N, 2), lattice cells along rows and columns of each map, at most 32.
        shape: height and width in pixels.
        generator: draws the gradients.

    Returns:
        float32 (N, H, W), within [-1, 1].
    """
    angles = Draw(generator, cells.device).uniform((len(cells), _NODES, _NODES), 0.0, 2.0 * math.pi)
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
    draw = Draw(generator, generator.device)
    noise = torch.zeros((count, *shape), device=generator.device)
    short = torch.arange(count, device=generator.device)
    for _ in range(TRIES):
        noise[short] = perlin_noise(2 ** draw.integers((len(short), 2), FINEST + 1), shape, generator)
        short = short[(noise[short] > 0.5).sum(dim=(1, 2)) < LEAST_PIXELS]
        if not len(short):
            break
    return noise.unsqueeze(1), (noise > 0.5).unsqueeze(1)
