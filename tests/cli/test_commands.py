"""Tests of the command line as a user meets it: exit codes, sentences, JSON, files."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from candling.cli import app
from candling.cli.run import run
from candling.runtime.references import encode_references


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Run a command with --json; give exit code, parsed output and what was said beside it."""
    code = run([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out.strip() else {}, err


def test_help_is_quick_to_import() -> None:
    """Asking for help imports neither numpy nor torch nor an engine."""
    code = (
        "import sys\n"
        "from candling.cli.run import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'numpy', 'torch', 'cv2', 'onnxruntime', 'openvino', 'pydantic', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in app.registered_commands])
def test_every_command_explains_itself_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help holds examples and offers --json."""
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"candling {command}" in shown.split("Examples:")[1]
    assert "--json" in shown


def test_train_gives_a_calibrated_bundle(trained: Path) -> None:
    """After training the bundle is complete and the work folder is gone."""
    assert {"graph.onnx", "recipe.toml", "limits.json", "card.json", "manifest.json"} <= {
        p.name for p in trained.iterdir()
    }
    assert not trained.with_name("small.bundle.training").exists()
    limits = json.loads((trained / "limits.json").read_text())
    assert [entry["score"] for entry in limits["entries"]] == ["window_error"]


def test_train_refuses_an_existing_bundle(
    trained: Path, capsules: Path, small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle is never replaced unless asked, and the refusal comes before any training."""
    before = (trained / "manifest.json").read_bytes()
    code, said, _ = answer(capsys, "train", small_recipe, "--data", capsules, "--out", trained)
    assert code == 2
    assert "--overwrite" in said["error"]["message"]
    assert (trained / "manifest.json").read_bytes() == before


def test_evaluate_gives_every_figure_and_a_report(
    trained: Path, capsules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON has each promised key as value, low and high, and the files are there."""
    out = tmp_path / "report"
    code, said, _ = answer(capsys, "evaluate", trained, capsules, "--out", out, "--rounds", 100)
    assert code == 0
    keys = [
        "image_auroc",
        "image_ap",
        "f1",
        "missed_defect_rate",
        "false_reject_rate",
        "pixel_auroc",
        "pixel_ap",
        "aupro",
    ]
    for key in keys:
        assert {"value", "low", "high"} <= said[key].keys(), key
        assert 0.0 <= said[key]["low"] <= said[key]["value"] <= said[key]["high"] <= 1.0, key
    assert set(said["per_class"]) == {"crack", "scratch", "poke", "squeeze", "faulty_imprint"}
    assert {"report.html", "evaluation.json", "images.csv"} == {path.name for path in out.iterdir()}
    assert json.loads((out / "evaluation.json").read_text()) == said
    code, said, _ = answer(capsys, "evaluate", trained, capsules, "--out", out)
    assert code == 2
    assert "--overwrite" in said["error"]["message"]


def test_inspect_records_a_torn_picture_and_goes_on(
    trained: Path, capsules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One unreadable file is a recorded reject; the others get their verdicts."""
    pictures = tmp_path / "new"
    pictures.mkdir()
    for source in sorted((capsules / "test" / "good").iterdir())[:2]:
        shutil.copy(source, pictures)
    (pictures / "001a.png").write_bytes(source.read_bytes()[:200])
    (pictures / "text.png").write_text("no picture")
    out = tmp_path / "results"
    code, said, _ = answer(capsys, "inspect", trained, pictures, "--out", out, "--overlays", "all")
    assert code == 0
    assert (said["images"], said["unreadable"]) == (4, 2)
    with (out / "results.csv").open() as file:
        rows = {Path(row["product"]).name: row for row in csv.DictReader(file)}
    assert rows["text.png"]["verdict"] == "reject"
    assert "text.png" in rows["text.png"]["reason"]
    assert rows["000.png"]["overlay"]


def test_calibrate_changes_the_limit_and_logs_it(trained: Path, capsules: Path, tmp_path: Path, capsys) -> None:
    """Limits change without training; the old ones stay in the history with the reason."""
    bundle = tmp_path / "copy.bundle"
    shutil.copytree(trained, bundle)
    words = ("calibrate", bundle, capsules, "--goal", "youden", "--reason", "trial", "--by", "me")
    code, said, _ = answer(capsys, *words)
    assert code == 0
    assert said["limits"][0]["goal"] == "youden"
    (change,) = json.loads((bundle / "limits.json").read_text())["history"]
    assert (change["reason"], change["by"]) == ("trial", "me")
    assert change["old"] != change["new"]
    code, said, _ = answer(capsys, "calibrate", bundle, "--set", "window_error=0.5", "--reason", "agreed")
    assert code == 0
    assert said["limits"][0]["high"] == 0.5
    assert said["changes"] == 2
    code, said, _ = answer(capsys, "calibrate", bundle, "--set", "window_error=0.5")
    assert code == 2
    assert "--reason" in said["error"]["message"]


def test_bench_fails_when_the_slot_is_too_short(trained: Path, capsules: Path, capsys) -> None:
    """A slot that no picture can meet gives exit code 1; without a slot the exit code is 0."""
    good = capsules / "test" / "good"
    code, said, _ = answer(capsys, "bench", trained, good, "--seconds", 0.4)
    assert code == 0
    assert 0.0 < said["graph_share"] <= 1.05
    assert said["latency"]["p50"] <= said["latency"]["p99"] <= said["latency"]["max"]
    code, said, _ = answer(capsys, "bench", trained, good, "--seconds", 0.4, "--slot-ms", 0.0001)
    assert code == 1
    assert said["fits"] is False


def test_engines_give_the_same_verdicts(trained: Path, capsules: Path, tmp_path: Path, capsys) -> None:
    """ONNX Runtime and OpenVINO judge every picture alike; scores differ by less than 1e-4."""
    rows = {}
    for engine in ("onnxruntime", "openvino"):
        out = tmp_path / engine
        words = ("inspect", trained, capsules / "test", "--out", out, "--engine", engine, "--overlays", "none")
        assert answer(capsys, *words)[0] == 0
        rows[engine] = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for one, other in zip(*rows.values(), strict=True):
        assert (one["product"], one["verdict"]) == (other["product"], other["verdict"])
        assert one["scores"][0]["value"] == pytest.approx(other["scores"][0]["value"], abs=1e-4)


def test_check_refuses_hostile_files_and_says_why(real_data, tmp_path: Path, capsys) -> None:
    """Pictures that no decoder should see are findings, not crashes, and the exit code is 3."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in real_data("hostile").glob("*.png"):
        shutil.copy(path, folder)
    rng = np.random.default_rng(0)
    import cv2

    for number in range(4):
        cv2.imwrite(str(folder / f"good{number}.png"), rng.integers(0, 255, (64, 64), np.uint8))
    code, said, _ = answer(capsys, "check", folder)
    assert code == 3
    unreadable = [finding for finding in said["findings"] if finding["kind"] == "unreadable"]
    assert sum(len(finding["paths"]) for finding in unreadable) == 3


BAD = {
    "no such folder": (["check", "nowhere"], 3),
    "empty folder": (["train", "{recipe}", "--data", "{empty}", "--out", "{tmp}/a"], 3),
    "one image": (["train", "{recipe}", "--data", "{one}", "--out", "{tmp}/a"], 3),
    "unknown recipe": (["train", "capsuls", "--data", "{capsules}", "--out", "{tmp}/a"], 2),
    "impossible minutes": (["train", "{recipe}", "--data", "{capsules}", "--out", "{tmp}/a", "--minutes", "-1"], 2),
    "bundle that is none": (["inspect", "{empty}", "{one}", "--out", "{tmp}/a"], 3),
    "no such picture": (["inspect", "{bundle}", "nowhere.png", "--out", "{tmp}/a"], 2),
    "unknown overlays": (["inspect", "{bundle}", "{one}", "--out", "{tmp}/a", "--overlays", "some"], 2),
    "unknown engine": (["inspect", "{bundle}", "{one}", "--out", "{tmp}/a", "--engine", "magic"], 2),
    "unknown goal": (["calibrate", "{bundle}", "{capsules}", "--goal", "luck"], 2),
    "calibrate without anything": (["calibrate", "{bundle}"], 2),
    "option misspelt": (["train", "{recipe}", "--dta", "x"], 2),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_input_is_one_sentence_and_its_exit_code(
    name: str, trained: Path, capsules: Path, small_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is given wrongly, the user reads one sentence, no traceback, and nothing is written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    shutil.copy(next((capsules / "train" / "good").iterdir()), tmp_path / "one")
    places = {
        "recipe": small_recipe, "empty": tmp_path / "empty", "one": tmp_path / "one",
        "tmp": tmp_path, "capsules": capsules, "bundle": trained,
    }  # fmt: skip
    words, expected = BAD[name]
    assert run([word.format(**places) for word in words]) == expected
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if name != "option misspelt":
        assert said.count("\n") == 1, said
    assert not (tmp_path / "a").exists()


def test_folder_and_pattern_mean_the_same_pictures(capsules: Path) -> None:
    """A folder, a quoted pattern and single files give the same list, in natural order, each once."""
    from candling.cli.pictures import find_pictures

    folder = capsules / "test" / "good"
    once = find_pictures([str(folder)])
    assert find_pictures([f"{folder}/*.png", str(folder / "000.png")]) == once
    assert [path.name for path in once] == sorted(path.name for path in once)


def test_demo_draws_trains_and_reports(tmp_path: Path, small_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo leaves pictures, a bundle and a report, and finds drawn defects better than chance."""
    out = tmp_path / "demo"
    words = ["--product", "capsules", "--out", out, "--minutes", 0.1, "--recipe", small_recipe]
    code, said, _ = answer(capsys, "demo", *words)
    assert code == 0
    assert Path(said["report"]).is_file()
    assert {"capsules", "capsules.bundle", "report"} == {path.name for path in out.iterdir()}


def test_recipes_can_be_printed_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `candling recipes NAME` prints is a recipe."""
    from candling.recipe import load_recipe, parse_recipe

    assert run(["recipes", "capsules"]) == 0
    assert parse_recipe(capsys.readouterr().out, where="printed") == load_recipe("capsules")


def test_methods_lists_every_method_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Each file of the methods' folder is listed with its options."""
    code = run(["methods", "--json"])
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert code == 0
    assert {"autoencoder", "variational_autoencoder"} <= set(listed)
    assert "widths" in listed["autoencoder"]["options"]["properties"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "autoencoder"', 'name = "autoencodr"', "did you mean 'autoencoder'?"),
        ("widths = [8, 8]", "width = [8, 8]", "method.width: unknown key; did you mean 'widths'?"),
        ('"window_error"', '"window_eror"', "did you mean 'window_error'?"),
    ],
)
def test_wrong_recipe_is_told_before_any_training(
    old: str, new: str, sentence: str, small_recipe: Path, capsules: Path, tmp_path: Path, capsys
) -> None:
    """A misspelt method, option or score is told with the nearest spelling, before an update is made."""
    recipe = tmp_path / "wrong.toml"
    recipe.write_text(small_recipe.read_text().replace(old, new))
    code, said, _ = answer(capsys, "train", recipe, "--data", capsules, "--out", tmp_path / "a")
    assert code == 2
    assert sentence in said["error"]["message"]
    assert not (tmp_path / "a").exists()


def test_inspect_shows_the_nearest_good(building, tmp_path: Path, capsys) -> None:
    """A bundle that remembers good pictures draws a reject beside them; the record names picture, row and column."""
    import cv2

    rng = np.random.default_rng(3)
    pictures = rng.integers(90, 100, (3, 64, 64), np.uint8)
    bundle = tmp_path / "plate.bundle"
    building.remembering_bundle(bundle, pictures, references=encode_references(pictures))
    stained = pictures[1].copy()
    stained[20:30, 40:50] = 250
    cv2.imwrite(str(tmp_path / "stained.png"), stained)
    out = tmp_path / "results"
    code, said, _ = answer(capsys, "inspect", bundle, tmp_path / "stained.png", "--out", out)
    assert (code, said["rejected"]) == (0, 1)
    record = json.loads((out / "results.jsonl").read_text())
    assert record["unlike"][0]["nearest"].keys() == {"picture", "row", "column"}
    assert (out / record["unlike_picture"]).is_file()
    bare = ("--overlays", "none", "--overwrite")
    assert answer(capsys, "inspect", bundle, tmp_path / "stained.png", "--out", out, *bare)[0] == 0
    assert json.loads((out / "results.jsonl").read_text())["unlike"] == record["unlike"]
    building.remembering_bundle(tmp_path / "torn.bundle", pictures, references=b"II*\0")
    words = ("inspect", tmp_path / "torn.bundle", tmp_path / "stained.png", "--out", tmp_path / "no")
    code, said, _ = answer(capsys, *words)
    assert code == 3
    assert "references.tif" in said["error"]["message"]
    assert not (tmp_path / "no").exists()
