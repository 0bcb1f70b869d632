"""The networks that tell defect from good by patch, and the graph that runs them over a whole image; knows no label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, ValidationInfo
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train.dense import Dense, Stage, inner_side
from candling.train.unet import UNet

if TYPE_CHECKING:
    from candling.train.probability import Probability

__all__ = ["ContextNetwork", "PatchNetwork", "Whole", "WindowSide"]

CHANNELS = 3
"""The published network takes colour; a grey patch is given to it three times."""

WIDTHS, KERNELS, UNITS = (16, 32, 64), (5, 5, 3), 64


class PatchNetwork(nn.Module):
    """The published network: patches (N, C, S, S) to logits (N,).

    Of 29 x 29 pixels it has 36,769 weights. What its text leaves open is chosen here: convolutions without padding (its
    flat vector of 64 numbers says so).
    """

    def __init__(self, shape: tuple[int, int, int], *, patch: int, dropout: float, stride: int) -> None:
        """Prepare for images of ``shape`` (C, H, W), which are judged every ``stride`` pixels.

        Raises:
            RecipeError: the patch is too small for the three stages, or the images are smaller than it.
        """
        super().__init__()
        inner = inner_side(patch, KERNELS)
        if inner < 1:
            raise RecipeError(f"method.patches.size: {patch} px are too few for three stages; give at least 28")
        before = (CHANNELS, *WIDTHS[:-1])
        self.stages = nn.Sequential(*(Stage(*three) for three in zip(before, WIDTHS, KERNELS, strict=True)))
        self.head = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], UNITS, inner), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(UNITS, 1, 1)
        )
        self.channels, self.patch, self.stride, self.size = shape[0], patch, stride, (shape[1], shape[2])
        self.dense()  # an image that is too small is told now

    def forward(self, patches: Tensor) -> Tensor:
        """Take float32 (N, C, S, S) in [0, 1] to logits (N,), above 0 where a defect is likelier than not."""
        seen = patches.expand(-1, CHANNELS, -1, -1)
        return self.head(self.stages(seen)).flatten()

    def dense(self, stride: int | None = None) -> Dense:
        """Give the same network for whole images, without what grey images do not need; None is its own stride."""
        stages = self.stages
        if self.channels == 1:  # three equal channels through three kernels: one channel through their sum
            first = stages[0]
            assert isinstance(first, Stage)
            grey = Stage(1, WIDTHS[0], first.kernel)
            grey.conv.weight.data = first.conv.weight.data.sum(dim=1, keepdim=True)
            assert grey.conv.bias is not None
            assert first.conv.bias is not None
            grey.conv.bias.data = first.conv.bias.data
            stages = nn.Sequential(grey, *list(stages)[1:])
        return Dense(stages, self.head, patch=self.patch, stride=stride or self.stride, size=self.size)


def _divides(window: int, info: ValidationInfo) -> int:
    whole = info.data.get("stem", 1) * 2 ** (info.data.get("levels", 1) - 1)
    if window % whole:
        raise ValueError(f"window must be a multiple of {whole} (stem x 2^(levels - 1)); it is {window}")
    return window


WindowSide = Annotated[int, AfterValidator(_divides)]
"""Side of the windows of a :class:`ContextNetwork`, in options that say ``levels`` and ``stem`` before it."""


class ContextNetwork(nn.Module):
    """A U-Net: windows (N, C, S, S) to logits (N, 1, S / stem, S / stem)."""

    def __init__(self, shape: tuple[int, int, int], *, width: int, levels: int, stem: int, window: int) -> None:
        """Prepare for images of ``shape`` (C, H, W).

        Raises:
            RecipeError: the images are smaller than a window.
        """
        super().__init__()
        channels, height, columns = shape
        if min(height, columns) < window:
            raise RecipeError(
                f"prepare: images of {height} x {columns} px are smaller than method.window = {window}; enlarge "
                "prepare.height and prepare.width, or lower method.window"
            )
        self.unet = UNet((channels, window, window), width=width, levels=levels, stem=stem, places=False)
        self.stem, self.size = stem, (height, columns)
        whole = stem * 2 ** (levels - 1)
        self.margins = (0, -columns % whole, 0, -height % whole)

    def forward(self, windows: Tensor) -> Tensor:
        """Take float32 (N, C, S, S) in [0, 1] to logits, above 0 where a defect is likelier than not."""
        return self.unet(windows)

    def dense(self, stride: int | None = None) -> nn.Module:  # noqa: ARG002 - it judges every place anyway
        """Give the same network for whole images."""
        return _Wide(self)


class _Wide(nn.Module):
    def __init__(self, network: ContextNetwork) -> None:
        super().__init__()
        self.unet, self.stem = network.unet, network.stem
        self.size, self.margins = network.size, network.margins

    def forward(self, image: Tensor) -> Tensor:
        logits = self.unet(F.pad(image, self.margins, mode="reflect"))
        if self.stem > 1:
            logits = F.interpolate(logits, scale_factor=float(self.stem), mode="bilinear", align_corners=False)
        return logits[:, :, : self.size[0], : self.size[1]].float()


class Whole(nn.Module):
    """The graph: a network over the whole image, its logits as probabilities, and the scores."""

    def __init__(self, network: nn.Module, probability: Probability, stride: int | None = None) -> None:
        """Prepare; ``stride`` is another one than the network's own."""
        super().__init__()
        assert isinstance(network, PatchNetwork | ContextNetwork)
        self.dense, self.probability = network.dense(stride), probability

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """Give float32 (N, 1, H, W) before they become probabilities."""
        return self.dense(image)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract for float32 (N, C, H, W) in [0, 1]."""
        return self.probability(self.dense(image))
