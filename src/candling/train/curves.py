"""The course of a training as a table on disk, one row an epoch; draws nothing and knows no loop."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from candling.disk import write_atomic
from candling.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["NAME", "append_row", "forget_after"]

NAME = "curves.csv"
"""The file's name in the work folder and in the bundle."""


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add one epoch; the first row decides the columns: epoch, step, seconds, rate, then the losses.

    Raises:
        DiskError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    try:
        with path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({name: format(value, ".8g") for name, value in row.items()})
            file.write(text.getvalue())
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}; free space") from error


def forget_after(path: Path, epoch: int) -> None:
    """Drop the rows of epochs later than ``epoch``: a killed training wrote them after its last checkpoint.

    Raises:
        DiskError: the file cannot be written.
    """
    if not path.is_file():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= epoch]
    write_atomic(path, "".join(f"{line}\n" for line in [header, *kept]) if kept else "")
