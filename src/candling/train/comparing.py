"""A U-Net that sees an image beside its restoration and marks what was removed; knows no loss and no score."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train.marker import BLOCK, EVIDENCE_AT, FINE_AT, Marker
from candling.train.marker import STRIDE as MARKER_STRIDE
from candling.train.unet import UNet

__all__ = ["Comparing", "Design"]

Design = Literal["told", "published"]
"""``told`` works on blocks and is told where it is and how far both are apart; ``published`` sees both at full size."""

PUBLISHED_LEVELS = 5
"""Sizes that the published U-Net works at, each half of the last (Zavrtanik et al. 2021)."""

APART = 10.0
"""Differences are multiplied by this before the network sees them: a faint one should count as much as a descriptor."""


class Comparing(nn.Module):
    """Image and restoration (N, C, H, W) to logits (N, 1, H / stem, W / stem).

    Attributes:
        stem: pixels of one side of the blocks that a logit stands for.
    """

    def __init__(self, shape: tuple[int, int, int], design: Design, *, width: int) -> None:
        """Build for images of ``shape`` (C, H, W).

        Args:
            shape: of the image.
            design: which network.
            width: channels at full size when published, at a quarter of it when told.

        Raises:
            RecipeError: a side is no multiple of what the network halves it to: 16 when published, 32 when told.
        """
        super().__init__()
        channels, height, columns = shape
        both = (2 * channels, height, columns)
        self.told = design == "told"
        if self.told:
            for name, size in (("height", height), ("width", columns)):
                if size % MARKER_STRIDE:
                    raise RecipeError(
                        f"prepare.{name}: {size} px must be a multiple of {MARKER_STRIDE}; "
                        f'set it to "auto" with prepare.multiple = {MARKER_STRIDE}'
                    )
        self.stem = BLOCK if self.told else 1
        self.network: nn.Module = (
            Marker(both, channels, width=width)
            if self.told
            else UNet(both, width=width, levels=PUBLISHED_LEVELS, stem=1, places=False)
        )

    def forward(self, image: Tensor, restored: Tensor) -> Tensor:
        """Give logits, float32; above 0 where something was removed, likelier than not."""
        restored = restored.to(image)
        both = torch.cat((image, restored), dim=1)
        logits: Tensor
        if self.told:
            apart = APART * (image - restored).abs()
            fine = F.avg_pool2d(apart.mean(dim=1, keepdim=True), FINE_AT)
            logits = self.network(both, F.avg_pool2d(apart, EVIDENCE_AT), fine)
        else:
            logits = self.network(both)
        return logits
