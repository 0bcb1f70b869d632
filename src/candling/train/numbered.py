"""Images with numbered cells made ready to learn from: tiles at their own scale, and what each pixel is of a cell.

Nothing is resized: a cell has the size it has. A frame is cut into overlapping tiles as large as the graph's input; one
that is smaller is continued by reflection, where nobody knows what a pixel is. Knows no method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np

from candling.data.numbered import read_numbered
from candling.errors import RecipeError
from candling.pixels.instances import CENTRE, boxes_of_instances, centres_of_instances, inside_and_border
from candling.pixels.prepare import shape_frame
from candling.pixels.tiling import starts
from candling.train.data import PreparedSet
from candling.train.tiled import read_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.data.samples import Sample
    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.train.progress import Progress
    from candling.types import Frame

__all__ = ["UNKNOWN", "CellOptions", "check_cells_recipe", "prepare_cells"]

UNKNOWN: Final = 255
"""What a pixel is that teaches nothing: debris, and what was added around a frame that is smaller than a tile."""


class CellOptions(Protocol):
    """What the options of every method that learns cells say, as in :class:`candling.runtime.cells.Counting`."""

    label: str
    border_px: int
    least_px: int

    @property
    def learns_density(self) -> bool:
        """Whether the middle pixel of each cell is marked."""
        ...

    @property
    def reach_px(self) -> int:
        """How far from a pixel lies what its values are computed from."""
        ...

    @property
    def step_px(self) -> int:
        """Tiles that begin at multiples of this are seen alike."""
        ...


def check_cells_recipe(recipe: Recipe) -> None:
    """Refuse what a method that learns cells cannot follow: regions, strips, aligning, cropping.

    Raises:
        RecipeError: the sentence names the key.
    """
    for key, chosen in (("align", recipe.prepare.align), ("crop", recipe.prepare.crop)):
        if chosen != "none":
            raise RecipeError(f'prepare.{key}: cells are counted in whole frames, which wants "none", not {chosen!r}')
    if recipe.regions or recipe.strip is not None:
        raise RecipeError("regions: cells are counted in whole frames; take [[regions]] and [strip] out")


def prepare_cells(
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    border_px: int,
    least_px: int,
    matcher: Matcher | None,
    progress: Progress,
    centres: bool = False,
) -> PreparedSet:
    """Decode every image once and cut it into tiles that overlap by half, with the kinds of their pixels.

    Args:
        samples: each with a mask.
        recipe: with a resolved ``[prepare]``.
        border_px: as in :func:`candling.pixels.instances.inside_and_border`.
        least_px: a smaller object is debris, and teaches nothing.
        matcher: gives every whole frame another histogram first; None leaves it.
        progress: is told how many images are done.
        centres: mark the middle pixel of each object as :data:`candling.pixels.instances.CENTRE`.

    Raises:
        DataError: an image or a mask cannot be read, or they are of two sizes.
    """
    channels, height, width = recipe.prepare.shape

    def tiles(sample: Sample) -> list[tuple[Frame, NDArray[np.uint8]]]:
        frame, labels = read_numbered(sample)
        frame = frame if matcher is None else matcher.match(frame)
        frame = shape_frame(frame, channels=channels, height=frame.shape[0], width=frame.shape[1])
        return _tiles(frame, _kinds(labels, border_px, least_px, centres=centres), height, width)

    frames, kinds = read_tiles(samples, tiles, white=recipe.prepare.white, progress=progress)
    return PreparedSet(frames, recipe.prepare.white, (), np.stack(kinds))


def _kinds(
    labels: NDArray[np.uint8] | NDArray[np.uint16], border_px: int, least_px: int, *, centres: bool
) -> NDArray[np.uint8]:
    kinds = inside_and_border(labels, border_px=border_px)
    if centres:
        kinds[tuple(centres_of_instances(labels).T)] = CENTRE
    _, sizes = boxes_of_instances(labels)
    numbers = np.unique(labels)[-len(sizes) :] if len(sizes) else np.zeros(0, np.int64)
    kinds[np.isin(labels, numbers[sizes < least_px])] = UNKNOWN
    return kinds


def _tiles(frame: Frame, kinds: NDArray[np.uint8], height: int, width: int) -> list[tuple[Frame, NDArray[np.uint8]]]:
    short = max(height - frame.shape[0], 0), max(width - frame.shape[1], 0)
    if any(short):
        wide: Frame = cv2.copyMakeBorder(frame, 0, short[0], 0, short[1], cv2.BORDER_REFLECT)
        frame = wide
        kinds = cv2.copyMakeBorder(kinds, 0, short[0], 0, short[1], cv2.BORDER_CONSTANT, value=UNKNOWN)
    rows, columns = (
        starts(length, size, max(size // 2, 1)) for length, size in zip(kinds.shape, (height, width), strict=True)
    )
    return [
        (frame[top : top + height, left : left + width], kinds[top : top + height, left : left + width])
        for top in rows
        for left in columns
    ]
