"""Faster R-CNN: boxes round objects of several classes; a first stage proposes where, a second says what and how large.

After Ren et al. 2015 and the counting thesis (Tare 2020), on torchvision's parts. Anchors are the thesis', or fitted to
the boxes that are learned; the body is VGG16, or a small network that a processor trains in an hour. However many
objects an image holds, none is skipped, and an image without any teaches that too.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import RecipeError, TrainingError
from candling.train.anchors import THESIS_RATIOS, THESIS_SIDES, Anchors, grid_anchors
from candling.train.averages import MovingAverage
from candling.train.bodies import VGG_STRIDE, LightBody, VggBody
from candling.train.detector import Detector, Found, Marked, check_torchvision, losses_without_learning
from candling.train.updates import numbers, set_up, update
from candling.train.vary_boxes import VaryBoxesOptions, vary_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress

__all__ = ["LEARNS_BOXES", "FasterRcnn", "Options", "build"]

LEARNS_BOXES = True
"""It is given images with the boxes of their objects."""

_MOVING = 0.995
_LONGEST = 10.0
"""A gradient's norm; the losses of a first batch may be large."""

_Size = Annotated[tuple[float, float], Field(strict=False)]

_ONE_CLASS = ("cell",)
_FEWEST = 100


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "faster_rcnn"``.

    Attributes:
        classes: what the objects are called; empty takes every class of the training images.
        scale: pixels of the network for one of the image; below 1 images are shrunk first.
        backbone: "light", a small network, or "vgg16".
        weights: of vgg16: a file of tensors, or a name of torchvision's such as IMAGENET1K_V1; empty is from scratch.
        online: named weights may be fetched.
        width: channels of the small network at a quarter of the size.
        stride: pixels from one place of the small network's map to the next; vgg16 has 16.
        dark: the small network sees logarithms of grey values, which fade below this one (white is 1): an exposure
            twice as long only adds a constant; 0 leaves brightness as it is.
        anchors: "fitted" to the boxes of the training images, or "published" (sides 32, 64 and 128, three ratios).
        anchor_count: how many are fitted.
        anchor_sizes: heights and widths in pixels of the network; given here, none are fitted.
        head: width of the dense layers of the second stage.
        sampled: regions of an image that the second stage learns from in an update, at most a third of them objects;
            they take a third of the time, and torchvision takes 512.
        proposals: regions of a tile that the second stage looks at: none beyond is found; "auto" is three times the
            objects of the fullest training tile, at least 100.
        least_px: a smaller object is debris: it teaches nothing and is not counted.
        unreviewed: boxes that a model drew and no person has looked at may be learned from.
        vary: ``[method.vary]``, other variants of images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    classes: tuple[str, ...] = Field(default=(), strict=False)
    scale: float = Field(default=1.0, gt=0, le=8)
    backbone: Literal["light", "vgg16"] = "light"
    weights: str = ""
    online: bool = False
    width: int = Field(default=48, ge=8, le=512)
    stride: Literal[4, 8, 16] = 8
    dark: float = Field(default=0.0, ge=0, lt=1)
    anchors: Literal["fitted", "published"] = "fitted"
    anchor_count: int = Field(default=9, ge=1, le=64)
    anchor_sizes: tuple[_Size, ...] = Field(default=(), strict=False)
    head: int = Field(default=256, ge=16, le=8192)
    sampled: int = Field(default=96, ge=8, le=4096)
    proposals: int | Literal["auto"] = "auto"
    least_px: int = Field(default=0, ge=0)
    unreviewed: bool = False
    vary: VaryBoxesOptions = VaryBoxesOptions()

    @model_validator(mode="after")
    def _usable(self) -> Options:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"two classes have one name: {', '.join(sorted(self.classes))}")
        if any(min(size) <= 0 for size in self.anchor_sizes):
            raise ValueError("anchor_sizes must have a height and a width above 0; correct them, or leave them out")
        if isinstance(self.proposals, int) and not 1 <= self.proposals <= 10000:
            raise ValueError(f'proposals must lie between 1 and 10000, or be "auto"; it is {self.proposals}')
        if self.weights and self.backbone != "vgg16":
            raise ValueError(f'weights are those of vgg16; the backbone is "{self.backbone}"')
        return self

    @property
    def stride_px(self) -> int:
        """Pixels of the network from one place of its map to the next."""
        return VGG_STRIDE if self.backbone == "vgg16" else self.stride

    @property
    def shapes(self) -> Anchors:
        """The anchors; the published ones while none are fitted."""
        if not self.anchor_sizes:
            return grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=self.stride_px)
        return Anchors(np.array(self.anchor_sizes, np.float64), self.stride_px)


def build(options: Options, plan: Plan) -> FasterRcnn:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: a side of the images is no multiple of the stride, or weights cannot be used.
        MissingExtraError: torchvision is not installed.
    """
    return FasterRcnn(options, plan)


class FasterRcnn:
    """The training of one network; see :class:`candling.train.method.Method` and ``Begins``."""

    def __init__(self, options: Options, plan: Plan) -> None:
        check_torchvision()
        for name, side in (("height", plan.shape[1]), ("width", plan.shape[2])):
            if side % options.stride_px:
                raise RecipeError(
                    f"prepare.{name}: {side} px must be a multiple of {options.stride_px}, the places of the "
                    f"network's map; set it to {max(side // options.stride_px, 1) * options.stride_px}"
                )
        self._options, self._plan = options, plan
        self._network = self._built()
        self._average = MovingAverage(copy.deepcopy(self._network), most=_MOVING)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self.networks: Mapping[str, nn.Module] = {
            "network": network,
            "average": plan.fabric.to_device(self._average),
        }
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"network": optimizer}

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Look at nothing: all was decided when the boxes were read."""

    def choices(self) -> Mapping[str, Fact]:
        """Say where the body's weights come from."""
        light = {"backbone": f"light, {self._options.width} channels at 1/4, stride {self._options.stride}"}
        return getattr(self._network.body, "facts", light)

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Learn the boxes of a variant of each image."""
        images, boxes = vary_boxes(batch.images, _boxes(batch), batch.generator, self._options.vary)
        losses = self.networks["network"].train()(images, Marked(boxes))
        found = update(self._plan.fabric, self.optimizers["network"], losses, longest=_LONGEST)
        self._average.follow(self._network)
        return found

    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same on held-out images as they are."""
        boxes, device = _boxes(batch), batch.generator.device
        seed = int(torch.randint(2**31, (1,), generator=batch.generator, device=device))
        return numbers(losses_without_learning(self._average.network, batch.images, Marked(boxes), seed))

    def finish(self, batches: Iterable[Batch]) -> None:
        """Nothing is left to fit."""

    def graph(self) -> nn.Module:
        """Give the network that says where and what objects are."""
        return Found(copy.deepcopy(cast("Detector", self._average.network)).cpu(), self._plan.shape).eval()

    def _built(self) -> Detector:
        options, channels = self._options, self._plan.shape[0]
        body: LightBody | VggBody
        if options.backbone == "vgg16":
            body = VggBody(options.weights, online=options.online)
        else:
            body = LightBody(channels, width=options.width, stride=options.stride, dark=options.dark)
        return Detector(
            body,
            body.channels,
            options.shapes,
            classes=len(options.classes or _ONE_CLASS),
            proposals=_FEWEST if options.proposals == "auto" else options.proposals,
            head=options.head,
            sampled=options.sampled,
        )


def _boxes(batch: Batch) -> Tensor:
    if batch.boxes is None:
        raise TrainingError("faster_rcnn learns from boxes, and none came; give a folder images and annotations")
    return batch.boxes
