"""The commands split and suggest, as a user meets them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from candling.cli.run import run


def test_split_writes_a_table_that_train_takes(capsules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Counts are told, and an existing table is kept unless said otherwise."""
    table = tmp_path / "split.csv"
    words = ["split", str(capsules), "--out", str(table), "--test", "0.4", "--json"]
    assert run(words) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(counts.values()) == len(rows)
    assert {row["split"] for row in rows} == {"train", "test"}
    assert {row["label"] for row in rows if row["split"] == "train"} == {"good"}
    assert run(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_suggest_writes_a_table_and_a_gallery(
    trained: Path, capsules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As many as asked for, with empty labels, beside a page that shows them."""
    out = tmp_path / "label"
    assert run(["suggest", str(trained), str(capsules / "test"), "--out", str(out), "--count", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with (out / "suggested.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(found) == len(rows) == 3
    assert [row["label"] for row in rows] == ["", "", ""]
    assert (out / "suggested.html").read_text().count("<figure") == 3
