"""The three tables of a qualification: what is read, and what is refused with its row."""

from __future__ import annotations

import math

import pytest

from candling.data.kit import read_kit, read_machine_runs, read_manual_results, table_hash
from candling.decide.qualification import DefectSeverity, KitEntry, MachineRun, ManualInspection
from candling.errors import KitError
from candling.types import Verdict


@pytest.fixture
def table(tmp_path):
    """Write lines as a table and give its path."""

    def write(*lines, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write


def test_a_kit_names_containers_defects_and_severities(table):
    """A label is good or the class of the defect; a column of its own may hold the class."""
    plain = table("product,label,severity", "A,good,", "B,crack,Critical", "C,OK,")
    assert read_kit(plain) == [KitEntry("A"), KitEntry("B", "crack", DefectSeverity.CRITICAL), KitEntry("C")]
    apart = table("container,label,defect,severity,vial", "A,good,,,", "B,defect,crack,minor,3")
    assert read_kit(apart) == [KitEntry("A"), KitEntry("B", "crack", DefectSeverity.MINOR)]


def test_machine_runs_have_verdicts_and_maybe_scores(table):
    """The score may be missing or infinite; the decision may not."""
    path = table("product;run;decision;score", "A;1;reject;inf", "A;2;Undecided;0.5", "A;3;accept;")
    assert read_machine_runs(path) == [
        MachineRun("A", "1", Verdict.REJECT, math.inf),
        MachineRun("A", "2", Verdict.UNDECIDED, 0.5),
        MachineRun("A", "3", Verdict.ACCEPT),
    ]


def test_machine_runs_may_say_where(table):
    """Without the column nobody knows; an empty cell is no place."""
    path = table("product,run,decision,places", "A,1,reject,neck vial 2 | body vial 1", "A,2,accept,")
    assert [run.places for run in read_machine_runs(path)] == [("neck vial 2", "body vial 1"), ()]


def test_manual_results_say_reject_by_number_or_word(table):
    """1 and yes are rejects, 0 and no are not; a spreadsheet's byte order mark does not matter."""
    path = table("container,inspector,round,reject", "A,Anna,1,1", "A,Anna,2,no", encoding="utf-8-sig")
    assert read_manual_results(path) == [
        ManualInspection("A", "Anna", "1", rejected=True),
        ManualInspection("A", "Anna", "2", rejected=False),
    ]


@pytest.mark.parametrize(
    ("read", "lines", "match"),
    [
        (read_kit, ["name,label", "A,good"], "no column 'product' or 'container'; the columns are: name, label"),
        (read_kit, ["product,label"], "the table has no rows"),
        (read_kit, ["product,label", "A,"], "row 1: the cell of column 'label' is empty"),
        (read_kit, ["product,label", ",good"], "row 1: the cell of column 'product' is empty"),
        (read_kit, ["product,label,defect", "A,good,crack"], "row 1: labelled good and yet of the defect 'crack'"),
        (read_kit, ["product,label,severity", "A,crack,bad"], "row 1: no severity 'bad'; write critical, major"),
        (read_machine_runs, ["product,run,decision", "A,1,accept", "A,2,nan"], "row 2: no decision 'nan'"),
        (read_machine_runs, ["product,run,decision,score", "A,1,accept,high"], "row 1: the score 'high' is no number"),
        (read_machine_runs, ["product,run", "A,1"], "no column 'decision'"),
        (read_manual_results, ["container,inspector,round,reject", "A,Anna,1,nan"], "row 1: reject is 'nan'; write 1"),
        (read_manual_results, ["container,inspector,round,reject", "A,,1,1"], "column 'inspector' is empty"),
        (read_manual_results, ["container,inspector,round,reject", "A,Anna,1,1,5"], "row 1: 5 cells but 4 columns"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(table, read, lines, match):
    """Each refusal is one sentence with file and row."""
    path = table(*lines)
    with pytest.raises(KitError, match=match) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    """A missing file is a refusal, in reading and in hashing."""
    for read in (read_kit, table_hash):
        with pytest.raises(KitError, match="cannot be read"):
            read(tmp_path / "none.csv")
