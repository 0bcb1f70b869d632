"""From a movement that is nearly right to the best one near by, in steps; finds nothing far away."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.pixels.align.windows import frame_window

if TYPE_CHECKING:
    from candling.pixels.align.movement import Movement, Way
    from candling.types import FloatArray

__all__ = ["Steps"]

_FLAT = 0.1  # grey levels: less contrast is none
_MOST = 0.2  # radians a step may turn


class Steps:
    """Gauss and Newton's steps towards the highest correlation, whatever the light's gain and offset.

    The inverse compositional form (Baker and Matthews 2004): what depends on the template alone is computed once.
    """

    def __init__(self, template: FloatArray, way: Way, aspect: float, *, steps: int) -> None:
        self._shape = height, width = template.shape
        self._count, self._turns, self._stretch = steps, way == "turn", aspect * width / height
        window = frame_window(height, width)
        self._window = (window / window.sum()).ravel()
        normal = template.ravel() - self._window @ template.ravel()
        spread = math.sqrt(float(self._window @ (normal * normal)))
        self._normal = normal / np.float32(spread) if spread > _FLAT else np.zeros_like(normal)
        self._solver = self._solve(self._normal.reshape(height, width))

    def measure(self, grey: FloatArray, movement: Movement) -> Movement:
        """Say how the moved frame correlates with the template: 0 where one of them is of a single grey."""
        return replace(movement, correlation=self._compare(self._moved(grey, movement))[1])

    def refine(self, grey: FloatArray, start: Movement) -> Movement:
        """Go from a movement to the best one near by."""
        best, movement = replace(start, correlation=-1.0), start
        for _ in range(self._count):
            values = self._moved(grey, movement)
            gain, correlation = self._compare(values)
            if correlation > best.correlation:
                best = replace(movement, correlation=correlation)
            if gain < _FLAT:
                break
            step = self._solver @ (values / np.float32(gain))
            movement = self._stepped(movement, *map(float, step))
            if np.abs(step[:2]).max() < 0.01 and abs(movement.turn - best.turn) < 0.01:
                break
        last = self.measure(grey, movement)
        return last if last.correlation > best.correlation else best

    def _stepped(self, movement: Movement, right: float, down: float, turn: float = 0.0) -> Movement:
        """Put the inverse of a small step, in pixels and radians, before a movement."""
        height, width = self._shape
        movement = replace(movement, turn=movement.turn - math.degrees(max(-_MOST, min(_MOST, turn))))
        across, along = map(float, movement.matrix(self._shape)[:, :2] @ (right, down))
        return replace(movement, right=movement.right - across / width, down=movement.down - along / height)

    def _moved(self, grey: FloatArray, movement: Movement) -> FloatArray:
        height, width = self._shape
        moved: FloatArray = cv2.warpAffine(
            grey,
            movement.matrix(self._shape),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return moved.ravel()

    def _compare(self, values: FloatArray) -> tuple[float, float]:
        """Give gain over the template, and correlation with it, under the window."""
        weighted = self._window * values
        mean = float(weighted.sum())
        spread = math.sqrt(max(float(weighted @ values) - mean * mean, 0.0))
        gain = float(weighted @ self._normal)
        return gain, gain / spread if spread > _FLAT else 0.0

    def _solve(self, template: FloatArray) -> FloatArray:
        """Give (2 or 3, H W): values over gain to the step right, down (and turn)."""
        height, width = template.shape
        across, along = np.gradient(template, axis=1), np.gradient(template, axis=0)
        slopes = [across.ravel(), along.ravel()]
        if self._turns:
            x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
            y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
            slopes.append((along * x / self._stretch - across * y * self._stretch).ravel())
        jacobian = np.stack(slopes).astype(np.float64)
        for same in (np.ones_like(self._normal), self._normal):  # what gain and offset explain moves nothing
            jacobian -= np.outer(jacobian @ (self._window * same), same)
        weighted = jacobian * self._window
        normal = weighted @ jacobian.T
        normal += np.diag(np.maximum(1e-4 * np.diag(normal), 1e-12))  # a stripe fixes one direction only
        return np.linalg.solve(normal, weighted).astype(np.float32)
