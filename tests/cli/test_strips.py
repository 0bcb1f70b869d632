"""The commands on strips: inspect, bench and qualify as a user meets them."""

from __future__ import annotations

import json

import pytest

from candling.cli.run import run


@pytest.fixture
def line(building, tmp_path):
    """A bundle for strips, and a kit of one good and one bad strip with three runs each."""
    building.strip_bundle(tmp_path / "strips.bundle")
    bright = (2, "body", 2, 200)
    strips = [("G1", "good", "kit", turn, building.strip_frames(grey=80 + turn)) for turn in range(3)]
    strips += [
        ("D1", "burn", "kit", turn, building.strip_frames(grey=90 + turn, bright=bright), (2, "body"))
        for turn in range(3)
    ]
    strips += [("T1", "good", "train", 0, building.strip_frames(grey=60))]
    building.strip_table(tmp_path / "line", strips)
    return tmp_path


def test_inspect_takes_a_table_of_strips(line, capsys):
    """One row a run; what training had is left out; an overlay of each rejected one."""
    words = ["inspect", str(line / "strips.bundle"), str(line / "line" / "samples.csv"), "--out", str(line / "out")]
    assert run([*words, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["accepted"], summary["overlays"]) == (6, 3, 3)
    assert sorted(path.name for path in (line / "out" / "overlays").iterdir()) == [f"D1_run_{n}.jpg" for n in range(3)]


def test_inspect_refuses_loose_pictures_of_a_strip(line, capsys):
    """Nobody knows which belong together."""
    words = ["inspect", str(line / "strips.bundle"), str(line / "line" / "G1_0_00.png"), "--out", str(line / "out")]
    assert run(words) == 2
    assert "judges 3 frames at once; give a table" in capsys.readouterr().err


def test_bench_holds_the_strip_against_its_slot(line, capsys):
    """0 when it fits and 1 when not; the percentiles are at the top of the JSON."""
    words = ["bench", str(line / "strips.bundle"), "--strip", "--seconds", "0.1", "--threads", "1"]
    table = str(line / "line" / "samples.csv")
    assert run([*words, table, "--slot-ms", "1000000", "--json"]) == 0
    timing = json.loads(capsys.readouterr().out)
    assert {"p50_ms", "p99_ms", "flops_per_patch"} <= set(timing)
    assert (timing["patches"], timing["slot_ms"]) == (12, 1e6)
    assert run([*words, "--slot-ms", "0.001"]) == 1  # drawn ones
    shown = capsys.readouterr()
    assert "in memory to verdict" in shown.out
    assert "does not fit the slot of 0.001 ms" in shown.err.replace("\n", " ")


def test_bench_says_what_it_needs(line, capsys):
    """Pictures, or --strip."""
    assert run(["bench", str(line / "strips.bundle")]) == 2
    assert "give files or a folder, or --strip" in capsys.readouterr().err


def test_qualify_inspects_a_kit(line, capsys):
    """The recipe's policy of two of three; a criterion that is missed returns 1."""
    words = ["qualify", str(line / "strips.bundle"), str(line / "line"), "--threads", "1", "--json"]
    assert run([*words, "--out", str(line / "q"), "--defects-rejected", "0.9", "--good-accepted", "0.9"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["run_policy"]["good_accepted"]["value"] == data["run_policy"]["defects_rejected"]["value"] == 1.0
    assert (data["plan"]["k"], data["plan"]["n"]) == (2, 3)
    names = {path.name for path in (line / "q").iterdir()}
    assert {"machine.csv", "kit.csv", "qualification.html", "qualification.json", "containers.csv"} <= names
    assert run([*words, "--out", str(line / "q7"), "--policy", "7/10"]) == 3
    assert "has 3 of 10 runs" in capsys.readouterr().out


def test_qualify_wants_a_bundle_with_a_kit_or_tables(line, capsys):
    """One or the other."""
    for words in (["qualify"], ["qualify", "a.bundle"], ["qualify", "a.bundle", "kit", "--kit", "kit.csv"]):
        assert run([*words, "--out", str(line / "q")]) == 2
        assert "needs either BUNDLE and KIT, or the tables" in capsys.readouterr().err.replace("\n", " ")


def test_calibrate_counts_strips_when_told(line, capsys):
    """The level is logged with the limits."""
    table = line / "line" / "samples.csv"
    table.write_text(table.read_text().replace(",kit,", ",calibration,"))
    words = ["calibrate", str(line / "strips.bundle"), str(table), "--goal", "quantile", "--json"]
    assert run([*words, "--level", "strip", "--value", "0.9", "--by", "A. Keller"]) == 0
    limits = json.loads(capsys.readouterr().out)["limits"]
    assert [(one["region"], one["level"], one["samples_good"]) for one in limits] == [
        ("neck", "strip", 3),
        ("body", "strip", 3),
    ]
    assert run([*words, "--level", "vial"]) == 2
