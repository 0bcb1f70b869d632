"""The three tables of a qualification (CSV) as records: kit, machine runs, manual results; judges nothing.

==========  ==========================================================================================================
table       columns
==========  ==========================================================================================================
kit         ``product``; ``label`` (good, or the class of the defect; ``defect`` where the class has its own column);
            optional ``defect``, ``severity`` (critical, major, minor)
machine     ``product``, ``run``, ``decision`` (accept, reject, undecided); optional ``score``, ``places`` (what was
            outside its limits, separated by ``|``)
manual      ``container``, ``inspector``, ``round``, ``reject`` (1 or 0, yes or no)
==========  ==========================================================================================================

Further columns are left alone. ``container`` and ``product`` mean the same and either may stand in every table.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from candling.data.samples.sample import GOOD_NAMES
from candling.data.samples.table import read_rows
from candling.decide.qualification import DefectSeverity, KitEntry, MachineRun, ManualInspection
from candling.errors import KitError, SamplesError
from candling.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_kit", "read_machine_runs", "read_manual_results", "table_hash"]

Row = dict[str, str]

_YES, _NO = frozenset({"1", "yes", "true"}), frozenset({"0", "no", "false"})
_NAME = ("product", "container")


def read_kit(path: Path) -> list[KitEntry]:
    """Read the containers of a kit, in the order of the rows.

    Raises:
        KitError: a column is missing, a cell is empty or holds an unknown word.
    """
    found = []
    for where, row in _rows(path, _NAME, ("label",)):
        label = _cell(where, row, "label")
        own = row.get("defect", "")
        good = label.lower() in GOOD_NAMES
        if good and own:
            raise KitError(f"{where}: labelled {label} and yet of the defect {own!r}; keep one of the two")
        defect = None if good else own or label
        stated = row.get("severity", "").lower()
        if stated and stated not in list(DefectSeverity):
            raise KitError(f"{where}: no severity {stated!r}; write critical, major or minor, or leave the cell empty")
        found.append(KitEntry(_cell(where, row, *_NAME), defect, DefectSeverity(stated) if stated else None))
    return found


def read_machine_runs(path: Path) -> list[MachineRun]:
    """Read the machine's runs, in the order of the rows.

    Raises:
        KitError: a column is missing, a cell is empty, a decision is no verdict, or a score is no number.
    """
    found = []
    for where, row in _rows(path, _NAME, ("run",), ("decision",)):
        decision = _cell(where, row, "decision").lower()
        if decision not in list(Verdict):
            raise KitError(f"{where}: no decision {decision!r}; write accept, reject or undecided")
        score = row.get("score", "")
        name, run = _cell(where, row, *_NAME), _cell(where, row, "run")
        places = None
        if "places" in row:
            places = tuple(filter(None, map(str.strip, row["places"].split("|"))))
        found.append(MachineRun(name, run, Verdict(decision), _number(where, score) if score else None, places))
    return found


def read_manual_results(path: Path) -> list[ManualInspection]:
    """Read the inspectors' results, in the order of the rows.

    Raises:
        KitError: a column is missing, a cell is empty, or a reject is neither yes nor no.
    """
    found = []
    for where, row in _rows(path, _NAME, ("inspector",), ("round",), ("reject",)):
        said = _cell(where, row, "reject").lower()
        if said not in _YES | _NO:
            raise KitError(f"{where}: reject is {said!r}; write 1 for rejected and 0 for accepted")
        name, inspector, turn = _cell(where, row, *_NAME), _cell(where, row, "inspector"), _cell(where, row, "round")
        found.append(ManualInspection(name, inspector, turn, said in _YES))
    return found


def table_hash(path: Path) -> str:
    """Give the SHA-256 of a table's bytes.

    Raises:
        KitError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise KitError(f"{path}: cannot be read: {error.strerror or error}; check the file") from error


def _rows(path: Path, *needed: tuple[str, ...]) -> Iterator[tuple[str, Row]]:
    """Give each row with where it stands; of each tuple of names one must be a column."""
    try:
        columns, rows = read_rows(path)
    except SamplesError as error:
        raise KitError(str(error)) from error
    for names in needed:
        if not any(name in columns for name in names):
            wanted = " or ".join(repr(name) for name in names)
            raise KitError(f"{path}: no column {wanted}; the columns are: {', '.join(columns) or 'none'}")
    if not rows:
        raise KitError(f"{path}: the table has no rows; fill it in")
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", row


def _cell(where: str, row: Row, *names: str) -> str:
    value = next((row[name] for name in names if row.get(name)), "")
    if not value:
        raise KitError(f"{where}: the cell of column {next(n for n in names if n in row)!r} is empty; fill it in")
    return value


def _number(where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise KitError(f"{where}: the score {text!r} is no number; write one, or leave the cell empty") from error
