"""Autoencoders of plain convolutions, pooling and doubling: the published cell network, and VGG16 with its mirror.

After each convolution a ReLU; halving takes the maximum of each 2 x 2, doubling repeats each value. This file knows no
loss, no density and no score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from candling.train.blocks import inner_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PUBLISHED", "VGG16", "Pooled", "PooledKind", "network_of"]

PooledKind = Literal["published", "vgg16"]

PUBLISHED: tuple[tuple[int, ...], ...] = ((64,), (32,), (16,))
"""Channels after each convolution, stage by stage: 52,067 weights on colour pictures."""

VGG16: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""The 13 convolutions of VGG16 (Simonyan and Zisserman 2015), without its dense head."""


class Pooled(nn.Module):
    """Encoder and decoder of one network.

    Attributes:
        latent_shape: (c, h, w) of one image's latent.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        stages: Sequence[Sequence[int]],
        *,
        squeezed: int | None = None,
        norm: bool = False,
    ) -> None:
        """Build for images of ``shape`` (C, H, W).

        Args:
            shape: of the images.
            stages: channels after each convolution, stage by stage; each stage ends in halving.
            squeezed: a 1 x 1 convolution brings the innermost map to so many channels; None leaves it.
            norm: batch norm after each convolution but the squeezing and the last one, which the publication lacks.

        Raises:
            RecipeError: a side cannot be halved as often as there are stages.
        """
        super().__init__()
        inner = inner_shape(shape, [stage[-1] for stage in stages])
        self.latent_shape = inner if squeezed is None else (squeezed, *inner[1:])
        encoder, before = [], shape[0]
        for stage in stages:
            for width in stage:
                encoder += _convolution(before, width, norm=norm)
                before = width
            encoder.append(nn.MaxPool2d(2))
        decoder: list[nn.Module] = []
        if squeezed is not None:
            encoder.append(nn.Conv2d(before, squeezed, 1))
            decoder += _convolution(squeezed, before, norm=norm, kernel=1)
        for stage in reversed(stages):
            for width in reversed(stage):
                decoder += _convolution(before, width, norm=norm)
                before = width
            decoder.append(nn.Upsample(scale_factor=2.0, mode="nearest"))
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(before, shape[0], 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Redraw float32 (N, C, H, W) in [0, 1]."""
        return self.draw(self.encoder(image))

    def draw(self, latent: Tensor) -> Tensor:
        """Draw latents (N, c, h, w) as images, float32 (N, C, H, W) in [0, 1]."""
        return torch.sigmoid(self.decoder(latent).float())

    def latent(self, image: Tensor) -> Tensor:
        """Describe float32 (N, C, H, W) in [0, 1] by one row of numbers each: float32 (N, c h w)."""
        return self.encoder(image).flatten(1).float()


def network_of(
    kind: PooledKind, shape: tuple[int, int, int], *, squeezed: int = 7, divisor: int = 1, norm: bool = False
) -> Pooled:
    """Build a named network.

    Args:
        kind: ``"published"`` is 64-32-16; ``"vgg16"`` has VGG16's convolutions and ``squeezed`` channels inside, as
            drawn in the publication: 7 x 7 x 7 from 224 x 224.
        shape: of the images.
        squeezed: of ``"vgg16"``.
        divisor: all widths are divided by this, at least 1 channel stays.
        norm: see :class:`Pooled`.

    Raises:
        RecipeError: the images do not fit.
    """
    stages = [[max(1, width // divisor) for width in stage] for stage in (VGG16 if kind == "vgg16" else PUBLISHED)]
    return Pooled(shape, stages, squeezed=squeezed if kind == "vgg16" else None, norm=norm)


def _convolution(before: int, after: int, *, norm: bool, kernel: int = 3) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=not norm)
    return [convolution, *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU(inplace=True)]
