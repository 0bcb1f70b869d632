"""Figures of the defects themselves, for data with masks: coverage, sizes, covered share of a sample; draws no page.

What is computed from any anomaly map: the share of each defect that is marked where 5 % of the good pixels are, and how
it depends on a defect's size. A graph whose map holds probabilities says so by a score ``covered_share``; its map is
also cut at one half, for the covered share of each image and for the patch counts of the fibre report, section 4.5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.measure.defects import (
    Agreement,
    agreement,
    agreement_rates,
    covered_shares,
    defect_coverage,
    mean_of_images,
    recall_by_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from candling.measure.anomaly import PixelScores
    from candling.types import FloatArray, Interval
    from candling.workflow.figures import Resampling

__all__ = ["COVERED_SHARE", "PatchCounts", "defect_figures", "defect_notes"]

COVERED_SHARE: Final = "covered_share"
"""The score by which a graph says that its map holds probabilities."""

FALSE_ALARMS: Final = 0.05
PATCH: Final = 29
"""Side of the report's patches."""


@dataclass
class PatchCounts:
    """Counts of patches that agree, image by image, while maps pass by; none unless maps are probabilities."""

    wanted: bool
    images: list[Agreement] = field(default_factory=list)

    def see(self, values: FloatArray, mask: NDArray[np.bool_] | None) -> None:
        """Take in one map, float32 (H, W), and its mask, bool (H, W) or None where all is good."""
        if self.wanted:
            truth = np.zeros(values.shape, bool) if mask is None else mask
            self.images.append(agreement(values > 0.5, truth, patch=PATCH))


def defect_figures(pixels: PixelScores | None, counts: PatchCounts, *, resampling: Resampling) -> dict[str, Any]:
    """Compute the figures as plain JSON values; empty where the data hold no mask that marks a defect."""
    if pixels is None or not pixels.region_sizes.size:
        return {}
    found = defect_coverage(
        pixels,
        rng=resampling.rng,
        false_alarms=FALSE_ALARMS,
        rounds=resampling.rounds,
        confidence=resampling.confidence,
    )
    if found is None:
        return {}
    sizes = [{**asdict(one), "high": None if np.isinf(one.high) else one.high} for one in recall_by_size(pixels, found)]
    figures: dict[str, Any] = {
        "defects": int(pixels.region_sizes.size),
        "coverage": _plain(found.mean),
        "false_alarms": FALSE_ALARMS,
        "limit": found.limit,
        "by_size_px": sizes,
    }
    if counts.wanted:
        figures |= _of_probabilities(pixels, counts.images, resampling)
    return figures


def defect_notes(figures: Mapping[str, Any]) -> Iterator[str]:
    """Say the same in sentences, for the page.

    >>> found = {"value": 0.91, "low": 0.85, "high": 0.95}
    >>> list(defect_notes({"defects": 32, "coverage": found, "false_alarms": 0.05}))
    ['Where 5 % of the good pixels are marked, 91.0 % (85.0 to 95.0 %) of each of the 32 defects is.']
    """
    if not figures:
        return
    share = 100.0 * figures["false_alarms"]
    covered = _in_percent(figures["coverage"], 100.0)
    yield f"Where {share:g} % of the good pixels are marked, {covered} of each of the {figures['defects']} defects is."
    if "covered_percent" in figures:
        judged, true = (_in_percent(figures["covered_percent"][name]) for name in ("judged", "by_masks"))
        yield f"Defects cover {judged} of an image as judged, and {true} by the masks."
    if "patches" in figures:
        counts = figures["patches"]
        yield (
            f"Of patches of {counts['size_px']} px that are wholly of one kind in truth and prediction, "
            f"{counts['missed_defect']} are missed defects beside {counts['found']} found, and "
            f"{counts['false_alarm']} false alarms beside {counts['accepted']} accepted."
        )


def _in_percent(interval: Mapping[str, float | None], times: float = 1.0) -> str:
    value, low, high = (times * (interval[name] or 0.0) for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f} %)"


def _of_probabilities(pixels: PixelScores, images: list[Agreement], resampling: Resampling) -> dict[str, Any]:
    rng, rounds, confidence = resampling.rng, resampling.rounds, resampling.confidence
    judged, true = covered_shares(pixels, 0.5)
    missed, alarms = agreement_rates(images, rng=rng, rounds=rounds, confidence=confidence)
    shares = {"judged": judged, "by_masks": true, "mean_error": np.abs(judged - true)}
    return {
        "covered_percent": {
            name: _plain(mean_of_images(values, rng=rng, rounds=rounds, confidence=confidence), 100.0)
            for name, values in shares.items()
        },
        "patches": {
            **asdict(sum(images, Agreement())),
            "size_px": PATCH,
            "missed_defect_rate": _plain(missed),
            "false_alarm_rate": _plain(alarms),
        },
    }


def _plain(interval: Interval | None, times: float = 1.0) -> dict[str, float | None]:
    if interval is None:
        return dict.fromkeys(("value", "low", "high"))
    return {"value": times * interval.value, "low": times * interval.low, "high": times * interval.high}
