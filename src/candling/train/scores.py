"""What the graph says of an image and its reconstruction: an anomaly map and named scores; knows no network.

All of it is computed inside the exported graph, in float32, so that every engine gives the same numbers. What needs
good images (:meth:`Scorer.fit`) ends as constants of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from candling.train.losses import SSIM_MARGIN, SSIM_SIZE, mean_squared_error, ssim_map

__all__ = ["MapKind", "ScoreName", "ScoreOptions", "Scorer"]

MapKind = Literal["squared_error", "dissimilarity", "mixed"]

ScoreName = Literal[
    "mean_squared_error",
    "top_error",
    "window_error",
    "dissimilarity",
    "window_dissimilarity",
    "map_peak",
    "map_mean",
]


class ScoreOptions(BaseModel):
    """The recipe's ``[method.score]``.

    Attributes:
        names: which scores the graph computes; each costs time on the line.
        map: what the anomaly map shows: the squared error, 1 - SSIM, or the mean of the absolute error and half of
            1 - SSIM, both in [0, 1].
        smooth: the map is averaged over a square of this many pixels (odd; 1 leaves it as it is).
        top: share of the pixels, worst first, whose mean squared error is ``top_error``.
        window: side of the square, in pixels (odd), of ``window_error`` and ``window_dissimilarity``.
        normalise: measure the map at each position in units of its spread over the good images there.
        spread_smooth: mean and spread over the good images are averaged over a square of this many pixels (odd).
        spread_floor: least spread of a position, as a share of the mean spread over all positions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    names: tuple[ScoreName, ...] = Field(
        default=("mean_squared_error", "top_error", "window_error", "dissimilarity", "window_dissimilarity"),
        min_length=1,
        strict=False,
    )
    map: MapKind = "squared_error"
    smooth: int = Field(default=1, ge=1, le=127)
    top: float = Field(default=0.002, gt=0, le=1)
    window: int = Field(default=21, ge=1, le=255)
    normalise: bool = False
    spread_smooth: int = Field(default=1, ge=1, le=127)
    spread_floor: float = Field(default=0.2, ge=0)


class Scorer(nn.Module):
    """Computes the anomaly map and the scores of a batch.

    Attributes:
        centre: float32 (H, W), what the map is on good images; 0 until fitted.
        sharpness: float32 (H, W), one over its spread on good images; 1 until fitted.
    """

    centre: Tensor
    sharpness: Tensor

    def __init__(self, shape: tuple[int, int, int], options: ScoreOptions) -> None:
        super().__init__()
        _, height, width = shape
        self.options = options
        self.register_buffer("centre", torch.zeros(height, width))
        self.register_buffer("sharpness", torch.ones(height, width))

    def forward(self, image: Tensor, reconstruction: Tensor) -> dict[str, Tensor]:
        """Compare two float32 (N, C, H, W) in [0, 1].

        Returns:
            ``anomaly_map`` float32 (N, H, W) and each chosen score float32 (N,); larger is worse.
        """
        maps = _Maps(image, reconstruction)
        anomaly_map = (self._raw_map(maps) - self.centre) * self.sharpness
        options = self.options
        compute: dict[str, Callable[[], Tensor]] = {
            "mean_squared_error": lambda: maps.squared_error.mean(dim=(1, 2)),
            "top_error": lambda: _top_mean(maps.squared_error, options.top),
            "window_error": lambda: _peak(_local_mean(maps.squared_error, options.window)),
            "dissimilarity": lambda: maps.dissimilarity.mean(dim=(1, 2)),
            "window_dissimilarity": lambda: _peak(_local_mean(maps.dissimilarity, options.window)),
            "map_peak": lambda: _peak(anomaly_map),
            "map_mean": lambda: anomaly_map.mean(dim=(1, 2)),
        }
        return {"anomaly_map": anomaly_map, **{name: compute[name]() for name in options.names}}

    @torch.no_grad()
    def fit(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the usual map of good images, position by position, when the options ask for it.

        Args:
            pairs: batches of (image, reconstruction), each float32 (N, C, H, W) in [0, 1]; at least two images in all.
        """
        if not self.options.normalise:
            return
        count, total, squares = 0, 0.0, 0.0
        for image, reconstruction in pairs:
            raw = self._raw_map(_Maps(image, reconstruction)).double()
            count += len(raw)
            total, squares = total + raw.sum(0), squares + raw.square().sum(0)
        raise NotImplementedError

    def _raw_map(self, maps: _Maps) -> Tensor:
        """Give the map before normalisation, smoothed: float32 (N, H, W)."""
        if self.options.map == "squared_error":
            raw = maps.squared_error
        else:
            margin = (SSIM_MARGIN,) * 4
            raw = F.pad(maps.dissimilarity, margin, mode="replicate")
            if self.options.map == "mixed":
                raw = 0.5 * (maps.squared_error.sqrt() + 0.5 * raw)
        return _local_mean(raw, self.options.smooth)


class _Maps:
    """The error maps of one batch, each computed once and only when asked for."""

    def __init__(self, image: Tensor, reconstruction: Tensor) -> None:
        self._image, self._reconstruction = image, reconstruction
        self._squared_error: Tensor | None = None
        self._dissimilarity: Tensor | None = None

    @property
    def squared_error(self) -> Tensor:
        """Mean over channels of the squared difference, (N, H, W)."""
        if self._squared_error is None:
            self._squared_error = (self._image - self._reconstruction).square().mean(dim=1)
        return self._squared_error

    @property
    def dissimilarity(self) -> Tensor:
        """Mean over channels of 1 - SSIM at valid positions, (N, H - 10, W - 10)."""
        if self._dissimilarity is None:
            self._dissimilarity = 1.0 - ssim_map(self._image, self._reconstruction).mean(dim=1)
        return self._dissimilarity


def _local_mean(maps: Tensor, size: int) -> Tensor:
    if size == 1:
        return maps
    maps = maps.unsqueeze(1)
    maps = F.avg_pool2d(maps, (1, size), stride=1, padding=(0, size // 2), count_include_pad=False)
    return F.avg_pool2d(maps, (size, 1), stride=1, padding=(size // 2, 0), count_include_pad=False).squeeze(1)


def _peak(maps: Tensor) -> Tensor:
    return maps.amax(dim=(1, 2))


def _top_mean(maps: Tensor, share: float) -> Tensor:
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)
