"""Good images made ready for the loop: every file decoded once, kept small, handed out in a repeatable order.

What is kept is exactly what ``pixels.align.shape_aligned`` gives (uint8 or uint16), in memory or, when that would be
too much, in one file of the work folder. A batch is that, scaled by ``pixels.prepare.scale``. This file knows no loss,
no network, and no random state but (seed, epoch).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from candling.disk import write_atomic
from candling.errors import DataError, DiskError, ImageError
from candling.pixels.align import Aligner, shape_aligned
from candling.pixels.prepare import PixelSpec, scale, shape_frame
from candling.pixels.read import read_image
from candling.pixels.tiling import cut
from candling.runtime.frames import check_frame, is_coloured
from candling.runtime.matching import encode_matcher
from candling.types import Frame, Region

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.train.progress import Progress

__all__ = ["IN_MEMORY_BYTES", "PreparedSet", "prepare_set", "resolve_prepare", "shaped_patches", "workers"]

IN_MEMORY_BYTES = 2 * 2**30
"""A prepared set larger than this lies in a file instead of in memory."""

Pairs = Generator[tuple[torch.Tensor, torch.Tensor], None, None]
"""Images, float32 (n, C, H, W) in [0, 1], with their indices, int64 (n,)."""

LOOKED_AT = 32
"""So many images, evenly spread, decide what "auto" means."""


LONGEST = 4.0
"""A side that is longer than so many times the other counts as so many times."""


def resolve_prepare(recipe: Recipe, samples: Sequence[Sample]) -> Recipe:
    """Decide every "auto" of ``[prepare]`` but ``align``, and of ``[frame]``; without "auto" a recipe stays as it is.

    Channels: 3 when one of the images looked at is really coloured, else 1. Size: the median shape of the patches,
    shrunk to about ``pixels`` pixels (never enlarged), each side rounded to ``multiple``; a side that is given stays.

    Raises:
        DataError: an image cannot be read.
    """
    chosen, wish = recipe.prepare, recipe.frame
    undecided = wish is not None and wish.channels == "auto"
    if chosen.resolved and not undecided:
        return recipe
    step = max(1, len(samples) // LOOKED_AT)
    with ThreadPoolExecutor(workers()) as pool:
        groups = list(pool.map(lambda sample: _patches(sample, recipe), samples[::step][:LOOKED_AT]))
    patches = [patch for group in groups for patch in group]
    seen = 3 if any(map(is_coloured, patches)) else 1
    if wish is not None and undecided:
        recipe = recipe.model_copy(update={"frame": wish.model_copy(update={"channels": seen})})
    if chosen.resolved:
        return recipe
    channels: int = chosen.channels if chosen.channels != "auto" else seen
    rows, columns = (float(np.median([patch.shape[axis] for patch in patches])) for axis in (0, 1))
    pixels = chosen.pixels
    if chosen.short_side is not None:  # a long product keeps its detail, within reason
        longer = min(max(rows, columns) / min(rows, columns), LONGEST)
        pixels = round(chosen.short_side**2 * longer)
    height, width = _size(chosen.height, chosen.width, rows, columns, pixels=pixels, multiple=chosen.multiple)
    decided = chosen.model_copy(update={"channels": channels, "height": height, "width": width})
    return recipe.model_copy(update={"prepare": decided})


def _size(
    height: int | str, width: int | str, rows: float, columns: float, *, pixels: int, multiple: int
) -> tuple[int, int]:
    """Keep the shape ``rows`` x ``columns`` at about ``pixels`` pixels, where a side is not given.

    >>> _size("auto", "auto", 1000, 1000, pixels=65536, multiple=32)
    (256, 256)
    >>> _size("auto", "auto", 500, 1200, pixels=65536, multiple=32)
    (160, 384)
    >>> _size("auto", 512, 500, 1200, pixels=65536, multiple=32)
    (224, 512)
    >>> _size("auto", "auto", 29, 29, pixels=65536, multiple=32)
    (32, 32)
    """
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    shrink = min(1.0, math.sqrt(pixels / (rows * columns)))
    if isinstance(height, int):
        shrink = height / rows
    elif isinstance(width, int):
        shrink = width / columns

    def rounded(side: float) -> int:
        least = math.ceil(8 / multiple) * multiple  # the smallest side a recipe may hold is 8 px
        return max(least, round(side * shrink / multiple) * multiple)

    return (
        height if isinstance(height, int) else rounded(rows),
        width if isinstance(width, int) else rounded(columns),
    )


@dataclass(frozen=True)
class PreparedSet:
    """Patches of good images as the network will see them, before scaling.

    Attributes:
        frames: uint8 or uint16, (N, H, W) grey or (N, H, W, 3) RGB; an array in memory or a mapped file.
        white: the value that becomes 1.0; None is the largest value of the type.
        regions: the name of the region each patch shows, N of them; empty where nobody knows.
        masks: bool (N, H, W), what is defect in each, where a method learns that; uint8 (N, H, W), what each pixel is
            of a cell, where it learns cells; None elsewhere.
        boxes: float32 (N, M, 5), left, top, right, bottom and class of the objects of each, class -1 being none, where
            a method learns boxes; None elsewhere.
    """

    frames: NDArray[np.uint8] | NDArray[np.uint16]
    white: int | None = None
    regions: tuple[str, ...] = ()
    masks: NDArray[np.bool_] | NDArray[np.uint8] | None = None
    boxes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def images(self, indices: NDArray[np.int64]) -> torch.Tensor:
        """Give some patches as float32 (n, C, H, W) in [0, 1], channels last in memory."""
        scaled = torch.from_numpy(scale(self.frames[indices], white=self.white))
        return scaled.contiguous(memory_format=torch.channels_last)

    def regions_of(self, indices: torch.Tensor) -> tuple[str, ...]:
        """Name the regions of some patches, int64 (n,); empty where nobody knows."""
        return tuple(self.regions[index] for index in indices.tolist()) if self.regions else ()

    def masks_of(self, indices: torch.Tensor) -> torch.Tensor | None:
        """Give the masks of some patches, int64 (n,): bool or uint8 (n, H, W); None where there are none."""
        return None if self.masks is None else torch.from_numpy(self.masks[indices.numpy()])

    def boxes_of(self, indices: torch.Tensor) -> torch.Tensor | None:
        """Give the boxes of some patches, int64 (n,): float32 (n, M, 5); None where there are none."""
        return None if self.boxes is None else torch.from_numpy(self.boxes[indices.numpy()])

    def epoch_steps(self, batch_size: int, *, world: int = 1) -> int:
        """Count the updates of one epoch; ``batch_size`` is the number of images of all ranks together."""
        return math.ceil(math.ceil(len(self) / world) / max(1, batch_size // world))

    def batches(
        self, epoch: int, *, seed: int, batch_size: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Pairs:
        """Give the shuffled batches of one epoch, from batch ``start`` on; the order is a function of (seed, epoch).

        All batches are of nearly one size, at most ``batch_size``: a last batch of one image would ruin a batch norm.
        With several ranks each sees its own share; some images come twice when they cannot be shared equally.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        mine = np.resize(order, math.ceil(len(order) / world) * world)[rank::world]
        yield from self._ahead(np.array_split(mine, self.epoch_steps(batch_size, world=world))[start:])

    def in_order(self, batch_size: int, *, most: int | None = None) -> Pairs:
        """Give every patch once, unshuffled: batches as of :meth:`batches`; or ``most`` of them, always the same."""
        chosen = np.arange(len(self))
        if most is not None and most < len(self):
            chosen = np.sort(np.random.default_rng(0).choice(len(self), most, replace=False))
        yield from self._ahead(np.array_split(chosen, math.ceil(len(chosen) / batch_size)))

    def _ahead(self, shares: Sequence[NDArray[np.int64]]) -> Pairs:
        """Scale the next batch in a thread while the caller works on this one."""
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.images, share) for share in shares[:1]]
            for number, share in enumerate(shares):
                images = waiting.pop().result()
                if number + 1 < len(shares):
                    waiting.append(pool.submit(self.images, shares[number + 1]))
                yield images, torch.from_numpy(share)


def prepare_set(
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    file: Path,
    key: str,
    progress: Progress,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    aligners: Mapping[str, Aligner] | None = None,
    matcher: Matcher | None = None,
) -> PreparedSet:
    """Decode, cut, shape and align every sample once.

    Args:
        samples: the good images; each gives one patch per region of the recipe, or one when it shows a region already.
        recipe: with a resolved ``[prepare]``.
        file: where the set lies when it is larger than ``in_memory_bytes``; its folder exists.
        key: of what the images contain; a complete file with this key, left by an earlier session, is used again.
        progress: is told how many images are done.
        in_memory_bytes: the bound.
        aligners: by region; a region without one is not aligned.
        matcher: gives every whole frame another histogram first; None leaves it.

    Raises:
        DataError: an image cannot be read, or does not hold a region of the recipe.
        DiskError: the file cannot be written.
    """
    spec = PixelSpec(*recipe.prepare.shape, white=recipe.prepare.white)
    shown = [[region.name for region in _regions(sample, recipe.places)] for sample in samples]
    counts, names = [len(each) for each in shown], tuple(name for each in shown for name in each)
    tail = (spec.height, spec.width) if spec.channels == 1 else (spec.height, spec.width, 3)
    shape = (sum(counts), *tail)
    marker = file.with_suffix(".json")
    aligners = aligners or {}
    templates = {name: hashlib.sha256(aligner.template.tobytes()).hexdigest() for name, aligner in aligners.items()}
    label = {"key": key, "prepare": recipe.prepare.model_dump(), "shape": list(shape), "templates": templates}
    if matcher is not None:
        label["histograms"] = hashlib.sha256(encode_matcher(matcher)).hexdigest()
    in_memory = math.prod(shape) <= in_memory_bytes
    if not in_memory and _is_complete(marker, label):
        return PreparedSet(np.load(file, mmap_mode="r"), spec.white, names)
    starts = np.cumsum([0, *counts])
    first = np.uint8 if _patches(samples[0], recipe)[0].dtype == np.uint8 else np.uint16
    for dtype in (first, np.uint16):
        frames = np.empty(shape, dtype) if in_memory else _mapped(file, shape, dtype)
        try:
            _fill(
                frames,
                samples,
                recipe=recipe,
                starts=starts,
                spec=spec,
                progress=progress,
                aligners=aligners,
                matcher=matcher,
            )
        except _WiderError:
            continue
        break
    if isinstance(frames, np.memmap):
        frames.flush()
        write_atomic(marker, json.dumps(label))
    return PreparedSet(frames, spec.white, names)


class _WiderError(Exception):
    """A 16-bit frame came after 8-bit ones: the array must be wider."""


def _fill(
    frames: NDArray,
    samples: Sequence[Sample],
    *,
    recipe: Recipe,
    starts: NDArray,
    spec: PixelSpec,
    progress: Progress,
    aligners: Mapping[str, Aligner],
    matcher: Matcher | None,
) -> None:
    def store(number: int) -> None:
        patches = _patches(samples[number], recipe, matcher)
        regions = _regions(samples[number], recipe.places)
        for place, (region, patch) in enumerate(zip(regions, patches, strict=True), start=starts[number]):
            shaped, _ = shape_aligned(patch, spec, aligners.get(region.name))
            frames[place] = _widened(shaped, frames.dtype, white=spec.white)

    pool = ThreadPoolExecutor(workers())
    try:
        for done, _ in enumerate(pool.map(store, range(len(samples))), start=1):
            progress.count(done, len(samples))
    finally:
        pool.shutdown(cancel_futures=True)


def _widened(frame: Frame, dtype: np.dtype, *, white: int | None) -> Frame:
    """Bring an 8-bit frame to 16 bits so that it scales to the same numbers: v / 255 = 257 v / 65535."""
    if frame.dtype == dtype:
        return frame
    if dtype == np.uint8:
        raise _WiderError
    return frame.astype(np.uint16) * np.uint16(257 if white is None else 1)


def _regions(sample: Sample, places: Sequence[Region]) -> Sequence[Region]:
    """Say which regions one image holds: those of the recipe, or the one it shows already."""
    return places if sample.region is None else (Region(sample.region),)


def _patches(sample: Sample, recipe: Recipe, matcher: Matcher | None = None) -> list[Frame]:
    try:
        frame = read_image(sample.path)
        if sample.region is None:
            check_frame(frame, recipe.frame)  # as on the line
        frame = frame if matcher is None else matcher.match(frame)
        return [patch for _, _, patch in cut(frame, _regions(sample, recipe.places))]
    except ImageError as error:
        where = "" if str(sample.path) in str(error) else f"{sample.path}: "
        raise DataError(f"{where}{error}; take it out, and run `candling check` to find every such image") from error


def shaped_patches(sample: Sample, recipe: Recipe, *, matcher: Matcher | None = None) -> list[tuple[str, Frame, float]]:
    """Give the patches of one image before any aligning: region, frame of the network's size, height over width before.

    Raises:
        DataError: the image cannot be read, or does not hold a region of the recipe.
    """
    channels, height, width = recipe.prepare.shape
    regions = _regions(sample, recipe.places)
    return [
        (
            region.name,
            shape_frame(patch, channels=channels, height=height, width=width),
            patch.shape[0] / patch.shape[1],
        )
        for region, patch in zip(regions, _patches(sample, recipe, matcher), strict=True)
    ]


def _mapped(file: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    try:
        file.with_suffix(".json").unlink(missing_ok=True)
        frames = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        if hasattr(
            os, "posix_fallocate"
        ):  # a hole in the file becomes a crash when the disk is full: take the space now
            with file.open("rb+") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise DiskError(
            f"{file}: {math.prod(shape) * np.dtype(dtype).itemsize / 1e9:.1f} GB of prepared images cannot be written: "
            f"{error.strerror or error}; free space, or choose a smaller [prepare] size"
        ) from error
    return frames


def _is_complete(marker: Path, label: Mapping[str, object]) -> bool:
    try:
        return json.loads(marker.read_text(encoding="utf-8")) == json.loads(json.dumps(label))
    except (OSError, ValueError):
        return False


def workers() -> int:
    """Say how many images are read side by side."""
    return min(8, os.cpu_count() or 1)
