"""Networks that make maps for a detector: a small one for few cores, and VGG16; no weight is learned here.

Both take pictures and give one map. Where the weights of VGG16 come from, ``pretrained.py`` knows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from candling.errors import MissingExtraError, RecipeError, TrainingError
from candling.train.backbone import KEY, MEAN, SPREAD, BackboneOptions
from candling.train.pretrained import load_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candling.train.backbone import Body

__all__ = ["VGG_STRIDE", "LightBody", "VggBody"]

VGG_STRIDE = 16
"""Pixels from one place of VGG16's last map to the next."""

_LAST = "features.29"
"""The last layer before the pooling that would make it 32."""


class LightBody(nn.Module):
    """A small network that looks far and answers finely: (N, C, H, W) to (N, channels, H / stride, W / stride).

    Steps halve the picture down to 1/32, with residual blocks (He et al. 2016) at each; then coarse maps are added to
    finer ones (feature pyramid, Lin et al. 2017), and the one at ``stride`` is given.
    """

    def __init__(self, inputs: int, *, width: int, stride: Literal[4, 8, 16], dark: float = 0.0) -> None:
        """Build for pictures of ``inputs`` channels.

        Args:
            inputs: channels of the pictures.
            width: channels at 1/4 of the size.
            stride: pixels from one place of the map to the next.
            dark: where above 0, pictures enter as logarithms, which fade below this grey value.
        """
        super().__init__()
        self.dark = dark
        widths = [width, 2 * width, 3 * width, 4 * width]  # at 1/4, 1/8, 1/16, 1/32
        self.channels = 2 * width
        self.stem = nn.Sequential(*_layer(inputs, max(width // 2, 8), 2), *_layer(max(width // 2, 8), width, 2))
        self.downs = nn.ModuleList([nn.Sequential()])
        self.downs.extend(nn.Sequential(*_layer(widths[at - 1], widths[at], 2)) for at in range(1, 4))
        self.blocks = nn.ModuleList(
            nn.ModuleList(_Block(each) for _ in range(count)) for each, count in zip(widths, (1, 2, 2, 1), strict=True)
        )
        self.finest = {4: 0, 8: 1, 16: 2}[stride]
        self.sides = nn.ModuleList(nn.Conv2d(each, self.channels, 1) for each in widths[self.finest :])
        self.last = nn.Sequential(*_layer(self.channels, self.channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Give the map; image in [0, 1]."""
        if self.dark > 0.0:
            image = torch.log((image + self.dark) / (1.0 + self.dark)) / -math.log(self.dark) + 1.0  # about 0 to 1
        maps = self.stem(2.0 * image - 1.0)
        levels = []
        for down, blocks in zip(self.downs, self.blocks, strict=True):
            maps = down(maps)
            for block in blocks:  # type: ignore[attr-defined]
                maps = block(maps)
            levels.append(maps)
        found = [side(level) for side, level in zip(self.sides, levels[self.finest :], strict=True)]
        whole = found.pop()
        while found:
            finer = found.pop()
            whole = finer + F.interpolate(whole, size=finer.shape[2:], mode="nearest")
        return self.last(whole)


class _Block(nn.Module):
    """Two convolutions beside the way past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layer(width, width, 1), *_layer(width, width, 1)[:2])

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.layers(maps))


def _layer(before: int, after: int, step: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride=step, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


class VggBody(nn.Module):
    """VGG16 up to its last convolution (Simonyan and Zisserman 2015): (N, C, H, W) to (N, 512, H / 16, W / 16)."""

    mean: Tensor
    spread: Tensor
    channels = 512

    def __init__(self, weights: str, *, online: bool) -> None:
        """Build it with the weights of a file or of torchvision, or from scratch where ``weights`` is empty.

        Raises:
            MissingExtraError: torchvision is not installed.
            RecipeError: there are no such weights, or they would have to be fetched and ``online`` is False.
            TrainingError: they could not be fetched.
        """
        super().__init__()
        self.facts: Mapping[str, str] = {"backbone": "vgg16", "backbone weights": "none: learned from scratch"}
        self.network: nn.Module
        if weights:
            found = _loaded(weights, online=online)
            self.network, self.facts = found.network, found.facts
        else:
            try:
                from torchvision.models.vgg import cfgs, make_layers
            except (ImportError, RuntimeError) as error:
                raise MissingExtraError(
                    "method.backbone: vgg16 needs a torchvision that matches torch; run: pip install "
                    "'candling[backbone]'"
                ) from error
            layers: list[nn.Module] = list(make_layers(cfgs["D"], batch_norm=False))[:-1]
            for layer in layers:
                if isinstance(layer, nn.Conv2d):  # as torchvision begins
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                    nn.init.zeros_(cast("Tensor", layer.bias))
            self.network = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Give the map; image in [0, 1], grey or colour."""
        coloured = image if image.shape[1] == 3 else image.expand(-1, 3, -1, -1)
        maps = self.network((coloured - self.mean) / self.spread)
        return maps[0] if isinstance(maps, tuple) else maps


def _loaded(weights: str, *, online: bool) -> Body:
    """Load trained weights; what is wrong with them is said of the key that they stand under here."""
    try:
        return load_body(BackboneOptions(name="vgg16", layers=(_LAST,), weights=weights, online=online))
    except RecipeError as error:
        raise RecipeError(str(error).replace(f"{KEY}.", "method.")) from error
    except TrainingError as error:
        raise TrainingError(str(error).replace(f"{KEY}.", "method.")) from error
