"""What an evaluation found: figures, results per class and per image, and their JSON and CSV; knows no engine, no page.

The JSON form is stable: keys are added, never renamed or removed, while ``format`` stays the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from candling.types import Verdict
from candling.workflow.tables import Cell, csv_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FIGURES",
    "ClassResult",
    "Evaluation",
    "Example",
    "Figure",
    "ImageResult",
    "LimitLine",
    "Origin",
    "Panel",
    "StepTime",
    "Timings",
]

FORMAT = 1
"""Raised when a key of the JSON form changes its meaning."""

FIGURES = (
    "image_auroc",
    "image_ap",
    "f1",
    "best_f1",
    "missed_defect_rate",
    "false_reject_rate",
    "pixel_auroc",
    "pixel_ap",
    "aupro",
)
"""The figures every evaluation names, computable or not, in the order they are shown."""


@dataclass(frozen=True)
class Figure:
    """One number with its confidence interval, or the reason why there is none.

    ``low`` and ``high`` are None when the value has no interval (too few images, or none was asked for).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give ``{value, low, high}``, with ``reason`` beside nulls."""
        data: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        return data | {"reason": self.reason} if self.reason else data


@dataclass(frozen=True)
class ImageResult:
    """What became of one test image.

    Attributes:
        name: its path below the data's root, with forward slashes.
        label: "good" or the class of its defect.
        verdict: what the inspector said.
        severity: 1 at the limit, larger is worse; infinite when the image could not be judged.
        reason: why it was not accepted, or an empty text.
        region: the region of the worst score; None when the image could not be judged, like the next three.
        score: the name of the worst score.
        value: that score.
        limit: the limit it was judged against.
        milliseconds: time by step.
        has_mask: True when its pixels count in the pixel figures.
    """

    name: str
    label: str
    verdict: Verdict
    severity: float
    reason: str = ""
    region: str | None = None
    score: str | None = None
    value: float | None = None
    limit: float | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    has_mask: bool = False

    @property
    def is_good(self) -> bool:
        """True when the label says good."""
        return self.label == "good"

    @property
    def accepted(self) -> bool:
        """True when the verdict is accept; undecided is not accepted, as on the line."""
        return self.verdict is Verdict.ACCEPT

    @property
    def judged_rightly(self) -> bool:
        """True for an accepted good image and a defect that was not accepted."""
        return self.is_good == self.accepted

    @property
    def mistake(self) -> str:
        """``missed defect``, ``false reject`` or an empty text."""
        return "" if self.judged_rightly else "false reject" if self.is_good else "missed defect"

    @property
    def readable(self) -> bool:
        """False when it could not be judged: no patch of it, or a score that is no number."""
        return math.isfinite(self.severity)


@dataclass(frozen=True)
class ClassResult:
    """One class of defect: how many there are, how many were found, how well severity tells it from good."""

    label: str
    count: int
    detected: int
    image_auroc: Figure
    missed_defect_rate: Figure
    median_severity: float

    @property
    def missed(self) -> int:
        """How many were accepted."""
        return self.count - self.detected


@dataclass(frozen=True)
class LimitLine:
    """One limit of the bundle as it was when the evaluation ran; infinite bounds are None."""

    region: str
    score: str
    typical: float
    low: float | None
    high: float | None
    reject_high: float | None = None
    goal: str = ""


@dataclass(frozen=True)
class StepTime:
    """Milliseconds an image took in one step."""

    mean: float
    median: float
    p95: float
    worst: float


@dataclass(frozen=True)
class Timings:
    """How long images took, one after another.

    Attributes:
        steps: by step, and ``total``; empty when no image was judged.
        images_per_second: readable images over the sum of their step times: no overlap of decoding and predicting is
            counted in, so the line is at least this fast.
        graph_share: the share of that time spent inside the graph (step ``predict``).
    """

    steps: Mapping[str, StepTime]
    images_per_second: float | None
    graph_share: float | None


@dataclass(frozen=True)
class Origin:
    """Where the numbers come from: product, data, bundle, engine, versions, date."""

    product: str
    source: str
    bundle_name: str
    bundle_hash: str
    bundle_made: str
    method: str
    engine: str
    precision: str
    input_shape: tuple[int, ...]
    data_name: str
    data_hash: str
    versions: Mapping[str, str]
    date: str


@dataclass(frozen=True)
class Panel:
    """One small picture of an example: JPEG bytes and what they show."""

    caption: str
    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Example:
    """One image of the gallery: why it is there, its result and its panels.

    ``unlike`` is its worst place and the nearest good one; empty where the bundle remembers none. ``why`` is what the
    network sees of its worst place, and what of that decides; empty where that was not asked for.
    """

    group: str
    result: ImageResult
    panels: tuple[Panel, ...]
    unlike: tuple[Panel, ...] = ()
    why: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation found.

    Attributes:
        origin: product, data, bundle, engine, versions, date.
        figures: every name of :data:`FIGURES`.
        best_severity: the limit, in units of severity, at which F1 is best; None without good or defect images.
        classes: one entry a class of defect, in alphabetical order.
        images: one entry a test image, in the order of the data.
        limits: the limits the verdicts were given by.
        timings: how long images took.
        examples: the gallery.
        scale_bar: a picture of the heatmap's colours from low to high, None when there is no gallery.
        filters: the filters of the graph's first convolutions; empty when there is no gallery, or no convolution.
        notes: what a reader must know before trusting the figures, one sentence each.
        confidence: of every interval.
        rounds: resamplings behind the intervals of the ranking figures.
        seed: of those.
        aupro_limit: the false-reject rate of pixels up to which AUPRO integrates.
        defects: figures of the defects themselves as plain JSON values (``defect_figures``); empty without masks.
    """

    origin: Origin
    figures: Mapping[str, Figure]
    best_severity: float | None
    classes: tuple[ClassResult, ...]
    images: tuple[ImageResult, ...]
    limits: tuple[LimitLine, ...]
    timings: Timings
    examples: tuple[Example, ...] = ()
    scale_bar: Panel | None = None
    filters: tuple[Panel, ...] = ()
    notes: tuple[str, ...] = ()
    confidence: float = 0.95
    rounds: int = 0
    seed: int = 0
    aupro_limit: float = 0.3
    defects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def good(self) -> tuple[ImageResult, ...]:
        """The good images."""
        return tuple(image for image in self.images if image.is_good)

    @property
    def defect(self) -> tuple[ImageResult, ...]:
        """The images with a defect."""
        return tuple(image for image in self.images if not image.is_good)

    @property
    def false_rejects(self) -> tuple[ImageResult, ...]:
        """Good images that were not accepted, worst first: the highest severity."""
        wrong = (image for image in self.good if not image.accepted)
        return tuple(sorted(wrong, key=lambda image: (-image.severity, image.name)))

    @property
    def missed_defects(self) -> tuple[ImageResult, ...]:
        """Defects that were accepted, worst first: the lowest severity."""
        wrong = (image for image in self.defect if image.accepted)
        return tuple(sorted(wrong, key=lambda image: (image.severity, image.name)))

    @property
    def unreadable(self) -> tuple[ImageResult, ...]:
        """Images of which nothing could be judged: rejected, each with its reason."""
        return tuple(image for image in self.images if not image.readable)

    def severities(self) -> NDArray[np.float64]:
        """Give one finite severity an image, (N,): what could not be judged stands above everything that could."""
        return finite(np.array([image.severity for image in self.images], dtype=np.float64))

    def to_json(self) -> dict[str, Any]:
        """Give the summary as plain JSON values, none of them NaN; every image's own row is in :meth:`csv_lines`."""
        return _summary(self)

    def json_text(self) -> str:
        """Write :meth:`to_json` as text: the same evaluation gives the same bytes."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=True, allow_nan=False) + "\n"

    def csv_lines(self) -> Iterator[str]:
        """Write one CSV line an image, after a header; no cell can be taken for a formula."""
        steps = list(dict.fromkeys(step for image in self.images for step in image.milliseconds))
        head = ["name", "label", "verdict", "mistake", "severity", "region", "score", "value", "limit", "reason"]
        yield csv_line([*head, *(f"{step}_ms" for step in steps)])
        for image in self.images:
            judged: list[Cell] = [image.name, image.label, str(image.verdict), image.mistake, image.severity]
            behind: list[Cell] = [image.region, image.score, image.value, image.limit, image.reason]
            yield csv_line([*judged, *behind, *(image.milliseconds.get(step) for step in steps)])

    def sha256(self) -> str:
        """Give the hash of the summary and every image's row: what a report is a picture of."""
        digest = hashlib.sha256(self.json_text().encode())
        for line in self.csv_lines():
            digest.update(line.encode())
        return digest.hexdigest()


def finite(severities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put infinite severities just outside the finite ones, so that ranks stay and arithmetic works.

    >>> finite(np.array([0.5, np.inf, 3.0])).tolist()
    [0.5, 4.0, 3.0]
    """
    known = severities[np.isfinite(severities)]
    top, bottom = (float(known.max()), float(known.min())) if known.size else (1.0, 1.0)
    return np.where(severities == math.inf, max(top, 1.0) + 1.0, np.where(severities == -math.inf, bottom, severities))


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    figures: dict[str, Any] = {name: evaluation.figures[name].as_dict() for name in FIGURES}
    figures["best_f1"]["severity"] = evaluation.best_severity
    return {
        "format": FORMAT,
        "counts": _counts(evaluation),
        **figures,
        "per_class": {found.label: _class(found) for found in evaluation.classes},
        "limits": [vars(line) for line in evaluation.limits],
        "timings": {
            "steps_ms": {step: vars(time) for step, time in evaluation.timings.steps.items()},
            "images_per_second": evaluation.timings.images_per_second,
            "graph_share": evaluation.timings.graph_share,
        },
        "false_rejects": [image.name for image in evaluation.false_rejects],
        "missed_defects": [image.name for image in evaluation.missed_defects],
        "unreadable": {image.name: image.reason for image in evaluation.unreadable},
        "notes": list(evaluation.notes),
        "intervals": {
            "confidence": evaluation.confidence,
            "rounds": evaluation.rounds,
            "seed": evaluation.seed,
            "rates": "Clopper-Pearson",
            "others": "bootstrap over images",
        },
        "aupro_limit": evaluation.aupro_limit,
        "defects": dict(evaluation.defects),
        "origin": {name: _plain(value) for name, value in vars(evaluation.origin).items()},
    }


def _counts(evaluation: Evaluation) -> dict[str, int]:
    return {
        "images": len(evaluation.images),
        "good": len(evaluation.good),
        "defect": len(evaluation.defect),
        "false_rejects": len(evaluation.false_rejects),
        "missed_defects": len(evaluation.missed_defects),
        "undecided": sum(image.verdict is Verdict.UNDECIDED for image in evaluation.images),
        "unreadable": len(evaluation.unreadable),
        "with_mask": sum(image.has_mask for image in evaluation.images),
    }


def _class(found: ClassResult) -> dict[str, Any]:
    return {
        "count": found.count,
        "detected": found.detected,
        "missed": found.missed,
        "image_auroc": found.image_auroc.as_dict(),
        "missed_defect_rate": found.missed_defect_rate.as_dict(),
        "median_severity": found.median_severity if math.isfinite(found.median_severity) else None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(sorted(value.items()))
    return list(value) if isinstance(value, tuple) else value
