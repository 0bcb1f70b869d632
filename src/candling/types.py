"""The nouns that walk through the house: boxes, predictions, limits, verdicts, inspections; knows no file, no engine.

Everything here is frozen. Arrays inside are numpy; their shape, dtype and range stand beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "WHOLE",
    "Box",
    "FloatArray",
    "Frame",
    "Inspection",
    "Interval",
    "Limit",
    "Prediction",
    "Reason",
    "Region",
    "Verdict",
]

Frame = NDArray[np.uint8] | NDArray[np.uint16]
"""One picture as the camera gave it: uint8 or uint16, (H, W) grey or (H, W, 3) RGB."""

FloatArray = NDArray[np.float32]

WHOLE = "whole"
"""The name of the one region of a product that has no geometry."""


class Verdict(StrEnum):
    """What is decided about a patch, a product or a series of runs."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame in pixels; ``top`` and ``left`` are inside, ``bottom`` and ``right`` just outside.

    >>> Box(top=2, left=3, height=4, width=5).bottom
    6
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column right of the box."""
        return self.left + self.width


@dataclass(frozen=True)
class Region:
    """A named place of the product; ``box`` None is the whole frame, ``vial`` counts from 1 along a strip."""

    name: str = WHOLE
    box: Box | None = None
    vial: int | None = None


@dataclass(frozen=True)
class Limit:
    """The interval of acceptable values; NaN lies in no interval.

    Values in ``[low, high]`` are accepted. Outside, up to ``reject_low`` and ``reject_high`` (when set), lies the grey
    zone: undecided. ``typical`` is the median of the good scores the limit was chosen from; ``severity`` measures in
    units of the way from there to the limit, so that scores of different kinds can be compared.

    >>> Limit(high=0.0386).admits(0.0411), Limit(high=0.0386).admits(math.nan)
    (False, False)
    >>> Limit(high=1.0, reject_high=1.2).judge(1.1).value
    'undecided'
    >>> Limit(high=3.0, typical=1.0).severity(4.0)
    1.5
    """

    low: float = -math.inf
    high: float = math.inf
    reject_low: float | None = None
    reject_high: float | None = None
    typical: float = 0.0

    def admits(self, value: float) -> bool:
        """Tell whether a value is acceptable."""
        return self.low <= value <= self.high

    def judge(self, value: float) -> Verdict:
        """Give the verdict on one value: accept inside, undecided in the grey zone, reject elsewhere and for NaN."""
        if self.admits(value):
            return Verdict.ACCEPT
        low = self.low if self.reject_low is None else self.reject_low
        high = self.high if self.reject_high is None else self.reject_high
        return Verdict.UNDECIDED if low <= value <= high else Verdict.REJECT

    def severity(self, value: float) -> float:
        """Measure a value: 0 at the typical good one, 1 at the limit, more beyond; NaN is infinitely bad."""
        if math.isnan(value):
            return math.inf
        span = self.high - self.typical
        if not math.isfinite(span) or span <= 0.0:
            return value - self.high
        return (value - self.typical) / span


@dataclass(frozen=True)
class Prediction:
    """What the graph says of one patch.

    Attributes:
        region: the region the patch belongs to.
        box: where the patch lies in its frame.
        scores: named numbers, larger is worse.
        anomaly_map: float32 (H, W) at the graph's resolution, larger is worse; None when the graph has none.
        reconstruction: float32 (C, H, W) in [0, 1]; None when the graph has none or it was not asked for.
        nearest: int64 (h, w): the remembered good cell that each cell of an h x w grid over the patch resembles most,
            ``picture * h * w + row * w + column``, -1 where none is known; None likewise.
        turn: degrees by which the product lies clockwise of the remembered ones, where patches are aligned.
        vial: which vial of a strip, counted from 1; None where the product is no strip.
        frame: which frame of the acquisition, counted from 1; None where there is only one.
    """

    region: str
    box: Box
    scores: Mapping[str, float]
    anomaly_map: FloatArray | None = None
    reconstruction: FloatArray | None = None
    nearest: NDArray[np.int64] | None = None
    turn: float = 0.0
    vial: int | None = None
    frame: int | None = None

    @property
    def where(self) -> str:
        """Say in words which patch of the product it is.

        >>> Prediction("r2_liquid", Box(0, 0, 8, 8), {}, vial=3, frame=2).where
        'vial 3, r2_liquid, frame 2'
        """
        vial = [] if self.vial is None else [f"vial {self.vial}"]
        frame = [] if self.frame is None else [f"frame {self.frame}"]
        return ", ".join([*vial, self.region, *frame])


@dataclass(frozen=True)
class Reason:
    """Why a product was not accepted: one sentence, and the numbers behind it when a score is the cause."""

    text: str
    region: str | None = None
    score: str | None = None
    value: float | None = None
    limit: float | None = None
    vial: int | None = None
    frame: int | None = None


@dataclass(frozen=True)
class Inspection:
    """The record of one judged product.

    Attributes:
        product: its name, for a file its path.
        verdict: accept, reject or undecided.
        severity: the worst over all judged scores (1.0 is at the limit); infinite when nothing could be judged.
        reasons: why it was not accepted, worst first; empty for an accepted product.
        predictions: one per patch, empty when the input could not be read.
        milliseconds: time by step (``read``, ``prepare``, ``predict``, ``judge``).
        bundle: SHA-256 of the bundle's manifest.
    """

    product: str
    verdict: Verdict
    severity: float
    reasons: tuple[Reason, ...]
    predictions: tuple[Prediction, ...]
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    bundle: str = ""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float
