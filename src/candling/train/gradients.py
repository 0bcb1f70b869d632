"""Descriptor maps of an image: how much edge runs in which direction, how bright, how rough; learns nothing.

Directions are those of the gradient, so a thin scratch, a dent's shading and a torn thread all leave their mark though
their grey values may be ordinary. A pixel's share in a direction follows the angle to it softly: a picture turned by a
quarter of a circle gives the same maps, turned, with the directions moved on by two.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.train.positions import smooth_three

__all__ = ["CELLS", "DIRECTIONS", "Gradients", "descriptor_size"]

DIRECTIONS = 8
"""Directions of the gradient that are told apart, over the full circle: dark to bright is not bright to dark."""

CELLS = (4, 8)
"""Pixels from one position of the fine and of the coarse map to the next."""

_BLOCKS = (4, 2)
"""Pixels of one side of the blocks that become a cell, at full size and at half."""

_REACH = 3
_NARROWNESS = 0.7  # a gradient counts in a direction up to acos 0.7 = 46 degrees from it: each in two, none lost


def descriptor_size(channels: int) -> int:
    """Count the numbers of one descriptor: 8 directions at two scales, mean and spread of each colour channel."""
    return 2 * DIRECTIONS + 2 * channels


class Gradients(nn.Module):
    """Turns an image into its fine and its coarse descriptor map; no weights, and float32 throughout.

    No map has the size of the image: its pixels enter as blocks that become one cell, a channel for each pixel of the
    block, so every step is a convolution with full vectors, and averaging over a cell one with a small matrix. That is
    nearly twice as fast as maps of 8 directions at full size.
    """

    def __init__(self, channels: int) -> None:
        """Prepare for images of ``channels``."""
        super().__init__()
        self.channels = channels
        places = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
        bell = torch.exp(-0.5 * places.square())
        bell = bell / bell.sum()
        slope = places * bell / (places.square() * bell).sum()  # of a ramp of 1 a pixel it gives 1
        slopes = torch.stack((bell[:, None] * slope[None], slope[:, None] * bell[None]))  # across, down
        angles = torch.arange(DIRECTIONS, dtype=torch.float64) * (2.0 * math.pi / DIRECTIONS)
        narrow = torch.full_like(angles, -_NARROWNESS)
        headings = torch.stack((angles.cos(), angles.sin(), narrow), dim=1)  # of across, down and steepness
        for block in _BLOCKS:
            pixels = torch.eye(block**2, dtype=torch.float64)
            self._keep(f"slopes_{block}", _in_blocks(slopes, block))
            self._keep(f"headings_{block}", torch.kron(headings, pixels)[:, :, None, None])
            self._keep(f"average_{block}", _average(DIRECTIONS, block))
        size = CELLS[0]
        mean = _average(channels, size).view(channels, channels, size, size)
        centred = torch.eye(size**2, dtype=torch.float64) - 1.0 / size**2
        rest = torch.kron(torch.eye(channels, dtype=torch.float64), centred).view(-1, channels, size, size)
        self._keep("rest_and_mean", torch.cat((rest, mean)))
        self._keep("average_rest", _average(channels, size))

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.float().contiguous(), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Describe each place of float32 (N, C, H, W) in [0, 1], H and W multiples of 8.

        Returns:
            float32 (N, n, H / 4, W / 4) and (N, n, H / 8, W / 8), n = 16 + 2 C: the roots of the gradient along each
            direction (fine, then at half size), the mean of each channel, and its spread.
        """
        grey = functools.reduce(torch.add, image.split(1, dim=1)) / self.channels
        size, channels = CELLS[0], self.channels
        rest, mean = F.conv2d(image, self.get_buffer("rest_and_mean"), stride=size).split(
            (channels * size**2, channels), dim=1
        )
        slow = mean - smooth_three(mean)
        # the variance inside a cell and, for slow shades, of the cell among its neighbours; the usual difference of two
        # squares cancels in float32 on smooth bright places, where the engines then disagree
        variance = F.conv2d(rest * rest, self.get_buffer("average_rest")) + slow * slow
        cells = torch.cat(
            (self._along(grey, size), self._along(F.avg_pool2d(grey, 2), size // 2), mean, variance), dim=1
        )
        # weights 1 2 1 in both axes; outside there is nothing
        fine = F.avg_pool2d(F.avg_pool2d(cells, 2, 1, padding=1, count_include_pad=False), 2, 1)
        coarse = F.avg_pool2d(fine, 4, 2, padding=1, count_include_pad=False)
        return self._described(fine), self._described(coarse)

    def _along(self, grey: Tensor, block: int) -> Tensor:
        """Average the gradient's part along each direction, at least 0, over blocks: (N, 1, H, W) to (N, 8, h, w)."""
        wide = F.pad(grey, (_REACH,) * 4, mode="replicate")
        gradient = F.conv2d(wide, self.get_buffer(f"slopes_{block}"), stride=block)
        across, down = gradient.chunk(2, dim=1)
        steepness = (across * across + down * down).sqrt()
        along = F.relu(F.conv2d(torch.cat((gradient, steepness), dim=1), self.get_buffer(f"headings_{block}")))
        return F.conv2d(along, self.get_buffer(f"average_{block}"))

    def _described(self, cells: Tensor) -> Tensor:
        along, mean, variance = cells.split((2 * DIRECTIONS, self.channels, self.channels), dim=1)
        return torch.cat(((along + 1e-5).sqrt(), mean, (variance + 1e-5).sqrt()), dim=1)


def _in_blocks(kernels: Tensor, block: int) -> Tensor:
    """Lay kernels (k, 7, 7) over each pixel of a block: (k * block^2, 1, 6 + block, 6 + block)."""
    size = kernels.shape[1]
    over = [
        F.pad(kernels, (right, block - 1 - right, down, block - 1 - down))
        for down in range(block)
        for right in range(block)
    ]
    return torch.stack(over, dim=1).reshape(-1, 1, size + block - 1, size + block - 1)


def _average(channels: int, block: int) -> Tensor:
    """Give the matrix that averages the pixels of a block in each channel: (c, c * block^2, 1, 1)."""
    alone = torch.eye(channels, dtype=torch.float64)
    return torch.kron(alone, torch.full((1, block**2), 1.0 / block**2, dtype=torch.float64))[:, :, None, None]
