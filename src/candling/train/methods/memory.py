"""Memory of gradient descriptors: fitted in seconds; shows the good place that a strange one should look like.

Each cell of an image is described by the directions and strengths of its edges, its brightness and its roughness, and
compared with the nearest cell that good images showed around that place. Nothing is trained: the memory is a choice
among the good images, and what it decides about itself it decides on spoiled held-out good images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from candling.errors import TrainingError
from candling.train.configure import image_score
from candling.train.memory import Memory, MemoryOptions, blank_memory, pad_to_cells
from candling.train.remembering import Remembered, nearest_inside, remember_good

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress
    from candling.train.two_scales import TwoScales

__all__ = ["MemoryMethod", "Options", "build"]


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "memory"``.

    Attributes:
        memory: ``[method.memory]``, what is remembered and how it is searched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    memory: MemoryOptions = MemoryOptions()


def build(options: Options, plan: Plan) -> MemoryMethod:
    """Build the method for images of the plan's shape, whatever their size."""
    return MemoryMethod(options, plan)


class Comparing(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to anomaly map, score and nearest good cell."""

    def __init__(self, shape: tuple[int, int, int], memory: Memory | TwoScales) -> None:
        super().__init__()
        self.shape, self.memory = shape, memory

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        _, height, width = self.shape
        cell = self.memory.cell
        seen = self.memory(pad_to_cells(image))
        small = seen.deviation[:, : -(-height // cell), : -(-width // cell)]
        large = F.interpolate(seen.deviation.unsqueeze(1), scale_factor=float(cell), mode="bilinear")
        outputs = {
            "anomaly": image_score(small),
            "map_peak": small.flatten(1).amax(dim=1),
            "anomaly_map": large[:, 0, :height, :width],
        }
        if seen.number is not None:
            outputs["nearest"] = nearest_inside(seen.number, (height, width), self.memory.shown_cell)
        return outputs


class MemoryMethod:
    """A memory without a network; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options, self._shape = options, plan.shape
        self._remembered: Remembered | None = None
        self.networks: Mapping[str, nn.Module] = {}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {}

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Remember the good images; the settings are compared on spoiled held-out ones."""
        self._remembered = remember_good(good, held_out, self._options.memory, progress=progress)

    def choices(self) -> Mapping[str, Fact]:
        """Say which settings were chosen, and how each one told spoiled images from good ones."""
        return {} if self._remembered is None else self._remembered.choice.facts()

    def references(self) -> NDArray[np.uint8] | None:
        """Give the remembered pictures."""
        return None if self._remembered is None else self._remembered.pictures

    def step(self, batch: Batch) -> Mapping[str, float]:  # noqa: ARG002 - the protocol
        """Refuse: there is nothing to update."""
        raise TrainingError("method 'memory' makes no updates; it is fitted before the first one")

    def validate(self, batch: Batch) -> Mapping[str, float]:  # noqa: ARG002 - the protocol
        """Refuse: there is no loss."""
        raise TrainingError("method 'memory' has no loss; it is fitted before the first update")

    def finish(self, batches: Iterable[Batch]) -> None:
        """Nothing is left to fit."""

    def graph(self) -> nn.Module:
        """Give the comparison of an image with what is remembered."""
        found = self._remembered
        memory = blank_memory(self._shape, self._options.memory) if found is None else found.memory
        return Comparing(self._shape, memory).float().cpu().eval()
