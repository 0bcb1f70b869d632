"""Scores beside their limits: the worst value of each region and score, and the worst of all; decides nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candling.types import Inspection, Limit

__all__ = ["BesideLimit", "region_scores", "worst_score"]


@dataclass(frozen=True)
class BesideLimit:
    """One judged score and the bound of its limit that it is nearest to breaking, or breaks."""

    region: str
    score: str
    value: float
    limit: float


def region_scores(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> dict[tuple[str, str], float]:
    """Give the worst value of every judged score, by (region, score), in the order of ``limits``.

    The worst of several patches is the one of the highest severity; NaN is worse than any number. Regions that were not
    seen are left out.

    >>> from candling.types import Box, Inspection, Limit, Prediction, Verdict
    >>> patches = tuple(Prediction("neck", Box(0, 0, 8, 8), {"error": value}) for value in (0.1, 0.4, 0.2))
    >>> found = Inspection("a.png", Verdict.ACCEPT, 0.4, (), patches)
    >>> region_scores(found, {("neck", "error"): Limit(high=1.0), ("body", "error"): Limit(high=1.0)})
    {('neck', 'error'): 0.4}
    """
    found: dict[tuple[str, str], float] = {}
    for (region, score), limit in limits.items():
        values = [float(p.scores[score]) for p in inspection.predictions if p.region == region and score in p.scores]
        if values:
            found[region, score] = max(values, key=partial(_badness, limit))
    return found


def worst_score(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> BesideLimit | None:
    """Find the score that decided: the one of the highest severity; None when nothing was judged."""
    scores = region_scores(inspection, limits)
    if not scores:
        return None
    region, score = max(scores, key=lambda key: _badness(limits[key], scores[key]))
    value, limit = scores[region, score], limits[region, score]
    return BesideLimit(region, score, value, limit.low if value < limit.low else limit.high)


def _badness(limit: Limit, value: float) -> float:
    """Order values by severity; one below its limit's lower bound is as bad as one above the upper."""
    if not math.isfinite(value) or value < limit.low:
        return math.inf
    return limit.severity(value)
