"""Every shipped recipe trains: two updates on drawn products, through export and limits to a bundle that judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.pixels.read import read_image
from candling.recipe import load_recipe, shipped_recipes
from candling.runtime.inspector import Inspector
from candling.scenes.capsules import write_dataset
from candling.scenes.vials import write_line
from candling.train.pipeline import train_bundle
from candling.types import Verdict


@pytest.fixture(scope="module")
def capsules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn capsules."""
    folder = tmp_path_factory.mktemp("drawn") / "capsules"
    return write_dataset(folder, seed=5, size=128, good_train=8, good_test=1, per_defect=0)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn strips to learn from and one for limits, a run each."""
    strips = {"train_strips": 2, "calibration_strips": 1, "kit_good": 1, "kit_defect": 0}
    runs = {"runs": 1, "train_runs": 1, "calibration_runs": 1}
    return write_line(tmp_path_factory.mktemp("drawn") / "line", seed=5, frames=(0,), ranks=False, **strips, **runs)


def _strips() -> list[str]:
    return [name for name in shipped_recipes() if load_recipe(name).strip is not None]


@pytest.mark.parametrize("name", _strips())
def test_a_shipped_recipe_for_strips_gives_a_bundle_that_judges_them(name: str, line: Path, tmp_path: Path) -> None:
    """Its geometry is the drawn line's: sixty patches of three frames, limits for strips, a reason with its vial."""
    recipe = load_recipe(name)
    training = recipe.training.model_copy(
        update={"epochs": 2, "precision": "float32", "minutes": None, "batch_size": 20, "hold_out": 0.5}
    )
    bundle = train_bundle(recipe.model_copy(update={"training": training}), line / "samples.csv", tmp_path / "a.bundle")
    assert bundle.card.training["updates"] == 2
    assert {(entry.region, entry.level) for entry in bundle.limits.entries} == {
        (region, recipe.limits.level) for region in recipe.region_names
    }
    inspector = Inspector.load(bundle)
    frames = [read_image(path) for path in sorted((line / "kit").rglob("*.png"))]
    inspection = inspector.inspect_strip(frames)
    assert inspection.verdict in set(Verdict)
    assert len(inspection.predictions) == len(recipe.places) * recipe.frames
    assert inspector.inspect_strip(frames[:2]).verdict is Verdict.REJECT


@pytest.mark.parametrize("name", sorted(set(shipped_recipes()) - set(_strips())))
def test_a_shipped_recipe_gives_a_bundle_that_judges(name: str, capsules: Path, tmp_path: Path) -> None:
    """Two epochs of one update each are enough for a bundle; it gives a verdict by the scores the recipe names."""
    recipe = load_recipe(name)
    training = recipe.training.model_copy(update={"epochs": 2, "precision": "float32", "minutes": None})
    bundle = train_bundle(recipe.model_copy(update={"training": training}), capsules, tmp_path / "a.bundle")
    assert bundle.card.training["updates"] == 2
    assert {entry.score for entry in bundle.limits.entries} == set(recipe.limits.scores)
    inspection = Inspector(bundle, Inspector.load(bundle).predictor).inspect_file(
        capsules / "test" / "good" / "000.png"
    )
    assert inspection.verdict in set(Verdict)
    assert set(recipe.limits.scores) <= set(inspection.predictions[0].scores)
