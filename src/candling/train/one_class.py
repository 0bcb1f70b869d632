"""A one-class support vector machine with a Gaussian kernel: what lies outside most of the points; knows no network.

The problem and its scaling are those of ``sklearn.svm.OneClassSVM(kernel="rbf", gamma="scale", nu=...)`` (Schoelkopf et
al. 2001); it is solved by moving weight between the two points that violate its optimum most (Platt 1998, Fan et al.
2005), which ends soon as few points carry weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candling.errors import TrainingError

__all__ = ["OneClass", "fit_one_class"]

MOST = 4000
"""At most so many points are fitted, evenly drawn: their kernel matrix lies in memory."""

TOLERANCE = 1e-4
"""How far from its optimum the solution may be; libsvm stops at 1e-3."""

STEPS = 200_000
"""After so many moves the solution is taken as it is."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class OneClass:
    """A fitted machine.

    Attributes:
        support: float64 (K, d), the points that carry weight.
        weights: float64 (K,), above 0, at most 1; their sum is nu times the number of points.
        offset: the decision's zero.
        gamma: of the kernel ``exp(-gamma |x - y|^2)``.
    """

    support: Points
    weights: Points
    offset: float
    gamma: float

    def decision(self, points: Points) -> Points:
        """Give how far inside float64 (N, d) lie: (N,), below 0 is outside; points on the border lie near 0."""
        parts = [
            _kernel(points[start : start + 1024], self.support, self.gamma) @ self.weights
            for start in range(0, len(points), 1024)
        ]
        return np.concatenate(parts) - self.offset if parts else np.empty(0)


def fit_one_class(points: Points, nu: float) -> OneClass:
    """Enclose most of some points.

    Args:
        points: float64 (N, d), finite.
        nu: at most this share of the points lies outside, and at least this share carries weight; in (0, 1].

    Raises:
        TrainingError: fewer than two points, or all of them in one place.
    """
    step = -(-len(points) // MOST)
    some = np.asarray(points, dtype=np.float64)[::step]
    variance = float(some.var()) if some.size else 0.0
    if len(some) < 2 or float(np.ptp(some, axis=0).max()) == 0.0:
        raise TrainingError(
            f"{len(points)} latents that do not differ cannot be enclosed; give good images that differ, or leave "
            "[method.refine] out"
        )
    gamma = 1.0 / (some.shape[1] * variance)
    kernel = _kernel(some, some, gamma)
    weights, gradient = _solved(kernel, nu)
    carrying = weights > 0.0
    return OneClass(some[carrying], weights[carrying], _offset(weights, gradient), gamma)


def _solved(kernel: Points, nu: float) -> tuple[Points, Points]:
    """Minimise half the weights' quadratic form: weights in [0, 1] of sum nu N, and the gradient there."""
    count = len(kernel)
    total = nu * count
    weights = np.zeros(count)
    whole = int(total)
    weights[:whole] = 1.0
    if whole < count:
        weights[whole] = total - whole
    gradient = kernel @ weights
    for _ in range(STEPS):
        more = int(np.argmin(np.where(weights < 1.0, gradient, np.inf)))
        less = int(np.argmax(np.where(weights > 0.0, gradient, -np.inf)))
        violation = gradient[less] - gradient[more]
        if violation < TOLERANCE:
            break
        curvature = max(kernel[more, more] + kernel[less, less] - 2.0 * kernel[more, less], 1e-12)
        moved = min(violation / curvature, 1.0 - weights[more], weights[less])
        weights[more] += moved
        weights[less] -= moved
        gradient += moved * (kernel[more] - kernel[less])
    return weights, gradient


def _offset(weights: Points, gradient: Points) -> float:
    """Give the decision's zero: the gradient of points that carry some but not all weight, else the middle between."""
    free = (weights > 0.0) & (weights < 1.0)
    if free.any():
        return float(gradient[free].mean())
    without, full = gradient[weights <= 0.0], gradient[weights >= 1.0]
    return float(0.5 * (without.min(initial=gradient.max()) + full.max(initial=gradient.min())))


def _kernel(points: Points, support: Points, gamma: float) -> Points:
    squares = (points**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2.0 * (points @ support.T)
    return np.exp(-gamma * np.maximum(squares, 0.0))
