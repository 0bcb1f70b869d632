"""Memory of gradient descriptors with a small network on top, which sees the picture and how it differs from memory.

The memory is fitted first, in seconds (see the method ``memory``). Then a small U-Net learns for minutes to mark what
was spoiled in good images; in training no image finds itself in the memory. The map is the sum of what both say, each
in units of what it says of held-out good images: whoever knows nothing of a product falls silent, most of all a network
that marks something in every good image. With a budget under half a minute the memory stays alone.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train.augment import AugmentOptions, augment
from candling.train.averages import MovingAverage
from candling.train.blocks import fold
from candling.train.configure import image_score
from candling.train.marker import EVIDENCE_AT, FINE_AT, STRIDE, Marker
from candling.train.memory import Memory, MemoryOptions, Seen, blank_memory, pad_to_cells
from candling.train.remembering import Remembered, first_images, nearest_inside, remember_good
from candling.train.spoil import SpoilOptions, spoil_many
from candling.train.updates import numbers, set_up, update
from candling.train.visible import marking_losses, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress
    from candling.train.two_scales import TwoScales

__all__ = ["MemoryUNet", "Options", "build"]

LEAST_MINUTES = 0.5
"""A budget under this is too short for a network to learn anything."""

STRANGEST = 20.0
"""Deviations count no further."""

HEARD_FROM = 0.04
"""The network's unit where it says nothing of a typical good image: a weaker word is mixed with the memory's."""

LOST = 3.0
"""So many times what the network says of a typical good image is added to its unit: it should say nothing of it."""

LEAST_STRANGE = 0.5
"""The memory's least unit: from few held-out images it may come out too small."""

HEARD = 32
"""At most so many held-out images set them."""

MAP_AT = 4
"""Pixels from one place of the small map to the next, from which the score is taken."""

LONGEST = 1.0
"""Gradients longer than this are shortened."""


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "memory_unet"``.

    Attributes:
        memory: ``[method.memory]``, what is remembered and how it is searched.
        width: channels of the network at a quarter of the size; up to three times as many below.
        trust: weight of the memory's word beside the network's; 0 is the network alone.
        softness: the network's logits are divided by this before they become its word, in [0, 1].
        marks: an image is spoiled once to this many times, all equally likely.
        visible: a change counts as defect above so many times the texture around it; below it nothing is taught.
        average: the exported weights are a moving average with at most this share of the old.
        evidence: the network sees the memory; False is the plain U-Net, for comparison.
        spoil: ``[method.spoil]``, what is done to good images.
        augment: ``[method.augment]``, which variants of good images are good as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    memory: MemoryOptions = MemoryOptions()
    width: int = Field(default=32, ge=4, le=256)
    trust: float = Field(default=1.0, ge=0, le=10)
    softness: float = Field(default=2.0, gt=0)
    marks: int = Field(default=6, ge=1, le=20)
    visible: float = Field(default=1.2, ge=0)
    average: float = Field(default=0.998, ge=0, lt=1)
    evidence: bool = True
    spoil: SpoilOptions = SpoilOptions(
        probability=0.85,
        kinds=("perlin", "texture", "cutpaste", "scratch", "spot", "fill", "warp", "blur", "noise"),
    )
    augment: AugmentOptions = AugmentOptions(shift_px=4, brightness=0.06)


def build(options: Options, plan: Plan) -> MemoryUNet:
    """Build the method for images of the plan's shape, whatever their size."""
    return MemoryUNet(options, plan)


class Sharing(nn.Module):
    """What the network is told: how each cell differs from the memory at 1/8 of the size, and how much at 1/4."""

    def __init__(self, memory: Memory | TwoScales, *, told: bool) -> None:
        super().__init__()
        self.memory, self.told = memory, told

    def forward(self, padded: Tensor, leave_out: Tensor | None = None) -> tuple[Tensor, Tensor, Seen]:
        """Give evidence float32 (N, n + 1, H / 8, W / 8) and (N, 1, H / 4, W / 4), and what the memory sees."""
        seen = self.memory(padded, leave_out)
        residual = seen.residual.abs() * self.memory.parts[0].sharpness.unsqueeze(1)
        evidence = torch.cat((residual, seen.own_deviation.unsqueeze(1)), dim=1).clamp(-STRANGEST, STRANGEST) / 3.0
        finer = EVIDENCE_AT // self.memory.shown_cell
        if finer > 1:
            evidence = F.max_pool2d(evidence, finer)
        strange = seen.deviation.unsqueeze(1).clamp(-STRANGEST, STRANGEST) / 3.0
        if self.memory.cell > FINE_AT:
            strange = F.interpolate(strange, scale_factor=2.0, mode="bilinear", align_corners=False)
        if not self.told:
            evidence, strange = torch.zeros_like(evidence), torch.zeros_like(strange)
        return evidence, strange, seen


class Marking(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to anomaly map, scores and nearest good cell.

    Attributes:
        units: float32 (2,), what network and memory say of good images, which their words are measured in.
    """

    units: Tensor

    def __init__(self, shape: tuple[int, int, int], sharing: Sharing, marker: Marker | None, options: Options) -> None:
        super().__init__()
        self.shape, self.trust, self.softness = shape, options.trust, options.softness
        self.sharing, self.marker = sharing, marker
        self.register_buffer("units", torch.ones(2))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        _, height, width = self.shape
        said, seen = self.said(pad_to_cells(image))
        memory = self.sharing.memory
        strange = seen.deviation.unsqueeze(1)
        if said is None:
            small, scale, at = strange, float(memory.cell), memory.cell
            pooled = small
        else:
            wide = F.interpolate(strange, size=said.shape[2:], mode="bilinear", align_corners=False)
            small = said / self.units[0] + self.trust * wide / self.units[1]
            scale, at = 2.0, MAP_AT
            pooled = F.avg_pool2d(small, 2)
        large = F.interpolate(small, scale_factor=scale, mode="bilinear", align_corners=False)
        outputs = {
            "anomaly": image_score(_inside(pooled, height, width, at)),
            "memory_anomaly": image_score(_inside(strange, height, width, memory.cell)),
            "anomaly_map": large[:, 0, :height, :width],
        }
        if seen.number is not None:
            outputs["nearest"] = nearest_inside(seen.number, (height, width), memory.shown_cell)
        return outputs

    def said(self, padded: Tensor) -> tuple[Tensor | None, Seen]:
        """Give the network's word, float32 (N, 1, H / 2, W / 2) in [0, 1], and what the memory sees."""
        evidence, fine, seen = self.sharing(padded)
        if self.marker is None:
            return None, seen
        return torch.sigmoid(self.marker(padded, evidence, fine) / self.softness), seen

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Set the units from good images that neither knows, float32 (N, C, H, W)."""
        _, height, width = self.shape
        scores = []
        for image in images.split(1):
            said, seen = self.said(pad_to_cells(image))
            if said is None:
                return
            network = _inside(F.avg_pool2d(said, 2), height, width, MAP_AT)
            memory = _inside(seen.deviation.unsqueeze(1), height, width, self.sharing.memory.cell)
            scores.append(torch.cat((image_score(network), image_score(memory))))
        if scores:
            network, memory = torch.stack(scores).unbind(dim=1)
            self.units[0] = HEARD_FROM + LOST * network.median()  # a single odd good image must not silence it
            self.units[1] = (memory.mean() + memory.std(correction=0)).clamp(min=LEAST_STRANGE)


def _inside(maps: Tensor, height: int, width: int, at: int) -> Tensor:
    """Give the part of float32 (N, 1, h, w) that lies over the image: (N, h', w')."""
    return maps[:, 0, : -(-height // at), : -(-width // at)]


class MemoryUNet:
    """The training of one :class:`Marker` on a memory; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._fabric, self._shape = options, plan.fabric, plan.shape
        self._remembered: Remembered | None = None
        self._held_out: Tensor | None = None
        self._marking: Marking | None = None
        self._sharing = Sharing(blank_memory(plan.shape, options.memory), told=options.evidence).to(plan.fabric.device)
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self._averaged: MovingAverage | None = None
        minutes = plan.training.minutes
        if minutes is not None and minutes < LEAST_MINUTES:
            return
        channels, height, width = plan.shape
        padded = (channels, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE)
        self._network = Marker(padded, options.memory.descriptor_size(channels) + 1, width=options.width)
        network, optimizer = set_up(plan.fabric, self._network, plan.training)
        self._exported = copy.deepcopy(self._network)
        self._averaged = MovingAverage(self._exported, most=options.average).to(plan.fabric.device)
        self.networks = {"marker": network, "averaged": self._averaged}
        self.optimizers = {"marker": optimizer}

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Remember the good images; the settings are compared on spoiled held-out ones."""
        self._held_out = first_images(held_out, HEARD)
        self._remembered = remember_good(good, held_out, self._options.memory, progress=progress)
        self._sharing = Sharing(self._remembered.memory, told=self._options.evidence).to(self._fabric.device)

    def choices(self) -> Mapping[str, Fact]:
        """Say which settings of the memory were chosen, and how each one told spoiled images from good ones."""
        facts: dict[str, Fact] = {"network": self._averaged is not None}
        return facts if self._remembered is None else {**facts, **self._remembered.choice.facts()}

    def references(self) -> NDArray[np.uint8] | None:
        """Give the remembered pictures."""
        return None if self._remembered is None else self._remembered.pictures

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Mark one batch of spoiled images, learn from the difference, and let the average follow."""
        assert self._averaged is not None
        clean = pad_to_cells(augment(batch.images, batch.generator, self._options.augment))
        own = None if self._remembered is None else self._remembered.own[batch.indices]
        losses = self._losses(self.networks["marker"].train(), clean, batch.generator, own)
        named = update(self._fabric, self.optimizers["marker"], losses, longest=LONGEST)
        self._averaged.follow(self._network)
        return named

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Measure the same task on held-out images with the averaged weights, in float32 as on the line."""
        return numbers(self._losses(self._exported.eval(), pad_to_cells(batch.images), batch.generator, None))

    def finish(self, batches: Iterable[Batch]) -> None:
        """Measure what network and memory say of held-out good images."""
        del batches  # the network has learned from them
        self._marking = Marking(self._shape, self._sharing, self._marker(), self._options).to(self._fabric.device)
        if self._held_out is not None:
            self._marking.eval().measure(self._held_out)

    def graph(self) -> nn.Module:
        """Give what memory and network say of an image together."""
        marking = self._marking or Marking(self._shape, self._sharing, self._marker(), self._options)
        return fold(marking).float().cpu().eval()

    def _marker(self) -> Marker | None:
        return None if self._averaged is None else self._exported

    def _losses(
        self, network: nn.Module, clean: Tensor, generator: torch.Generator, own: Tensor | None
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            spoiled = spoil_many(clean, generator, self._options.spoil, most=self._options.marks)
            defect, undecided = visible(clean, spoiled, times=self._options.visible)
            evidence, fine, _ = self._sharing(spoiled, own)
        logits = network(spoiled.contiguous(memory_format=torch.channels_last), evidence, fine)
        focal, dice = marking_losses(logits, defect, undecided, gamma=2.0, alpha=None)
        return {"loss": 5.0 * focal + dice, "focal": focal, "dice": dice}
