"""Patch classifier: learns defects from their masks and gives the probability of one at every pixel of the image.

Two networks. ``published`` is the one of the fibre report (Carrillo Perez, on the images of Carrera et al. 2017): a
patch of 29 x 29 pixels goes through convolutions of 5 x 5, 5 x 5 and 3 x 3 with 16, 32 and 64 channels, each followed
by ReLU and the maximum of 2 x 2, then 64 units, dropout and a sigmoid: 36,769 weights. It is trained patch by patch and
run over the whole image as fragments (``train/dense.py``), so every pixel gets the very number of the patch around it.
``context`` is ours: a small U-Net that sees a pixel's surroundings at several scales and learns from windows in which
every pixel has its label. Both draw their patches by the same rules (``data/patches.py``), as many with a defect as
without, from images with and without defects.

Its probabilities are fitted on held-out images (``train/probability.py``): they mean shares of pixels as they occur.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.data.patches import Rules, Spots, draw_spots
from candling.errors import SamplesError, TrainingError
from candling.train.averages import MovingAverage
from candling.train.blocks import fold
from candling.train.classifying import ContextNetwork, PatchNetwork, Whole, WindowSide
from candling.train.hardest import keep_hardest
from candling.train.probability import Probability
from candling.train.updates import numbers, set_up, update
from candling.train.vary import VaryOptions, vary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress

__all__ = ["LEARNS_DEFECTS", "Options", "PatchClassifier", "build"]

LEARNS_DEFECTS = True
"""It is given labelled defects with their masks, beside good images."""

_MOVING = 0.99
_COARSE, _MIDDLE = 8, 3
"""Every so many pixels are enough to fit two numbers; the middle of a block is where its patch lies."""


class PatchOptions(BaseModel):
    """The recipe's ``[method.patches]``: how patches are drawn from masks.

    Attributes:
        size: side of a patch in pixels.
        good_up_to: a patch with at most this share of defect pixels is good.
        defect_from: a patch with at least this share of them is a defect; what lies between is mixed.
        mixed: mixed patches are left out, or kept with their share as label (network "published").
        distance_px: patches of one image are at least so far apart, in rows or in columns.
        most: patches of each kind from one image.
        an_update: so many patches (network "published") or windows (network "context") make one update.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    size: int = Field(default=29, ge=8, le=1024)
    good_up_to: float = Field(default=0.0, ge=0, lt=1)
    defect_from: float = Field(default=1.0, gt=0, le=1)
    mixed: Literal["leave_out", "keep"] = "leave_out"
    distance_px: int = Field(default=5, ge=1)
    most: int = Field(default=200, ge=1)
    an_update: int = Field(default=32, ge=2)

    @model_validator(mode="after")
    def _kinds_are_apart(self) -> PatchOptions:
        if self.good_up_to >= self.defect_from:
            raise ValueError(f"good_up_to ({self.good_up_to}) must lie below defect_from ({self.defect_from})")
        return self

    def rules(self) -> Rules:
        """The same as the data step's."""
        return Rules(self.size, self.good_up_to, self.defect_from, self.mixed, self.distance_px, self.most)


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "patch_classifier"``.

    Attributes:
        network: "published" or "context".
        patches: ``[method.patches]``, how patches are drawn.
        stride: network "published": from one judged pixel to the next; 1 judges each by its own patch.
        dropout: network "published": share of the 64 units set to zero while training.
        width: network "context": channels of the first level.
        levels: network "context": sizes it works at, each half of the last.
        stem: network "context": the image enters as blocks of so many pixels squared.
        window: network "context": side in pixels of the windows it learns from.
        ignore_px: network "context": so near to the border of a mask no pixel teaches; masks are coarse there.
        hard: share of the good places, those it gets most wrong, that teach in an update; 1 is all of them.
        moving_average: export the mean of late weights instead of the last ones.
        judge_px: side of the square whose mean probability judges an image.
        vary: ``[method.vary]``, variants of patches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    network: Literal["published", "context"] = "published"
    patches: PatchOptions = PatchOptions()
    stride: Literal[1, 2, 4, 8] = 1
    dropout: float = Field(default=0.6, ge=0, lt=1)
    width: int = Field(default=16, ge=4, le=256)
    levels: int = Field(default=4, ge=2, le=6)
    stem: Literal[1, 2, 4] = 2
    window: WindowSide = Field(default=192, ge=32, le=1024)
    ignore_px: int = Field(default=2, ge=0, le=64)
    hard: float = Field(default=1.0, gt=0, le=1)
    moving_average: bool = False
    judge_px: int = Field(default=15, ge=1)
    vary: VaryOptions = VaryOptions()


def build(options: Options, plan: Plan) -> PatchClassifier:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the images are smaller than a patch, or the patch is too small for the network.
    """
    return PatchClassifier(options, plan)


class PatchClassifier:
    """The training of one network; see :class:`candling.train.method.Method` and ``Begins``."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._plan, self._fabric = options, plan, plan.fabric
        self._network: PatchNetwork | ContextNetwork = (
            PatchNetwork(plan.shape, patch=options.patches.size, dropout=options.dropout, stride=options.stride)
            if options.network == "published"
            else ContextNetwork(
                plan.shape, width=options.width, levels=options.levels, stem=options.stem, window=options.window
            )
        )
        self._average = MovingAverage(copy.deepcopy(self._network), most=_MOVING) if options.moving_average else None
        self._probability = Probability(options.judge_px)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {"network": network}
        if self._average is not None:
            self.networks = {**self.networks, "average": plan.fabric.to_device(self._average)}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}
        self._spots: dict[int, Spots] = {}
        self._held: dict[int, Spots] = {}
        self._held_out: Iterable[Batch] = ()

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Draw the patches that may be learned from, and those that the held-out loss is measured on.

        Raises:
            TrainingError: no masks came.
            SamplesError: no patch is a defect by the rules, or none is good.
        """
        progress.stage("drawing patches from the masks")
        self._spots, self._held = self._drawn(good), self._drawn(held_out)
        self._held_out = held_out
        rules = self._options.patches.rules()
        kinds = {rules.kind_of(share) for spots in self._spots.values() for share in spots.shares}
        for kind, remedy in (("defect", "lower method.patches.size or defect_from"), ("good", "give good images")):
            if kind not in kinds:
                raise SamplesError(
                    f"none of the patches of {rules.size} px is {kind} by the rules of [method.patches]; {remedy}"
                )

    def choices(self) -> Mapping[str, Fact]:
        """Say how many patches of each kind there are to learn from."""
        rules = self._options.patches.rules()
        kinds = [rules.kind_of(share) for spots in self._spots.values() for share in spots.shares]
        facts: dict[str, Fact] = {f"{kind} patches": kinds.count(kind) for kind in ("good", "defect", "mixed")}
        return {**facts, "weights": sum(weight.numel() for weight in self._network.parameters())}

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Draw patches of the batch's images and learn to tell them apart."""
        network = self.networks["network"].train()
        patches, masks = self._cut(batch, self._spots, self._options.patches.an_update)
        patches, masks = vary(patches, masks, batch.generator, self._options.vary)
        losses = update(self._fabric, self.optimizers["network"], self._losses(network, patches, masks))
        if self._average is not None:
            self._average.follow(self._network)
        return losses

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on patches of held-out images, as they are."""
        network = (self.networks["network"] if self._average is None else self._average.network).eval()
        patches, masks = self._cut(batch, self._held, 2 * self._options.patches.an_update)
        return numbers(self._losses(network, patches, masks))

    @torch.no_grad()
    def finish(self, batches: Iterable[Batch]) -> None:  # noqa: ARG002 - what was learned from says nothing here
        """Fit the probabilities on held-out images, every eighth pixel of every eighth row."""
        whole = self._whole(_COARSE)
        logits, labels = [], []
        for batch in self._held_out:
            for image, mask in zip(batch.images.cpu().split(1), _masks(batch).cpu(), strict=True):
                logits.append(whole.logits(image)[..., _MIDDLE::_COARSE, _MIDDLE::_COARSE].flatten())
                labels.append(mask[_MIDDLE::_COARSE, _MIDDLE::_COARSE].flatten())
        if logits:
            self._probability.fit(torch.cat(logits), torch.cat(labels))

    def graph(self) -> nn.Module:
        """Give the probability of a defect at every pixel, and the scores of an image."""
        return self._whole().eval()

    def _whole(self, stride: int | None = None) -> Whole:
        network = self._network if self._average is None else self._average.network
        return Whole(fold(network).float().cpu(), copy.deepcopy(self._probability), stride).eval()

    def _drawn(self, batches: Iterable[Batch]) -> dict[int, Spots]:
        return {
            index: self._spots_of(index, mask)
            for batch in batches
            for index, mask in zip(batch.indices.tolist(), _masks(batch), strict=True)
        }

    def _spots_of(self, index: int, mask: Tensor) -> Spots:
        """Draw the patches of one image: always the same."""
        rng = np.random.default_rng([self._plan.training.seed, index])
        return draw_spots(mask.cpu().numpy(), self._options.patches.rules(), rng=rng)

    def _cut(self, batch: Batch, drawn: dict[int, Spots], count: int) -> tuple[Tensor, Tensor]:
        """Cut patches or windows, half of them with a defect where there is one: (n, C, s, s), masks (n, 2, s, s).

        The first mask says what is defect, the second what teaches.
        """
        side = self._options.patches.size if self._options.network == "published" else self._options.window
        jitter = 0 if self._options.network == "published" else side // 3
        height, width = batch.images.shape[2:]
        masks = _masks(batch).to(batch.images)
        half = self._options.patches.size // 2
        cut, labels = [], []
        for place, row, column in self._chosen(batch, drawn, count):
            moves = torch.randint(-jitter, jitter + 1, (2,), generator=batch.generator, device=batch.generator.device)
            top, left = (
                min(max(start + half - side // 2 + move, 0), length - side)
                for start, move, length in zip((row, column), moves.tolist(), (height, width), strict=True)
            )
            cut.append(batch.images[place, :, top : top + side, left : left + side])
            labels.append(masks[place, None, top : top + side, left : left + side])
        defect = torch.stack(labels)
        return torch.stack(cut), torch.cat((defect, self._teaching(defect)), dim=1)

    def _chosen(self, batch: Batch, drawn: dict[int, Spots], count: int) -> Iterator[tuple[int, int, int]]:
        """Choose spots of the batch's images in turn by kind: image of the batch, row, column."""
        rules = self._options.patches.rules()
        pools: dict[str, list[tuple[int, int, int]]] = {}
        for place, index in enumerate(batch.indices.tolist()):
            if index not in drawn:
                drawn[index] = self._spots_of(index, _masks(batch)[place])
            spots = drawn[index]
            for top, left, share in zip(spots.tops, spots.lefts, spots.shares, strict=True):
                pools.setdefault(rules.kind_of(share), []).append((place, int(top), int(left)))
        kinds = sorted(pools)
        draws = torch.rand(count, generator=batch.generator, device=batch.generator.device).tolist()
        for number, draw in enumerate(draws):
            pool = pools[kinds[number % len(kinds)]]
            yield pool[int(draw * len(pool))]

    def _teaching(self, defect: Tensor) -> Tensor:
        near = 0 if self._options.network == "published" else self._options.ignore_px
        if not near:
            return torch.ones_like(defect)
        grown, shrunk = (F.max_pool2d(one, 2 * near + 1, 1, near) for one in (defect, 1.0 - defect))
        return 1.0 - grown * shrunk

    def _losses(self, network: nn.Module, patches: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Give the cross entropy, of patches or of all pixels that teach, and how many of them are told apart."""
        logits = network(patches).float()
        if self._options.network == "published":
            share = masks[:, 0].mean(dim=(1, 2))
            mixed = self._options.patches.mixed == "keep"
            target = share if mixed else (share >= self._options.patches.defect_from).to(share)
            weight = torch.ones_like(target)
        else:
            stem = self._options.stem
            target = F.avg_pool2d(masks[:, :1], stem)
            weight = 1.0 - F.max_pool2d(1.0 - masks[:, 1:], stem)
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        weight = weight * keep_hardest(each.detach(), target, self._options.hard)
        total = weight.sum().clamp(min=1.0)
        right = ((logits.detach() > 0) == (target > 0.5)).to(weight)
        return {"loss": (each * weight).sum() / total, "mistaken": ((1.0 - right) * weight).sum() / total}


def _masks(batch: Batch) -> Tensor:
    if batch.masks is None:
        raise TrainingError(
            "patch_classifier learns from labelled defects, and no masks came; give a folder with defects and masks"
        )
    return batch.masks
