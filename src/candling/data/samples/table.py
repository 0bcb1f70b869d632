"""Tables of images (CSV, Parquet) and the manifest that may lie beside images; opens no image.

A table's rows name an image and its label; ``product``, ``region``, ``split``, ``mask``, ``run``, ``frame``,
``defect`` (the class, where the label only says that there is one), ``severity`` and ``vial`` are optional, further
columns are left alone. ``region`` is what the image shows, cut out already; in a table with a column ``vial`` the
images are whole frames, and vial and region are where the defect lies. Paths are relative to the table's folder or
absolute. They may lead out of that folder by ``..``: a table is its author's own statement of where the images are,
and images are only ever read.
"""

from __future__ import annotations

import csv
import difflib
import io
from typing import TYPE_CHECKING

from candling.data.samples.sample import GOOD, GOOD_NAMES, Place, Sample, product_of
from candling.errors import MissingExtraError, SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["TABLE_FILE", "TABLE_SUFFIXES", "read_manifest", "read_rows", "read_table", "table_of"]

TABLE_FILE = "samples.csv"
"""The table that a folder may hold: it says what the images are, whatever their folders are called."""

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
"""Suffixes of the tables that are read, in lower case."""

_NEEDED = ("path", "label")
_OPTIONAL = ("product", "region", "split", "mask", "run", "frame", "defect", "severity", "vial")
_MANIFEST_FILE = ("file", "path", "filename", "name")
_MANIFEST_CLASS = ("class", "label")
_MANIFEST_PRODUCT = ("product", "patient", "strip")

Row = dict[str, str]


def read_table(path: Path) -> list[Sample]:
    """Read a table of images, in the order of its rows.

    Raises:
        SamplesError: a needed column is missing, a cell is empty, a file is not there, or an image is listed twice.
        MissingExtraError: a Parquet table, and pyarrow is not installed.
    """
    columns, rows = _parquet(path) if path.suffix.lower() == ".parquet" else read_rows(path)
    for name in _NEEDED:
        if name not in columns:
            raise SamplesError(_no_column(path, name, columns))
    if not rows:
        raise SamplesError(f"{path}: the table has no rows; add one row per image")
    samples = [_sample(path, number, row) for number, row in enumerate(rows, start=1)]
    _refuse_missing(path, samples)
    _refuse_repeats(path, samples)
    return samples


def table_of(samples: Iterable[Sample]) -> str:
    """Write samples as a table that :func:`read_table` reads, with absolute paths; empty columns are left out."""
    rows = [
        {
            "path": str(sample.path.resolve()),
            "label": sample.label,
            "split": sample.split,
            "product": sample.product,
            "region": sample.region,
            "mask": None if sample.mask is None else str(sample.mask.resolve()),
            "run": sample.run,
            "frame": sample.frame,
            "severity": sample.severity,
        }
        for sample in samples
    ]
    columns = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    text = io.StringIO()
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def read_manifest(root: Path) -> dict[tuple[str, ...], str]:
    """Read the product of each image from ``manifest.csv`` in a data set's folder, where it has such columns.

    Returns the product (column ``product``, ``patient`` or ``strip``) by path parts (column ``file``, ``path``,
    ``filename`` or ``name``), with the class folder (column ``class`` or ``label``) in front where there is one. Empty
    when there is no manifest, or it says nothing about products.

    Raises:
        SamplesError: the manifest cannot be read, or gives one file two products.
    """
    path = root / "manifest.csv"
    if not path.is_file():
        return {}
    columns, rows = read_rows(path)
    file, kind, product = (
        next((name for name in names if name in columns), None)
        for names in (_MANIFEST_FILE, _MANIFEST_CLASS, _MANIFEST_PRODUCT)
    )
    if file is None or product is None:
        return {}
    found: dict[tuple[str, ...], str] = {}
    for number, row in enumerate(rows, start=1):
        parts = tuple(row[file].replace("\\", "/").split("/"))
        key = (row[kind], *parts) if kind is not None and len(parts) == 1 else parts
        if row[product] and found.setdefault(key, row[product]) != row[product]:
            raise SamplesError(f"{path}, row {number}: {row[file]} has two products; keep one")
    return found


def _sample(path: Path, number: int, row: Row) -> Sample:
    for name in _NEEDED:
        if not row[name]:
            raise SamplesError(f"{path}, row {number}: the cell of column {name!r} is empty; fill it in")
    label = GOOD if row["label"].lower() in GOOD_NAMES else row.get("defect") or row["label"]
    image = path.parent / row["path"]
    mask = row.get("mask")
    return Sample(
        image,
        label,
        row.get("split") or ("train" if label == GOOD else "test"),
        product=row.get("product") or product_of(image.name),
        region=None if "vial" in row else row.get("region") or None,
        mask=path.parent / mask if mask else None,
        run=row.get("run") or None,
        frame=row.get("frame") or None,
        severity=row.get("severity") or None,
        place=_place(path, number, row),
    )


def _place(path: Path, number: int, row: Row) -> Place | None:
    vial, region = row.get("vial", ""), row.get("region") or None
    if "vial" not in row or not (vial or region):
        return None
    if vial and not (vial.isdecimal() and int(vial) >= 1):
        raise SamplesError(f"{path}, row {number}: no vial {vial!r}; count vials from 1, or leave the cell empty")
    return Place(int(vial) if vial else None, region)


def _refuse_missing(path: Path, samples: Sequence[Sample]) -> None:
    gone = [
        (number, file)
        for number, sample in enumerate(samples, start=1)
        for file in (sample.path, sample.mask)
        if file is not None and not file.is_file()
    ]
    if gone:
        number, file = gone[0]
        more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
        raise SamplesError(f"{path}, row {number}: no such file {file}{more}; paths are relative to the table's folder")


def _refuse_repeats(path: Path, samples: Sequence[Sample]) -> None:
    """Refuse the same image (of the same region) twice: it would be counted, or trained on and tested, twice."""
    seen: dict[tuple[Path, str | None], int] = {}
    for number, sample in enumerate(samples, start=1):
        first = seen.setdefault((sample.path.resolve(), sample.region), number)
        if first != number:
            raise SamplesError(
                f"{path}, row {number}: {sample.path.name} is in row {first} already; keep one of the rows"
            )


def _no_column(path: Path, name: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{path}: no column {name!r}; {hint}the columns are: {', '.join(columns) or 'none'}"


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Read a CSV table as text: its columns in lower case, and each row by column, cells stripped of blanks.

    The separator is a comma, a semicolon or a tab, whichever the first line holds most of; empty lines are left out.

    Raises:
        SamplesError: the file cannot be read, is not UTF-8, or a row has more cells than there are columns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark in front
    except UnicodeDecodeError as error:
        raise SamplesError(f"{path}: not UTF-8 text (byte {error.start}); save the table as CSV in UTF-8") from error
    except OSError as error:
        raise SamplesError(f"{path}: cannot be read: {error.strerror or error}; check the file") from error
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)  # spreadsheets of many countries write semicolons
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        raise SamplesError(f"{path}: not a CSV table ({error}); save it again as CSV") from error
    columns = [name.strip().lower() for name in lines[0]] if lines else []
    rows: list[Row] = []
    for number, line in enumerate((line for line in lines[1:] if any(line)), start=1):
        if len(line) > len(columns):
            raise SamplesError(
                f"{path}, row {number}: {len(line)} cells but {len(columns)} columns; "
                f"put cells that hold {separator!r} in quotes"
            )
        cells = [cell.strip() for cell in line] + [""] * (len(columns) - len(line))
        rows.append(dict(zip(columns, cells, strict=True)))
    return columns, rows


def _parquet(path: Path) -> tuple[list[str], list[Row]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError(f"{path}: Parquet needs pyarrow; run: pip install 'candling[parquet]'") from error
    try:
        names = list(parquet.ParquetFile(path).schema_arrow.names)
        wanted = [name for name in names if name.strip().lower() in (*_NEEDED, *_OPTIONAL)]
        cells = parquet.read_table(path, columns=wanted).to_pydict()
    except (ArrowException, OSError, ValueError) as error:
        raise SamplesError(f"{path}: not a Parquet table ({str(error).splitlines()[0]}); write it again") from error
    lowered = {name.strip().lower(): ["" if cell is None else str(cell) for cell in cells[name]] for name in wanted}
    rows = [dict(zip(lowered, row, strict=True)) for row in zip(*lowered.values(), strict=True)]
    return [name.strip().lower() for name in names], rows
