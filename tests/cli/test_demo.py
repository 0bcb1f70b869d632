"""Tests of the demo of the vial line, small: every step is there, and what each leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from candling.cli.demo import Size, run_demo
from candling.cli.run import run
from candling.errors import OutputExistsError

SMALL = Size(train=2, calibration=2, good=1, defect=2, runs=1)


@pytest.fixture(scope="module", params=["vials", "vials_together"])
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a shipped recipe, of three frames or of three put together, with a network for tests."""
    from candling.recipe import MethodChoice, dump_recipe, load_recipe

    vials = load_recipe(request.param)
    training = vials.training.model_copy(update={"epochs": 1, "precision": "float32", "batch_size": 40})
    prepare = vials.prepare.model_copy(update={"height": 32, "width": 32})
    method = MethodChoice.model_validate({"name": "autoencoder", "widths": [8, 8]})
    limits = vials.limits.model_copy(update={"scores": ("mean_squared_error",)})
    update = {"training": training, "prepare": prepare, "method": method, "limits": limits}
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(dump_recipe(vials.model_copy(update=update)), encoding="utf-8")
    return path


def test_the_demo_takes_a_drawn_line_to_a_qualification(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves the line, a bundle, a report, the kit's verdicts and a qualification, and names them all."""
    out = tmp_path / "demo"
    code = run_demo(
        out, product="vials", minutes=0.1, recipe=str(recipe), seed=3, overwrite=False, json=True, size=SMALL
    )
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    assert {path.name for path in out.iterdir()} == {"line", "vials.bundle", "report", "strips", "qualification"}
    assert all(Path(said[name]).exists() for name in ("report", "bundle", "strips", "qualification"))
    summary = json.loads((out / "strips" / "summary.json").read_text(encoding="utf-8"))
    found = json.loads((out / "qualification" / "qualification.json").read_text(encoding="utf-8"))
    assert summary["images"] == SMALL.good + SMALL.defect  # of the kit alone, not of what limits were chosen on
    assert summary["overlays"] == summary["rejected"]
    assert len(list((out / "strips" / "overlays").glob("*.jpg"))) == summary["overlays"]
    assert {"good_accepted", "defects_rejected"} <= set(found["run_policy"])


def test_a_demo_never_overwrites_unasked(tmp_path: Path) -> None:
    """A folder that holds something is refused before anything is drawn."""
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError):
        run_demo(tmp_path, product="vials", minutes=1.0, recipe=None, seed=0, overwrite=False, json=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_product_is_refused_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told in one sentence, and nothing is drawn."""
    assert run(["demo", "--product", "cups", "--out", str(tmp_path / "demo")]) == 2
    assert "there are vials and capsules" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
