"""The network that restores a picture and its descriptor maps from a spoiled one; knows no loss, no score, no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["STRIDE", "Restored", "Restorer"]

STRIDE = 32
"""Height and width of the network's input are multiples of this."""

UNSHUFFLED = 4
"""The picture enters and leaves as blocks of 4 x 4 pixels, so that no convolution runs at full size."""

Restored = tuple[Tensor, Tensor, Tensor]
"""Fine descriptors (N, n, H / 4, W / 4), coarse ones (N, n, H / 8, W / 8), picture (N, C, H, W)."""


class Restorer(nn.Module):
    """Autoencoder over 1/4, 1/8, 1/16 and 1/32 of the size, whose layers know where in the picture they are.

    Encoder and decoder are connected at 1/8 and 1/16 at most: fine detail must come through the middle, or a defect
    would be copied. The last convolutions start at zero, so that an untrained network answers with the mean good image.
    """

    def __init__(
        self, shape: tuple[int, int, int], size: int, *, width: int, middle: int, skips: Collection[int]
    ) -> None:
        """Build for pictures of ``shape`` (C, H, W), H and W multiples of 32.

        Args:
            shape: of the picture.
            size: numbers of one descriptor.
            width: channels at 1/4; 2, 4 and 4 times as many at 1/8, 1/16 and 1/32.
            middle: channels of the narrowest place, at 1/32.
            skips: where encoder and decoder are connected: 8 and 16 stand for 1/8 and 1/16.
        """
        super().__init__()
        channels, height, columns = shape
        w = (width, 2 * width, 4 * width, 4 * width)
        self.skipping = tuple(2 ** (level + 2) in skips for level in range(4))
        self.stem = nn.Sequential(_stage(UNSHUFFLED**2 * channels + 2, w[0]), _stage(w[0], w[0]))
        self.down = nn.ModuleList(
            nn.Sequential(_stage(w[level], w[level + 1], stride=2), _stage(w[level + 1], w[level + 1]))
            for level in range(3)
        )
        self.middle = nn.Sequential(_stage(w[3] + 2, middle, kernel=1), _stage(middle, w[3]))
        self.up = nn.ModuleList(
            nn.Sequential(
                _stage(w[level + 1] + self.skipping[level] * w[level] + 2, w[level]), _stage(w[level], w[level])
            )
            for level in (2, 1, 0)
        )
        self.fine, self.coarse = nn.Conv2d(w[0], size, 1), nn.Conv2d(w[1], size, 1)
        self.picture = nn.Conv2d(w[0], UNSHUFFLED**2 * channels, 1)
        for head in (self.fine, self.coarse, self.picture):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        for level in range(4):
            self.register_buffer(
                f"place{level}", _places(height >> (level + 2), columns >> (level + 2)), persistent=False
            )

    def forward(self, image: Tensor) -> Restored:
        """Restore (N, C, H, W), given and answered as deviation from the mean good image."""
        seen = [self.stem(self._placed(F.pixel_unshuffle(image, UNSHUFFLED), 0))]
        for down in self.down:
            seen.append(down(seen[-1]))
        restored = self.middle(self._placed(seen[3], 3))
        coarse = restored
        for level, up in zip((2, 1, 0), self.up, strict=True):
            restored = F.interpolate(restored, scale_factor=2.0, mode="nearest")
            if self.skipping[level]:
                restored = torch.cat((restored, seen[level]), dim=1)
            restored = up(self._placed(restored, level))
            if level == 1:
                coarse = self.coarse(restored)
        return self.fine(restored), coarse, F.pixel_shuffle(self.picture(restored), UNSHUFFLED)

    def _placed(self, maps: Tensor, level: int) -> Tensor:
        """Append row and column as two more channels."""
        places = self.get_buffer(f"place{level}").to(maps.dtype)
        return torch.cat((maps, places.expand(maps.shape[0], -1, -1, -1)), dim=1)


def _stage(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.1),
    )


def _places(height: int, width: int) -> Tensor:
    """Give row and column of each position in [-1, 1]: float32 (1, 2, height, width)."""
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).unsqueeze(0)
