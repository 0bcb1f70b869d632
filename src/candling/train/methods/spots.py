"""Spots: how much darker or brighter a small place is than what surrounds it inside the product; fitted in seconds.

For products on a dark ground that lie anyhow and vary in shape and shade, such as blood cells, whose defects are small
stained spots. A picture is smoothed a little and a lot, both over the product's own pixels alone, so that its outline
leaves no trace; the difference is the anomaly map, and the score is its mean over the few highest pixels. Nothing is
trained: what good products show of the map is learned only to state it on the card.

On malaria cells of patients never seen this is better than every reconstruction: a mean over the image hides a
parasite, and a network that redraws cells well redraws the spot too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from candling.errors import RecipeError, TrainingError
from candling.train.outline import inside, well_inside
from candling.train.windows import gaussian_taps, smooth_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from candling.train.facts import Fact
    from candling.train.method import Batch, Plan
    from candling.train.progress import Progress

__all__ = ["Options", "Spots", "build"]

LEAST_SEEN = 1e-3
"""Where less than this share of the smoothing window shows the product, there is nothing to compare with."""


class Options(BaseModel):
    """The recipe's ``[method]`` for ``name = "spots"``.

    Attributes:
        kind: spots darker than their surroundings, brighter ones, or both.
        small_px: sigma of the little smoothing: about the radius of the smallest spot.
        large_px: sigma of the large one, several times as much.
        ground: pixels up to this value are no product; 0 where the product fills the picture.
        margin_px: so many pixels along the product's outline are left out of the score and of the map.
        top_px: the score is the mean over so many of the highest pixels: about the area of the smallest spot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: Literal["dark", "bright", "both"] = "both"
    small_px: float = Field(default=1.0, gt=0, le=32)
    large_px: float = Field(default=3.0, gt=0, le=64)
    ground: float = Field(default=0.0, ge=0, lt=1)
    margin_px: int = Field(default=1, ge=0, le=64)
    top_px: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _sizes_differ(self) -> Options:
        if self.small_px >= self.large_px:
            raise ValueError(f"small_px {self.small_px} must be less than large_px {self.large_px}")
        return self


def build(options: Options, plan: Plan) -> Spots:
    """Build the method for images of the plan's shape.

    Raises:
        RecipeError: the score asks for more pixels than an image has.
    """
    _, height, width = plan.shape
    if options.top_px > height * width:
        raise RecipeError(f"method.top_px: {options.top_px} pixels are more than an image of {height} x {width} has")
    return Spots(options, plan)


class Comparing(nn.Module):
    """The graph: image (N, C, H, W) in [0, 1] to anomaly map and score."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the outputs of the graph contract."""
        spots = self.map(image)
        top = spots.flatten(1).topk(self.options.top_px, dim=1).values
        return {"spot": top.mean(dim=1), "map_peak": top[:, 0], "anomaly_map": spots}

    def map(self, image: Tensor) -> Tensor:
        """Measure each pixel against its surroundings: float32 (N, H, W), 0 outside it; of colours the most."""
        options, channels = self.options, image.shape[1]
        shown = inside(image, options.ground)
        planes = (image * shown.unsqueeze(1)).flatten(0, 1)
        small = self._smoothed(planes, shown, options.small_px, channels)
        large = self._smoothed(planes, shown, options.large_px, channels)
        difference = {"dark": large - small, "bright": small - large, "both": (large - small).abs()}[options.kind]
        # on a ground the picture ends in ground too; a product that fills the picture is judged up to its border
        counted = well_inside(shown, options.margin_px, fills=options.ground <= 0.0)
        return (difference * counted.unsqueeze(1)).amax(dim=1).clamp(min=0.0)

    def _smoothed(self, planes: Tensor, inside: Tensor, sigma: float, channels: int) -> Tensor:
        """Average planes (N C, H, W) over the product's pixels under a Gaussian: (N, C, H, W)."""
        taps = gaussian_taps(sigma, 2 * math.ceil(3.0 * sigma) + 1)
        count, height, width = inside.shape
        weighted = smooth_same(planes, taps).view(count, channels, height, width)
        return weighted / smooth_same(inside, taps).clamp(min=LEAST_SEEN).unsqueeze(1)


class Spots:
    """Nothing to train; see :class:`candling.train.method.Method`."""

    def __init__(self, options: Options, plan: Plan) -> None:
        del plan
        self._comparing = Comparing(options)
        self._facts: dict[str, Fact] = {}
        self.networks: Mapping[str, nn.Module] = {}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {}

    @torch.no_grad()
    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Measure what good images show.

        Raises:
            TrainingError: good images show no product.
        """
        del held_out
        progress.stage("measuring the spots of good images")
        scores, shown = [], []
        for batch in good:
            scores.append(self._comparing(batch.images)["spot"])
            shown.append((batch.images.amax(dim=1) > self._comparing.options.ground).float().mean(dim=(1, 2)))
        spots, shares = torch.cat(scores), torch.cat(shown)
        if float(shares.median()) == 0.0:
            raise TrainingError(
                f"method.ground: most good images have no pixel above {self._comparing.options.ground:g}, so they show "
                "no product; lower it"
            )
        self._facts = {
            "share of pixels that show the product": float(shares.mean()),
            "spot of good images, median": float(spots.median()),
            "spot of good images, 95 of 100": float(torch.quantile(spots, 0.95)),
        }

    def choices(self) -> Mapping[str, Fact]:
        """Say what good images show."""
        return dict(self._facts)

    def step(self, batch: Batch) -> Mapping[str, float]:  # noqa: ARG002 - the protocol
        """Refuse: there is nothing to update."""
        raise TrainingError("method 'spots' makes no updates; it is complete before the first one")

    def validate(self, batch: Batch) -> Mapping[str, float]:  # noqa: ARG002 - the protocol
        """Refuse: there is no loss."""
        raise TrainingError("method 'spots' has no loss; it is complete before the first update")

    def finish(self, batches: Iterable[Batch]) -> None:
        """Nothing is left to fit."""

    def graph(self) -> nn.Module:
        """Give the comparison of each place with its surroundings."""
        return Comparing(self._comparing.options).eval()
