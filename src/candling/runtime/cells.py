"""Frames to cells: a graph that tells insides from rims, run over a frame of any size, and every cell once.

A frame is cut into tiles as large as the graph's input, and what the graph says of each is put together: of a tile only
what lies ``reach_px`` inside is taken, so the whole says what a graph of the frame's size would. A very large frame is
gone through in blocks, whose cells follow the seam rule of ``pixels.boxes``: memory does not grow with the frame but
for two bytes a pixel, and not at all where the blocks are read one by one. Where the graph gives a density, its sum is
the count, and the cells are those that can be told apart. Knows no method, and judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

import cv2
import numpy as np

from candling.errors import BundleError, ImageError
from candling.pixels.boxes import BoxSet, Tile, lay_tiles, merge_tiles
from candling.pixels.instances import BACKGROUND, boxes_of_instances, number_instances
from candling.pixels.prepare import scale, shape_frame
from candling.runtime.counting import COUNTING, Counting, decode_counting
from candling.runtime.frames import check_frame
from candling.runtime.matching import load_matcher
from candling.runtime.opening import check_input, open_counting_bundle
from candling.runtime.tiles import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.pixels.histogram import Contrast, Matcher
    from candling.recipe import Recipe
    from candling.runtime.bundle import Bundle
    from candling.runtime.engine import Engine, EngineName
    from candling.types import Box, FloatArray, Frame

__all__ = ["CellCounter", "SeenCells", "Windows"]

BLOCK_PX: Final = 2048
"""Side of the blocks that a larger frame is gone through in."""

_OVERLAP_PX: Final = 256


@dataclass(frozen=True)
class SeenCells:
    """What was seen in one frame, before anything is left out for its score.

    Attributes:
        found: every cell; its score is the mean probability of its pixels to be no background.
        areas_px: int64 (N,), their pixels; None where only boxes are known.
        covered: uint8 (H, W), 0 background, 255 where any cell lies; None of a frame too large for memory.
        contrast: the group the frame was matched with; None where nothing is matched.
        expected: the sum of the density times its factor, at least 0; None where the graph gives none.
        doubts: sentences about what may be wrong with the count.
    """

    found: BoxSet
    areas_px: NDArray[np.int64] | None
    covered: NDArray[np.uint8] | None
    contrast: Contrast | None = None
    expected: float | None = None
    doubts: tuple[str, ...] = ()


class Windows(Protocol):
    """A frame that is too large for memory, such as :class:`candling.pixels.read.windows.TiffWindows`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        ...

    def window(self, box: Box) -> Frame:
        """Give a part of it."""
        ...


class CellCounter:
    """Finds the cells of frames.

    Attributes:
        recipe: resolved; says how pixels are prepared.
        engine: the graph, opened.
        counting: how its answers become cells.
    """

    def __init__(self, recipe: Recipe, engine: Engine, counting: Counting, matcher: Matcher | None = None) -> None:
        if not engine.has_cells:
            raise BundleError("the graph does not tell cells from background, so nothing can be counted; train again")
        check_input(engine, recipe)
        self.recipe: Final = recipe
        self.engine: Final = engine
        self.counting: Final = counting
        self._matcher: Final = matcher
        _, height, width = engine.input_shape
        step = counting.step_px
        # a tile must give something: where its input is small, less than the whole reach is kept away from its edge
        self._margin = min(counting.reach_px, (min(height, width) - step) // 2 // step * step)

    @classmethod
    def load(cls, path: Path | str | Bundle, *, engine: EngineName = "auto", threads: int | None = None) -> Self:
        """Open a bundle for counting.

        Raises:
            BundleError: the bundle is damaged, or does not count cells.
            EngineError: the engine does not run its graph, or contradicts its witness.
        """
        bundle, opened, data = open_counting_bundle(
            path,
            COUNTING,
            refusal=f"does not count cells (there is no {COUNTING}); give one trained with a recipe for "
            "cells, such as nuclei",
            engine=engine,
            threads=threads,
        )
        counting = decode_counting(data, where=str(bundle.path / COUNTING))
        return cls(bundle.recipe, opened, counting, load_matcher(bundle))

    def look(
        self,
        frame: Frame,
        *,
        block_px: int = BLOCK_PX,
        overlap_px: int = _OVERLAP_PX,
        progress: Callable[[int, int], None] | None = None,
    ) -> SeenCells:
        """Find the cells of one frame.

        Args:
            frame: uint8 or uint16, (H, W) or (H, W, 3), any size.
            block_px: a larger frame is gone through in blocks of this side.
            overlap_px: of blocks; at least twice the usual size of a cell.
            progress: called with (done, total) blocks.

        Raises:
            ImageError: it is no frame.
            UsageError: the overlap is no smaller than the block.
            EngineError: the engine failed.
        """
        whole, contrast = check_frame(frame), None
        if self._matcher is not None:
            contrast = self._matcher.group(whole)
            whole = self._matcher.match(whole)
        blocks = lay_tiles(*whole.shape[:2], size=block_px, overlap=overlap_px)
        covered = np.zeros(whole.shape[:2], np.uint8)
        found, sizes, expected = self._seen(
            blocks, lambda box: whole[box.top : box.bottom, box.left : box.right], covered, progress
        )
        return SeenCells(found, sizes, covered, contrast, expected)

    def look_through(
        self,
        windows: Windows,
        *,
        block_px: int = BLOCK_PX,
        overlap_px: int = _OVERLAP_PX,
        progress: Callable[[int, int], None] | None = None,
    ) -> SeenCells:
        """Find the cells of a frame that is too large for memory; it is read block by block, and not what it covers.

        Args:
            windows: the frame.
            block_px: side of a block.
            overlap_px: of blocks; at least twice the usual size of a cell.
            progress: called with (done, total) blocks.

        Returns:
            as :meth:`look`, without a map of what is covered.

        Raises:
            ImageError: a part cannot be read, or the bundle matches histograms, which takes a whole frame.
            UsageError: the overlap is no smaller than the block.
            EngineError: the engine failed.
        """
        if self._matcher is not None:
            raise ImageError(
                "this bundle matches the histogram of a whole frame, which does not fit into memory; cut the image "
                "into smaller ones, or train without matching"
            )
        blocks = lay_tiles(*windows.shape, size=block_px, overlap=overlap_px)
        found, sizes, expected = self._seen(blocks, lambda box: check_frame(windows.window(box)), None, progress)
        return SeenCells(found, sizes, None, None, expected)

    def _seen(
        self,
        blocks: Sequence[Tile],
        window: Callable[[Box], Frame],
        covered: NDArray[np.uint8] | None,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[BoxSet, NDArray[np.int64], float | None]:
        """Go through blocks: every cell once, its pixels, and the count by the density; what is covered is drawn."""
        expected = 0.0
        parts: list[BoxSet] = []
        areas: dict[tuple[float, ...], int] = {}
        for done, block in enumerate(blocks, start=1):
            box, core = block.box, block.core
            seen, density = self._answers(window(box))
            labels, some, sizes = self.cells_of(seen)
            own = np.s_[core.top - box.top : core.bottom - box.top, core.left - box.left : core.right - box.left]
            inner = labels[own]
            expected += 0.0 if density is None else float(density[own].sum(dtype=np.float64))
            if covered is not None:
                covered[core.top : core.bottom, core.left : core.right] = np.where(inner > 0, 255, 0)
            parts.append(some)
            moved = some.boxes + np.array([box.left, box.top] * 2, np.float64)
            areas |= dict(zip(map(tuple, moved.tolist()), sizes.tolist(), strict=True))
            if progress is not None:
                progress(done, len(blocks))
        found = parts[0] if len(blocks) == 1 else merge_tiles(blocks, parts)
        sizes = np.array([areas[tuple(one)] for one in found.boxes.tolist()], np.int64)
        return found, sizes, self._count(expected) if self.engine.has_density else None

    def probabilities(self, frame: Frame) -> FloatArray:
        """Say what each pixel of a frame is: float32 (3, H, W), background, inside, rim.

        Raises:
            ImageError: it is no frame, or has more channels than the graph takes.
            EngineError: the engine failed.
        """
        return self.answers(frame)[0]

    def answers(self, frame: Frame) -> tuple[FloatArray, float | None]:
        """Say what each pixel of a frame is, as :meth:`probabilities`, and the count by the density, None without one.

        Raises:
            ImageError: as :meth:`probabilities`.
            EngineError: the engine failed.
        """
        usable = check_frame(frame)
        cells, density = self._answers(usable if self._matcher is None else self._matcher.match(usable))
        return cells, None if density is None else self._count(float(density.sum(dtype=np.float64)))

    def _count(self, summed: float) -> float:
        return max(summed * self.counting.density_factor, 0.0)

    def _answers(self, usable: Frame) -> tuple[FloatArray, FloatArray | None]:
        channels, height, width = self.engine.input_shape
        rows, columns = usable.shape[:2]
        shaped = shape_frame(usable, channels=channels, height=rows, width=columns)
        down, right = (
            spans(max(length, size), size, self._margin, self.counting.step_px)
            for length, size in ((rows, height), (columns, width))
        )
        low, far = down[-1][0] + height, right[-1][0] + width
        wide = _continued(shaped, low, far)
        out = np.empty((3, low, far), np.float32)
        density = np.empty((low, far), np.float32) if self.engine.has_density else None
        places = [(row, column) for row in down for column in right]
        beside = max(1, self.engine.requests)
        for at in range(0, len(places), beside):
            some = places[at : at + beside]
            tiles = np.stack([wide[row[0] : row[0] + height, column[0] : column[0] + width] for row, column in some])
            said = self.engine.run(scale(cast("Frame", tiles), white=self.recipe.prepare.white), maps=False)
            assert said.cells is not None  # the constructor has seen to it
            for number, ((top, first, last), (left, begin, end)) in enumerate(some):
                kept = np.s_[first - top : last - top, begin - left : end - left]
                out[:, first:last, begin:end] = said.cells[number][:, *kept]
                if density is not None and said.density is not None:
                    density[first:last, begin:end] = said.density[number][kept]
        cells = np.ascontiguousarray(out[:, :rows, :columns])
        return cells, None if density is None else density[:rows, :columns]

    def cells_of(
        self, probabilities: FloatArray, *, least_inside: float | None = None
    ) -> tuple[NDArray[np.uint16], BoxSet, NDArray[np.int64]]:
        """Number the cells in what the graph said of a frame.

        Args:
            probabilities: of :meth:`probabilities`.
            least_inside: instead of the bundle's.

        Returns:
            uint16 (H, W), 0 background; their boxes with scores, in that order; int64 (N,), their pixels.
        """
        facts = self.counting
        labels = number_instances(
            probabilities,
            border_px=facts.border_px,
            least_px=facts.least_px,
            least_inside=facts.least_inside if least_inside is None else least_inside,
        )
        boxes, sizes = boxes_of_instances(labels)
        sums = np.bincount(labels.ravel(), weights=1.0 - probabilities[BACKGROUND].ravel(), minlength=len(boxes) + 1)
        scores = np.clip(sums[1:] / np.maximum(sizes, 1), 0.0, 1.0)
        return labels, BoxSet(boxes.astype(np.float64), scores, np.zeros(len(boxes), np.intp)), sizes


def _continued(frame: Frame, rows: int, columns: int) -> Frame:
    """Continue a frame by reflection, as often as it takes, to so many rows and columns."""
    short = rows - frame.shape[0], columns - frame.shape[1]
    if not any(short):
        return frame
    if min(frame.shape[:2]) < 1 or max(short) < 0:
        raise ImageError(f"the frame is {frame.shape}; give one with pixels")
    wide: Frame = cv2.copyMakeBorder(frame, 0, short[0], 0, short[1], cv2.BORDER_REFLECT)
    return wide
