"""What a good product looks like, remembered cell by cell; fitted in seconds, without a gradient; knows no method.

An image becomes a map of gradient descriptors (``gradients.py``), each cell is compared with the nearest remembered one
around its place (``bank.py``), and the distance is measured against what good images leave there when they are not
remembered themselves: above its usual value, in units of its usual spread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import TrainingError
from candling.train.backbone import BackboneOptions, BackboneStandard, Body, learn_standard
from candling.train.bank import UNKNOWN, Bank, remember
from candling.train.gaussians import Gaussians, fit_gaussians
from candling.train.gradients import CELLS, Gradients, descriptor_size
from candling.train.positions import smooth_three

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Known",
    "Memory",
    "MemoryOptions",
    "Seen",
    "Settings",
    "Standard",
    "blank_memory",
    "fit_memory",
    "pad_to_cells",
]

STRIDE = 32
"""Images are padded to multiples of this many pixels."""

LEAST_SPREAD = 1e-3
"""The least spread of a descriptor's number and of a distance: identical good images must not divide by zero."""


class MemoryOptions(BaseModel):
    """The recipe's ``[method.memory]``; every "auto" is decided from the good images alone (``configure.py``).

    Attributes:
        cell: pixels from one cell to the next; ``"both"`` is a coarse and a fine memory, and strange is what both find
            strange.
        radius: how many cells around its place a good cell may be found; ``"anywhere"`` is for products that lie
            anyhow and for textures.
        spread: how a distance is measured: in units of the spread of good images at its place (``"place"``), in
            units of the spread over all places (``"whole"``), or as it is (``"none"``).
        keep: remembered vectors of each place.
        keep_anywhere: remembered vectors where there is one memory for all places.
        pictures: at most so many good images are remembered, evenly drawn; all of them set the usual distances.
        whitening: directions in which good descriptors vary by v are divided by v to this power.
        floor: least spread of a place, as a share of the mean over all places.
        search: a cell is compared with remembered ones (``"nearest"``), or with a Gaussian at its place
            (``"gaussian"``), which names no good cell to show; ``"auto"`` takes a Gaussian, with remembered cells to
            show, where it is clearly better.
        backbone: ``[method.memory.backbone]``, a network trained on other pictures whose layers describe a cell, in
            place of gradients.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    cell: Literal[4, 8, "both", "auto"] = "auto"
    radius: Literal[0, 1, 2, 3, "anywhere", "auto"] = "auto"
    spread: Literal["place", "whole", "none"] = "none"
    keep: int = Field(default=96, ge=1, le=1024)
    keep_anywhere: int = Field(default=1024, ge=1, le=2**14)
    pictures: int = Field(default=256, ge=2, le=1024)
    whitening: float = Field(default=0.25, ge=0, le=0.5)
    floor: float = Field(default=0.5, gt=0)
    search: Literal["nearest", "gaussian", "auto"] = "auto"
    backbone: BackboneOptions | None = None

    @model_validator(mode="after")
    def _gaussians_look_at_one_place(self) -> MemoryOptions:
        if self.search == "gaussian" and self.radius not in {0, "auto"}:
            raise ValueError('a Gaussian looks at its own place alone; leave radius "auto", or set search = "nearest"')
        return self

    def descriptor_size(self, channels: int) -> int:
        """Count the numbers that describe a cell of images of ``channels``."""
        return descriptor_size(channels) if self.backbone is None else self.backbone.dimensions


@dataclass(frozen=True)
class Settings:
    """What was decided of :class:`MemoryOptions`; a radius of None is anywhere, and ``cell`` 0 is both sizes."""

    cell: int
    radius: int | None
    search: str = "nearest"


class Standard(nn.Module):
    """Descriptors of an image, in directions of equal weight: learned from good images, without a gradient.

    Attributes:
        mean: float32 (n,), of the good descriptors.
        turn: float32 (n, n), into the directions in which they vary independently, shrunk.
    """

    mean: Tensor
    turn: Tensor

    def __init__(self, channels: int, cell: int, mean: Tensor, turn: Tensor) -> None:
        super().__init__()
        self.cell = cell
        self.gradients = Gradients(channels)
        self.register_buffer("mean", mean)
        self.register_buffer("turn", turn)

    def forward(self, padded: Tensor) -> Tensor:
        """Describe float32 (N, C, H, W), H and W multiples of 32: float32 (N, n, H / cell, W / cell)."""
        return self.turned(self.gradients(padded)[CELLS.index(self.cell)])

    def turned(self, maps: Tensor) -> Tensor:
        """Turn descriptors float32 (N, n, h, w) into the learned directions."""
        count, _, height, width = maps.shape
        centred = maps.flatten(2) - self.mean[:, None]
        return (self.turn @ centred).view(count, -1, height, width)


@dataclass(frozen=True)
class Seen:
    """What a memory says of images.

    Attributes:
        deviation: float32 (N, h, w): 0 for a usual cell, larger is stranger.
        distance: float32 (N, h, w), to the nearest remembered cell.
        residual: float32 (N, n, h, w), what is different from it.
        number: int64 (N, h, w), which it is: ``picture * h * w + row * w + column``; None from a Gaussian.
        own_deviation: float32 (N, h, w), the deviation on the grid of the others, where several memories answer as one
            and ``deviation`` has a finer grid; the same otherwise.
    """

    deviation: Tensor
    distance: Tensor
    residual: Tensor
    number: Tensor | None
    own_deviation: Tensor


class Memory(nn.Module):
    """Descriptors, the bank of good ones, and the usual distances.

    Attributes:
        level: float32 (1, h, w), the usual distance of a good image at each place.
        sharpness: float32 (1, h, w), one over its spread.
    """

    level: Tensor
    sharpness: Tensor
    cell: int
    shown_cell: int

    def __init__(self, standard: Standard | BackboneStandard, bank: Bank | Gaussians) -> None:
        super().__init__()
        self.standard, self.bank = standard, bank
        self.cell = self.shown_cell = standard.cell
        self.register_buffer("level", torch.zeros(1, *bank.grid))
        self.register_buffer("sharpness", torch.ones(1, *bank.grid))

    def forward(self, padded: Tensor, leave_out: Tensor | None = None) -> Seen:
        """Compare float32 (N, C, H, W), H and W multiples of 32; ``leave_out`` as :class:`Bank` takes it."""
        if leave_out is None:
            return self.compare(self.standard(padded))
        # one image after the other stays in the processor's cache
        return self.compare(torch.cat([self.standard(image) for image in padded.split(1)]), leave_out)

    @property
    def parts(self) -> tuple[Memory, ...]:
        """The memories it is made of: itself."""
        return (self,)

    def facts(self) -> dict[str, str]:
        """Give the lines of a card."""
        return dict(getattr(self.standard, "facts", {}))

    def compare(self, maps: Tensor, leave_out: Tensor | None = None) -> Seen:
        """Compare descriptors float32 (N, n, h, w)."""
        found = self.bank(maps, leave_out)
        deviation = (found.distance - self.level) * self.sharpness
        return Seen(deviation, found.distance, found.residual, found.number, deviation)


@dataclass(frozen=True)
class Known:
    """The good images as a memory in the making needs them: descriptor maps, once computed.

    Attributes:
        maps: float32 (n, h, w) of each image that may be remembered.
        pictures: the picture number of each of them.
        standard: what made the maps.
        banks: those made of them, by radius and how many vectors they keep.
    """

    maps: Tensor
    pictures: Tensor
    standard: Standard | BackboneStandard
    banks: dict[tuple[int | None, int], Bank] = field(default_factory=dict)

    def bank(self, radius: int | None, options: MemoryOptions) -> Bank:
        """Make a memory of them, or give the one that was made when the settings were compared."""
        keep = options.keep_anywhere if radius is None else options.keep
        if (radius, keep) not in self.banks:
            self.banks[radius, keep] = remember(self.maps, self.pictures, radius=radius, keep=keep)
        return self.banks[radius, keep]


def pad_to_cells(image: Tensor) -> Tensor:
    """Repeat the last row and column until both sides are multiples of 32."""
    below, right = -image.shape[2] % STRIDE, -image.shape[3] % STRIDE
    return nn.functional.pad(image, (0, right, 0, below), mode="replicate") if below or right else image


@torch.no_grad()
def know(batches: Iterable[tuple[Tensor, Tensor]], *, cells: Sequence[int], whitening: float) -> dict[int, Known]:
    """Describe good images, for one or both cell sizes, and learn the directions in which they vary.

    Args:
        batches: images float32 (N, C, H, W) with their picture numbers, int64 (N,).
        cells: the cell sizes.
        whitening: see :class:`MemoryOptions`.

    Raises:
        TrainingError: there is no image.
    """
    found: dict[int, list[Tensor]] = {cell: [] for cell in cells}
    numbers, gradients = [], None
    for images, pictures in batches:
        gradients = gradients or Gradients(images.shape[1]).to(images.device)
        for image in pad_to_cells(images).split(1):  # one after the other stays in the processor's cache
            both = gradients(image)
            for cell in cells:
                found[cell].append(both[CELLS.index(cell)])
        numbers.append(pictures.to(images.device))
    if gradients is None:
        raise TrainingError("there is no good image to remember")
    known = {}
    for cell, parts in found.items():
        maps = torch.cat(parts)
        parts.clear()
        standard = _standard(maps, gradients.channels, cell, whitening)
        centred = maps.flatten(2) - standard.mean[:, None]
        known[cell] = Known((standard.turn @ centred).view_as(maps), torch.cat(numbers), standard)
    return known


@torch.no_grad()
def know_by_backbone(
    body: Body,
    remembered: tuple[Tensor, Tensor],
    options: BackboneOptions,
    *,
    whitening: float,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Known:
    """Describe good images by a network that was trained on other pictures.

    Args:
        body: the network.
        remembered: images float32 (N, C, H, W) with their picture numbers, int64 (N,).
        options: what is made of its maps.
        whitening: see :class:`MemoryOptions`.
        tell: told how many of how many images are described.

    Raises:
        RecipeError: see :func:`learn_standard`.
    """
    images, pictures = remembered
    padded = pad_to_cells(images)
    standard = learn_standard(body, padded, options, whitening=whitening)
    parts = []
    for image in padded.split(1):
        parts.append(standard(image))
        tell(len(parts), len(padded))
    return Known(torch.cat(parts), pictures, standard)


def _standard(maps: Tensor, channels: int, cell: int, whitening: float) -> Standard:
    """Learn mean and directions; numbers are first brought to one spread each, so that none wins by its unit."""
    vectors = maps.permute(1, 0, 2, 3).flatten(1).double()
    assert len(vectors) == descriptor_size(channels)
    mean = vectors.mean(dim=1)
    spread = (vectors - mean[:, None]).square().mean(dim=1).sqrt().clamp(min=LEAST_SPREAD)
    scaled = (vectors - mean[:, None]) / spread[:, None]
    values, directions = torch.linalg.eigh(scaled @ scaled.mT / scaled.shape[1])
    weights = values.clamp(min=LEAST_SPREAD).pow(-whitening)
    turn = weights[:, None] * directions.mT / spread[None, :]
    return Standard(channels, cell, mean.float(), turn.float()).to(maps.device)


@torch.no_grad()
def usual(memory: Memory, batches: Iterable[tuple[Tensor, Tensor]], *, spread: str, floor: float) -> Memory:
    """Set a memory's usual distances from good images, each compared with all pictures but itself.

    Args:
        memory: with its bank; changed and given back.
        batches: descriptor maps float32 (N, n, h, w) with picture numbers, :data:`UNKNOWN` for images that are not
            remembered.
        spread: see :class:`MemoryOptions`.
        floor: see :class:`MemoryOptions`.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for maps, pictures in batches:
        for some, own in zip(maps.split(4), pictures.split(4), strict=True):
            distance = memory.bank(some, own).distance.double()
            total, squares = total + distance.sum(dim=0), squares + distance.square().sum(dim=0)
            count += len(some)
    mean, square = total / count, squares / count
    level = smooth_three(mean[None, None])[0]
    variance = smooth_three((square - 2.0 * level[0] * mean + level[0].square())[None, None])[0].clamp(min=0.0)
    whole = variance.mean().sqrt().clamp(min=LEAST_SPREAD)
    if spread == "none":
        level = level.mean().expand_as(level)
    sharp = variance.sqrt().clamp(min=float(floor * whole)) if spread == "place" else whole.expand_as(level)
    memory.level.copy_(level)
    memory.sharpness.copy_(sharp.reciprocal())
    return memory


@torch.no_grad()
def fit_memory(
    known: Known,
    settings: Settings,
    options: MemoryOptions,
    *,
    more: Iterable[Tensor] = (),
    sample: slice = slice(None),
) -> Memory:
    """Make a memory of known images, and set its usual distances from them and ``more``.

    Args:
        known: descriptors of the good images to remember.
        settings: what was decided.
        options: the rest.
        more: descriptor maps of good images that are not remembered; a Gaussian does without.
        sample: which of the remembered images set the usual distances; those of a Gaussian are set by all.
    """
    if options.search == "gaussian" or settings.search == "gaussian":
        chosen = settings.search == "gaussian"  # by itself it wants the spread of each place, and shows examples
        gaussians, level, sharpness = fit_gaussians(
            known.maps,
            spread="place" if chosen else options.spread,
            floor=options.floor,
            examples=known.bank(1, options) if chosen else None,
        )
        memory = Memory(known.standard, gaussians)
        memory.level.copy_(level)
        memory.sharpness.copy_(sharpness)
        return memory
    memory = Memory(known.standard, known.bank(settings.radius, options))
    others = ((maps, torch.full((len(maps),), UNKNOWN, device=maps.device)) for maps in more)
    remembered = (known.maps[sample], known.pictures[sample])
    return usual(memory, [remembered, *others], spread=options.spread, floor=options.floor)


def blank_memory(shape: tuple[int, int, int], options: MemoryOptions | None = None) -> Memory:
    """Give the memory of someone who has seen nothing, for images of ``shape`` (C, H, W): all is equally strange.

    Its descriptors have as many numbers as those of a memory with these ``options``.
    """
    channels, height, width = shape
    cell, size = CELLS[-1], descriptor_size(channels)
    grid = (-(-height // STRIDE) * STRIDE // cell, -(-width // STRIDE) * STRIDE // cell)
    kept = size if options is None else options.descriptor_size(channels)
    standard = Standard(channels, cell, torch.zeros(size), torch.eye(kept, size))
    bank = Bank(torch.zeros(1, 1, kept), torch.full((1, 1), UNKNOWN), grid, radius=None)
    return Memory(standard, bank)
