"""Residual blocks and the encoder, decoder and generator made of them; knows no loss, no score and no data.

The blocks are those of Ferrari et al. 2024 in the order of He et al. 2016 ("ResNet V2"): norm, leaky ReLU, convolution,
and the branch is added to its input. Each stage is a block A (new width), blocks B (same width) and a block C (half or
double the size). Two things are ours: with a ``stem`` above 1 the picture enters and leaves as blocks of pixels, which
spares the costly convolutions at full size; and a stride of 1 needs no transposed convolution, an ordinary one computes
the same family of functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train.blocks import dense_ends, narrow_ends

__all__ = ["SLOPE", "Block", "Generator", "Layout", "Redraw", "decoder", "encoder", "inner_shape"]

SLOPE = 0.2
"""Of the leaky ReLU below zero."""

Resize = Literal["same", "halve", "double"]


@dataclass(frozen=True)
class Layout:
    """How large a residual encoder and its mirror are.

    Attributes:
        widths: channels of each stage; each halves height and width.
        blocks: in one stage: 3 are A, B and C, 2 are A and C.
        convolutions: in one block, of 3 x 3; the middle one of 3, or the second of 2, changes the size in block C.
        stem: the picture enters as blocks of ``stem`` x ``stem`` pixels; 1 is as published.
    """

    widths: tuple[int, ...]
    blocks: int = 3
    convolutions: int = 3
    stem: int = 1

    @property
    def stride(self) -> int:
        """By how much the innermost map is smaller than the picture."""
        return self.stem * 2 ** len(self.widths)


def inner_shape(shape: tuple[int, int, int], layout: Layout) -> tuple[int, int, int]:
    """Give the shape (widths[-1], h, w) of what the encoder makes of pictures of ``shape`` (C, H, W).

    Raises:
        RecipeError: a side is no multiple of the stride.
    """
    stride = layout.stride
    for name, size in zip(("height", "width"), shape[1:], strict=True):
        if size % stride:
            nearest = max(stride, round(size / stride) * stride)
            raise RecipeError(
                f"prepare.{name}: {size} px must be a multiple of {stride} for {len(layout.widths)} stages "
                f'(method.widths) on blocks of {layout.stem} px (method.stem); set it to {nearest}, or to "auto" with '
                f"prepare.multiple = {stride}"
            )
    return layout.widths[-1], shape[1] // stride, shape[2] // stride


class Block(nn.Module):
    """Norm, leaky ReLU, convolution, some times over, beside a shortcut; the two are added.

    The shortcut is the input itself where nothing changes; a 1 x 1 convolution where the width does; with it the mean
    of each 2 x 2 pixels where the size is halved, or each pixel four times where it is doubled.
    """

    def __init__(self, before: int, after: int, *, convolutions: int, resize: Resize = "same") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(convolutions):
            width = before if number == 0 else after
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
            if resize == "double" and number == 1:
                layers.append(nn.ConvTranspose2d(width, after, 3, stride=2, padding=1, output_padding=1, bias=False))
            else:
                stride = 2 if resize == "halve" and number == 1 else 1
                layers.append(nn.Conv2d(width, after, 3, stride=stride, padding=1, bias=False))
        self.branch = nn.Sequential(*layers)
        shortcut: list[nn.Module] = []
        if resize == "halve":
            shortcut.append(nn.AvgPool2d(2))
        if resize != "same" or before != after:
            shortcut.append(nn.Conv2d(before, after, 1, bias=False))
        if resize == "double":
            shortcut.append(nn.Upsample(scale_factor=2.0, mode="nearest"))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, maps: Tensor) -> Tensor:
        """Give (N, after, h, w) for (N, before, H, W)."""
        return self.branch(maps) + self.shortcut(maps)


def encoder(channels: int, layout: Layout) -> nn.Sequential:
    """Build (N, channels, H, W) to (N, widths[-1], H / stride, W / stride): a convolution, then the stages."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(layout.stem)] if layout.stem > 1 else []
    layers.append(nn.Conv2d(channels * layout.stem**2, layout.widths[0], 3, padding=1, bias=False))
    for before, after in pairwise((layout.widths[0], *layout.widths)):
        layers += [Block(before, after, convolutions=layout.convolutions)]
        layers += [Block(after, after, convolutions=layout.convolutions) for _ in range(layout.blocks - 2)]
        layers += [Block(after, after, convolutions=layout.convolutions, resize="halve")]
    return nn.Sequential(*layers, nn.BatchNorm2d(layout.widths[-1]), nn.LeakyReLU(SLOPE))


def decoder(channels: int, layout: Layout) -> nn.Sequential:
    """Answer :func:`encoder` with stages of reversed widths, whose block C comes last again and doubles the size.

    The last convolution gives the picture without sigmoid, which belongs in float32.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((layout.widths[-1], *reversed(layout.widths))):
        layers += [Block(before, after, convolutions=layout.convolutions)]
        layers += [Block(after, after, convolutions=layout.convolutions) for _ in range(layout.blocks - 2)]
        layers += [Block(after, after, convolutions=layout.convolutions, resize="double")]
    layers += [nn.BatchNorm2d(layout.widths[0]), nn.LeakyReLU(SLOPE)]
    layers.append(nn.Conv2d(layout.widths[0], channels * layout.stem**2, 3, padding=1))
    return nn.Sequential(*layers, *([nn.PixelShuffle(layout.stem)] if layout.stem > 1 else []))


class Redraw(nn.Module):
    """Encoder, bottleneck and decoder: the part of a generator that works on the line."""

    def __init__(
        self, shape: tuple[int, int, int], layout: Layout, *, bottleneck: Literal["dense", "narrow"], latent: int
    ) -> None:
        """Build for pictures of ``shape`` (C, H, W).

        Args:
            shape: of the picture.
            layout: of encoder and decoder.
            bottleneck: "dense" squeezes the innermost map to ``latent`` numbers, "narrow" each of its positions to
                ``latent`` channels.
            latent: size of the bottleneck.

        Raises:
            RecipeError: a side is no multiple of the layout's stride.
        """
        super().__init__()
        inner = inner_shape(shape, layout)
        if bottleneck == "dense":
            squeeze, widen = dense_ends(inner, latent, latent)
        else:
            squeeze, widen = narrow_ends(inner[0], latent, latent)
        self.describe = nn.Sequential(encoder(shape[0], layout), squeeze)
        self.draw = nn.Sequential(widen, decoder(shape[0], layout))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Redraw (N, C, H, W): the reconstruction, float32 in [0, 1], and the latent, (N, n) or (N, n, h, w)."""
        latent = self.describe(image)
        # in half precision the sigmoid would round its result to 1/256: as coarse as a good reconstruction is wrong
        return torch.sigmoid(self.draw(latent).float()), latent


class Generator(nn.Module):
    """Encoder, decoder and, for training, a second encoder that looks at what was redrawn (Akcay et al. 2018).

    Attributes:
        redraw: encoder, bottleneck and decoder.
        again: the second encoder with its bottleneck, or None.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        layout: Layout,
        *,
        bottleneck: Literal["dense", "narrow"],
        latent: int,
        second: bool = True,
    ) -> None:
        """Build as :class:`Redraw`; without ``second`` there is no second encoder."""
        super().__init__()
        self.redraw = Redraw(shape, layout, bottleneck=bottleneck, latent=latent)
        self.again = Redraw(shape, layout, bottleneck=bottleneck, latent=latent).describe if second else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Redraw (N, C, H, W) and encode the result again.

        Returns:
            reconstruction, float32 (N, C, H, W) in [0, 1]; its latent and that of the reconstruction, float32 (N, n)
            or (N, n, h, w), one and the same without a second encoder.
        """
        reconstruction, latent = self.redraw(image)
        if self.again is None:
            return reconstruction, latent.float(), latent.float()
        return reconstruction, latent.float(), self.again(reconstruction).float()
