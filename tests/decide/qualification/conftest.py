"""Kits in small: containers by how often machine and inspectors rejected them, and the published worked example."""

from __future__ import annotations

import pytest

from candling.decide.qualification import KitEntry, MachineRun, ManualInspection
from candling.types import Verdict

EXAMPLE = {  # container: (of 50 manual inspections, of 10 machine runs) that rejected it
    "A": (50, 10),
    "B": (46, 10),
    "C": (41, 7),
    "D": (35, 8),
    "E": (34, 3),
    "F": (10, 4),
    "G": (0, 1),
}


def runs_of(product, rejects, *, runs=10):
    """Give the runs of a container of which the first ones reject."""
    verdicts = [Verdict.REJECT] * rejects + [Verdict.ACCEPT] * (runs - rejects)
    return [MachineRun(product, str(number), verdict) for number, verdict in enumerate(verdicts, start=1)]


def sittings_of(container, rejects, *, inspectors=5, rounds=10):
    """Give the manual results of a container of which the first ones reject."""
    every = [(f"I{person}", str(turn)) for person in range(1, inspectors + 1) for turn in range(1, rounds + 1)]
    return [ManualInspection(container, who, turn, rejected=at < rejects) for at, (who, turn) in enumerate(every)]


@pytest.fixture
def make_kit():
    """Build kit, runs and manual results from (product, defect, manual rejects, machine rejects)."""

    def make(rows, *, runs=10, inspectors=5, rounds=10):
        kit = [KitEntry(product, defect) for product, defect, _, _ in rows]
        machine = [run for product, _, _, rejects in rows for run in runs_of(product, rejects, runs=runs)]
        manual = [
            one
            for product, _, rejects, _ in rows
            for one in sittings_of(product, rejects, inspectors=inspectors, rounds=rounds)
        ]
        return kit, machine, manual

    return make


@pytest.fixture
def example(make_kit):
    """The worked example of the Knapp test: seven containers, 5 inspectors of 10 rounds, 10 machine runs."""
    return make_kit([(name, None if name == "G" else "particle", *rejects) for name, rejects in EXAMPLE.items()])
