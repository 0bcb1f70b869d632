"""What is particular to products of several vials and frames: judging acquisitions, the worst frame, each vial's worst.

Knows no file and no page. A product of one frame passes through unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from candling.data.samples import Acquisition
    from candling.runtime.inspector import Inspector
    from candling.types import Inspection, Limit, Prediction

__all__ = ["VialResult", "frame_number", "inspect_all", "of_frame", "of_worst_frame", "outside", "vial_results"]


@dataclass(frozen=True)
class VialResult:
    """The worst of one vial over its regions and frames.

    Attributes:
        vial: which, counted from 1.
        severity: 0 at the typical good score, 1 at the limit; infinite when a score is no number.
        score_over_limit: the largest score over its limit (Ferrari et al. 2024, eq. 13, with each region's own limit);
            above 1 rejects; infinite when a score is no number.
    """

    vial: int
    severity: float
    score_over_limit: float


def inspect_all(
    inspector: Inspector,
    acquisitions: Sequence[Acquisition],
    *,
    maps: bool = True,
    reconstructions: bool = False,
    nearest: bool = False,
) -> Iterator[Inspection]:
    """Judge acquisitions in order, each as its recipe wants it: one image, or all frames of one run."""
    if inspector.recipe.frames == 1:
        paths = [one.paths[0] for one in acquisitions]
        return inspector.inspect_files(paths, maps=maps, reconstructions=reconstructions, nearest=nearest)
    named = [(one.name, one.paths) for one in acquisitions]
    return inspector.inspect_acquisitions(named, maps=maps, reconstructions=reconstructions, nearest=nearest)


def of_frame(inspection: Inspection, frame: int) -> Inspection:
    """Give the same inspection with the predictions of one frame, counted from 1."""
    return replace(inspection, predictions=tuple(one for one in inspection.predictions if one.frame == frame))


def of_worst_frame(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> Inspection:
    """Give the same inspection with the predictions of its worst frame; one of a single frame as it is."""
    numbered = [one for one in inspection.predictions if one.frame is not None]
    if not numbered:
        return inspection
    worst = max(numbered, key=lambda one: _severity(one, limits))
    assert worst.frame is not None
    return of_frame(inspection, worst.frame)


def frame_number(inspection: Inspection) -> int | None:
    """Say which frame an inspection of one frame shows; None where there is only one."""
    return inspection.predictions[0].frame if inspection.predictions else None


def outside(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> tuple[str, ...]:
    """Name the patches that lie outside a limit, in their order.

    >>> from candling.types import Box, Inspection, Limit, Prediction, Verdict
    >>> patches = tuple(Prediction("body", Box(0, 0, 8, 8), {"error": 0.2 * vial}, vial=vial) for vial in (1, 2, 3))
    >>> outside(Inspection("a", Verdict.REJECT, 1.5, (), patches), {("body", "error"): Limit(high=0.4)})
    ('vial 3, body',)
    """
    found = (patch for patch in inspection.predictions if not _severity(patch, limits) <= 1.0)  # NaN is outside
    return tuple(dict.fromkeys(patch.where for patch in found))


def vial_results(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> tuple[VialResult, ...]:
    """Give the worst of each vial, in their order; nothing where the product is no strip.

    >>> from candling.types import Box, Inspection, Limit, Prediction, Verdict
    >>> patches = tuple(Prediction("body", Box(0, 0, 8, 8), {"error": 0.1 * vial}, vial=vial) for vial in (1, 2))
    >>> found = vial_results(Inspection("a", Verdict.ACCEPT, 0.5, (), patches), {("body", "error"): Limit(high=0.4)})
    >>> [(one.vial, one.severity) for one in found]
    [(1, 0.25), (2, 0.5)]
    """
    vials = sorted({one.vial for one in inspection.predictions if one.vial is not None})
    return tuple(_vial(vial, [one for one in inspection.predictions if one.vial == vial], limits) for vial in vials)


def _vial(vial: int, patches: Sequence[Prediction], limits: Mapping[tuple[str, str], Limit]) -> VialResult:
    shares = [
        one.scores[score] / limit.high
        for one in patches
        for (region, score), limit in limits.items()
        if region == one.region and limit.high > 0.0 and math.isfinite(limit.high)
    ]
    worst = math.inf if any(math.isnan(share) for share in shares) else max(shares, default=math.inf)
    return VialResult(vial, max(_severity(one, limits) for one in patches), worst)


def _severity(patch: Prediction, limits: Mapping[tuple[str, str], Limit]) -> float:
    found = [
        limit.severity(patch.scores[score])
        for (region, score), limit in limits.items()
        if region == patch.region and score in patch.scores
    ]
    return max(found, default=-math.inf)
