"""A memory in the making: walks through the good images, keeps some as references, chooses the settings; no network.

What the methods that remember share: they begin with this, and end with a graph that names the nearest good cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from candling.train.bank import UNKNOWN
from candling.train.configure import Choice, choose_memory
from candling.train.gaussians import Gaussians
from candling.train.memory import Memory, MemoryOptions, pad_to_cells, usual

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from candling.train.method import Batch
    from candling.train.progress import Progress
    from candling.train.two_scales import TwoScales

__all__ = ["Remembered", "first_images", "nearest_inside", "remember_good"]

HELD_OUT = 32
"""At most so many held-out images are spoiled to compare settings."""

EVERY = 512
"""The usual distances are set by at most so many good images besides the remembered ones."""


class Remembered:
    """The memory of a training.

    Attributes:
        memory: fitted.
        choice: its settings, and why.
        own: int64 (images,), the picture number of each good image; unknown for those that are not remembered.
        pictures: uint8 (K, H, W) or (K, H, W, 3), the remembered images; None where a Gaussian names none of them.
    """

    def __init__(self, choice: Choice, own: Tensor, pictures: NDArray[np.uint8] | None) -> None:
        self.memory: Memory | TwoScales = choice.memory
        self.choice, self.own, self.pictures = choice, own, pictures


def remember_good(
    good: Iterable[Batch], held_out: Iterable[Batch], options: MemoryOptions, *, progress: Progress
) -> Remembered:
    """Make a memory of good images, in two or three walks through them.

    Args:
        good: what is remembered, at most ``options.pictures`` of them, evenly drawn.
        held_out: good images that the settings are compared on.
        options: what is not "auto" stays.
        progress: who watches.
    """
    count = sum(len(batch.images) for batch in good)
    picked = torch.linspace(0, count - 1, min(count, options.pictures)).round().long().unique()
    own = torch.full((count,), UNKNOWN)
    own[picked] = torch.arange(len(picked))
    progress.stage(f"remembering {len(picked)} good images")
    first = next(iter(good))
    device = first.images.device
    shape = (len(picked), *first.images.shape[1:])
    images = torch.empty(shape, device=device, memory_format=torch.channels_last)  # parts put together are there twice
    for batch in good:
        numbers = own[batch.indices.cpu()]
        images[numbers[numbers != UNKNOWN].to(device)] = batch.images[(numbers != UNKNOWN).to(device)]
    others = first_images(held_out, HELD_OUT)
    others = images[:0] if others is None else others
    choice = choose_memory(
        (images, torch.arange(len(images), device=device)),
        others,
        options,
        generator=torch.Generator().manual_seed(first.generator.initial_seed() % 2**31),
        tell=progress.count,
    )
    if options.search == "gaussian":  # has its usual distances, and names no picture
        return Remembered(choice, own.to(device), None)
    if count > len(picked):
        for memory in (part for part in choice.memory.parts if not isinstance(part.bank, Gaussians)):
            _hear_others(memory, images, good, own, options, more=count - len(picked))
    shown = [(image.permute(1, 2, 0) * 255.0).round().to(torch.uint8).cpu() for image in images]
    bytes_ = torch.stack(shown).numpy()
    return Remembered(choice, own.to(device), bytes_[..., 0] if bytes_.shape[3] == 1 else bytes_)


def first_images(batches: Iterable[Batch], most: int) -> Tensor | None:
    """Give the first ``most`` images, float32 (n, C, H, W), without holding or reading more; None where there is none.

    They share no memory with the batches.
    """
    parts, count = [], 0
    for batch in batches:
        parts.append(batch.images[: most - count].clone())
        count += len(parts[-1])
        if count >= most:
            break
    return torch.cat(parts) if parts else None


def _hear_others(
    memory: Memory, images: Tensor, good: Iterable[Batch], own: Tensor, options: MemoryOptions, *, more: int
) -> None:
    """Let good images that are not remembered set the usual distances as well."""
    step = -(-more // EVERY)

    def described() -> Iterator[tuple[Tensor, Tensor]]:
        for number, image in enumerate(images.split(1)):
            yield memory.standard(pad_to_cells(image)), torch.tensor([number], device=images.device)
        seen = 0
        for batch in good:
            for image, index in zip(batch.images.split(1), batch.indices.tolist(), strict=True):
                if own[index] == UNKNOWN:
                    seen += 1
                    if seen % step == 0:
                        yield memory.standard(pad_to_cells(image)), torch.tensor([UNKNOWN], device=images.device)

    usual(memory, described(), spread=options.spread, floor=options.floor)


def nearest_inside(number: Tensor, shape: tuple[int, int], cell: int) -> Tensor:
    """Number cells over the image instead of over the padded image: int64 (N, h, w) to (N, h', w').

    Args:
        number: ``picture * h * w + row * w + column``.
        shape: (H, W) of the image.
        cell: pixels of one side of a cell.
    """
    _, height, width = number.shape
    rows, columns = -(-shape[0] // cell), -(-shape[1] // cell)
    if (rows, columns) == (height, width):
        return number
    picture, place = number // (height * width), number % (height * width)
    row, column = (place // width).clamp(max=rows - 1), (place % width).clamp(max=columns - 1)
    inside = picture * (rows * columns) + row * columns + column
    return torch.where(number < 0, number, inside)[:, :rows, :columns]
