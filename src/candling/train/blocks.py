"""Pieces of networks as functions of numbers: encoder, decoder, bottlenecks, folding; knows no loss, no score, no recipe.

Every stage is convolution, batch norm, ReLU in this order, so that the norm folds into the convolution (:func:`fold`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["Downsample", "decoder", "dense_bottleneck", "encoder", "fold", "narrow_bottleneck", "stride_of"]

Downsample = Literal["stride", "max_pool"]

M = TypeVar("M", bound=nn.Module)


def stride_of(widths: Sequence[int]) -> int:
    """Say by how much an encoder of these widths shrinks each side: its height and width must be multiples of this."""
    return 2 ** len(widths)


def encoder(
    channels: int, widths: Sequence[int], *, kernel: int = 3, downsample: Downsample = "stride", dropout: float = 0.0
) -> nn.Sequential:
    """Build stages that each halve height and width: (N, channels, H, W) to (N, widths[-1], H / 2^n, W / 2^n).

    Args:
        channels: of the image.
        widths: channels after each stage.
        kernel: size of the convolutions; odd when ``downsample`` is ``"max_pool"``.
        downsample: a convolution of stride 2, or one of stride 1 and the maximum of each 2 x 2.
        dropout: share of values set to zero after each stage while training.
    """
    stages: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        stride = 2 if downsample == "stride" else 1
        stages += [
            nn.Conv2d(before, after, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
        if downsample == "max_pool":
            stages.append(nn.MaxPool2d(2))
        if dropout > 0.0:
            stages.append(nn.Dropout(dropout))
    return nn.Sequential(*stages)


def decoder(channels: int, widths: Sequence[int], *, kernel: int = 3) -> nn.Sequential:
    """Mirror :func:`encoder` with transposed convolutions; the last gives ``channels`` maps without norm or ReLU.

    The sigmoid is the caller's: it belongs in float32.
    """
    stages: list[nn.Module] = []
    for before, after in pairwise((*reversed(widths), channels)):
        last = len(stages) == 3 * (len(widths) - 1)
        stages.append(
            nn.ConvTranspose2d(
                before, after, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=last
            )
        )
        if not last:
            stages += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*stages)


def narrow_bottleneck(width: int, latent: int) -> nn.Sequential:
    """Squeeze each position to ``latent`` channels by a 1 x 1 convolution and widen it again; keeps (N, width, h, w)."""
    return nn.Sequential(
        nn.Conv2d(width, latent, 1), nn.Conv2d(latent, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def dense_bottleneck(shape: tuple[int, int, int], latent: int) -> nn.Sequential:
    """Squeeze the whole map (N, width, h, w) to ``latent`` numbers and back, by two dense layers."""
    size = shape[0] * shape[1] * shape[2]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size, latent), nn.Linear(latent, size), nn.ReLU(inplace=True), nn.Unflatten(1, shape)
    )


def fold(module: M) -> M:
    """Give a copy in evaluation mode whose batch norms are folded into the convolutions before them.

    The copy computes the same function to rounding. Only norms that directly follow a convolution inside a
    ``Sequential`` are folded, and dropout, which does nothing in evaluation, is removed.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        if isinstance(parent, nn.Sequential):
            kept: list[nn.Module] = []
            for layer in parent:
                if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d | nn.ConvTranspose2d):
                    transposed = isinstance(kept[-1], nn.ConvTranspose2d)
                    kept[-1] = fuse_conv_bn_eval(kept[-1], layer, transpose=transposed)
                elif not isinstance(layer, nn.Dropout):
                    kept.append(layer)
            parent._modules = {str(index): layer for index, layer in enumerate(kept)}  # noqa: SLF001
    return folded
