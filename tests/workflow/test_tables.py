"""Cells no spreadsheet executes."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candling.workflow.tables import csv_line, safe_cell


@given(st.text())
def test_no_text_becomes_a_formula(text):
    """Whatever a file is called, its cell never opens with a sign a spreadsheet acts on."""
    cell = safe_cell(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"))
    assert cell.removeprefix("'") == text.replace("\0", "\ufffd") or cell == text


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "\0=1", "  =1", "＝1"])
def test_each_dangerous_beginning_is_quoted(text):
    """An apostrophe in front turns a formula into text; leading blanks do not hide one."""
    assert safe_cell(text).startswith("'")


@pytest.mark.parametrize(
    ("value", "cell"), [(-0.5, "-0.5"), (3, "3"), (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (None, "")]
)
def test_numbers_stay_numbers(value, cell):
    """A negative number is no formula: it is written as it is."""
    assert safe_cell(value) == cell


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_a_line_reads_back_as_its_cells(cells):
    """Commas, quotes and line ends inside cells survive a reader of CSV."""
    (row,) = csv.reader(io.StringIO(csv_line(["x", *cells]), newline=""))
    assert row == ["x", *(safe_cell(cell) for cell in cells)]
