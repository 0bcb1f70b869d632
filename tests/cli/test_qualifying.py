"""The qualify command as a user meets it: exit codes, sentences, JSON, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from candling.cli.run import run

KIT = {"A": ("crack", 45), "B": ("crack", 40), "G": ("good", 0)}


@pytest.fixture
def tables(tmp_path):
    """Write a kit, the machine's runs and the manual results; give the words that name them."""

    def write(**machine: int) -> list[str]:
        rejects = {"A": 10, "B": 9, "G": 0} | machine
        kit = ["product,label,severity", *(f"{name},{label}," for name, (label, _) in KIT.items())]
        runs = ["product,run,decision"]
        runs += [
            f"{name},{turn},{'reject' if turn <= count else 'accept'}"
            for name, count in rejects.items()
            for turn in range(1, 11)
        ]
        manual = ["container,inspector,round,reject"]
        manual += [
            f"{name},I{who},{turn},{int(10 * who + turn < count)}"
            for name, (_, count) in KIT.items()
            for who in range(5)
            for turn in range(10)
        ]
        words = ["qualify", "--out", str(tmp_path / "report")]
        for name, lines in (("kit", kit), ("machine", runs), ("manual", manual)):
            (tmp_path / f"{name}.csv").write_text("\n".join(lines))
            words += [f"--{name}", str(tmp_path / f"{name}.csv")]
        return words

    return write


def test_a_machine_that_passes_returns_0_and_a_report(tables, tmp_path, capsys):
    """The figures are printed, the report lies in its folder, and JSON on disk is the JSON printed."""
    assert run(tables()) == 0
    shown = capsys.readouterr().out
    assert "met: The machine's reject-zone efficiency" in shown
    assert shown.rstrip().endswith("passed")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "qualification.html", "qualification.json", "containers.csv",
    }  # fmt: skip
    assert run([*tables(), "--overwrite", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report" / "qualification.json").read_text())
    assert printed["rze_manual"]["value"] == 0.85
    assert printed["rze_machine"]["value"] == 0.95
    assert printed["run_policy"]["defects_rejected"]["value"] == 1.0
    assert printed["run_policy"]["good_accepted"]["value"] == 1.0


def test_a_machine_that_fails_returns_1_and_still_a_report(tables, tmp_path, capsys):
    """Below the inspectors is 1; a margin stated before the test can make it pass."""
    assert run(tables(B=6)) == 1
    assert "not passed" in capsys.readouterr().out
    assert (tmp_path / "report" / "qualification.html").is_file()
    assert run([*tables(B=6), "--overwrite", "--margin", "0.05"]) == 0
    assert run([*tables(B=6), "--overwrite", "--margin", "0.05", "--defects-rejected", "0.9"]) == 1


def test_the_same_tables_give_the_same_report(tables, tmp_path, capsys):
    """A second run writes the same bytes; a date is what the caller states."""
    report = tmp_path / "report" / "qualification.html"
    assert run([*tables(), "--date", "20 November 2026"]) == 0
    first = report.read_bytes()
    assert run([*tables(), "--date", "20 November 2026", "--overwrite"]) == 0
    assert report.read_bytes() == first
    assert b"20 November 2026" in first


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", "ten"], "--policy ten: write how many runs must agree"),
        (["--policy", "5/10"], "5 of 10 decides nothing"),
        (["--margin", "nan"], "a margin of nan is impossible"),
        (["--prevalence", "2"], "a prevalence of 2.0 is impossible"),
    ],
)
def test_wrong_usage_returns_2(tables, capsys, words, sentence):
    """What is wrong with the call is said in one sentence."""
    assert run([*tables(), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_refused_data_return_3_and_leave_nothing(tables, tmp_path, capsys):
    """An incomplete kit is refused before anything is written."""
    words = tables()
    machine = Path(words[words.index("--machine") + 1])
    machine.write_text("\n".join(machine.read_text().splitlines()[:-1]))
    assert run([*words, "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)["error"]
    assert answer["kind"] == "KitError"
    assert "container 'G' has 9 of 10 runs (missing: 10)" in answer["message"]
    assert not (tmp_path / "report").exists()


def test_without_manual_results_nothing_is_compared(tables, capsys):
    """The run policy alone is no verdict unless a criterion asks for one."""
    words = tables()
    at = words.index("--manual")
    alone = words[:at] + words[at + 2 :]
    assert run(alone) == 0
    assert "not judged" in capsys.readouterr().out
    assert run([*alone, "--overwrite", "--good-accepted", "1.0", "--defects-rejected", "1.0"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("passed")


def test_the_same_place_is_asked_of_tables_that_say_where(tables, tmp_path, capsys):
    """Without the column it is refused; every reject elsewhere is one reject, so no defect is left."""
    words = tables()
    assert run([*words, "--same-place", "--json"]) == 3
    assert "does not say where it was rejected" in json.loads(capsys.readouterr().out)["error"]["message"]
    machine = tmp_path / "machine.csv"
    head, *rows = machine.read_text().splitlines()
    machine.write_text("\n".join([f"{head},places", *(f"{row},vial {at}" for at, row in enumerate(rows))]) + "\n")
    assert run([*words, "--same-place", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["plan"]["same_place"] is True
    assert answer["run_policy"]["defects_rejected"]["value"] == 0.0
