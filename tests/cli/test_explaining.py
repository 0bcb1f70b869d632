"""Explanations and maps of large pictures from the command line, and what the report shows of a network."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from candling.cli.run import run


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    """Run a command with --json; give exit code and parsed output."""
    code = run([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def _defect(capsules: Path) -> Path:
    return next((capsules / "test" / "crack").glob("*.png"))


def test_an_explanation_lies_beside_the_overlay(trained, capsules, tmp_path, capsys) -> None:
    """--explain draws what decides the worst place, and the record names the picture."""
    out = tmp_path / "results"
    code, _ = answer(capsys, "inspect", trained, _defect(capsules), "--out", out, "--overlays", "all", "--explain")
    assert code == 0
    [line] = (out / "results.jsonl").read_text().splitlines()
    picture = json.loads(line)["why_picture"]
    assert picture.endswith("_why.png")
    assert cv2.imread(str(out / picture)) is not None


def test_explaining_without_overlays_is_refused(trained, capsules, tmp_path, capsys) -> None:
    """One sentence says that they lie beside overlays."""
    words = ["--out", tmp_path / "results", "--overlays", "none", "--explain"]
    code, said = answer(capsys, "inspect", trained, _defect(capsules), *words)
    assert code == 2
    assert "--explain" in said["error"]["message"]
    assert not (tmp_path / "results").exists()


def test_a_large_picture_is_mapped(trained, tmp_path, capsys) -> None:
    """The map has the picture's size; it is not replaced unless asked."""
    cv2.imwrite(str(tmp_path / "scan.png"), np.random.default_rng(0).integers(0, 256, (150, 200), np.uint8))
    words = ["map", trained, tmp_path / "scan.png", "--out", tmp_path / "map.tif", "--margin", 16]
    code, said = answer(capsys, *words)
    assert code == 0
    values = tifffile.imread(tmp_path / "map.tif")
    assert values.shape == (150, 200)
    assert said["highest"] == pytest.approx(float(values.max()))
    code, said = answer(capsys, *words)
    assert code == 2
    assert "--overwrite" in said["error"]["message"]


def test_the_report_shows_filters_and_what_speaks_for_a_defect(trained, capsules, tmp_path, capsys) -> None:
    """The first convolutions by name, and two pictures of the worst place of an image or two."""
    code, _ = answer(capsys, "evaluate", trained, capsules, "--out", tmp_path / "report", "--rounds", 100)
    assert code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "What the network looks for" in page
    assert "Convolution 1: 8 filters of 3 x 3 over 1 channel" in page
    assert 1 <= page.count("<figcaption>what speaks for a defect</figcaption>") <= 2
