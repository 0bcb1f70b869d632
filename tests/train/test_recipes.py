"""Every shipped recipe trains: two updates on drawn capsules, through export and limits to a bundle that judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.recipe import load_recipe, shipped_recipes
from candling.runtime.inspector import Inspector
from candling.scenes.capsules import write_dataset
from candling.train.pipeline import train_bundle
from candling.types import Verdict


@pytest.fixture(scope="module")
def capsules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn capsules."""
    folder = tmp_path_factory.mktemp("drawn") / "capsules"
    return write_dataset(folder, seed=5, size=128, good_train=8, good_test=1, per_defect=0)


@pytest.mark.parametrize("name", shipped_recipes())
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
