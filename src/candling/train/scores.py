"""What the graph says of an image and its reconstruction: an anomaly map and named scores; knows no network.

All of it is computed inside the exported graph, in float32, so that every engine gives the same numbers. What must be
learnt from good images (:meth:`Scorer.fit`) ends as constants of the graph.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import RecipeError, TrainingError
from candling.train.losses import SSIM_MARGIN, SSIM_SIZE, ssim_map
from candling.train.outline import inside, well_inside
from candling.train.windows import box_taps, gaussian_taps, smooth_same, smooth_valid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MapKind", "ScoreName", "ScoreOptions", "Scorer", "Scoring"]

MapKind = Literal["squared_error", "absolute_error", "dissimilarity", "mixed"]

ScoreName = Literal[
    "mean_squared_error",
    "top_error",
    "window_error",
    "dissimilarity",
    "window_dissimilarity",
    "map_mean",
    "map_top",
    "map_peak",
]


class ScoreOptions(BaseModel):
    """The recipe's ``[method.score]``.

    Attributes:
        names: which scores the graph computes:
            ``mean_squared_error`` over all pixels (the published score);
            ``top_error``, the mean of the largest squared errors;
            ``window_error``, the largest local mean of the squared error;
            ``dissimilarity``, 1 - SSIM;
            ``window_dissimilarity``, the largest local mean of 1 - SSIM;
            ``map_mean``, ``map_top``, ``map_peak``: mean, mean of the largest, and maximum of the anomaly map.
        map: what the anomaly map shows: the squared error, the absolute error, 1 - SSIM, or (``mixed``) the mean of the
            root of the squared error and half of 1 - SSIM, both in [0, 1].
        smooth_px: the map is averaged under a Gaussian of this sigma; 0 leaves it as it is.
        top: share of the pixels that ``top_error`` and ``map_top`` average.
        window_px: side of the square of ``window_error`` and ``window_dissimilarity``, which lies wholly inside.
        normalise: measure the map, at each position, in units of its spread over the good images there, above its mean.
        spread_smooth_px: mean and spread over the good images are averaged under a Gaussian of this sigma; 0 not.
        spread_floor: least spread of a position, as a share of the mean spread over all positions.
        ground: for products on a dark ground: pixels of the image up to this value are no product, and are left out of
            the map, of ``top_error`` and of ``window_error``; 0 leaves nothing out.
        margin_px: so many pixels along the product's outline are left out of them too: there a network redraws worst.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    names: tuple[ScoreName, ...] = Field(
        default=("mean_squared_error", "top_error", "window_error", "dissimilarity", "window_dissimilarity"),
        min_length=1,
        strict=False,
    )
    map: MapKind = "squared_error"
    smooth_px: float = Field(default=0.0, ge=0, le=64)
    top: float = Field(default=0.002, gt=0, le=1)
    window_px: int = Field(default=21, ge=1)
    normalise: bool = False
    spread_smooth_px: float = Field(default=2.0, ge=0, le=64)
    spread_floor: float = Field(default=0.2, gt=0)
    ground: float = Field(default=0.0, ge=0, lt=1)
    margin_px: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _names_differ(self) -> ScoreOptions:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names holds a score twice: {', '.join(self.names)}")
        if self.margin_px and not self.ground:
            raise ValueError(f"margin_px {self.margin_px} needs an outline; set ground, above which pixels are product")
        return self

    @property
    def least_size(self) -> int:
        """The shortest side in pixels for which the map and every named score exist."""
        least = 1 if self.map in ("squared_error", "absolute_error") else SSIM_SIZE
        if "dissimilarity" in self.names:
            least = max(least, SSIM_SIZE)
        if "window_error" in self.names:
            least = max(least, self.window_px)
        if "window_dissimilarity" in self.names:
            least = max(least, self.window_px + 2 * SSIM_MARGIN)
        return least


class Scorer(nn.Module):
    """Computes the anomaly map and the scores of a batch.

    Attributes:
        centre: float32 (H, W), what the map is on good images; 0 until fitted.
        sharpness: float32 (H, W), one over its spread on good images; 1 until fitted.
    """

    centre: Tensor
    sharpness: Tensor

    def __init__(self, shape: tuple[int, int, int], options: ScoreOptions) -> None:
        """Prepare for images of ``shape`` (C, H, W).

        Raises:
            RecipeError: the images are too small for SSIM or for the window.
        """
        super().__init__()
        _, height, width = shape
        if min(height, width) < (least := options.least_size):
            raise RecipeError(
                f"method.score: its windows need images of at least {least} x {least} px, not {height} x {width}; "
                "enlarge prepare.height and prepare.width, or lower method.score.window_px, or name other scores"
            )
        self.options = options
        self.register_buffer("centre", torch.zeros(height, width))
        self.register_buffer("sharpness", torch.ones(height, width))

    def forward(self, image: Tensor, reconstruction: Tensor) -> dict[str, Tensor]:
        """Compare two float32 (N, C, H, W) in [0, 1].

        Returns:
            ``anomaly_map`` float32 (N, H, W) and each chosen score float32 (N,); larger is worse.
        """
        maps = _Maps(image, reconstruction)
        anomaly_map = self._raw_map(maps)
        if self.options.normalise:
            anomaly_map = (anomaly_map - self.centre) * self.sharpness
        local_error = maps.squared_error
        if self.options.ground:
            counted = well_inside(inside(image, self.options.ground), self.options.margin_px, fills=False)
            anomaly_map, local_error = anomaly_map * counted, local_error * counted
        top, window = self.options.top, box_taps(self.options.window_px)
        compute: dict[ScoreName, Callable[[], Tensor]] = {
            "mean_squared_error": lambda: _mean(maps.squared_error),
            "top_error": lambda: _top_mean(local_error, top),
            "window_error": lambda: _peak(smooth_valid(local_error, window)),
            "dissimilarity": lambda: _mean(maps.dissimilarity),
            "window_dissimilarity": lambda: _peak(smooth_valid(maps.dissimilarity, window)),
            "map_mean": lambda: _mean(anomaly_map),
            "map_top": lambda: _top_mean(anomaly_map, top),
            "map_peak": lambda: _peak(anomaly_map),
        }
        return {"anomaly_map": anomaly_map, **{name: compute[name]() for name in self.options.names}}

    @torch.no_grad()
    def fit(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the usual map of good images, position by position; nothing to do unless ``normalise`` is set.

        Args:
            pairs: batches of (image, reconstruction), each float32 (N, C, H, W) in [0, 1].

        Raises:
            TrainingError: fewer than two images, so that there is no spread.
        """
        if not self.options.normalise:
            return
        count = 0
        total = torch.zeros_like(self.centre, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for image, reconstruction in pairs:
            raw = self._raw_map(_Maps(image, reconstruction)).double()
            count += len(raw)
            total += raw.sum(dim=0)
            squares += raw.square().sum(dim=0)
        if count < 2:
            raise TrainingError(
                f"method.score.normalise needs at least two good images, not {count}; add some, or set it to false"
            )
        mean = total / count
        variance = ((squares - count * mean.square()) / (count - 1)).clamp(min=0.0)
        spread = _gaussian(variance.float().unsqueeze(0), self.options.spread_smooth_px).sqrt()
        floor = (self.options.spread_floor * spread.mean()).clamp(min=torch.finfo(torch.float32).tiny ** 0.5)
        self.centre.copy_(_gaussian(mean.float().unsqueeze(0), self.options.spread_smooth_px).squeeze(0))
        self.sharpness.copy_(spread.maximum(floor).reciprocal().squeeze(0))

    def _raw_map(self, maps: _Maps) -> Tensor:
        """Give the map before normalisation, smoothed: float32 (N, H, W)."""
        if self.options.map == "squared_error":
            raw = maps.squared_error
        elif self.options.map == "absolute_error":
            raw = maps.absolute_error
        else:
            raw = F.pad(maps.dissimilarity.unsqueeze(1), (SSIM_MARGIN,) * 4, mode="replicate").squeeze(1)
            if self.options.map == "mixed":
                raw = 0.5 * maps.squared_error.sqrt() + 0.25 * raw
        return _gaussian(raw, self.options.smooth_px)


class Scoring(nn.Module):
    """The graph of a network that redraws its input: scores and map beside the reconstruction.

    ``redraw`` takes float32 (N, C, H, W) in [0, 1] and gives the same shape.
    """

    def __init__(self, redraw: nn.Module, scorer: Scorer) -> None:
        super().__init__()
        self.redraw = redraw
        self.scorer = scorer

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract for float32 (N, C, H, W) in [0, 1]."""
        reconstruction = self.redraw(image)
        return {**self.scorer(image, reconstruction), "reconstruction": reconstruction}


class _Maps:
    """The error maps of one batch, each computed once and only when asked for."""

    def __init__(self, image: Tensor, reconstruction: Tensor) -> None:
        self._pair = image, reconstruction
        self._squared_error: Tensor | None = None
        self._dissimilarity: Tensor | None = None

    @property
    def squared_error(self) -> Tensor:
        """Mean over channels of the squared difference, (N, H, W)."""
        if self._squared_error is None:
            image, reconstruction = self._pair
            self._squared_error = (image - reconstruction).square().mean(dim=1)
        return self._squared_error

    @property
    def absolute_error(self) -> Tensor:
        """Mean over channels of the absolute difference, (N, H, W)."""
        image, reconstruction = self._pair
        return (image - reconstruction).abs().mean(dim=1)

    @property
    def dissimilarity(self) -> Tensor:
        """Mean over channels of 1 - SSIM at valid positions, (N, H - 10, W - 10)."""
        if self._dissimilarity is None:
            self._dissimilarity = 1.0 - ssim_map(*self._pair).mean(dim=1)
        return self._dissimilarity


def _gaussian(maps: Tensor, sigma: float) -> Tensor:
    if sigma == 0.0:
        return maps
    return smooth_same(maps, gaussian_taps(sigma, 2 * math.ceil(3.0 * sigma) + 1))


def _mean(maps: Tensor) -> Tensor:
    return maps.mean(dim=(1, 2))


def _peak(maps: Tensor) -> Tensor:
    return maps.amax(dim=(1, 2))


def _top_mean(maps: Tensor, share: float) -> Tensor:
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)
