"""Tables other programs open: cells that no spreadsheet executes, rows as CSV text; knows no evaluation and no image.

A spreadsheet runs a cell that opens with ``= + - @``, a tab or a carriage return as a formula, and file names come from
strangers. Text of that kind gets an apostrophe in front; numbers stay numbers, signs and all (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cell", "csv_line", "safe_cell"]

Cell = str | int | float | bool | None

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # the last four: full-width forms


def safe_cell(value: Cell) -> str:
    r"""Write one cell: numbers as they are, text so that no spreadsheet takes it for a formula.

    None and numbers that are not finite become an empty cell and ``inf``, ``-inf`` or ``nan``.

    >>> safe_cell("=SUM(A1)"), safe_cell(-0.5), safe_cell("-0.5"), safe_cell(None)
    ("'=SUM(A1)", '-0.5', "'-0.5", '')
    >>> safe_cell(" @SUM(A1)"), safe_cell(True), safe_cell("plain-name.png")
    ("' @SUM(A1)", 'yes', 'plain-name.png')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return str(float(value)) if not math.isnan(value) else "nan"
    text = value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()  # file names may hold lone surrogates
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or value.startswith("\0") else text


def csv_line(cells: Sequence[Cell]) -> str:
    r"""Write one row of CSV (RFC 4180, line end CR LF), every cell made safe.

    >>> csv_line(["a,b", 1.5, "+1"])
    '"a,b",1.5,\'+1\r\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return text.getvalue()
