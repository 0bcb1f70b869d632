"""A Gaussian kernel density of latents that good images have: its fit, its bandwidth, its graph; knows no network.

The log-density is that of ``sklearn.neighbors.KernelDensity`` with a single leaf, which sums over all points; with its
usual tree of 40-point leaves, scikit-learn 1.9 is wrong by tens of nats for latents far from all others. It is at most
``-(d / 2) ln(2 pi h^2)`` for d dimensions and bandwidth h, and all its values move with d, h and the number of
remembered latents: a limit chosen for one of them means nothing for another, so :attr:`Density.meaning` names all
three.

The graph need not compare an image with each of many large latents in full: see ``shortlist.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import TrainingError
from candling.train.directions import LEAST_SPREAD, principal
from candling.train.shortlist import Shortlist, shortlist_for

if TYPE_CHECKING:
    from candling.train.facts import Fact

__all__ = ["Density", "DensityOptions", "leave_one_out_bandwidth", "log_density", "scott_bandwidth"]

Reduce = Literal["none", "standard", "principal", "principal_standard"]

COMPARED = 2000
"""A bandwidth is chosen on at most so many latents, evenly drawn."""

TRIED = 60
"""So many bandwidths are compared."""

EXACT = 16
"""Distances to so many nearest points are computed as differences; the others as lengths less products, which round."""


ROUNDING = 1e-5
"""Latents that differ by a smaller share of their root mean square do so by rounding, and mean nothing."""

FLOOR = 1e-3
"""No number and no direction counts in units smaller than this share of it: there rounding would be seen."""


class DensityOptions(BaseModel):
    """The recipe's ``[method.density]``.

    Attributes:
        reduce: what is done to a latent before its density is asked for: nothing (as published); ``"standard"``, each
            number in units of its spread over good images; ``"principal"``, the directions in which good latents vary
            most; ``"principal_standard"``, these in units of their spread.
        components: how many principal directions.
        bandwidth: of the kernel, a number (0.2 as published), or ``"scott"`` (n^(-1/(d+4)) times the spread), or
            ``"leave_one_out"``: the one under which good latents are likeliest that do not count themselves.
        remember: at most so many good latents, evenly drawn.
        compare: ``"nearest"`` compares an image in full only with the remembered latents that are near it in the
            directions in which these vary most, as many as are needed to differ from ``"all"`` by less than 1e-5 (on
            left-out good latents and on drawn strange ones); where no short list will do, it is ``"all"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    reduce: Reduce = "none"
    components: int = Field(default=32, ge=1)
    bandwidth: float | Literal["scott", "leave_one_out"] = 0.2
    remember: int = Field(default=10_000, ge=2, le=100_000)
    compare: Literal["nearest", "all"] = "nearest"

    @model_validator(mode="after")
    def _bandwidth_is_a_width(self) -> DensityOptions:
        if isinstance(self.bandwidth, float) and self.bandwidth <= 0.0:
            raise ValueError(f"a bandwidth is above 0; it is {self.bandwidth}")
        return self


class Density(nn.Module):
    """Latents to log-densities; before :meth:`fit` it remembers one latent, the origin.

    Attributes:
        mean: float32 (d,), of the good latents.
        turn: float32 (d, q), into the reduced directions; empty where nothing is turned.
        points: float32 (N, q), the remembered latents, reduced.
        lengths: float32 (N,), their squared lengths.
        near: which of them an image is compared with in full; None is all.
    """

    mean: Tensor
    turn: Tensor
    points: Tensor
    lengths: Tensor

    def __init__(self, dimensions: int, options: DensityOptions) -> None:
        super().__init__()
        self.options = options
        self.bandwidth = options.bandwidth if isinstance(options.bandwidth, float) else 1.0
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("turn", torch.empty(0))
        self.register_buffer("points", torch.zeros(1, dimensions))
        self.register_buffer("lengths", torch.zeros(1))
        self.near: Shortlist | None = None

    def forward(self, latent: Tensor) -> Tensor:
        """Give the log-density of float32 (N, d), natural logarithm: float32 (N,)."""
        reduced = self.reduced(latent)
        among = None if self.near is None else self.near(reduced)
        return log_density(reduced, self.points, self.bandwidth, lengths=self.lengths, among=among)

    def reduced(self, latent: Tensor) -> Tensor:
        """Centre latents float32 (N, d), and turn them where that was chosen: float32 (N, q)."""
        centred = latent - self.mean
        return centred @ self.turn if self.turn.numel() else centred

    @property
    def meaning(self) -> str:
        """Say what its values depend on, for whoever compares limits."""
        count, dimensions = self.points.shape
        return f"log-density in {dimensions} dimensions, bandwidth {self.bandwidth:.6g}, {count} remembered latents"

    @property
    def highest(self) -> float:
        """The largest log-density there can be."""
        return -0.5 * self.points.shape[1] * math.log(2.0 * math.pi * self.bandwidth**2)

    def facts(self) -> dict[str, Fact]:
        """Give the lines of a card."""
        return {
            "density dimensions": self.points.shape[1],
            "density bandwidth": self.bandwidth,
            "density remembered": len(self.points),
            "density highest possible": self.highest,
            "density compared in full": "all" if self.near is None else self.near.length,
            **({} if self.near is None else {"density difference from all, at most": self.near.difference}),
            **({"density remark": self._remark()} if len(self.points) < self.points.shape[1] else {}),
        }

    def _remark(self) -> str:
        count, dimensions = self.points.shape
        return (
            f"{count} latents are fewer than their {dimensions} numbers, so the density is in effect a distance to the "
            "nearest one; method.density.reduce and more good images make it one"
        )

    @torch.no_grad()
    def fit(self, latents: Tensor) -> None:
        """Learn from the latents of all good images, float32 (N, d).

        Raises:
            TrainingError: fewer than two latents, all alike, not finite, or fewer than principal directions.
        """
        values, options = latents.double(), self.options
        _check(values, options)
        mean = values.mean(dim=0)
        centred = values - mean
        turn = _directions(centred, options, floor=FLOOR * _size(values))
        reduced = centred if turn is None else centred @ turn
        kept = torch.linspace(0, len(reduced) - 1, min(len(reduced), options.remember)).round().long()
        points = reduced[kept.to(reduced.device)]
        if options.bandwidth == "scott":
            self.bandwidth = scott_bandwidth(points)
        elif options.bandwidth == "leave_one_out":
            self.bandwidth = leave_one_out_bandwidth(points)
        self.mean.copy_(mean.float())
        self.points = points.float()
        self.lengths = self.points.square().sum(dim=1)
        if turn is not None:
            self.turn = turn.float()
        self.near = shortlist_for(self.points, self._summed) if options.compare == "nearest" else None

    def _summed(self, squares: Tensor) -> Tensor:
        """Give log-densities for squared distances (N, M) to all remembered latents, or to the near ones."""
        count, dimensions = self.points.shape
        return _log_sum(squares, self.bandwidth) - _log_whole(count, dimensions, self.bandwidth)


def log_density(
    latent: Tensor, points: Tensor, bandwidth: float, *, lengths: Tensor | None = None, among: Tensor | None = None
) -> Tensor:
    """Give the logarithm of the mean of Gaussians of standard deviation ``bandwidth`` around ``points``.

    Args:
        latent: float (N, q).
        points: float (M, q).
        bandwidth: above 0.
        lengths: float (M,), squared lengths of the points, where they are known.
        among: int64 (N, K), the only points whose Gaussians are not taken as 0; None is all.

    Returns:
        float (N,); for a latent among the points at least ``-(q / 2) ln(2 pi h^2) - ln M``.
    """
    count, dimensions = points.shape
    if among is None:
        squares = _squares(latent, points, (points * points).sum(dim=1) if lengths is None else lengths)
    else:
        squares = (points[among] - latent.unsqueeze(1)).square().sum(dim=2)
    return _log_sum(squares, bandwidth) - _log_whole(count, dimensions, bandwidth)


def _squares(latent: Tensor, points: Tensor, lengths: Tensor) -> Tensor:
    """Give squared distances of (N, q) to (M, q): (N, M), the smallest ones as differences."""
    squares = (latent * latent).sum(dim=1, keepdim=True) + lengths - (2.0 * latent) @ points.mT
    nearest = squares.topk(min(EXACT, len(points)), dim=1, largest=False).indices
    differences = points[nearest] - latent.unsqueeze(1)
    return squares.scatter(1, nearest, (differences * differences).sum(dim=2))


def _log_sum(squares: Tensor, bandwidth: float) -> Tensor:
    """Give the logarithm of a sum of Gaussians of height 1 at squared distances (N, K): (N,)."""
    exponent = (-0.5 / bandwidth**2) * squares
    largest = exponent.amax(dim=1, keepdim=True)
    return (exponent - largest).exp().sum(dim=1).log() + largest.squeeze(1)


def _log_whole(count: int, dimensions: int, bandwidth: float) -> float:
    """Give the logarithm of what makes such a sum of ``count`` Gaussians a density."""
    return 0.5 * dimensions * math.log(2.0 * math.pi * bandwidth**2) + math.log(count)


def scott_bandwidth(points: Tensor) -> float:
    """Give Scott's rule for float (N, q): N^(-1/(q+4)) times the root mean variance of the q numbers."""
    count, dimensions = points.shape
    return float(count ** (-1.0 / (dimensions + 4)) * points.double().var(dim=0).mean().sqrt())


def leave_one_out_bandwidth(points: Tensor) -> float:
    """Give the bandwidth under which each of some points float (N, q) is likeliest by the others.

    Compared are :data:`TRIED` widths, each 1.1 times the one before, around the median distance to the nearest other
    point, as likelihood itself is flat near its best.

    Raises:
        TrainingError: most points have a double, so that no width is narrow enough.
    """
    step = -(-len(points) // COMPARED)
    some = points[::step].double()
    squares = torch.cdist(some, some).square()
    squares.fill_diagonal_(math.inf)
    nearest = float(squares.amin(dim=1).sqrt().median())
    if nearest == 0.0:
        raise TrainingError(
            "method.density.bandwidth: most good images have a double, and then no bandwidth is narrow "
            'enough for "leave_one_out"; take doubles out (candling check finds them), or set a number'
        )
    dimensions = some.shape[1]
    # in d dimensions neighbours are about h sqrt(d) away
    first = nearest / math.sqrt(dimensions) * 1.1 ** (-TRIED // 2)
    best, width = -math.inf, first
    for tried in (first * 1.1**power for power in range(TRIED)):
        inside = torch.logsumexp(-0.5 * squares / tried**2, dim=1).mean()
        likelihood = float(inside) - 0.5 * dimensions * math.log(2.0 * math.pi * tried**2)
        if likelihood > best:
            best, width = likelihood, tried
    return width


def _check(values: Tensor, options: DensityOptions) -> None:
    count, dimensions = values.shape
    if count < 2:
        raise TrainingError(f"a density needs at least two good images, not {count}; add some")
    if not bool(torch.isfinite(values).all()):
        raise TrainingError("the latents of good images are not all finite; lower [training] learning_rate")
    if float((values.amax(dim=0) - values.amin(dim=0)).amax()) <= ROUNDING * _size(values):
        raise TrainingError(
            f"all {count} good images have one and the same latent, so it has no density; give images that differ "
            "(candling check finds doubles), or train longer or with a lower [training] learning_rate if they do"
        )
    most = min(count - 1, dimensions)
    if options.reduce.startswith("principal") and options.components > most:
        raise TrainingError(
            f"method.density.components: {options.components} principal directions cannot be told from {count} good "
            f"images with {dimensions} latent numbers; add images, or set it to at most {most}"
        )


def _size(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _directions(centred: Tensor, options: DensityOptions, *, floor: float) -> Tensor | None:
    """Give what reduces centred latents float64 (N, d): float64 (d, q); None where nothing is to be done."""
    if options.reduce == "none":
        return None
    if options.reduce == "standard":
        spread = centred.square().mean(dim=0).sqrt()
        units = spread.clamp(min=floor).reciprocal()
        scale = torch.where(spread > LEAST_SPREAD * spread.amax(), units, torch.zeros_like(spread))
        return torch.diag(scale)[:, scale > 0.0]
    directions, spread = principal(centred, options.components)
    if options.reduce == "principal":
        return directions
    return directions / spread.clamp(min=max(floor, LEAST_SPREAD * float(spread[0])))
