"""How a frame lies against a template, and arrays moved accordingly, there and back; finds nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import Frame

__all__ = ["Movement", "Way", "move", "move_back"]

ArrayT = TypeVar("ArrayT", bound="NDArray[np.float32] | NDArray[np.int64]")

Way = Literal["shift", "turn"]
"""What may differ from frame to frame: the place, or the place and the angle."""


@dataclass(frozen=True)
class Movement:
    """Where a frame shows what the template shows: turned about the centre, then shifted.

    Attributes:
        turn: degrees; a product that lies clockwise of the template has more.
        down: as a share of the height.
        right: as a share of the width.
        aspect: height over width of the frame before it was brought to the network's size: turns are rigid there.
        correlation: of the moved frame with the template, in [-1, 1]; for a frame left as it is, its own.

    >>> Movement().still, Movement(right=0.1).still
    (True, False)
    """

    turn: float = 0.0
    down: float = 0.0
    right: float = 0.0
    aspect: float = 1.0
    correlation: float = 1.0

    @property
    def still(self) -> bool:
        """True when nothing moves."""
        return self.turn == self.down == self.right == 0.0

    def matrix(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Give the (2, 3) matrix that takes (column, row, 1) of the template to (column, row) of the frame.

        ``shape`` is (H, W) of both, in whatever size they are.

        >>> Movement(down=0.5).matrix((10, 20)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 5.0]]
        """
        height, width = shape
        stretch = self.aspect * width / height  # of a row, in columns
        cosine, sine = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        turned = np.array([[cosine, -sine * stretch], [sine / stretch, cosine]]) + 0.0  # no -0.0
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = np.array([self.right * width, self.down * height])
        return np.column_stack([turned, np.round(centre + shift - turned @ centre, 9)])


def move(frame: Frame, movement: Movement) -> Frame:
    """Bring a frame to where the template shows it; its border is repeated where nothing was seen.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        movement: as :meth:`Aligner.find` gives it.

    Returns:
        The same dtype and shape; ``frame`` itself where nothing moves.

    >>> move(np.array([[0, 0, 9, 0]], np.uint8), Movement(right=0.25)).tolist()
    [[0, 9, 0, 0]]
    """
    if movement.still:
        return frame
    height, width = frame.shape[:2]
    moved: Frame = cv2.warpAffine(
        frame,
        movement.matrix((height, width)),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return moved


def move_back(values: ArrayT, movement: Movement, *, outside: float) -> ArrayT:
    """Bring what was computed from a moved frame back to where the frame shows it.

    Args:
        values: float32 or whole numbers, (H, W) of any size, or (C, H, W).
        movement: by which the frame was moved.
        outside: stands where the frame shows what the moved one does not.

    Returns:
        The same type and shape; ``values`` itself where nothing moves. Whole numbers are moved, never mixed.

    >>> move_back(np.array([[0, 9, 0, 0]], np.float32), Movement(right=0.25), outside=-1.0).tolist()
    [[-1.0, 0.0, 9.0, 0.0]]
    """
    if movement.still:
        return values
    height, width = values.shape[-2:]
    matrix = movement.matrix((height, width))
    whole = np.issubdtype(values.dtype, np.integer)
    flags = cv2.INTER_NEAREST if whole else cv2.INTER_LINEAR
    planes = values.reshape(-1, height, width).astype(np.float64 if whole else np.float32, copy=False)
    back = [
        cv2.warpAffine(plane, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
        for plane in planes
    ]
    return np.stack(back).reshape(values.shape).astype(values.dtype, copy=False)  # type: ignore[return-value]
