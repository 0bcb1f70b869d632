"""A drawn line on disk: complete, readable by the house, without a strip in two splits, the same with any workers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.check import check
from candling.data.samples import load_samples
from candling.errors import OutputExistsError, UsageError
from candling.scenes.vials import DEFECTS, INSPECTED, draw_frame, draw_mask, draw_strip, make_strip, write_line
from candling.scenes.vials.dataset import COLUMNS, _jobs

SMALL = {
    "seed": 5,
    "train_strips": 1,
    "calibration_strips": 1,
    "kit_good": 1,
    "kit_defect": 2,
    "runs": 1,
    "train_runs": 1,
    "calibration_runs": 1,
    "frames": (3, 0),
}


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Give a small line and what its progress told."""
    told = []
    folder = write_line(
        tmp_path_factory.mktemp("line") / "set", **SMALL, progress=lambda done, total: told.append((done, total))
    )
    return folder, told


def rows_of(folder):
    with (folder / "samples.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_read_by_the_house(line):
    """Every row is a sample with its split, product and mask; training alone has rank frames."""
    folder, told = line
    assert told == [(4, 16), (7, 16), (10, 16), (13, 16), (16, 16)]
    samples = load_samples(folder / "samples.csv")
    counts = samples.counts()
    assert counts[("train", "good")] == 4
    assert counts[("calibration", "good")] == counts[("kit", "good")] == 3
    assert sum(count for (_, label), count in counts.items() if label != "good") == 6
    for sample in samples:
        assert (sample.mask is None) == sample.is_good
        assert cv2.imread(str(sample.path), cv2.IMREAD_UNCHANGED).shape == (1024, 1280)
    rows = rows_of(folder)
    assert tuple(rows[0]) == COLUMNS
    frames = {split: [row["frame"] for row in rows if row["split"] == split] for split in ("train", "calibration")}
    assert frames == {"train": ["0", "3", "darkest", "lightest"], "calibration": ["0", "7", "15"]}


def test_every_row_can_be_drawn_again(line):
    """From the record's seeds and the row alone comes the very picture; defects are recorded with class and place."""
    folder, _ = line
    record = json.loads((folder / "line.json").read_text(encoding="utf-8"))
    strips = {strip["product"]: strip for strip in record["strips"]}
    for row in rows_of(folder):
        if row["split"] == "kit" and row["frame"] == "7":
            known = strips[row["product"]].get("defect", {"kind": ""})
            assert row["defect"] == known["kind"]
            if row["defect"]:
                assert (row["severity"], row["region"], row["vial"]) == (
                    DEFECTS[row["label"]],
                    known["region"],
                    str(known["vial"]),
                )
                assert 0.3 <= float(row["contrast"]) <= 1
                assert cv2.imread(str(folder / row["mask"]), cv2.IMREAD_UNCHANGED).any()
            if not row["defect"]:
                again = draw_strip(strips[row["product"]]["seed"], int(row["run"]), 7)
                assert np.array_equal(cv2.imread(str(folder / row["path"]), cv2.IMREAD_UNCHANGED), again)


def test_no_strip_is_in_two_splits(line):
    """All strips of a line have different seeds, and lines of different seeds share none either."""
    record = json.loads((line[0] / "line.json").read_text(encoding="utf-8"))
    seeds = [strip["seed"] for strip in record["strips"]]
    assert len(set(seeds)) == len(seeds) == 5
    planned = {}
    for seed in (0, 1, 2):
        for split in ("train", "calibration", "kit"):
            jobs = _jobs(seed, split, 300, 300, 1, (0,), (0.3, 1.0))
            planned[seed, split] = {job.seed for job in jobs}
            assert len(planned[seed, split]) == len({job.product for job in jobs}) == 600
    assert len(set.union(*planned.values())) == 9 * 600


def test_the_doctor_proves_that_splits_share_nothing(line):
    """`candling check` finds no product and no picture in two splits, and tells where a kit's strip is learned from."""
    folder, _ = line

    def shared(table):
        return {finding.kind for finding in check(table).findings if finding.kind.endswith("across_splits")}

    assert shared(folder / "samples.csv") == set()
    head, *rows = (folder / "samples.csv").read_text(encoding="utf-8").splitlines()
    moved = next(at for at, row in enumerate(rows) if ",good,kit," in row)
    rows[moved] = rows[moved].replace(",kit,", ",train,")
    leaking = folder / "leaking.csv"
    leaking.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    found = shared(leaking)
    leaking.unlink()
    assert "product_across_splits" in found


def test_frames_put_together_are_the_colours_of_one_picture(tmp_path):
    """First, eighth and last frame are red, green and blue; a mask marks the defect wherever one of them shows it."""
    folder = write_line(tmp_path / "set", **{**SMALL, "kit_good": 0, "kit_defect": 1, "together": True})
    rows = rows_of(folder)
    assert [row["split"] for row in rows] == ["train", "calibration", "kit"]
    shown = rows[-1]
    picture = cv2.cvtColor(cv2.imread(str(folder / shown["path"]), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2RGB)
    drawn = json.loads((folder / "line.json").read_text(encoding="utf-8"))["strips"][-1]
    strip = make_strip(drawn["seed"], defect=shown["defect"], contrast=drawn["contrast"])
    for channel, frame in enumerate(INSPECTED):
        # the contrast in the file is rounded, which may move a grey value by one
        assert np.abs(picture[..., channel].astype(int) - draw_frame(strip, 0, frame)).max() <= 1
    mask = cv2.imread(str(folder / shown["mask"]), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(mask, np.maximum.reduce([draw_mask(strip, 0, frame) for frame in INSPECTED]))


DRAWING = """
from pathlib import Path
from candling.scenes.vials import write_line

if __name__ == "__main__":
    write_line(Path(__file__).parent / "line", seed=5, train_strips=200, workers=2)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc, which Linux has")
def test_a_killed_drawing_leaves_no_process_behind(tmp_path):
    told = f"CANDLING_KILLED={tmp_path}"
    script = tmp_path / "draw.py"
    script.write_text(DRAWING, encoding="utf-8")
    drawing = subprocess.Popen([sys.executable, script], env=os.environ | dict([told.split("=")]))
    _wait_until(lambda: len(_told(told)) >= 3)
    time.sleep(1.0)
    drawing.send_signal(signal.SIGKILL)
    drawing.wait()
    _wait_until(lambda: not _told(told))


def _told(text: str) -> list[str]:
    """List the processes whose environment says ``text``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is another user's
        if text.encode() in said:
            found.append(process.name)
    return found


def _wait_until(true, *, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(0.1)


def test_a_kit_is_mixed():
    """The published kit of 141 and 120 has every kind in turn, contrasts within their bounds, in random order."""
    jobs = _jobs(1, "kit", 120, 141, 10, (0, 7, 15), (0.2, 0.8))
    kinds = [job.defect for job in jobs]
    assert sum(job.pictures for job in jobs) == 261 * 30
    assert {kinds.count(kind) for kind in DEFECTS} == {10, 11}
    contrasts = [job.contrast for job in jobs if job.defect]
    assert 0.2 <= min(contrasts) < 0.25 < 0.7 < max(contrasts) <= 0.8
    assert None in kinds[:20] != [None] * 20


def test_workers_change_nothing_and_nothing_half_is_left(line, tmp_path):
    """Two processes write the same bytes as one; an existing folder is refused; an interruption leaves nothing."""
    folder, _ = line
    twin = write_line(tmp_path / "twin", **SMALL, workers=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(twin) for path in twin.rglob("*") if path.is_file())
    assert all((folder / path).read_bytes() == (twin / path).read_bytes() for path in files)
    with pytest.raises(OutputExistsError):
        write_line(twin, **SMALL)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_line(tmp_path / "none", **SMALL, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"train_strips": 0}, "needs 1 to 100000 strips"),
        ({"kit_good": -1}, "none negative"),
        ({"kit_good": 99_999}, "needs 1 to 100000 strips"),
        ({"runs": 0}, "at least 1 run; asked for are 0, 1, 1"),
        ({"frames": (0, 16)}, "some of 0 to 15; they are 0, 16"),
        ({"frames": ()}, "they are none"),
        ({"contrast": (0.0, 1.0)}, "lower bound above 0"),
        ({"contrast": (0.5, 0.2)}, "between 0 and 1"),
        ({"contrast": float("nan")}, "between 0 and 1"),
        ({"workers": 0}, "workers 1 or more; they are 5 and 0"),
        ({"seed": -2}, "they are -2 and 1"),
    ],
)
def test_impossible_wishes_are_told(tmp_path, options, sentence):
    """Numbers out of range are usage errors of one sentence, before anything is written."""
    with pytest.raises(UsageError, match=sentence):
        write_line(tmp_path / "set", **{**SMALL, **options})
    assert not list(tmp_path.iterdir())
