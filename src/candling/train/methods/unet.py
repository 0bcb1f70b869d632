"""U-Net for cells: tells background, the inside and the rim of every cell, so that cells that touch are counted apart.

After Ronneberger et al. 2015, with three kinds of pixel: insides of neighbours are never connected, so each connected
inside is one cell (Caicedo et al. 2019, Cytometry Part A). Brightness enters as its logarithm: an exposure twice as
long adds a constant, whatever the exposure, and no pixel's value depends on another's, so a tile says what the whole
image says, and an image without a cell is not stretched until its noise looks like some. It learns from random pieces
of images, mirrored, turned, and exposed otherwise.

Cells that lie on top of one another have no insides apart. Where ``density_px`` is given, a fourth map is learned,
cells a pixel, whose sum over an image is its count (Lempitsky and Zisserman 2010; Xie, Noble and Zisserman 2016).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import RecipeError, TrainingError
from candling.pixels.instances import BACKGROUND, BORDER, CENTRE, INSIDE
from candling.train.averages import MovingAverage
from candling.train.bells import bell_loss, bells_of, cells_a_pixel
from candling.train.blocks import fold
from candling.train.unet import UNet
from candling.train.updates import numbers, set_up, update
from candling.train.vary import VaryOptions, vary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from candling.train.method import Batch, Plan

__all__ = ["LEARNS_CELLS", "CellUNet", "Options", "build"]

LEARNS_CELLS = True
"""It is given images with what each pixel is of a cell."""

_KINDS = 3
"""What a pixel can be; a larger number in the masks is unknown."""
_MOVING = 0.99
_LEAST_DICE = 1.0  # pixels added above and below: no cell and none seen is a Dice of 1


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "unet"``.

    Attributes:
        label: what a cell is called in tables and annotations.
        width: channels of the first level.
        levels: sizes it works at, each half of the last.
        stem: the image enters as blocks of so many pixels squared; 1 sees each by itself, at four times the cost.
        crop: side in pixels of the pieces it learns from.
        border_px: width of the rim inside each cell.
        border_weight: how much more a pixel of a rim teaches than one of background.
        least_px: a smaller object is debris: it teaches nothing and is not counted.
        dark: grey value, white being 1, below which differences fade; near that of the background.
        exposure: pieces are exposed up to so many doublings longer or shorter.
        density_px: standard deviation of the bell that one cell is in the learned density; 0 learns none.
        density_weight: of the density's loss beside that of the kinds.
        vary: ``[method.vary]``, other variants of pieces.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    label: str = Field(default="cell", min_length=1, max_length=64)
    width: int = Field(default=16, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)
    stem: Literal[1, 2, 4] = 2
    crop: int = Field(default=192, ge=32, le=1024)
    border_px: int = Field(default=2, ge=1, le=16)
    border_weight: float = Field(default=2.0, ge=1, le=100)
    least_px: int = Field(default=30, ge=0)
    dark: float = Field(default=0.01, gt=0, le=1)
    exposure: float = Field(default=1.0, ge=0, le=8)
    density_px: float = Field(default=0.0, ge=0, le=32)
    density_weight: float = Field(default=1.0, gt=0, le=1000)
    vary: VaryOptions = VaryOptions(brightness=0.0, gamma=0.0, noise=0.0)

    @property
    def learns_density(self) -> bool:
        """Whether the middle pixel of each cell is marked in what it learns from."""
        return self.density_px > 0.0

    @property
    def step_px(self) -> int:
        """Tiles that begin at multiples of this are seen alike."""
        return self.stem * 2 ** (self.levels - 1)

    @property
    def reach_px(self) -> int:
        """How far from a pixel lies what its values are computed from, at most; two convolutions a level, both ways."""
        pitches = [self.stem * 2**level for level in range(self.levels)]
        return 4 * sum(pitches[:-1]) + 2 * pitches[-1] + pitches[-1]


def build(options: Options, plan: Plan) -> CellUNet:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: a side of the images is no multiple of stem x 2^(levels - 1).
    """
    return CellUNet(options, plan)


class _Seen(nn.Module):
    """Logits of the three kinds at every pixel, and of the density where it is learned."""

    def __init__(self, options: Options, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.dark, self.stem = options.dark, options.stem
        self.unet = UNet(
            shape,
            width=options.width,
            levels=options.levels,
            stem=options.stem,
            places=False,
            logits=(_KINDS + options.learns_density) * options.stem**2,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Take (N, C, H, W) in [0, 1] to float32 (N, 3 or 4, H, W)."""
        levels = torch.log((images + self.dark) / (1.0 + self.dark)) / -math.log(self.dark) + 1.0  # about 0 to 1
        logits = self.unet(levels)
        return F.pixel_shuffle(logits, self.stem) if self.stem > 1 else logits


class _Whole(nn.Module):
    """The graph: what each pixel is of a cell, and how much of the image cells cover."""

    def __init__(self, seen: nn.Module, density_px: float) -> None:
        super().__init__()
        self.seen, self.density_px = seen, density_px

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        logits = self.seen(image).float()
        cells = torch.softmax(logits[:, :_KINDS], dim=1)
        # row by row, or an engine adds up hundreds of thousands of small numbers in single precision
        out = {"cells": cells, "covered_share": (1.0 - cells[:, BACKGROUND]).mean(dim=2).mean(dim=1)}
        if self.density_px > 0.0:
            out["density"] = cells_a_pixel(logits[:, _KINDS], self.density_px)
        return out


class CellUNet:
    """The training of one network; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        side = min(options.crop, *plan.shape[1:]) // options.step_px * options.step_px
        if not side:
            raise RecipeError(
                f"method.levels: images of {plan.shape[1]} x {plan.shape[2]} px are smaller than one block of "
                f"{options.step_px} px; lower method.levels or method.stem"
            )
        if options.learns_density and (options.vary.zoom > 0.0 or options.vary.shear_degrees > 0.0):
            raise RecipeError(
                "method.density_px: a stretched piece holds another number of cells; set method.vary.zoom and "
                "method.vary.shear_degrees to 0, or density_px to 0"
            )
        self._side = side
        self._network = _Seen(options, plan.shape)
        self._average = MovingAverage(copy.deepcopy(self._network), most=_MOVING)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {
            "network": network,
            "average": plan.fabric.to_device(self._average),
        }
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}
        weights = torch.ones(_KINDS)
        weights[BORDER] = options.border_weight
        self._weights = plan.fabric.to_device(weights)

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Cut a random piece of each image and learn what its pixels are."""
        draws = torch.rand((2, len(batch.images)), generator=batch.generator, device=batch.generator.device).tolist()
        images, kinds, bells = self._pieces(batch, draws)
        images = self._exposed(images, batch.generator)
        # one plane a kind: where a stretched pixel lies between two kinds, the nearer one wins
        planes = F.one_hot(kinds.long().clamp(max=_KINDS), _KINDS + 1).movedim(3, 1).float()
        images, planes = vary(images, torch.cat((planes, bells), dim=1), batch.generator, self._options.vary)
        kinds, bells = planes[:, : _KINDS + 1].argmax(dim=1), planes[:, _KINDS + 1 :]
        network = self.networks["network"].train()
        losses = update(self._fabric, self.optimizers["network"], self._losses(network, images, kinds, bells))
        self._average.follow(self._network)
        return losses

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on the middle of held-out images."""
        images, kinds, bells = self._pieces(batch, [[0.5] * len(batch.images)] * 2)
        return numbers(self._losses(self._average.network.eval(), images, kinds.long(), bells))

    def finish(self, batches: Iterable[Batch]) -> None:
        """Nothing is left to fit."""

    def graph(self) -> nn.Module:
        """Give the network that says what every pixel is."""
        return _Whole(fold(self._average.network).float().cpu(), self._options.density_px).eval()

    def _pieces(self, batch: Batch, draws: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor, Tensor]:
        """Cut one piece of each image: (N, C, s, s), with its kinds (N, s, s) and bells (N, 0 or 1, s, s)."""
        if batch.masks is None:
            raise TrainingError("unet learns from numbered cells, and no masks came; give a folder images and labels")
        height, width = batch.images.shape[2:]
        centres = batch.masks == CENTRE
        whole = bells_of(centres, self._options.density_px)  # before cutting: bells reach into a piece from outside
        masks = torch.where(centres, torch.full_like(batch.masks, INSIDE), batch.masks)
        images, kinds, bells = [], [], []
        for place, (down, right) in enumerate(zip(*draws, strict=True)):
            top, left = (int(draw * (size - self._side + 1)) for draw, size in ((down, height), (right, width)))
            rows, columns = slice(top, top + self._side), slice(left, left + self._side)
            images.append(batch.images[place, :, rows, columns])
            kinds.append(masks[place, rows, columns])
            bells.append(whole[place, :, rows, columns])
        return torch.stack(images), torch.stack(kinds).to(torch.uint8), torch.stack(bells)

    def _exposed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.rand((len(images), 1, 1, 1), generator=generator, device=generator.device).to(images)
        return (images * 2.0 ** (self._options.exposure * (2.0 * draws - 1.0))).clamp(0.0, 1.0)

    def _losses(self, network: nn.Module, images: Tensor, kinds: Tensor, bells: Tensor) -> dict[str, Tensor]:
        """Give the cross entropy of the kinds, one minus the Dice of what is a cell, and the density's error."""
        seen = network(images).float()
        logits = seen[:, :_KINDS]
        known = kinds < _KINDS
        target = torch.where(known, kinds, torch.zeros_like(kinds))
        each = F.cross_entropy(logits, target, reduction="none")
        weight = self._weights[target] * known
        cross = (each * weight).sum() / weight.sum().clamp(min=1.0)
        cell = (1.0 - torch.softmax(logits, dim=1)[:, BACKGROUND]) * known
        true = (target != BACKGROUND).to(cell)
        dice = (2.0 * (cell * true).sum() + _LEAST_DICE) / (cell.sum() + true.sum() + _LEAST_DICE)
        losses = {"loss": cross + 1.0 - dice, "kinds": cross, "area": 1.0 - dice}
        if self._options.learns_density:
            losses["density"] = bell_loss(seen[:, _KINDS:], bells, known[:, None])
            losses["loss"] = losses["loss"] + self._options.density_weight * losses["density"]
        return losses
