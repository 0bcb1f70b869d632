"""The facts of labelling.py: the images nearest to a limit, a table that calibrate reads, a page that runs nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from candling.data.samples import load_samples
from candling.errors import LimitError, SamplesError
from candling.runtime.bundle import LimitsFile, load_bundle, replace_limits
from candling.runtime.inspector import Inspector
from candling.workflow.calibrate import calibrate
from candling.workflow.labelling import gallery_page, nearest_to_limit, write_labelling


@pytest.fixture
def inspector(building, tmp_path):
    """A bundle whose score is the mean grey value, limit 0.5, typical 0.25."""
    limits = LimitsFile(entries=(building.entry(high=0.5, typical=0.25),))
    return Inspector.load(building.bundle(tmp_path / "plate.bundle", limits=limits).path, engine="onnxruntime")


@pytest.fixture
def pictures(building, tmp_path):
    return [building.picture(tmp_path / f"{grey:03}.png", grey) for grey in (20, 60, 110, 125, 131, 170, 240)]


def test_the_nearest_to_the_limit_come_first(inspector, pictures):
    """Distance is severity's from 1, on both sides of the limit."""
    found = nearest_to_limit(inspector, pictures, count=3)
    assert [one.path.name for one in found] == ["125.png", "131.png", "110.png"]
    assert [one.verdict for one in found] == ["accept", "reject", "accept"]
    assert all("brightness" in line for one in found for line in one.lines)


def test_what_cannot_be_read_is_left_out(inspector, pictures, tmp_path):
    """A torn file is no candidate; only torn files are an error."""
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG")
    found = nearest_to_limit(inspector, [*pictures, torn], count=99)
    assert len(found) == len(pictures)
    with pytest.raises(LimitError, match="none of 1 images could be judged"):
        nearest_to_limit(inspector, [torn], count=3)


def test_the_table_refines_the_limit_once_it_is_filled_in(inspector, pictures, tmp_path):
    """Empty labels are refused with the row; filled in, the labels move the limit between the good and the bad."""
    write_labelling(nearest_to_limit(inspector, pictures, count=4), tmp_path, bundle="plate.bundle", seen=7)
    table = tmp_path / "suggested.csv"
    with pytest.raises(SamplesError, match="row 1: the cell of column 'label' is empty"):
        load_samples(table)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = "good" if int(Path(row["path"]).stem) < 138 else "stain"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    limits = calibrate(inspector, load_samples(table), goal="youden")
    bundle = replace_limits(load_bundle(inspector.bundle.path), limits, reason="labels", by="a test")
    assert 131 / 255 < bundle.limits.entries[0].high < 170 / 255


def test_the_page_escapes_names_and_runs_nothing(inspector, pictures, tmp_path):
    """A hostile file name is text; the policy forbids scripts and requests."""
    hostile = tmp_path / "a&b.png"
    hostile.write_bytes(pictures[3].read_bytes())
    page = gallery_page(nearest_to_limit(inspector, [hostile], count=1), bundle="<b>", seen=1)
    assert "a&amp;b.png" in page
    assert "&lt;b&gt;" in page
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_the_map_lies_below_the_image(inspector, pictures):
    """Given an inspector whose graph gives maps, a heatmap stands under each image; without one, images alone."""
    near = nearest_to_limit(inspector, pictures, count=2)
    assert gallery_page(near, bundle="b", seen=7).count("<img ") == 2
    assert gallery_page(near, bundle="b", seen=7, inspector=inspector).count("<img ") == 4
