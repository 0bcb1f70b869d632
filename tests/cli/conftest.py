"""One small trained bundle on drawn capsules, shared by all tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.cli.run import run
from candling.scenes.capsules import write_dataset

RECIPE = """
[story]
product = "a drawn capsule"
source = "test"
command = "candling train small"
[prepare]
channels = 1
height = 64
width = 64
[method]
name = "autoencoder"
widths = [8, 8]
[training]
epochs = 2
batch_size = 8
precision = "float32"
[limits]
scores = ["window_error"]
"""


@pytest.fixture(scope="session")
def capsules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a small data set in the MVTec layout."""
    folder = tmp_path_factory.mktemp("drawn") / "capsules"
    return write_dataset(folder, seed=1, size=128, good_train=24, good_test=6, per_defect=2, difficulty=0.0)


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a recipe that trains in seconds."""
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def trained(capsules: Path, small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the small recipe through the command line."""
    bundle = tmp_path_factory.mktemp("bundles") / "small.bundle"
    assert run(["train", str(small_recipe), "--data", str(capsules), "--out", str(bundle)]) == 0
    return bundle
