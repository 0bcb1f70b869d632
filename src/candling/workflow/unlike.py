"""Places that are unlike good ones, drawn beside the nearest good: tiles, one picture, boxes; knows no file.

Both tiles of a pair show the same extent at the same size: what differs between them is the product, not the scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.pixels.heatmap import thumbnail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.types import Frame
    from candling.workflow.explanation import Pair, Place

__all__ = ["TILE", "draw_places", "draw_unlike", "tiles"]

TILE: Final = 240
"""Side of a tile, in pixels: a place is enlarged or shrunk to it."""

LONGEST: Final = 600
"""Longest side of the frame beside the tiles, in pixels."""

GAP: Final = 12
LINE: Final = 26
GROUND: Final = (24, 24, 24)
BOX: Final = (0, 255, 255)
"""RGB of a box: cyan, a colour that the heatmap does not hold."""


def tiles(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give here and nearest good as two tiles of one size: uint8 (TILE, TILE, 3), RGB."""
    return _tile(pair.here), _tile(pair.good)


def draw_places(picture: NDArray[np.uint8], places: Sequence[Place], shape: tuple[int, int]) -> None:
    """Draw the box of each place into a picture of the frame, numbered where there are several.

    Args:
        picture: uint8 (h, w, 3), RGB; changed in place.
        places: in pixels of the frame.
        shape: (H, W) of the frame.
    """
    down, across = picture.shape[0] / shape[0], picture.shape[1] / shape[1]
    for number, place in enumerate(places, start=1):
        box = place.box
        first = round(box.left * across), round(box.top * down)
        last = round(box.right * across) - 1, round(box.bottom * down) - 1
        cv2.rectangle(picture, first, last, (0, 0, 0), 4)
        cv2.rectangle(picture, first, last, BOX, 2)
        if len(places) > 1:
            at = (first[0] + 5, first[1] + 17)
            cv2.putText(picture, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.putText(picture, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, BOX, 1, cv2.LINE_AA)


def draw_unlike(frame: Frame, pairs: Sequence[Pair]) -> NDArray[np.uint8]:
    """Draw the frame with its places, and beside it a row a place: here and the nearest good.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        pairs: at least one, cut out of this frame.

    Returns:
        uint8 (H', W', 3), RGB.
    """
    whole = thumbnail(frame, LONGEST).copy()
    draw_places(whole, [pair.place for pair in pairs], (frame.shape[0], frame.shape[1]))
    rows = [_row(pair, f"{number}: " if len(pairs) > 1 else "") for number, pair in enumerate(pairs, start=1)]
    beside = np.vstack(rows)
    height = max(whole.shape[0] + LINE, beside.shape[0])
    return np.hstack([_framed(_below(whole, "image"), height), _framed(beside, height), _ground(height + 2 * GAP, GAP)])


def _row(pair: Pair, number: str) -> NDArray[np.uint8]:
    here, good = tiles(pair)
    cell = pair.place.nearest
    assert cell is not None  # a pair has one
    left = _below(here, f"{number}here")
    right = _below(good, f"{number}nearest good (picture {cell.picture})")
    return np.hstack([left, _ground(len(left), GAP), right])


def _below(picture: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """Put a line of words below a picture."""
    line = _ground(LINE, picture.shape[1])
    cv2.putText(line, words, (0, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([picture, line])


def _framed(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Bring a picture to a height, with a margin above, below and on its left."""
    room = height - picture.shape[0] + GAP
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(picture, GAP, room, GAP, 0, cv2.BORDER_CONSTANT, value=GROUND)
    return framed


def _ground(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GROUND, np.uint8)


def _tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shrinks = min(picture.shape[:2]) > TILE
    scaled = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    coloured: NDArray[np.uint8] = cv2.cvtColor(scaled, cv2.COLOR_GRAY2RGB) if scaled.ndim == 2 else scaled
    return coloured
