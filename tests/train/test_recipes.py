"""Every shipped recipe trains: two updates on drawn products, through export and limits to a bundle that judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.pixels.read import read_image
from candling.recipe import load_recipe, shipped_recipes
from candling.runtime.cells import CellCounter
from candling.runtime.counters import load_counter
from candling.runtime.inspector import Inspector
from candling.runtime.learned import learned_hashes
from candling.scenes.capsules import write_dataset
from candling.scenes.cells import write_dataset as write_fields
from candling.scenes.fibres import write_dataset as write_mats
from candling.scenes.vials import write_line
from candling.train.method import learns_boxes, learns_cells, learns_defects
from candling.train.pipeline import train_bundle
from candling.types import Verdict


@pytest.fixture(scope="module")
def capsules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn capsules."""
    folder = tmp_path_factory.mktemp("drawn") / "capsules"
    return write_dataset(folder, seed=5, size=128, good_train=8, good_test=1, per_defect=0)


def _strips() -> list[str]:
    return [name for name in shipped_recipes() if load_recipe(name).strip is not None]


@pytest.fixture(scope="module", params=_strips())
def strips(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Give a recipe with two drawn strips to learn from and one for limits, a run each, as the recipe looks at them."""
    together = load_recipe(request.param).frames == 1
    counts = {"train_strips": 2, "calibration_strips": 1, "kit_good": 1, "kit_defect": 0}
    runs = {"runs": 1, "train_runs": 1, "calibration_runs": 1}
    folder = tmp_path_factory.mktemp("drawn") / "line"
    return request.param, write_line(folder, seed=5, frames=(0,), ranks=False, together=together, **counts, **runs)


@pytest.fixture(scope="module")
def mats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn mats without a defect and six with some, as large as the smallest window that learns them."""
    folder = tmp_path_factory.mktemp("drawn") / "mats"
    return write_mats(folder, seed=5, size=(192, 224), fibre_px=8, normal=3, anomalous=6)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn fields of cells with their numbered masks."""
    folder = tmp_path_factory.mktemp("drawn") / "fields"
    return write_fields(folder, seed=5, images=6, height=96, width=128, cells=(5, 20))


def _of_mats() -> list[str]:
    methods = {name: load_recipe(name).method.name for name in shipped_recipes()}
    return [name for name, method in methods.items() if learns_defects(method) or method == "lumps"]


def test_a_shipped_recipe_for_strips_gives_a_bundle_that_judges_them(strips: tuple[str, Path], tmp_path: Path) -> None:
    """Its geometry is the drawn line's: twenty patches a frame, limits for strips, a reason with its vial."""
    name, line = strips
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
    frames = [read_image(path) for path in sorted((line / "kit").rglob("*.png"))][: recipe.frames]
    inspection = inspector.inspect_strip(frames)
    assert inspection.verdict in set(Verdict)
    assert len(inspection.predictions) == len(recipe.places) * recipe.frames
    assert inspector.inspect_strip(frames[:-1]).verdict is Verdict.REJECT


def _of_cells() -> list[str]:
    return [name for name in shipped_recipes() if learns_cells(load_recipe(name).method.name)]


@pytest.mark.parametrize("name", _of_cells())
def test_a_shipped_recipe_for_cells_gives_a_bundle_that_counts(name: str, fields: Path, tmp_path: Path) -> None:
    """On smaller fields than the real ones it learns from numbered masks, and the bundle says which cells count."""
    recipe = load_recipe(name)
    training = recipe.training.model_copy(update={"epochs": 2, "minutes": None, "batch_size": 64})
    small = recipe.prepare.model_copy(update={"height": 64, "width": 64})
    bundle = train_bundle(
        recipe.model_copy(update={"prepare": small, "training": training}), fields, tmp_path / "a.bundle"
    )
    assert bundle.card.training["updates"] == 2
    assert bundle.limits.entries == ()
    counter = CellCounter.load(bundle)
    assert list(counter.counting.scores) == [recipe.method.options["label"]]
    frame = read_image(next((fields / "images").iterdir()))
    seen = counter.look(frame)
    assert seen.covered.shape == frame.shape[:2]
    assert len(learned_hashes(bundle)) == 4


def _of_boxes() -> list[str]:
    return [name for name in shipped_recipes() if learns_boxes(load_recipe(name).method.name)]


@pytest.mark.parametrize("name", _of_boxes())
def test_a_shipped_recipe_for_boxes_gives_a_bundle_that_counts(name: str, fields: Path, tmp_path: Path) -> None:
    """On drawn fields it learns the boxes of numbered masks, and the bundle says which of them count."""
    pytest.importorskip("torchvision.ops", reason="torchvision is not installed", exc_type=ImportError)
    recipe = load_recipe(name)
    training = recipe.training.model_copy(update={"epochs": 1, "minutes": None, "batch_size": 64})
    small = recipe.prepare.model_copy(update={"height": 96, "width": 128})
    method = recipe.method.model_copy(update={"classes": ["nucleus"], "scale": 1.0, "width": 8, "head": 16})
    changed = {"prepare": small, "training": training, "method": method}
    bundle = train_bundle(recipe.model_copy(update=changed), fields, tmp_path / "a.bundle")
    assert bundle.card.training["updates"] == 1
    assert bundle.limits.entries == ()
    counter = load_counter(bundle)
    assert list(counter.counting.scores) == ["nucleus"]
    frame = read_image(next((fields / "images").iterdir()))
    assert counter.look(frame).covered.shape == frame.shape[:2]
    assert len(learned_hashes(bundle)) == 4


@pytest.mark.parametrize("name", _of_mats())
def test_a_shipped_recipe_for_mats_gives_a_bundle_that_judges(name: str, mats: Path, tmp_path: Path) -> None:
    """On smaller pictures than the real ones, it learns from masks or good ones and leaves a map within [0, 1]."""
    recipe = load_recipe(name)
    size = {"height": 192, "width": 224}
    regions = tuple(region.model_copy(update=size) for region in recipe.regions)
    training = recipe.training.model_copy(update={"epochs": 2, "minutes": None, "batch_size": 8})
    shrunk = {"prepare": recipe.prepare.model_copy(update=size), "regions": regions, "training": training}
    options = recipe.method.options
    drawn = {"size": 28, "defect_from": 0.5}  # drawn defects are small
    changed = {"patches": options["patches"] | drawn} if "patches" in options else {}
    method = recipe.method.model_copy(update=changed)
    bundle = train_bundle(recipe.model_copy(update=shrunk | {"method": method}), mats, tmp_path / "a.bundle")
    assert bundle.card.training["updates"] == 2
    inspection = Inspector.load(bundle).inspect_file(mats / "normal" / "MAT000.png")
    assert inspection.verdict in set(Verdict)
    values = inspection.predictions[0].anomaly_map
    assert values is not None
    assert 0.0 <= values.min() <= values.max() <= 1.0


def _of_products() -> list[str]:
    others = {*_strips(), *_of_mats(), *_of_cells(), *_of_boxes()}
    return sorted(set(shipped_recipes()) - others)


@pytest.mark.parametrize("name", _of_products())
def test_a_shipped_recipe_gives_a_bundle_that_judges(name: str, capsules: Path, tmp_path: Path) -> None:
    """Two epochs of one update each, or none, are enough for a bundle that judges by the scores the recipe names."""
    recipe = load_recipe(name)
    training = recipe.training.model_copy(update={"epochs": 2, "precision": "float32", "minutes": None})
    bundle = train_bundle(recipe.model_copy(update={"training": training}), capsules, tmp_path / "a.bundle")
    assert bundle.card.training["updates"] == (0 if bundle.card.training["ended"] == "nothing to update" else 2)
    assert {entry.score for entry in bundle.limits.entries} == set(recipe.limits.scores)
    inspection = Inspector(bundle, Inspector.load(bundle).predictor).inspect_file(
        capsules / "test" / "good" / "000.png"
    )
    assert inspection.verdict in set(Verdict)
    assert set(recipe.limits.scores) <= set(inspection.predictions[0].scores)
