"""The contrast groups a person named: ``contrast.csv`` in a data set's folder; opens no image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from candling.data.samples.table import read_rows
from candling.errors import SamplesError
from candling.pixels.histogram import GROUPS, Group

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONTRAST", "read_contrast_groups"]

CONTRAST: Final = "contrast.csv"
"""What the table is called in a data set's folder."""


def read_contrast_groups(path: Path) -> dict[str, Group]:
    """Read the group of each image that a person named: columns ``image`` (a file name) and ``group``.

    Args:
        path: of the table.

    Raises:
        SamplesError: it is no such table, there is no such group, or one image has two.
    """
    columns, rows = read_rows(path)
    for name in ("image", "group"):
        if name not in columns:
            raise SamplesError(f"{path}: no column {name!r}; the columns are: {', '.join(columns) or 'none'}")
    named: dict[str, Group] = {}
    for number, row in enumerate(rows, start=1):
        found = next((group for group in GROUPS if group == row["group"].lower()), None)
        if found is None:
            raise SamplesError(f"{path}, row {number}: no group {row['group']!r}; it can be {', '.join(GROUPS)}")
        if named.setdefault(row["image"], found) != found:
            raise SamplesError(f"{path}, row {number}: {row['image']} has two groups; keep one")
    return named
