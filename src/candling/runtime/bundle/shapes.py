"""The shapes of a bundle's JSON files: limits with their history, card, manifest; knows no disk.

Every shape is strict and closed: another type or an unknown key is refused. JSON has no infinity, so an open end of a
limit is null.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from candling.types import Interval, Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "Card",
    "DataFacts",
    "LimitChange",
    "LimitEntry",
    "LimitsFile",
    "Manifest",
    "ManifestFile",
    "MapRange",
    "Range",
]

FORMAT = 1
"""The version of the folder's format; raised when an older candling could misread a newer bundle."""

Fact = str | int | float | bool | None
"""One line of a card."""

SHA256 = r"^[0-9a-f]{64}$"
_NAME = r"^[a-z][a-z0-9_]*$"


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Range(_Shape):
    """An estimate with its confidence interval, as in :class:`candling.types.Interval`."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> Self:
        """Take it over from the house's noun."""
        return cls(value=interval.value, low=interval.low, high=interval.high)

    def interval(self) -> Interval:
        """Give the house's noun."""
        return Interval(self.value, self.low, self.high)


class MapRange(_Shape):
    """What anomaly maps of good images hold: the base of one colour scale for all pictures of a bundle.

    Attributes:
        typical: the median over good images of the maps' medians.
        highest: the largest value any good map reached.
    """

    typical: float
    highest: float


class LimitEntry(_Shape):
    """One limit, with what it was chosen for and from.

    Attributes:
        region: the region it holds for.
        score: the score it holds for.
        low: values below are outside; None is open.
        high: values above are outside; None is open.
        reject_low: where the grey zone below ends; None without one.
        reject_high: where the grey zone above ends; None without one.
        typical: the median good score.
        goal: the rule it was chosen by, or ``"manual"``.
        value: the goal's number.
        confidence: of the intervals.
        samples_good: good scores it was chosen from.
        samples_defect: defect scores it was chosen from.
        false_reject: share of the good scores outside, with its interval; None when nothing was counted.
        missed_defect: share of the defect scores inside, with its interval; None without defects.
        data: SHA-256 of the images it was chosen from; None for a limit set by hand.
        note: what to know before trusting it.
        level: what the goal's number and the samples were counted in: patches, strips, or products by their runs.
        meaning: what the score depends on beyond the image, as on the card; None where it depends on nothing else.
        chosen_at: when, UTC.
    """

    region: str = Field(pattern=_NAME)
    score: str = Field(pattern=_NAME)
    low: float | None = None
    high: float | None = None
    reject_low: float | None = None
    reject_high: float | None = None
    typical: float = 0.0
    goal: str
    value: float = 0.0
    confidence: float = Field(default=0.95, gt=0, lt=1)
    samples_good: int = Field(default=0, ge=0)
    samples_defect: int = Field(default=0, ge=0)
    false_reject: Range | None = None
    missed_defect: Range | None = None
    data: str | None = Field(default=None, pattern=SHA256)
    note: str = ""
    level: Literal["patch", "strip", "run"] = "patch"
    meaning: str | None = None
    chosen_at: AwareDatetime

    @model_validator(mode="after")
    def _ends_are_in_order(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("a limit needs a low or a high end; without either it admits everything")
        ends = [end for end in (self.reject_low, self.low, self.high, self.reject_high) if end is not None]
        if ends != sorted(ends):
            raise ValueError("the ends must rise: reject_low, low, high, reject_high")
        return self

    def limit(self) -> Limit:
        """Give the house's noun."""
        return Limit(
            low=-math.inf if self.low is None else self.low,
            high=math.inf if self.high is None else self.high,
            reject_low=self.reject_low,
            reject_high=self.reject_high,
            typical=self.typical,
        )


class LimitChange(_Shape):
    """One change of the limits: when, why, by whom, from what to what."""

    at: AwareDatetime
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)
    precision: str
    engine: str
    old: tuple[LimitEntry, ...]
    new: tuple[LimitEntry, ...]


class LimitsFile(_Shape):
    """``limits.json``: the limits that hold, under which conditions, and every change since the bundle was made.

    Attributes:
        precision: in which the scores were computed that the limits were chosen from; judging at another is refused.
        engine: by which engine; another one may judge, because parity between engines is tested.
        entries: the limits; one a region and score.
        map_range: of good anomaly maps; None when the graph gives none.
        history: every change, oldest first; each begins where the one before ended, and the last ends at ``entries``.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    engine: str = "onnxruntime"
    entries: tuple[LimitEntry, ...]
    map_range: MapRange | None = None
    history: tuple[LimitChange, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        keys = [(entry.region, entry.score) for entry in self.entries]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"two limits for score {twice[1]!r} in region {twice[0]!r}")
        ends = [*(change.old for change in self.history[1:]), self.entries]
        if any(change.new != end for change, end in zip(self.history, ends, strict=False)):
            raise ValueError("the history does not lead to the limits; one of them was changed by hand")
        return self

    def limits(self) -> Mapping[tuple[str, str], Limit]:
        """Give the limits by (region, score), as judging wants them."""
        return {(entry.region, entry.score): entry.limit() for entry in self.entries}


class DataFacts(_Shape):
    """The images a bundle was trained on.

    Attributes:
        name: the folder's or table's own name, without the path to it.
        sha256: over the content of all images used, from :func:`candling.data.samples.content_hash`.
        counts: images by split or use, such as ``{"fit": 197, "held_out": 22}``.
    """

    name: str
    sha256: str = Field(pattern=SHA256)
    counts: dict[str, int]


class Card(_Shape):
    """``card.json``: where a bundle comes from, for people and for the record; nothing in it changes a verdict.

    The witness alone is for the engine as well: one that contradicts it is not opened.

    Attributes:
        name: the bundle's name.
        method: the method's name, from the recipe.
        created: when it was trained, UTC.
        candling: the version that made it.
        versions: of Python and the libraries that took part.
        hardware: processor, cores, memory.
        seeds: of everything random.
        data: the training images.
        training: how it went (epochs, minutes, precision, losses).
        parity: how far the exported graph is from the network, on how many images, in which batches.
        choices: what was decided from the good images, with the figures that decided it.
        witness: what the network says of the witness picture, from ``runtime.engine``; None in bundles that were made
            before there was one, whose engine is then taken as it is.
        scores: what each score means, exactly: the definition of its SSIM, the normalisation of its images.
        precision: the graph was calibrated in, when the bundle was made.
        engine: it was calibrated with, when the bundle was made.
    """

    name: str
    method: str
    created: AwareDatetime
    candling: str
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Fact] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    data: DataFacts
    training: dict[str, Fact] = Field(default_factory=dict)
    parity: dict[str, Fact] = Field(default_factory=dict)
    choices: dict[str, Fact] = Field(default_factory=dict)
    witness: dict[str, float] | None = None
    scores: dict[str, str] = Field(default_factory=dict)
    precision: Literal["float32", "bfloat16"] = "float32"
    engine: str = "onnxruntime"


class ManifestFile(_Shape):
    """What one file of a bundle must be."""

    sha256: str = Field(pattern=SHA256)
    bytes: int = Field(ge=0)


class Manifest(_Shape):
    """``manifest.json``: every other file of the folder by name; its own hash is the bundle's."""

    format: int
    candling: str
    files: dict[str, ManifestFile]
