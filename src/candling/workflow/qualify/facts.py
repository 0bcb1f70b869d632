"""A qualification as JSON for machines and as CSV, one row a container; knows no page.

The JSON form is stable: keys are added, never renamed or removed, while ``format`` stays the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from candling.decide.qualification import chance_of_k, quality_factor, zone_of
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from candling.decide.qualification import (
        ClassifiedSide,
        GroupResult,
        Knapp,
        Qualification,
        RunPolicy,
    )
    from candling.types import Interval
    from candling.workflow.qualify.provenance import Provenance

__all__ = ["csv_lines", "identity", "json_text", "to_json"]

FORMAT = 1
"""Raised when a key of the JSON form changes its meaning."""

COMPARED = (
    "rze_manual",
    "rze_machine",
    "rze_difference",
    "rag_manual",
    "rag_machine",
    "good_rejected_manual",
    "good_rejected_machine",
)
"""The figures that need manual results."""

COLUMNS = (
    "product",
    "label",
    "severity",
    "machine_rejects",
    "machine_runs",
    "machine_undecided",
    "machine_factor",
    "classified",
    "wrong",
    "manual_rejects",
    "manual_inspections",
    "manual_factor",
    "zone",
    "median_score",
)
"""Of the table of containers."""

NO_MANUAL = "no manual results were given"


def to_json(qualification: Qualification, provenance: Provenance) -> dict[str, Any]:
    """Give everything but the containers, which :func:`csv_lines` has, as plain JSON values, none of them NaN."""
    worth = qualification.worth
    return {
        "format": FORMAT,
        "passed": qualification.passed,
        "criteria": [asdict(criterion) for criterion in qualification.criteria],
        "notes": list(qualification.notes),
        **_comparison(qualification.knapp),
        "run_policy": _run_policy(qualification.run_policy),
        "repeatability": _repeatability(qualification.run_policy),
        "classes": [_group(group) for group in qualification.classes],
        "severities": [_group(group) for group in qualification.severities],
        "worth": None
        if worth is None
        else {
            "prevalence": worth.prevalence,
            "defective_among_rejected": _interval(worth.defective_among_rejected, "nothing would be rejected"),
            "defective_among_accepted": _interval(worth.defective_among_accepted, "nothing would be accepted"),
            "good_rejected": worth.good_rejected,
            "defects_accepted": worth.defects_accepted,
        },
        "containers": len(qualification.containers),
        "plan": asdict(qualification.plan),
        "provenance": asdict(provenance) | {"versions": dict(sorted(provenance.versions.items()))},
    }


def json_text(qualification: Qualification, provenance: Provenance) -> str:
    """Write :func:`to_json` as text: the same qualification gives the same bytes."""
    return json.dumps(to_json(qualification, provenance), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def csv_lines(qualification: Qualification) -> Iterator[str]:
    """Write one CSV line a container, after a header; no cell can be taken for a formula."""
    yield csv_line(COLUMNS)
    for container in qualification.containers:
        entry, judged = container.entry, bool(container.sittings)
        yield csv_line(
            [
                entry.product,
                entry.defect or "good",
                None if entry.severity is None else str(entry.severity),
                container.rejects,
                container.runs,
                container.undecided,
                float(quality_factor(container.machine)),
                str(qualification.classification(container)),
                qualification.is_wrong(container),
                container.manual_rejects if judged else None,
                container.manual_inspections if judged else None,
                float(quality_factor(container.manual)) if judged else None,
                str(zone_of(container.manual)) if judged else None,
                container.median_score,
            ]
        )


def identity(qualification: Qualification, provenance: Provenance) -> str:
    """Give the SHA-256 of the JSON and every container's row: what a report is a picture of."""
    digest = hashlib.sha256(json_text(qualification, provenance).encode())
    for line in csv_lines(qualification):
        digest.update(line.encode())
    return digest.hexdigest()


def _interval(interval: Interval | None, reason: str, **more: Any) -> dict[str, Any]:
    """Give ``{value, low, high}`` and what else there is to say, or nulls with the reason."""
    if interval is None:
        return {"value": None, "low": None, "high": None, "reason": reason}
    return {"value": interval.value, "low": interval.low, "high": interval.high, **more}


def _comparison(knapp: Knapp | None) -> dict[str, Any]:
    if knapp is None:
        nothing = {name: _interval(None, NO_MANUAL) for name in COMPARED}
        factors = dict.fromkeys(("quality_factors_manual", "quality_factors_machine"))
        return {**nothing, **factors, "zones": [], "inspectors": []}
    empty, no_good = "no container lies outside the reject zone", "the kit holds no good container"
    return {
        "rze_manual": _interval(knapp.manual, ""),
        "rze_machine": _interval(knapp.machine, ""),
        "rze_difference": _interval(knapp.difference, ""),
        "rag_manual": _interval(knapp.manual_outside, empty),
        "rag_machine": _interval(knapp.machine_outside, empty),
        "good_rejected_manual": _interval(knapp.manual_good, no_good),
        "good_rejected_machine": _interval(knapp.machine_good, no_good),
        "quality_factors_manual": float(knapp.factor_manual),
        "quality_factors_machine": float(knapp.factor_machine),
        "zones": [
            {
                "zone": str(zone.zone),
                "good": zone.good,
                "defects": zone.defects,
                "manual": _interval(zone.manual, "the zone is empty"),
                "machine": _interval(zone.machine, "the zone is empty"),
                "machine_zones": {str(name): count for name, count in zone.machine_zones},
            }
            for zone in knapp.zones
        ],
        "inspectors": [asdict(inspector) for inspector in knapp.inspectors],
    }


def _run_policy(policy: RunPolicy) -> dict[str, Any]:
    both = policy.good is not None and policy.defects is not None
    return {
        "k": policy.k,
        "n": policy.n,
        **_rates(policy.good, right="good_accepted", wrong="good_rejected", none="the kit holds no good container"),
        **_rates(policy.defects, right="defects_rejected", wrong="defects_accepted", none="the kit holds no defect"),
        "accuracy": policy.accuracy() if both else None,
        "readings": [
            {
                "sought": reading.sought,
                "found": {"name": reading.found[0], **_interval(reading.found[1], "")},
                "other": {"name": reading.other[0], **_interval(reading.other[1], "")},
            }
            for reading in policy.readings()
        ],
        "operating_curve": [
            {"probability": step / 20, "rejected": chance_of_k(step / 20, k=policy.k, n=policy.n)} for step in range(21)
        ],
    }


def _rates(side: ClassifiedSide | None, *, right: str, wrong: str, none: str) -> dict[str, Any]:
    if side is None:
        names = (right, wrong, f"{right}_each_run", f"{wrong}_each_run")
        return {name: _interval(None, none) for name in names}
    hits = side.accepted if right == "good_accepted" else side.rejected
    return {
        right: _interval(side.right, "", count=hits, total=side.total),
        wrong: _interval(side.wrong, "", count=side.total - hits, total=side.total, between=side.between),
        f"{right}_each_run": _interval(side.right_each_run, ""),
        f"{wrong}_each_run": _interval(side.wrong_each_run, ""),
    }


def _repeatability(policy: RunPolicy) -> dict[str, Any]:
    return {
        "good": [] if policy.good is None else list(policy.good.repeats),
        "defects": [] if policy.defects is None else list(policy.defects.repeats),
        "alike": _interval(policy.alike, ""),
    }


def _group(group: GroupResult) -> dict[str, Any]:
    nobody = NO_MANUAL if group.inside is None else "none of them lies in the reject zone"
    return {
        "name": group.name,
        "severities": list(group.severities),
        "containers": group.containers,
        "rejected": _interval(group.rejected_share, "", count=group.rejected, total=group.containers),
        "machine": _interval(group.machine, ""),
        "manual": _interval(group.manual, NO_MANUAL),
        "in_reject_zone": group.inside,
        "rze_machine": _interval(group.machine_inside, nobody),
        "rze_manual": _interval(group.manual_inside, nobody),
    }
