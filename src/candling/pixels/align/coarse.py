"""Correlate a frame with a template over all shifts, and angles all round; knows no more exact place than its grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.pixels.align.movement import Movement, Way
from candling.pixels.align.windows import disc_window, frame_window

if TYPE_CHECKING:
    from candling.types import FloatArray

__all__ = ["Coarse"]

_ANGLES = 120  # tried all round: 3 degrees apart, half of which the fine steps bridge
_CANDIDATES = 3


class Coarse:
    """Normalised correlation of a frame with the template, over all shifts and angles, by Fourier transforms."""

    def __init__(self, template: FloatArray, way: Way, aspect: float) -> None:
        height, width = template.shape
        self._aspect = aspect
        self._pad = (math.ceil(height / 4), math.ceil(width / 4))
        self._size = tuple(
            cv2.getOptimalDFTSize(side + 2 * pad) for side, pad in zip((height, width), self._pad, strict=True)
        )
        self._turns = [0.0] if way == "shift" else [step * 360.0 / _ANGLES for step in range(_ANGLES)]
        window = frame_window(height, width) if way == "shift" else disc_window(height, width)
        self._window = self._spectrum(window)
        self._weight = float(window.sum())
        self._templates = []
        for turn in self._turns:
            matrix = Movement(turn=turn, aspect=aspect).matrix((height, width))
            turned = cv2.warpAffine(template, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
            turned -= np.float32((turned * window).sum() / self._weight)
            energy = math.sqrt(float((window * turned * turned).sum()))
            self._templates.append(self._spectrum(window * turned / np.float32(max(energy, 1.0))))

    def candidates(self, small: FloatArray) -> list[Movement]:
        """Give a few places and angles to start from: the one without turn first, then the best ones apart."""
        height, width = small.shape
        (down, right), (rows, columns) = self._pad, self._size
        padded = cv2.copyMakeBorder(
            small - small.mean(),
            down,
            rows - height - down,
            right,
            columns - width - right,
            cv2.BORDER_REPLICATE,
        )
        frame, squares = cv2.dft(padded), cv2.dft(padded * padded)
        mean, energy = self._correlate(frame, self._window), self._correlate(squares, self._window)
        variance = energy - mean * mean / np.float32(self._weight)
        spread = np.sqrt(np.maximum(variance, max(0.05 * float(variance.max()), 1e-3)))
        found = []
        for turn, template in zip(self._turns, self._templates, strict=True):
            correlation = self._correlate(frame, template) / spread
            _, peak, _, (column, row) = cv2.minMaxLoc(correlation)
            found.append(Movement(turn, (row - down) / height, (column - right) / width, self._aspect, peak))
        return [found[0], *_apart(found)] if len(found) > 1 else found

    def _spectrum(self, values: FloatArray) -> FloatArray:
        canvas = np.zeros(self._size, np.float32)
        canvas[: values.shape[0], : values.shape[1]] = values
        spectrum: FloatArray = cv2.dft(canvas)
        return spectrum

    def _correlate(self, frame: FloatArray, template: FloatArray) -> FloatArray:
        product = cv2.mulSpectrums(frame, template, 0, conjB=True)
        found: FloatArray = cv2.idft(product, flags=cv2.DFT_SCALE)
        return found[: 2 * self._pad[0] + 1, : 2 * self._pad[1] + 1]


def _apart(found: list[Movement]) -> list[Movement]:
    """Give the best movements whose angles are not neighbours."""
    chosen: list[Movement] = []
    for movement in sorted(found, key=lambda movement: -movement.correlation):
        if all(abs((movement.turn - other.turn + 180.0) % 360.0 - 180.0) > 10.0 for other in chosen):
            chosen.append(movement)
        if len(chosen) == _CANDIDATES:
            break
    return chosen
