"""A small U-Net that marks defects, seeing a picture and what a memory says of it; knows no loss and no score.

The picture enters as blocks of 2 x 2 pixels, so no convolution runs at full size, and few channels at half of it; at
1/4 enters how strange a memory finds each place, and at 1/8 what is strange there. The logits are those of the blocks.
Row and column are two more channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BLOCK", "EVIDENCE_AT", "FINE_AT", "STRIDE", "Marker"]

STRIDE = 32
"""Height and width are multiples of this."""

EVIDENCE_AT = 8
"""Pixels from one cell of the evidence to the next."""

FINE_AT = 4
"""Pixels from one place of the fine evidence to the next."""

BLOCK = 2
"""Pixels of one side of the blocks that enter, and of those that a logit stands for."""

RARE = -3.0
"""The logit at first: defects are rare."""


class Marker(nn.Module):
    """Pictures (N, C, H, W) and evidence (N, e, H / 8, W / 8), (N, 1, H / 4, W / 4) to logits (N, 1, H / 2, W / 2)."""

    def __init__(self, shape: tuple[int, int, int], evidence: int, *, width: int) -> None:
        """Build for pictures of ``shape`` (C, H, W), H and W multiples of 32.

        Args:
            shape: of the picture.
            evidence: channels of the evidence.
            width: channels at 1/4; half as many at 1/2, twice as many at 1/8, three times as many at 1/16 and 1/32.
        """
        super().__init__()
        channels, height, columns = shape
        half, w = width // 2, (width, 2 * width, 3 * width, 3 * width)
        self.look = _stage(BLOCK**2 * channels + 2, half)
        self.enter = _stage(half, w[0], stride=2)
        self.stem = _stage(w[0] + 1, w[0])
        self.down = nn.ModuleList(
            [
                _stage(w[0], w[1], stride=2),
                nn.Sequential(_stage(w[1], w[2], stride=2), _stage(w[2], w[2])),
                nn.Sequential(_stage(w[2], w[3], stride=2), _stage(w[3], w[3])),
            ]
        )
        self.mix = _stage(w[1] + evidence, w[1])
        self.up = nn.ModuleList(
            [
                nn.Sequential(_stage(w[3] + w[2], w[2]), _stage(w[2], w[1])),
                nn.Sequential(_stage(w[1] + w[1], w[1]), _stage(w[1], w[0])),
                nn.Sequential(_stage(w[0] + w[0], w[0]), _stage(w[0], w[0])),
                _stage(w[0] + half, half),
            ]
        )
        self.logit = nn.Conv2d(half, 1, 1)
        nn.init.constant_(self.logit.bias, RARE)  # type: ignore[arg-type]
        rows, across = torch.linspace(-1, 1, height // BLOCK), torch.linspace(-1, 1, columns // BLOCK)
        grid = torch.stack(torch.meshgrid(rows, across, indexing="ij")).unsqueeze(0)
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, image: Tensor, evidence: Tensor, fine: Tensor) -> Tensor:
        """Give logits, float32, above 0 where a defect is likelier than not."""
        blocks = F.pixel_unshuffle(image, BLOCK)
        grid = self.get_buffer("grid").to(blocks.dtype).expand(image.shape[0], -1, -1, -1)
        looked = self.look(torch.cat((blocks, grid), dim=1))
        entered = self.enter(looked)
        first = self.stem(torch.cat((entered, fine.to(entered.dtype)), dim=1))
        middle = self.down[0](first)
        middle = self.mix(torch.cat((middle, evidence.to(middle.dtype)), dim=1))
        coarse = self.down[1](middle)
        maps = self.down[2](coarse)
        for up, seen in zip(self.up, (coarse, middle, first, looked), strict=True):
            maps = up(torch.cat((F.interpolate(maps, scale_factor=2.0, mode="nearest"), seen), dim=1))
        return self.logit(maps).float()


def _stage(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)
    )
