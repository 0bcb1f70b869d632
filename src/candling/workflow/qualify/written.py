"""From three tables to a qualification, and from that to a folder of files; computes no figure, knows no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.data.kit import read_kit, read_machine_runs, read_manual_results
from candling.decide.qualification import Plan, Qualification, qualify
from candling.disk import write_atomic
from candling.workflow.qualify.facts import csv_lines, json_text
from candling.workflow.qualify.page import render_page
from candling.workflow.qualify.provenance import Provenance, provenance_of_tables

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["qualify_tables", "write_qualification"]


def qualify_tables(
    kit: Path, machine: Path, manual: Path | None = None, *, plan: Plan | None = None, product: str = "", date: str = ""
) -> tuple[Qualification, Provenance]:
    """Read the tables of a kit, the machine's runs and the manual results, and qualify.

    Args:
        kit: CSV, see :mod:`candling.data.kit`.
        machine: CSV.
        manual: CSV, or None to compare with nobody.
        plan: what was fixed before.
        product: what was inspected; empty takes the kit's file name.
        date: when the test was made, in words; empty leaves a line to fill in.

    Raises:
        KitError: a table cannot be used.
    """
    provenance = provenance_of_tables(kit, machine, manual, product=product, date=date)
    results = read_manual_results(manual) if manual is not None else None
    return qualify(read_kit(kit), read_machine_runs(machine), results, plan=plan), provenance


def write_qualification(qualification: Qualification, provenance: Provenance, out: Path) -> Path:
    """Write ``qualification.json``, ``containers.csv`` and ``qualification.html``; give the report's path.

    Args:
        qualification: what is written.
        provenance: where it comes from.
        out: a folder that is there.

    Raises:
        DiskError: one of them cannot be written.
    """
    write_atomic(out / "qualification.json", json_text(qualification, provenance))
    write_atomic(out / "containers.csv", "".join(csv_lines(qualification)))
    write_atomic(out / "qualification.html", render_page(qualification, provenance))
    return out / "qualification.html"
