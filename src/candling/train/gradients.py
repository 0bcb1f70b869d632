"""Descriptor maps of an image: how much edge runs in which direction, how bright, how rough; learns nothing.

Directions are those of the gradient, so a thin scratch, a dent's shading and a torn thread all leave their mark though
their grey values may be ordinary. A pixel's share in a direction follows the angle to it softly: a picture turned by a
quarter of a circle gives the same maps, turned, with the directions moved on by two.
"""

from __future__ import annotations

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

_REACH = 3
_NARROWNESS = 0.7  # a gradient counts in a direction up to acos 0.7 = 46 degrees from it: each in two, none lost


def descriptor_size(channels: int) -> int:
    """Count the numbers of one descriptor: 8 directions at two scales, mean and spread of each colour channel."""
    return 2 * DIRECTIONS + 2 * channels


class Gradients(nn.Module):
    """Turns an image into its fine and its coarse descriptor map; no weights, and float32 throughout."""

    slopes: Tensor
    headings: Tensor

    def __init__(self, channels: int) -> None:
        """Prepare for images of ``channels``."""
        super().__init__()
        self.channels = channels
        places = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
        bell = torch.exp(-0.5 * places.square())
        bell = bell / bell.sum()
        slope = places * bell / (places.square() * bell).sum()  # of a ramp of 1 a pixel it gives 1
        across, down = bell[:, None] * slope[None], slope[:, None] * bell[None]
        self.register_buffer("slopes", torch.stack((across, down)).unsqueeze(1).float(), persistent=False)
        angles = torch.arange(DIRECTIONS, dtype=torch.float64) * (2.0 * math.pi / DIRECTIONS)
        headings = torch.stack((angles.cos(), angles.sin()), dim=1)[:, :, None, None]
        self.register_buffer("headings", headings.float(), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Describe each place of float32 (N, C, H, W) in [0, 1], H and W multiples of 8.

        Returns:
            float32 (N, n, H / 4, W / 4) and (N, n, H / 8, W / 8), n = 16 + 2 C: the roots of the gradient along each
            direction (fine, then at half size), the mean of each channel, and its spread.
        """
        grey = image.mean(dim=1, keepdim=True)
        mean = F.avg_pool2d(image, 4)
        rest = image - F.interpolate(mean, scale_factor=4.0, mode="nearest")
        # the variance inside a cell and, for slow shades, of the cell among its neighbours; the usual difference of two
        # squares cancels in float32 on smooth bright places, where the engines then disagree
        variance = F.avg_pool2d(rest.square(), 4) + (mean - smooth_three(mean)).square()
        cells = torch.cat(
            (
                F.avg_pool2d(self._along(grey), 4),
                F.avg_pool2d(self._along(F.avg_pool2d(grey, 2)), 2),
                mean,
                variance,
            ),
            dim=1,
        )
        # weights 1 2 1 in both axes; outside there is nothing
        fine = F.avg_pool2d(F.avg_pool2d(cells, 2, 1, padding=1, count_include_pad=False), 2, 1)
        coarse = F.avg_pool2d(fine, 4, 2, padding=1, count_include_pad=False)
        return self._described(fine), self._described(coarse)

    def _along(self, grey: Tensor) -> Tensor:
        """Give the gradient's part along each direction: (N, 1, H, W) to (N, 8, H, W), at least 0."""
        gradient = F.conv2d(F.pad(grey, (_REACH,) * 4, mode="replicate"), self.slopes)
        steepness = gradient.square().sum(dim=1, keepdim=True).sqrt()
        return F.relu(F.conv2d(gradient, self.headings) - _NARROWNESS * steepness)

    def _described(self, cells: Tensor) -> Tensor:
        along, mean, variance = cells.split((2 * DIRECTIONS, self.channels, self.channels), dim=1)
        return torch.cat(((along + 1e-5).sqrt(), mean, (variance + 1e-5).sqrt()), dim=1)
