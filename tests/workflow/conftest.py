"""Stand-ins shared by the tests of results, evaluation and report: an evaluation and inspections with known numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from candling.intervals import clopper_pearson
from candling.types import Box, Inspection, Limit, Prediction, Reason, Verdict
from candling.workflow.evaluation import (
    FIGURES,
    ClassResult,
    Evaluation,
    Example,
    Figure,
    ImageResult,
    LimitLine,
    Origin,
    Panel,
    StepTime,
    Timings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JPEG = b"\xff\xd8\xff\xe0 not a picture, but bytes that must arrive as they are \xff\xd9"


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    """Build an evaluation from (name, label, severity); 1 is the limit."""

    def make(images: Sequence[tuple[str, str, float]], **changes: object) -> Evaluation:
        results = tuple(_result(*image) for image in images)
        good, defect = ([r for r in results if r.is_good is kind] for kind in (True, False))
        figures = {name: Figure(None, reason="not computed here") for name in FIGURES}
        if defect:
            figures["missed_defect_rate"] = _rate(sum(r.accepted for r in defect), len(defect))
        if good:
            figures["false_reject_rate"] = _rate(sum(not r.accepted for r in good), len(good))
        parts: dict[str, object] = {
            "origin": Origin(
                product="Capsules",
                source="drawn",
                bundle_name="capsule.bundle",
                bundle_hash="b" * 64,
                bundle_made="made by candling 0.1.0 on 2026-11-20",
                method="autoencoder",
                engine="onnxruntime",
                precision="float32",
                input_shape=(1, 64, 64),
                data_name="capsules",
                data_hash="d" * 64,
                versions={"candling": "0.1.0"},
                date="2026-11-20 12:00 UTC",
            ),
            "figures": figures,
            "best_severity": None,
            "classes": tuple(_class(label, defect) for label in sorted({r.label for r in defect})),
            "images": results,
            "limits": (LimitLine("whole", "error", 0.1, None, 0.3, goal="false rejects of 5.0 %"),),
            "timings": Timings({"predict": StepTime(2.0, 2.0, 2.0, 2.0)}, 500.0, 1.0),
        }
        return Evaluation(**(parts | changes))

    return make


@pytest.fixture
def make_example() -> Callable[[ImageResult, str], Example]:
    """Build one entry of the gallery with a fake picture."""
    return lambda result, group: Example(group, result, (Panel("original", JPEG, 40, 30),))


@pytest.fixture
def limits() -> dict[tuple[str, str], Limit]:
    """One limit: 0.1 is typical, 0.3 the limit."""
    return {("whole", "error"): Limit(high=0.3, typical=0.1)}


@pytest.fixture
def make_inspection(limits: dict[tuple[str, str], Limit]) -> Callable[..., Inspection]:
    """Build the inspection of a 40 x 60 frame from its one score."""

    def make(product: str, score: float | None, *, anomaly_map: np.ndarray | None = None) -> Inspection:
        times = {"read": 4.0, "prepare": 1.0, "predict": 15.0, "judge": 0.0}
        if score is None:
            return Inspection(product, Verdict.REJECT, float("inf"), (Reason("not a PNG"),), (), {"read": 0.5}, "b")
        limit = limits["whole", "error"]
        verdict = limit.judge(score)
        reasons = () if verdict is Verdict.ACCEPT else (Reason(f"error {score}", "whole", "error", score, limit.high),)
        values = np.zeros((20, 30), np.float32) if anomaly_map is None else anomaly_map
        patch = Prediction("whole", Box(0, 0, 40, 60), {"error": score}, values)
        return Inspection(product, verdict, limit.severity(score), reasons, (patch,), times, "b")

    return make


def _result(name: str, label: str, severity: float) -> ImageResult:
    verdict = Verdict.ACCEPT if severity <= 1.0 else Verdict.REJECT
    if not np.isfinite(severity):
        return ImageResult(name, label, verdict, severity, reason="not a PNG")
    value = 0.1 + 0.2 * severity
    return ImageResult(name, label, verdict, severity, "", "whole", "error", value, 0.3, {"predict": 2.0})


def _rate(hits: int, total: int) -> Figure:
    found = clopper_pearson(hits, total)
    return Figure(found.value, found.low, found.high)


def _class(label: str, defect: Sequence[ImageResult]) -> ClassResult:
    own = [result for result in defect if result.label == label]
    missed = sum(result.accepted for result in own)
    median = float(np.median([result.severity for result in own]))
    return ClassResult(label, len(own), len(own) - missed, Figure(0.9, 0.8, 1.0), _rate(missed, len(own)), median)
