"""What an inspection leaves behind: rows, records, pictures and a summary."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from candling.errors import DiskError, ImageError, OutputExistsError
from candling.runtime.inspector import Inspector
from candling.runtime.references import References, encode_references
from candling.workflow.maps import MapScale, map_scale
from candling.workflow.results import _appending, record, write_results
from candling.workflow.unlike import GAP, TILE

SCALE = MapScale.of_good_maps(0.0, 0.2)
FRAME = np.full((40, 60), 128, np.uint8)


@pytest.fixture
def write(tmp_path, limits):
    """Write inspections of grey frames into a new folder and give (summary, folder)."""

    def run(inspections, **options):
        out = tmp_path / "out"
        options = {"frame_of": lambda _: FRAME} | options
        return write_results(inspections, out, limits=limits, scale=SCALE, **options), out

    return run


def rows_of(out):
    """Read the table back as a spreadsheet would."""
    return list(csv.DictReader(io.StringIO((out / "results.csv").read_bytes().decode(), newline="")))


def test_every_inspection_gets_a_row_a_record_and_a_count(write, make_inspection):
    """Three images, one rejected by its score, one unreadable: the files agree with each other."""
    summary, out = write(make_inspection(*item) for item in [("a.png", 0.2), ("b.png", 0.5), ("c.png", None)])
    assert (summary.images, summary.accepted, summary.rejected, summary.unreadable) == (3, 1, 2, 1)
    rows = rows_of(out)
    assert [row["verdict"] for row in rows] == ["accept", "reject", "reject"]
    assert float(rows[1]["whole.error"]) == 0.5
    assert float(rows[1]["whole.error limit"]) == 0.3
    assert rows[2]["severity"] == "inf"
    assert rows[2]["whole.error"] == ""
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["accept", "reject", "reject"]
    assert lines[1]["scores"] == [{"region": "whole", "score": "error", "value": 0.5, "low": None, "high": 0.3}]
    assert lines[2]["severity"] is None
    assert lines[2]["reasons"][0]["text"] == "not a PNG"
    assert json.loads((out / "summary.json").read_text())["rejected"] == 2


@pytest.mark.parametrize(("choice", "expected"), [("rejected", 1), ("all", 2), ("none", 0)])
def test_overlays_are_drawn_of_what_was_asked_for(write, make_inspection, choice, expected):
    """Rejected means what was not accepted; an unreadable image has nothing to draw."""
    items = [("a.png", 0.2), ("b.png", 0.5), ("c.png", None)]
    summary, out = write((make_inspection(*item) for item in items), overlays=choice)
    assert summary.overlays == expected
    assert len(list(out.glob("overlays/*.jpg"))) == expected


def test_an_overlay_shows_the_image_under_a_banner(write, make_inspection):
    """The picture is as wide as its banner needs, higher than the frame, and blue or orange on top."""
    _, out = write([make_inspection("good/a.png", 0.2), make_inspection("bad/a.png", 0.5)], overlays="all")
    good, bad = (cv2.imread(str(out / "overlays" / f"{name}.jpg")) for name in ("good_a", "bad_a"))
    assert good.shape[0] > 40
    assert good.shape[1] >= 480
    assert good[3, 3, 0] > good[3, 3, 2]  # blue: BGR
    assert bad[3, 3, 2] > bad[3, 3, 0]  # orange


def test_equal_names_in_other_folders_do_not_overwrite_each_other(write, make_inspection):
    """Four images of one name give four overlays, each named in its row."""
    names = ["x/good/001.png", "y/good/001.png", "x/crack/001.png", "x/good/001.png"]
    _, out = write([make_inspection(name, 0.5) for name in names])
    drawn = [row["overlay"] for row in rows_of(out)]
    assert len(set(drawn)) == 4
    assert all((out / name).is_file() for name in drawn)


def test_no_name_leaves_the_folder(write, make_inspection, tmp_path):
    """Names that climb, that are absolute or reserved stay below the output folder."""
    names = ["../../evil.png", "/etc/passwd", "..", "con.png", "a\nb\x00c.png", "ü" * 300 + ".png", "."]
    _, out = write([make_inspection(name, 0.5) for name in names], raw_maps=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(out in path.parents for path in files)
    assert len(list(out.glob("overlays/*.jpg"))) == len(names)


def test_cells_that_spreadsheets_would_run_are_quoted(write, make_inspection):
    """A path that opens with = + - @ tab or CR gets an apostrophe; the record keeps it as it is."""
    names = ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "\ra.png"]
    _, out = write([make_inspection(name, -0.2) for name in names])
    rows = rows_of(out)
    assert [row["product"] for row in rows] == [f"'{name}" for name in names]
    assert float(rows[0]["value"]) == -0.2
    lines = [json.loads(line)["product"] for line in (out / "results.jsonl").read_text().splitlines()]
    assert lines == names


def test_raw_maps_are_float32_at_the_graphs_resolution(write, make_inspection):
    """The TIFF holds the very numbers of the map."""
    values = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    summary, out = write([make_inspection("a.png", 0.2, anomaly_map=values)], raw_maps=True)
    assert summary.maps == 1
    stored = tifffile.imread(out / "maps" / "a.tiff")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, values)


def test_results_are_there_before_the_next_image_is_asked_for(write, make_inspection, tmp_path):
    """A run that is interrupted keeps every row so far: nothing waits in memory."""

    def interrupted():
        yield make_inspection("a.png", 0.2)
        yield make_inspection("b.png", 0.2)
        assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted())
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 2


def test_an_image_that_has_gone_keeps_its_verdict(write, make_inspection):
    """Only the overlay is missing when the file cannot be read a second time."""

    def gone(_):
        raise ImageError("b.png: no such file")

    summary, out = write([make_inspection("b.png", 0.5)], frame_of=gone)
    assert summary.overlays == 0
    assert rows_of(out)[0]["verdict"] == "reject"


def test_a_folder_with_results_is_refused_unless_told(write, make_inspection):
    """Without overwrite nothing is touched; with it old pictures go and foreign files stay."""
    _, out = write([make_inspection("old.png", 0.5)])
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write([make_inspection("new.png", 0.5)])
    assert (out / "overlays" / "old.jpg").is_file()
    write([make_inspection("new.png", 0.5)], overwrite=True)
    assert [path.name for path in out.glob("overlays/*")] == ["new.jpg"]
    assert (out / "mine.txt").read_text() == "keep"


def test_a_full_disk_is_one_sentence_and_keeps_what_was_written(write, make_inspection, monkeypatch, tmp_path):
    """ENOSPC on a picture names the file and the cure; rows before it stay."""
    original = type(tmp_path).write_bytes

    def full(path, data):
        if path.name.startswith(".b.jpg"):
            raise OSError(28, "No space left on device")
        return original(path, data)

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(DiskError, match=r"b\.jpg.*No space left on device; free space"):
        write([make_inspection("a.png", 0.5), make_inspection("b.png", 0.5)])
    assert len(rows_of(tmp_path / "out")) == 1
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_fills_while_rows_are_written_is_one_sentence():
    """The table itself on a full device raises DiskError, not OSError."""
    with pytest.raises(DiskError, match="cannot be written: No space left"), _appending(Path("/dev/full")) as append:
        append("row\n")


def test_progress_counts_images(write, make_inspection):
    """The callback hears 1, 2, 3."""
    heard = []
    write((make_inspection(f"{i}.png", 0.2) for i in range(3)), progress=heard.append)
    assert heard == [1, 2, 3]


def test_a_record_holds_no_number_json_lacks(make_inspection, limits):
    """NaN and infinity become null."""
    text = json.dumps(record(make_inspection("a.png", math.nan), limits), allow_nan=False)
    assert json.loads(text)["scores"][0]["value"] is None
    assert json.loads(text)["severity"] is None


def test_names_that_are_no_unicode_are_written(write, make_inspection):
    """A file name with bytes that are no UTF-8 (a lone surrogate in Python) stops neither table nor record."""
    summary, out = write([make_inspection("caf\udce9.png", 0.5)])
    assert summary.images == 1
    assert rows_of(out)[0]["product"] == "caf?.png"


# ---- a bundle that remembers good pictures -----------------------------------------------------------------------


@pytest.fixture
def remembered():
    """Five good pictures of 64 x 64 px, a dark square on each at its own place."""
    pictures = np.full((5, 64, 64), 120, np.uint8)
    for number in range(5):
        pictures[number, 8 * number : 8 * number + 8, 8:16] = 40
    return pictures


@pytest.fixture
def judge(building, tmp_path, remembered):
    """Write the results of a stained and a good frame of 256 x 256 px; what is stored are the bundle's references."""

    def run(stored, **options):
        folder = tmp_path / "plate.bundle"
        bundle = building.remembering_bundle(folder, remembered, references=stored)
        inspector = Inspector.load(bundle, engine="onnxruntime", threads=1)
        good = np.repeat(np.repeat(remembered[3], 4, axis=0), 4, axis=1)
        stained = good.copy()
        stained[170:180, 200:220] = 255
        frames = {"stained.png": stained, "good.png": good}
        inspections = [inspector.inspect(frame, product=name, nearest=True) for name, frame in frames.items()]
        out = tmp_path / "out"
        options = {"references": References.load(bundle), "frame_of": lambda found: frames[found.product]} | options
        scale = map_scale(bundle)
        summary = write_results(inspections, out, limits=inspector.limits, scale=scale, overwrite=True, **options)
        records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        return summary, out, records

    return run


def test_a_reject_stands_beside_the_nearest_good(judge, remembered):
    """The stain's box, its value and the cell nearest to it, and a picture of both; the good one has none."""
    summary, out, (stained, good) = judge(encode_references(remembered))
    assert (stained["verdict"], good["verdict"], summary.overlays) == ("reject", "accept", 1)
    [place] = stained["unlike"]
    box, cell = place["box"], place["nearest"]
    assert box["height"] == box["width"] == 51
    assert (box["top"] <= 170, box["top"] + 51 >= 180) == (True, True)
    assert (box["left"] <= 200, box["left"] + 51 >= 220) == (True, True)
    assert place["value"] > 0.01
    assert (cell["row"], cell["column"]) == (5, 6)
    assert "unlike" not in good
    assert stained["unlike_picture"] == "overlays/stained_unlike.png"
    picture = cv2.imread(str(out / stained["unlike_picture"]))
    assert (picture[GAP : GAP + TILE, -GAP - TILE : -GAP] == 120).all()  # the nearest good has no stain
    assert (picture[GAP : GAP + TILE, -2 * GAP - 2 * TILE : -2 * GAP - TILE] == 255).any()
    assert summary.overlays == 1


def test_all_pictures_are_explained_when_all_are_drawn(judge, remembered):
    """With overlays of all, an accepted picture tells its worst place too."""
    _, out, records = judge(encode_references(remembered), overlays="all")
    assert [len(one["unlike"]) for one in records] == [1, 1]
    assert len(list(out.glob("overlays/*_unlike.png"))) == 2


def test_without_pictures_the_record_still_names_the_cell(judge):
    """A bundle without references draws none and says so; so it is without overlays."""
    _, out, (stained, _) = judge(None)
    assert stained["unlike"][0]["nearest"]["row"] == 5
    assert stained["unlike_picture"] is None
    assert not list(out.glob("overlays/*.png"))


def test_without_overlays_the_record_names_the_place(judge, remembered):
    """No picture was asked for; the JSON has the box all the same."""
    _, out, (stained, _) = judge(encode_references(remembered), overlays="none")
    assert len(stained["unlike"]) == 1
    assert stained["unlike_picture"] is None
    assert not (out / "overlays").exists()


def test_fewer_references_than_the_graph_names_draw_nothing(judge, remembered):
    """A picture out of range is left out; verdict and record stay."""
    _, out, (stained, _) = judge(encode_references(remembered), references=_Nothing())
    assert stained["verdict"] == "reject"
    assert stained["unlike_picture"] is None
    assert not list(out.glob("overlays/*.png"))


def test_a_graph_that_remembers_nothing_leaves_the_record_as_it_was(write, make_inspection):
    """No new key, no new file."""
    _, out = write([make_inspection("b.png", 0.5)])
    line = json.loads((out / "results.jsonl").read_text())
    assert list(line) == [
        "product", "verdict", "severity", "reasons", "scores", "milliseconds", "bundle", "overlay", "map",
    ]  # fmt: skip
    assert [path.name for path in out.glob("overlays/*")] == ["b.jpg"]


class _Nothing:
    """References without a page."""

    count = 0
