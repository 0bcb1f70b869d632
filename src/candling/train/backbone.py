"""Descriptors from a network that was trained on other pictures; no weight is learned here, and no memory is known.

The maps of some of its layers are averaged over 3 x 3 places, brought to the grid of the first and put together, as in
PaDiM (Defard et al. 2021) and PatchCore (Roth et al. 2022); then few numbers are made of many. Where the network and
its weights come from, ``pretrained.py`` knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import RecipeError
from candling.train.positions import smooth_three

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEY", "Backbone", "BackboneOptions", "BackboneStandard", "Body", "learn_standard"]

CELLS = (4, 8)
"""Pixels from one position of the first layer's map to the next that a memory can use."""

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, in [0, 1]: torchvision's networks see pictures less the one, over the other."""

PROBE = 64
"""Side of the picture that tells how large each layer's map is."""

TEACHERS = 32
"""So many good images, evenly drawn, tell in which directions their descriptors vary."""

SAMPLED = 2**13
"""So many of their cells at most."""

LEAST = 1e-3
"""The least variance of a direction, in shares of the mean: a rare direction must not outweigh all."""

KEY = "method.memory.backbone"
"""Where the recipe says it."""


class BackboneOptions(BaseModel):
    """The recipe's ``[method.memory.backbone]``; without it a memory describes cells by gradients.

    Attributes:
        name: of the network, as torchvision calls it: ``"resnet18"``, ``"wide_resnet50_2"``.
        layers: whose maps describe a cell; the first has one place every 4 or 8 pixels.
        weights: a file of them (``"resnet18.pth"``, from where the command runs) or torchvision's name of trained ones
            (``"IMAGENET1K_V1"``).
        online: named weights that are not on this machine may be fetched.
        dimensions: numbers that describe a cell, made of all the layers' numbers.
        reduce: how: the directions in which good images vary most (``"principal"``), or directions drawn by chance,
            without any whitening (``"random"``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(default="resnet18", pattern=r"^[a-z][a-z0-9_]*$")
    layers: tuple[str, ...] = Field(default=("layer2", "layer3"), min_length=1, strict=False)
    weights: str = Field(min_length=1)
    online: bool = False
    dimensions: int = Field(default=64, ge=2, le=512)
    reduce: Literal["principal", "random"] = "principal"


@dataclass(frozen=True)
class Body:
    """A network with its weights.

    Attributes:
        network: ``forward(image)``, float32 (N, 3, H, W), gives a tuple of maps: those of the chosen layers, in order.
        facts: lines of a card: which network, which layers, which weights.
    """

    network: nn.Module
    facts: Mapping[str, str]


class Backbone(nn.Module):
    """An image's maps of a frozen network, on one grid."""

    mean: Tensor
    spread: Tensor

    def __init__(self, body: nn.Module) -> None:
        """Freeze ``body`` (see :class:`Body`), and try how large its maps are.

        Raises:
            RecipeError: a layer gives no map, or the first one's grid cannot be used.
        """
        super().__init__()
        self.body = body.requires_grad_(requires_grad=False).float()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)
        self.train(mode=False)
        maps = self._probe()
        self.cell = PROBE // maps[0].shape[2]
        self.size = sum(each.shape[1] for each in maps)
        if self.cell not in CELLS:
            raise RecipeError(
                f"{KEY}.layers: the first layer has a place every {self.cell} px; begin with one of 4 or 8 px"
            )

    def _probe(self) -> tuple[Tensor, ...]:
        try:
            with torch.no_grad():
                maps: tuple[Tensor, ...] = self.body(torch.zeros(1, 3, PROBE, PROBE))
        except (RuntimeError, AssertionError, ValueError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RecipeError(f"{KEY}.name: the network takes no picture of {PROBE} px ({first})") from error
        for number, each in enumerate(maps):
            shape = tuple(each.shape)
            if len(shape) != 4 or shape[2] != shape[3] or PROBE % shape[2]:
                raise RecipeError(
                    f"{KEY}.layers: layer {number + 1} gives {shape} of a picture of {PROBE} x {PROBE} px, which is "
                    "no map of it; choose another"
                )
        return maps

    def train(self, mode: bool = True) -> Backbone:  # noqa: FBT001, FBT002 - torch's own signature
        """Stay in evaluation mode: norms keep what they learned on other pictures."""
        del mode
        return super().train(mode=False)

    def forward(self, padded: Tensor) -> Tensor:
        """Describe float32 (N, C, H, W) in [0, 1], C 1 or 3, H and W multiples of 32: (N, n, H / cell, W / cell)."""
        coloured = padded if padded.shape[1] == 3 else padded.expand(-1, 3, -1, -1)
        maps = [smooth_three(each) for each in self.body((coloured - self.mean) / self.spread)]
        grid = [padded.shape[2] // self.cell, padded.shape[3] // self.cell]
        fitting = [
            each if list(each.shape[2:]) == grid else F.interpolate(each, size=grid, mode="bilinear") for each in maps
        ]
        return torch.cat(fitting, dim=1)


class BackboneStandard(nn.Module):
    """A backbone's descriptors in few directions.

    Attributes:
        mean: float32 (n,), of the good descriptors.
        turn: float32 (m, n), into m directions.
        facts: see :class:`Body`.
    """

    mean: Tensor
    turn: Tensor

    def __init__(self, backbone: Backbone, mean: Tensor, turn: Tensor, facts: Mapping[str, str]) -> None:
        super().__init__()
        self.backbone, self.cell, self.facts = backbone, backbone.cell, dict(facts)
        self.register_buffer("mean", mean)
        self.register_buffer("turn", turn)

    def forward(self, padded: Tensor) -> Tensor:
        """Describe float32 (N, C, H, W), H and W multiples of 32: float32 (N, m, H / cell, W / cell)."""
        maps = self.backbone(padded)
        centred = maps.flatten(2) - self.mean[:, None]
        return (self.turn @ centred).unflatten(2, maps.shape[2:])


@torch.no_grad()
def learn_standard(body: Body, padded: Tensor, options: BackboneOptions, *, whitening: float) -> BackboneStandard:
    """Learn mean and directions of a network's descriptors of good images.

    Unlike the numbers of gradients, those of a network have one unit, so none is brought to the spread of the others.
    Good descriptors have a mean square of 1 over the directions, before whitening.

    Args:
        body: the network.
        padded: good images, float32 (N, C, H, W) in [0, 1], H and W multiples of 32; some are looked at.
        options: how many directions, and which.
        whitening: principal directions in which good descriptors vary by v are divided by v to this power.

    Raises:
        RecipeError: the layers give fewer numbers than directions are wanted, or cannot be used.
    """
    backbone = Backbone(body.network).to(padded.device)
    if backbone.size < options.dimensions:
        raise RecipeError(
            f"{KEY}.dimensions: {options.dimensions} cannot be made of the {backbone.size} numbers of these layers; "
            "lower it or add a layer"
        )
    vectors = _some_cells(backbone, padded).double()  # (n, M)
    mean = vectors.mean(dim=1)
    centred = vectors - mean[:, None]
    if options.reduce == "random":
        drawn = torch.randn((options.dimensions, backbone.size), generator=torch.Generator().manual_seed(0))
        turn = drawn.to(centred)
        turn = turn / (turn @ centred).square().mean().sqrt().clamp(min=1e-9)
    else:
        values, directions = torch.linalg.eigh(centred @ centred.mT / centred.shape[1])
        largest, directions = values[-options.dimensions :], directions[:, -options.dimensions :]
        unit = largest.mean().clamp(min=1e-18)
        weights = (largest / unit).clamp(min=LEAST).pow(-whitening)
        turn = weights[:, None] * directions.mT / unit.sqrt()
    return BackboneStandard(backbone, mean.float(), turn.float(), body.facts).to(padded.device)


def _some_cells(backbone: Backbone, padded: Tensor) -> Tensor:
    """Give descriptors of cells drawn by chance from some of the images: float32 (n, M)."""
    picked = torch.linspace(0, len(padded) - 1, min(len(padded), TEACHERS)).round().long()
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for number in picked.tolist():
        cells = backbone(padded[number : number + 1])[0].flatten(1)
        some = torch.randperm(cells.shape[1], generator=generator)[: SAMPLED // len(picked)]
        drawn.append(cells[:, some.to(cells.device)])
    return torch.cat(drawn, dim=1)
