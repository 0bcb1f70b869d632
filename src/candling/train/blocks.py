"""Pieces of networks as functions of numbers: encoder, decoder, bottlenecks, folding; knows no loss and no score.

Every stage is convolution, batch norm, ReLU in this order, so that the norm folds into the convolution (:func:`fold`).
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from candling.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Downsample",
    "Dropout",
    "Kernel",
    "PhaseDoubling",
    "Widths",
    "decoder",
    "dense_ends",
    "encoder",
    "fold",
    "inner_shape",
    "narrow_ends",
]

Downsample = Literal["stride", "max_pool"]
Kernel = Literal[3, 4, 5]
Widths = tuple[Annotated[int, Field(ge=1)], ...]

Module = TypeVar("Module", bound=nn.Module)

FEW_CHANNELS = 4
"""Up to so many output channels a transposed convolution is exported as phases: images have 1 or 3."""


def inner_shape(shape: tuple[int, int, int], widths: Sequence[int]) -> tuple[int, int, int]:
    """Give the shape (widths[-1], h, w) of what an encoder makes of images of ``shape`` (C, H, W).

    Raises:
        RecipeError: a side cannot be halved as often as there are widths.
    """
    stride = 2 ** len(widths)
    for name, size in zip(("height", "width"), shape[1:], strict=True):
        if size % stride:
            below = size - size % stride
            nearest = f"{below} or {below + stride}" if below else f"{stride}"
            raise RecipeError(
                f"prepare.{name}: {len(widths)} stages (method.widths) halve {size} px {len(widths)} times, so it must "
                f'be a multiple of {stride}; set it to {nearest}, or to "auto" with prepare.multiple = {stride}'
            )
    return widths[-1], shape[1] // stride, shape[2] // stride


def encoder(
    channels: int, widths: Sequence[int], *, kernel: Kernel = 3, downsample: Downsample = "stride", dropout: float = 0.0
) -> nn.Sequential:
    """Build stages that each halve height and width: (N, channels, H, W) to (N, widths[-1], H / 2^n, W / 2^n).

    Args:
        channels: of the image.
        widths: channels after each stage.
        kernel: size of the convolutions.
        downsample: a convolution of stride 2, or one of stride 1 and the maximum of each 2 x 2.
        dropout: share of values set to zero after each stage while training.

    Raises:
        RecipeError: an even kernel with "max_pool", which would move the image by half a pixel a stage.
    """
    if downsample == "max_pool" and kernel % 2 == 0:
        raise RecipeError(f'method.kernel: downsample = "max_pool" needs an odd kernel, not {kernel}; set kernel = 3')
    stride = 2 if downsample == "stride" else 1
    stages: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        stages += [
            nn.Conv2d(before, after, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
        if downsample == "max_pool":
            stages.append(nn.MaxPool2d(2))
        if dropout > 0.0:
            stages.append(Dropout(dropout))
    return nn.Sequential(*stages)


def decoder(channels: int, widths: Sequence[int], *, kernel: Kernel = 3) -> nn.Sequential:
    """Mirror :func:`encoder` with transposed convolutions; the last gives ``channels`` maps without norm or ReLU.

    The sigmoid is the caller's: it belongs in float32.
    """
    steps = list(pairwise((*reversed(widths), channels)))
    stages: list[nn.Module] = []
    for before, after in steps[:-1]:
        stages += [_doubling(before, after, kernel, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*stages, _doubling(*steps[-1], kernel, bias=True))


def _doubling(before: int, after: int, kernel: Kernel, *, bias: bool) -> nn.ConvTranspose2d:
    padding = (kernel - 1) // 2
    return nn.ConvTranspose2d(before, after, kernel, stride=2, padding=padding, output_padding=kernel % 2, bias=bias)


def narrow_ends(width: int, outward: int, inward: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Build 1 x 1 convolutions that squeeze each position: ``width`` channels to ``outward``, ``inward`` to ``width``.

    A plain bottleneck has ``outward`` equal to ``inward``; a variational one puts out twice as many as it takes in.
    """
    widen = (nn.Conv2d(inward, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return nn.Sequential(nn.Conv2d(width, outward, 1)), nn.Sequential(*widen)


def dense_ends(shape: tuple[int, int, int], outward: int, inward: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Build dense layers that squeeze the whole map: ``shape`` to ``outward`` numbers, and ``inward`` to ``shape``."""
    size = shape[0] * shape[1] * shape[2]
    widen = (nn.Linear(inward, size), nn.ReLU(inplace=True), nn.Unflatten(1, shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(size, outward)), nn.Sequential(*widen)


class Dropout(nn.Module):
    """Set values to zero at random while training, as ``nn.Dropout`` does, at a third of its cost on a processor.

    One random byte is drawn for each value instead of a double, so the rate is rounded to a multiple of 1/256. The
    random numbers are the global generator's. ``nn.Dropout`` took a third of the capsule network's whole update.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = min(round(256 * rate), 255)  # of the 256 values of a byte

    def forward(self, values: Tensor) -> Tensor:
        """Drop values of a tensor of any shape and memory format, and scale up the rest so that the mean is kept."""
        if not self.training or self.dropped == 0:
            return values
        if values.dim() != 4 or not values.is_contiguous(memory_format=torch.channels_last):
            values = values.contiguous()
        words = torch.empty(math.ceil(values.numel() / 8), dtype=torch.int64, device=values.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: values.numel()]
        kept = drawn.as_strided(values.size(), values.stride()) >= self.dropped
        # the factor multiplies apart from the mask: in half precision a mask of 1.113 would be rounded
        return values * kept.to(values.dtype) * (256 / (256 - self.dropped))


def fold(module: Module) -> Module:
    """Give a copy in evaluation mode whose batch norms are folded into the convolutions before them.

    The copy computes the same function to rounding. Only norms that directly follow a convolution inside a
    ``Sequential`` are folded, and dropout, which does nothing in evaluation, is removed. A doubling to few channels
    becomes a :class:`PhaseDoubling`.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        if isinstance(parent, nn.Sequential):
            layers = _folded(list(parent))
            del parent[:]
            parent.extend(layers)
    return folded


def _folded(layers: Sequence[nn.Module]) -> list[nn.Module]:
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d | nn.ConvTranspose2d):
            kept[-1] = fuse_conv_bn_eval(kept[-1], layer, transpose=isinstance(kept[-1], nn.ConvTranspose2d))
        elif not isinstance(layer, Dropout | nn.Dropout):
            kept.append(layer)
    return [_in_phases(layer) for layer in kept]


def _in_phases(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.ConvTranspose2d) and layer.stride == (2, 2) and layer.out_channels <= FEW_CHANNELS:
        return PhaseDoubling(layer)
    return layer


class PhaseDoubling(nn.Module):
    """A transposed convolution of stride 2 as four ordinary ones side by side, one for each phase of the output.

    It computes the same to rounding. With one output channel a transposed convolution leaves most of a vector unit
    empty: the last layer of the capsule network took a fifth of OpenVINO's whole time, and half of that as phases. With
    many channels it is the other way round, for the phases' empty taps.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        """Take over the weights of a square kernel with equal padding."""
        super().__init__()
        kernel, padding = layer.kernel_size[0], int(layer.padding[0])
        # output 2 i + phase sees input i + offset through the tap phase + padding - 2 offset
        taps = {(phase, offset): phase + padding - 2 * offset for phase in (0, 1) for offset in (-1, 0, 1)}
        taps = {key: tap for key, tap in taps.items() if 0 <= tap < kernel}
        first, last = min(offset for _, offset in taps), max(offset for _, offset in taps)
        before, after, size = layer.in_channels, layer.out_channels, last - first + 1
        weight = torch.zeros(after, 2, 2, before, size, size)
        for (down, row), high in taps.items():
            for (across, column), wide in taps.items():
                weight[:, down, across, :, row - first, column - first] = layer.weight.detach()[:, :, high, wide].T
        self.convolution = nn.Conv2d(before, 4 * after, size, bias=layer.bias is not None)
        self.convolution.weight = nn.Parameter(weight.reshape(4 * after, before, size, size))
        if layer.bias is not None:
            self.convolution.bias = nn.Parameter(layer.bias.detach().repeat_interleave(4))
        self._margin = (-first, last, -first, last)

    def forward(self, values: Tensor) -> Tensor:
        """Double height and width: (N, before, H, W) to (N, after, 2 H, 2 W)."""
        return F.pixel_shuffle(self.convolution(F.pad(values, self._margin)), 2)
