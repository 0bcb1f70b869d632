"""Bring a product that lies shifted or turned to where the template shows it; knows no file.

The movement is found on small grey copies, so its cost hardly depends on the prepared size: normalised correlation
over all shifts (and, for ``turn``, over angles all round), then Gauss and Newton's steps at twice the size. Only the
last step touches the prepared frame. A frame that does not look like the template is left exactly as it is.

Shifts of up to a quarter of a side are found. What leaves the frame is not inspected; what comes in repeats the border.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.errors import ImageError
from candling.pixels.align.coarse import Coarse
from candling.pixels.align.movement import Movement, Way, move
from candling.pixels.align.steps import Steps
from candling.pixels.prepare import shape_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.pixels.prepare import PixelSpec
    from candling.types import FloatArray, Frame

__all__ = ["Aligner", "shape_aligned"]

LEAST_CORRELATION: Final = 0.5
"""Below this a moved frame does not look like the template, so it is not moved."""

CLEARLY: Final = 0.9
"""A larger movement is taken only where what correlation leaves unexplained falls to this share."""

SMALLEST_PX: Final = 0.25
"""Movements that displace no pixel of the prepared frame by more are none: the frame stays as it is, to the bit."""

_COARSE, _FINE = 64 * 64, 128 * 128  # pixels of the copies searched in
_STEPS = {_COARSE: 8, _FINE: 6}
_KEPT = 8  # proportions of frames whose search is kept ready


class Aligner:
    """Finds how frames lie against one template. May be used by several threads.

    Attributes:
        template: uint8 (H, W), grey, at the network's size.
        way: what is looked for.
    """

    def __init__(self, template: NDArray[np.uint8], way: Way) -> None:
        if template.dtype != np.uint8 or template.ndim != 2 or template.size == 0:
            raise ImageError(f"the template is {template.dtype} {template.shape}; give uint8 of shape (H, W)")
        self.template: Final = template
        self.way: Final[Way] = way
        self._searches: OrderedDict[float, _Search] = OrderedDict()

    def find(self, frame: Frame, *, aspect: float | None = None) -> Movement:
        """Say how a frame lies; still where it does not look like the template, whatever is done.

        Args:
            frame: uint8 or uint16, (H, W) or (H, W, 3), of the template's size.
            aspect: height over width of the frame before it was brought to this size; None is that of this size.

        Raises:
            ImageError: the frame is of another size.
        """
        height, width = self.template.shape
        if frame.shape[:2] != (height, width):
            raise ImageError(f"the frame is {frame.shape[:2]} and the template {(height, width)}; give one size")
        rounded = round(math.log2(height / width if aspect is None else aspect) * 64) / 64  # 1 %
        return self._search(2.0**rounded).find(_grey(frame))

    def align(self, frame: Frame, *, aspect: float | None = None) -> tuple[Frame, Movement]:
        """Give a frame as the template shows it, and how it was moved; arguments as of :meth:`find`."""
        movement = self.find(frame, aspect=aspect)
        return move(frame, movement), movement

    def _search(self, aspect: float) -> _Search:
        search = self._searches.get(aspect)
        if search is None:
            search = _Search(self.template, self.way, aspect)
            self._searches[aspect] = search
            while len(self._searches) > _KEPT:
                self._searches.popitem(last=False)
        return search


def shape_aligned(frame: Frame, spec: PixelSpec, aligner: Aligner | None) -> tuple[Frame, Movement]:
    """Bring a frame to the network's channels and size, and its product to where the template shows it.

    The one definition for training and the line: :func:`candling.pixels.prepare.shape_frame`, then
    :meth:`Aligner.align`; without an aligner the first alone.

    Args:
        frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, any size.
        spec: what the network wants.
        aligner: of a template of that size, or None.

    Raises:
        ImageError: the frame is of another type or shape, or empty.
    """
    shaped = shape_frame(frame, channels=spec.channels, height=spec.height, width=spec.width)
    if aligner is None:
        return shaped, Movement()
    return aligner.align(shaped, aspect=frame.shape[0] / frame.shape[1])


class _Search:
    """Everything of a template that does not depend on the frame."""

    def __init__(self, template: NDArray[np.uint8], way: Way, aspect: float) -> None:
        grey = template.astype(np.float32)
        self._shape = (template.shape[0], template.shape[1])
        self._aspect = aspect
        self._coarse = Coarse(_small(grey, aspect, _COARSE), way, aspect)
        self._near = Steps(_small(grey, aspect, _COARSE), way, aspect, steps=_STEPS[_COARSE])
        self._fine = Steps(_small(grey, aspect, _FINE), way, aspect, steps=_STEPS[_FINE])

    def find(self, grey: FloatArray) -> Movement:
        small, larger = (_small(grey, self._aspect, pixels) for pixels in (_COARSE, _FINE))
        still = self._fine.measure(larger, Movement(aspect=self._aspect))
        near = [self._near.refine(small, start) for start in self._coarse.candidates(small)]
        best = self._fine.refine(larger, _simplest(near))
        found = _simplest([still, best])
        if found.correlation < LEAST_CORRELATION or self._reach(found) < SMALLEST_PX:
            return still
        return found

    def _reach(self, movement: Movement) -> float:
        """Give the largest displacement of a corner, in pixels of the prepared frame."""
        height, width = self._shape
        corners = np.array([(x, y, 1.0) for x in (0, width - 1) for y in (0, height - 1)])
        return float(np.hypot(*(corners @ movement.matrix(self._shape).T - corners[:, :2]).T).max())


def _simplest(movements: list[Movement]) -> Movement:
    """Take the first movement, and a later one only where it explains clearly more."""
    best = movements[0]
    for movement in movements[1:]:
        if 1.0 - movement.correlation < CLEARLY * (1.0 - best.correlation):
            best = movement
    return best


def _grey(frame: Frame) -> FloatArray:
    """Give float32 (H, W) in units of 8 bits."""
    if frame.ndim == 3:
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    values: FloatArray = frame.astype(np.float32)
    return values if frame.dtype == np.uint8 else values / np.float32(257)


def _small(grey: FloatArray, aspect: float, pixels: int) -> FloatArray:
    """Shrink to about so many square pixels, never enlarge."""
    height = min(math.sqrt(pixels * aspect), grey.shape[0])
    width = min(math.sqrt(pixels / aspect), grey.shape[1])
    size = max(8, round(width)), max(8, round(height))
    small: FloatArray = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return small
