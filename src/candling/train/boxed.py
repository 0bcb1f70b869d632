"""Images with marked objects made ready to learn from: tiles at one scale, and the boxes in each; knows no method.

A frame is brought to the network's scale and cut into tiles as large as the graph's input, overlapping by half; a
smaller one is continued in black, as when boxes are looked for (``runtime.boxes``). A tile keeps the objects of which
enough lies in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from candling.errors import DataError, ImageError
from candling.pixels.prepare import shape_frame
from candling.pixels.read import read_image
from candling.pixels.tiling import starts
from candling.runtime.boxes import filled, scaled_size
from candling.train.data import PreparedSet
from candling.train.tiled import read_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.annotations import AnnotatedImage
    from candling.data.samples import Sample
    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.train.progress import Progress
    from candling.types import Frame

__all__ = ["BoxOptions", "boxes_of", "prepare_boxed"]

LEAST_SHARE: Final = 0.4
"""A tile keeps an object if so much of its box lies in it."""


class BoxOptions(Protocol):
    """What the options of every method that learns boxes say."""

    classes: tuple[str, ...]
    scale: float
    anchors: str
    anchor_count: int
    anchor_sizes: tuple[tuple[float, float], ...]
    proposals: int | str
    least_px: int
    unreviewed: bool

    @property
    def stride_px(self) -> int:
        """Pixels of the network from one place of its map to the next."""
        ...


def boxes_of(image: AnnotatedImage, classes: Sequence[str], *, scale: float) -> NDArray[np.float32]:
    """Give the objects of one image that count, in pixels of the network: float32 (M, 5), the last the class."""
    number = {label: at for at, label in enumerate(classes)}
    rows = [
        (scale * one.left, scale * one.top, scale * one.right, scale * one.bottom, number[one.label])
        for one in image.objects
        if one.label in number and not one.difficult
    ]
    return np.array(rows, np.float32).reshape(-1, 5)


def prepare_boxed(
    samples: Sequence[Sample],
    objects: Mapping[Path, AnnotatedImage],
    recipe: Recipe,
    *,
    classes: Sequence[str],
    scale: float,
    matcher: Matcher | None,
    progress: Progress,
) -> PreparedSet:
    """Decode every image once, bring it to scale, and cut it into tiles with their boxes.

    Args:
        samples: the images.
        objects: of each, by its path.
        recipe: with a resolved ``[prepare]``.
        classes: their order numbers them.
        scale: pixels of the network for one of the image.
        matcher: gives every whole frame another histogram first; None leaves it.
        progress: is told how many images are done.

    Raises:
        DataError: an image cannot be read.
    """
    channels, height, width = recipe.prepare.shape

    def tiles(sample: Sample) -> list[tuple[Frame, NDArray[np.float32]]]:
        try:
            frame = read_image(sample.path)
            frame = frame if matcher is None else matcher.match(frame)
            rows, columns = scaled_size(frame.shape[:2], scale)
            frame = shape_frame(frame, channels=channels, height=rows, width=columns)
        except ImageError as error:
            where = "" if str(sample.path) in str(error) else f"{sample.path}: "
            raise DataError(f"{where}{error}; take it out") from error
        return _tiles(frame, boxes_of(objects[sample.path], classes, scale=scale), height, width)

    frames, boxes = read_tiles(samples, tiles, white=recipe.prepare.white, progress=progress)
    return PreparedSet(frames, recipe.prepare.white, boxes=_padded(boxes))


def _tiles(
    frame: Frame, boxes: NDArray[np.float32], height: int, width: int
) -> list[tuple[Frame, NDArray[np.float32]]]:
    wide = filled(frame, max(height, frame.shape[0]), max(width, frame.shape[1]))
    rows, columns = (
        starts(length, size, max(size // 2, 1)) for length, size in zip(wide.shape, (height, width), strict=False)
    )
    return [
        (wide[top : top + height, left : left + width], _inside(boxes, top, left, height, width))
        for top in rows
        for left in columns
    ]


def _inside(boxes: NDArray[np.float32], top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
    moved = boxes[:, :4] - np.array([left, top] * 2, np.float32)
    cut = np.clip(moved, 0.0, np.array([width, height] * 2, np.float32))
    areas = [np.clip(some[:, 2:] - some[:, :2], 0.0, None).prod(axis=1) for some in (cut, moved)]
    kept = areas[0] >= LEAST_SHARE * np.maximum(areas[1], 1e-6)
    return np.hstack([cut, boxes[:, 4:]])[kept]


def _padded(boxes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    whole = np.zeros((len(boxes), max(1, *map(len, boxes)), 5), np.float32)
    whole[:, :, 4] = -1.0
    for number, some in enumerate(boxes):
        whole[number, : len(some)] = some
    return whole
