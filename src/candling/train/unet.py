"""A U-Net that gives one logit a place, or several; knows no loss, no score and no data.

As in Ronneberger et al. 2015, with norms, and ending at the size it began with. With a ``stem`` above 1 no convolution
runs at full size, and the logits are those of blocks of pixels. Row and column can enter as two more channels, so that
it may learn what belongs where.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.errors import RecipeError

__all__ = ["UNet"]

WIDEST = 8
"""Deep levels are at most so many times as wide as the first."""

SLOPE = 0.1
"""Of the leaky ReLU below zero."""


class UNet(nn.Module):
    """Pictures (N, C, H, W) to logits (N, K, H / stem, W / stem)."""

    def __init__(
        self, shape: tuple[int, int, int], *, width: int, levels: int, stem: int, places: bool, logits: int = 1
    ) -> None:
        """Build for pictures of ``shape`` (C, H, W).

        Args:
            shape: of the picture.
            width: channels of the first level; twice as many at each next one, at most eight times.
            levels: sizes it works at, each half of the last.
            stem: the picture enters as blocks of so many pixels squared.
            places: row and column are two more channels.
            logits: K, how many a place.

        Raises:
            RecipeError: a side is no multiple of stem * 2^(levels - 1).
        """
        super().__init__()
        channels, height, columns = shape
        stride = stem * 2 ** (levels - 1)
        for name, size in (("height", height), ("width", columns)):
            if size % stride:
                raise RecipeError(
                    f"prepare.{name}: {size} px must be a multiple of {stride} for method.levels = {levels}; "
                    f'set it to "auto" with prepare.multiple = {stride}'
                )
        widths = [width * min(2**level, WIDEST) for level in range(levels)]
        self.stem, self.places = stem, places
        self.down = nn.ModuleList([_twice(channels * stem**2 + 2 * places, widths[0])])
        self.down.extend(_twice(widths[level - 1], widths[level]) for level in range(1, levels))
        self.up = nn.ModuleList(
            _twice(widths[level + 1] + widths[level], widths[level]) for level in reversed(range(levels - 1))
        )
        self.logit = nn.Conv2d(width, logits, 1)
        rows, across = torch.linspace(-1, 1, height // stem), torch.linspace(-1, 1, columns // stem)
        grid = torch.stack(torch.meshgrid(rows, across, indexing="ij")).unsqueeze(0)
        self.register_buffer("grid", grid if places else None, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Give logits, float32; a single one is above 0 where a defect is likelier than not."""
        maps = F.pixel_unshuffle(image, self.stem) if self.stem > 1 else image
        if self.places:
            grid = self.get_buffer("grid").to(maps.dtype)
            maps = torch.cat((maps, grid.expand(maps.shape[0], -1, -1, -1)), dim=1)
        seen = [self.down[0](maps)]
        for down in list(self.down)[1:]:
            seen.append(down(F.max_pool2d(seen[-1], 2)))
        maps = seen.pop()
        for up in self.up:
            maps = up(torch.cat((F.interpolate(maps, scale_factor=2.0, mode="nearest"), seen.pop()), dim=1))
        return self.logit(maps).float()


def _twice(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)
