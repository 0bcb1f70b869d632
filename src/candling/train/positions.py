"""How unusual a vector is at its place: a Gaussian for each position of a map, and a scale that good images set.

The distance is Mahalanobis's, from what good images show at that position. Good images that the Gaussian was fitted to
lie too near to it, so the scale of a position comes from distances under Gaussians that had not seen their image. All
is sums over images: memory does not grow with their number. This file knows no network and no descriptor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["PositionOptions", "Positions", "fit_positions", "smooth_three"]

LEAST_VARIANCE = 1e-4
"""Added to each variance, in squares of the unit of the vectors: identical good images must not divide by zero."""

LEAST_SPREAD = 1e-3
"""The least standard deviation of the distance at a position."""


class PositionOptions(BaseModel):
    """The recipe's ``[method.positions]``.

    Attributes:
        shrink: the covariance of a position leans on the covariance over the whole surface as if so many images had
            been seen of that; more for few or for unaligned images.
        ridge: share of the variance over the whole surface that is added to each variance.
        floor: least spread of a position's distance, as a share of the mean spread over all positions.
        folds: the good images are divided into so many runs of neighbours (neighbours are often of one product), and
            the distance of each comes from a Gaussian of the other runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    shrink: float = Field(default=20.0, ge=0)
    ridge: float = Field(default=0.02, ge=0)
    floor: float = Field(default=0.5, gt=0)
    folds: int = Field(default=3, ge=2, le=10)


class Positions(nn.Module):
    """Gives the distance of each position's vector from its Gaussian, above its usual value, in its usual spread.

    Attributes:
        mean: float32 (1, n, h, w), the Gaussian's mean at each position.
        whiten: float32 (h w, n, n), inverse Cholesky factor of its covariance: lower triangular.
        level: float32 (1, h, w), the usual distance of a good image.
        sharpness: float32 (1, h, w), one over its spread.
    """

    mean: Tensor
    whiten: Tensor
    level: Tensor
    sharpness: Tensor

    def __init__(self, shape: tuple[int, int, int], options: PositionOptions) -> None:
        """Prepare for maps of ``shape`` (n, h, w)."""
        super().__init__()
        size, height, width = shape
        self.shape, self.options = shape, options
        self.register_buffer("mean", torch.zeros(1, *shape))
        self.register_buffer("whiten", torch.eye(size).expand(height * width, -1, -1).contiguous())
        self.register_buffer("level", torch.zeros(1, height, width))
        self.register_buffer("sharpness", torch.ones(1, height, width))

    def forward(self, maps: Tensor) -> Tensor:
        """Measure float32 (N, n, h, w): float32 (N, h, w), about 0 with spread 1 for good images."""
        return (distance(maps, self.mean, self.whiten) - self.level) * self.sharpness


def distance(maps: Tensor, mean: Tensor, whiten: Tensor) -> Tensor:
    """Give Mahalanobis's distance over the root of n: float (N, n, h, w) to (N, h, w), 1 on average for a Gaussian."""
    count, size, height, width = maps.shape
    vectors = (maps - mean).permute(2, 3, 1, 0).reshape(height * width, size, count)
    whitened = whiten @ vectors
    # not square(): engines take the general power for it, five times slower
    return (whitened * whitened).mean(dim=1).sqrt().reshape(height, width, count).permute(2, 0, 1)


def smooth_three(maps: Tensor) -> Tensor:
    """Average each map under 3 x 3 positions, over those inside: float (N, n, h, w) of the same shape."""
    return F.avg_pool2d(maps, 3, 1, padding=1, count_include_pad=False)


class _Moments:
    """Sums over images from which mean and covariance of each position follow, about a fixed centre of 0."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        size, height, width = shape
        self.count = 0
        self.total = torch.zeros((height * width, size), device=device)
        self.products = torch.zeros((height * width, size, size), device=device)

    def add(self, maps: Tensor) -> None:
        vectors = maps.permute(2, 3, 1, 0).flatten(0, 1)  # (h w, n, N)
        self.count += len(maps)
        self.total += vectors.sum(dim=2)
        self.products.baddbmm_(vectors, vectors.mT)

    @staticmethod
    def joined(parts: list[_Moments], shape: tuple[int, int, int]) -> _Moments:
        whole = _Moments(shape, parts[0].total.device)
        for part in parts:
            whole.count += part.count
            whole.total += part.total
            whole.products += part.products
        return whole

    def gaussian(self, shape: tuple[int, int, int], options: PositionOptions) -> tuple[Tensor, Tensor]:
        """Give mean (1, n, h, w) and whitening (h w, n, n) of the shrunk, smoothed covariance of each position."""
        size, height, width = shape
        mean = self.total / self.count
        covariance = self.products / self.count - mean.unsqueeze(2) * mean.unsqueeze(1)
        whole = covariance.mean(dim=0)
        planes = covariance.permute(1, 2, 0).reshape(1, size * size, height, width)
        near = smooth_three(planes).reshape(size, size, height * width).permute(2, 0, 1)
        share = options.shrink / (options.shrink + self.count)  # few images: lean on the whole surface
        extra = torch.diag(options.ridge * whole.diagonal() + LEAST_VARIANCE)
        shrunk = ((1.0 - share) * near + share * whole + extra).double()
        identity = torch.eye(size, dtype=torch.float64, device=shrunk.device)
        whiten = torch.linalg.solve_triangular(torch.linalg.cholesky(shrunk), identity.expand_as(shrunk), upper=False)
        return mean.T.reshape(1, *shape), whiten.float().contiguous()


@torch.no_grad()
def fit_positions(
    positions: list[Positions], passes: Callable[[], Iterable[tuple[Tensor, ...]]], *, count: int
) -> None:
    """Fit the Gaussians and their scales, of one or more maps of the same images, on good images.

    Memory is folds + 2 covariances a position (at 256 x 256 px and n = 18, 32 MB), however many images there are.

    Args:
        positions: to fit.
        passes: each call walks through the good images anew, in the same order, and gives batches of maps, float32
            (N, n, h, w), one for each of ``positions``.
        count: of the good images, at least 1. With a single one there is nothing to leave out.

    Raises:
        TrainingError: the passes give another number of images.
    """
    folds = min(positions[0].options.folds, count)
    moments = [[_Moments(p.shape, p.mean.device) for _ in range(folds)] for p in positions]
    for fold, maps in _by_fold(passes(), count, folds):
        for parts, values in zip(moments, maps, strict=True):
            parts[fold].add(values)
    if sum(part.count for part in moments[0]) != count:
        raise TrainingError(f"{count} good images were announced, but {sum(p.count for p in moments[0])} came")
    others = [
        [_gaussian_without(p, parts, fold) for fold in range(folds)]
        for p, parts in zip(positions, moments, strict=True)
    ]
    for p, parts in zip(positions, moments, strict=True):
        mean, whiten = _Moments.joined(parts, p.shape).gaussian(p.shape, p.options)
        p.mean.copy_(mean)
        p.whiten.copy_(whiten)
    _fit_scales(positions, others, _by_fold(passes(), count, folds), count=count)


def _gaussian_without(positions: Positions, parts: list[_Moments], fold: int) -> tuple[Tensor, Tensor]:
    rest = [part for number, part in enumerate(parts) if number != fold] or parts
    return _Moments.joined(rest, positions.shape).gaussian(positions.shape, positions.options)


def _fit_scales(
    positions: list[Positions],
    others: list[list[tuple[Tensor, Tensor]]],
    folded: Iterable[tuple[int, tuple[Tensor, ...]]],
    *,
    count: int,
) -> None:
    """Set level and sharpness from distances under the Gaussians that had not seen the image."""
    sums = [torch.zeros((2, *p.shape[1:]), dtype=torch.float64, device=p.mean.device) for p in positions]
    for fold, maps in folded:
        for total, gaussians, values in zip(sums, others, maps, strict=True):
            distances = distance(values, *gaussians[fold]).double()
            total.add_(torch.stack((distances.sum(dim=0), distances.square().sum(dim=0))))
    for p, total in zip(positions, sums, strict=True):
        mean, squares = (total / count).unsqueeze(1).unsqueeze(1)
        level = smooth_three(mean)
        variance = smooth_three(squares - 2.0 * level * mean + level.square()).clamp(min=0.0)
        floor = (p.options.floor * variance.mean().sqrt()).clamp(min=LEAST_SPREAD)
        p.level.copy_(level.squeeze(0))
        p.sharpness.copy_(variance.sqrt().maximum(floor).reciprocal().squeeze(0))


def _by_fold(batches: Iterable[tuple[Tensor, ...]], count: int, folds: int) -> Iterable[tuple[int, tuple[Tensor, ...]]]:
    """Divide batches where one run of neighbours ends and the next begins, and name the run."""
    first = 0
    for maps in batches:
        places = torch.arange(first, first + len(maps[0]))
        first += len(maps[0])
        for fold, run in enumerate(places * folds // count == number for number in range(folds)):
            if bool(run.any()):
                yield fold, tuple(values[run.to(values.device)] for values in maps)
