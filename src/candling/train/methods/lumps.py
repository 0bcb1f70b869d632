"""Lumps: learns to mark foreign matter that it draws into good images; for textures in which nothing has its place.

A mat of fibres looks different everywhere, so no memory of good places helps, and a network that redraws it redraws a
bead as well. But what lies on it, beads, crumbs, films, is a body of its own matter, and such bodies can be drawn
(``train/lumps.py``). A small U-Net, the one of ``patch_classifier``, learns from windows of good images which pixels
were painted over. No defect is seen in training. That a network may learn from drawn defects alone is Zavrtanik et al.
2021 (ICCV, DRAEM); here nothing is redrawn.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train.averages import MovingAverage
from candling.train.blocks import fold
from candling.train.classifying import ContextNetwork, WindowSide
from candling.train.hardest import keep_hardest
from candling.train.lumps import LumpOptions, draw_lumps
from candling.train.updates import numbers, set_up, update
from candling.train.vary import VaryOptions, vary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.method import Batch, Plan

__all__ = ["Lumps", "Options", "build"]

_MOVING = 0.99


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "lumps"``.

    Attributes:
        width: channels of the network's first level.
        levels: sizes it works at, each half of the last.
        stem: the image enters as blocks of so many pixels squared.
        window: side in pixels of the windows it learns from.
        an_update: so many windows make one update.
        hard: share of the good pixels, those it gets most wrong, that teach in an update; 1 is all of them.
        judge_px: side of the square whose mean judges an image.
        lumps: ``[method.lumps]``, what is drawn.
        vary: ``[method.vary]``, variants of windows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    width: int = Field(default=16, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)
    stem: Literal[1, 2, 4] = 2
    window: WindowSide = Field(default=64, ge=32, le=1024)
    an_update: int = Field(default=8, ge=2)
    hard: float = Field(default=0.5, gt=0, le=1)
    judge_px: int = Field(default=15, ge=1)
    lumps: LumpOptions = LumpOptions()
    vary: VaryOptions = VaryOptions()


def build(options: Options, plan: Plan) -> Lumps:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are smaller than a window.
    """
    return Lumps(options, plan)


class Marked(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to anomaly map and scores, all in [0, 1]."""

    def __init__(self, network: ContextNetwork, judge_px: int) -> None:
        super().__init__()
        self.dense, self.judge_px = network.dense(), judge_px

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give how surely each pixel is foreign, the largest mean of it over a square, and its mean: a share."""
        surely = torch.sigmoid(self.dense(image))
        side = min(self.judge_px, *surely.shape[2:])
        means = F.avg_pool2d(surely, side, stride=max(1, side // 2))
        return {
            "anomaly_map": surely[:, 0],
            "anomaly": means.amax(dim=(1, 2, 3)),
            "covered_share": surely.mean(dim=3).mean(dim=(1, 2)),
        }


class Lumps:
    """The training of one network; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric = options, plan.fabric
        self._network = ContextNetwork(
            plan.shape, width=options.width, levels=options.levels, stem=options.stem, window=options.window
        )
        self._average = MovingAverage(copy.deepcopy(self._network), most=_MOVING)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {
            "network": network,
            "average": plan.fabric.to_device(self._average),
        }
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Cut windows, draw lumps into them, and learn to mark these."""
        network = self.networks["network"].train()
        windows, masks = draw_lumps(self._windows(batch, self._options.an_update), batch.generator, self._options.lumps)
        windows, masks = vary(windows, masks, batch.generator, self._options.vary)
        losses = update(self._fabric, self.optimizers["network"], self._losses(network, windows, masks))
        self._average.follow(self._network)
        return losses

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on windows of held-out images, which are not varied."""
        windows = self._windows(batch, max(2, self._options.an_update // 2))
        return numbers(
            self._losses(self._average.network.eval(), *draw_lumps(windows, batch.generator, self._options.lumps))
        )

    def finish(self, batches: Iterable[Batch]) -> None:
        """Nothing is left to fit."""

    def graph(self) -> nn.Module:
        """Give the network for whole images."""
        network = copy.deepcopy(self._average.network)
        assert isinstance(network, ContextNetwork)
        return Marked(fold(network).float().cpu(), self._options.judge_px).eval()

    def _windows(self, batch: Batch, count: int) -> Tensor:
        """Cut windows anywhere from the batch's images in turn: (count, C, side, side)."""
        side, (height, width) = self._options.window, batch.images.shape[2:]
        draws = torch.rand((count, 2), generator=batch.generator, device=batch.generator.device).tolist()
        cut = []
        for number, (down, across) in enumerate(draws):
            top, left = int(down * (height - side + 1)), int(across * (width - side + 1))
            cut.append(batch.images[number % len(batch.images), :, top : top + side, left : left + side])
        return torch.stack(cut)

    def _losses(self, network: nn.Module, windows: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Give the cross entropy over the places that teach, and how many of them are told apart."""
        logits = network(windows.contiguous(memory_format=torch.channels_last)).float()
        target = F.avg_pool2d(masks, self._options.stem)
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        weight = keep_hardest(each.detach(), target, self._options.hard)
        total = weight.sum().clamp(min=1.0)
        wrong = ((logits.detach() > 0) != (target > 0.5)).to(weight)
        return {"loss": (each * weight).sum() / total, "mistaken": (wrong * weight).sum() / total}
