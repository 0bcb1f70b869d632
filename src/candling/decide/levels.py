"""Limits tuned for a strip or for a product's runs: all of them moved together until the goal is met there.

A strip is rejected by any of its patches, so limits that are right for patches are too strict for it (Ferrari et al.
2024 tune theirs anew at each level). First every region gets a limit from what would decide a product there, were it
the only region: the worst patch of a strip, or of the run that decides. With 7 of 10 a good product is accepted when
the seventh smallest of its ten values is within the limit, a defect rejected when the seventh largest is beyond; so
three strange runs of a good product widen no limit. Measured by these, a strip is as bad as its worst patch. The limit
that the goal asks for on that scale then moves every region's limit alike, from the typical good score outwards.

Runs may have to reject the same patch (:func:`at_one_place`). A bubble is elsewhere in the next run and a defect is
not, so limits may be far closer before a good product has one patch outside them in most runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.decide.limits import LABELLED_GOALS, ChosenLimit, choose_limit
from candling.errors import LimitError
from candling.types import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Unit", "at_one_place", "choose_together", "deciding_severity", "move_limit", "worst_severity"]

Key = tuple[str, str]

_FIRST_RATE: Final = 0.05
"""The most that a region's first limit rejects of good products, before all are moved; so where the goal has labels."""

_SEEN: Final = 1.5
"""A first limit rejects so many of the good products at hand at least: regions are compared by what was seen there."""


@dataclass(frozen=True)
class Unit:
    """All scores of one product: of one acquisition, or of each of its runs.

    Attributes:
        good: what it is known to be.
        runs: of each acquisition, by (region, score), the values of all its patches, finite.
    """

    good: bool
    runs: tuple[Mapping[Key, Sequence[float]], ...]


def choose_together(
    units: Sequence[Unit],
    keys: Sequence[Key],
    *,
    goal: str,
    value: float,
    agree: int = 1,
    confidence: float = 0.95,
    grey: float = 0.0,
) -> tuple[ChosenLimit, ...]:
    """Choose the limits of all regions for a goal that counts whole strips, or products classified by their runs.

    Args:
        units: what the goal counts; of one run each for strips.
        keys: (region, score) of the limits.
        goal: as for :func:`candling.decide.limits.choose_limit`.
        value: its number.
        agree: how many of a unit's runs must agree; 1 for strips.
        confidence: of the stated intervals.
        grey: width of each grey zone, as a share of the way from the typical good score to the limit.

    Returns:
        One a key, in their order; rates and counts are those of units, the same for all.

    Raises:
        LimitError: as for ``choose_limit``.
    """
    wanted = {"false_reject": value, "quantile": 1.0 - value}.get(goal, _FIRST_RATE) / len(keys)
    rate = min(max(wanted, _SEEN / (1 + sum(unit.good for unit in units))), _FIRST_RATE)
    first = {key: _first_limit(units, key, agree=agree, rate=rate) for key in keys}
    severities = [(unit.good, _severity(unit, first, agree)) for unit in units]
    joint = choose_limit(
        np.array([severity for good, severity in severities if good]),
        np.array([severity for good, severity in severities if not good]) if goal in LABELLED_GOALS else None,
        goal=goal,
        value=value,
        score="severity",
        region="all regions",
        confidence=confidence,
    )
    return tuple(
        replace(joint, region=key[0], score=key[1], limit=move_limit(first[key], joint.limit.high, grey=grey))
        for key in keys
    )


def at_one_place(unit: Unit, *, agree: int) -> Unit:
    """Give a unit of one run, in which each patch has the value that decides it: as :func:`deciding_severity` does.

    Args:
        unit: whose runs have the same patches in the same order.
        agree: how many runs must agree on a patch.

    Raises:
        LimitError: a run has more or fewer patches than another.

    >>> runs = tuple({("body", "error"): [first, 0.2]} for first in (0.1, 0.9, 0.3))
    >>> at_one_place(Unit(good=False, runs=runs), agree=2).runs
    ({('body', 'error'): (0.3, 0.2)},)
    """
    decided: dict[Key, tuple[float, ...]] = {}
    for key in dict.fromkeys(key for run in unit.runs for key in run):
        patches = [run.get(key, ()) for run in unit.runs]
        if len({len(values) for values in patches}) > 1:
            raise LimitError(f"{key[0]}: {key[1]}: not every run has the same patches; complete the runs")
        decided[key] = tuple(
            deciding_severity(values, agree=agree, good=unit.good) for values in zip(*patches, strict=True)
        )
    return replace(unit, runs=(decided,))


def worst_severity(values: Mapping[Key, Sequence[float]], limits: Mapping[Key, Limit]) -> float:
    """Give the severity of one acquisition: that of its worst patch; NaN is infinitely bad.

    >>> worst_severity({("body", "error"): [0.1, 0.3], ("flag", "error"): [0.1]},
    ...                {("body", "error"): Limit(high=0.2), ("flag", "error"): Limit(high=0.4)})
    1.4999999999999998
    """
    return max(
        (limit.severity(value) for key, limit in limits.items() for value in values.get(key, ())), default=math.inf
    )


def deciding_severity(severities: Sequence[float], *, agree: int, good: bool) -> float:
    """Give the severity that classifies a product by its runs, on one scale with a limit.

    A good product counts as rightly accepted when at least ``agree`` runs lie within the limit: when the ``agree``-th
    smallest does. A defect counts as rejected when at least ``agree`` lie beyond: when the ``agree``-th largest does.

    >>> runs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    >>> deciding_severity(runs, agree=7, good=True), deciding_severity(runs, agree=7, good=False)
    (7, 4)
    """
    ordered = sorted(severities, reverse=not good)
    return ordered[agree - 1]


def move_limit(limit: Limit, severity: float, *, grey: float = 0.0) -> Limit:
    """Give the limit that lies where values of a severity lie now; one without a way to go stays.

    >>> move_limit(Limit(high=3.0, typical=1.0), 1.5).high
    4.0
    """
    span = limit.high - limit.typical
    if not math.isfinite(span) or span <= 0.0:
        return limit
    high = limit.typical + severity * span
    way = high - limit.typical
    return Limit(high=high, reject_high=high + grey * way if grey > 0.0 and way > 0.0 else None, typical=limit.typical)


def _severity(unit: Unit, limits: Mapping[Key, Limit], agree: int) -> float:
    return deciding_severity([worst_severity(run, limits) for run in unit.runs], agree=agree, good=unit.good)


def _first_limit(units: Sequence[Unit], key: Key, *, agree: int, rate: float) -> Limit:
    """Choose a region's limit from what decides each good product there."""
    goods = [[values for run in unit.runs if len(values := run.get(key, ()))] for unit in units if unit.good]
    goods = [runs for runs in goods if runs]
    if not goods:
        raise LimitError(f"{key[0]}: {key[1]}: no good score to choose a limit from; give good images")
    deciding = [deciding_severity([max(v) for v in runs], agree=min(agree, len(runs)), good=True) for runs in goods]
    limit = choose_limit(np.array(deciding), None, goal="false_reject", value=rate, region=key[0], score=key[1]).limit
    return replace(limit, typical=float(np.median([value for runs in goods for values in runs for value in values])))
