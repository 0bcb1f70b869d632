"""From a folder to a bundle: complete or not at all, and going on where it was interrupted."""

from __future__ import annotations

import csv
import fcntl
import io
import signal
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from candling.data.samples import load_samples
from candling.errors import DataError, EngineError, OutputExistsError, SamplesError, TrainingError, UsageError
from candling.recipe import parse_recipe
from candling.runtime.inspector import Inspector
from candling.runtime.references import References
from candling.train import finishing, pipeline
from candling.train.method import build_method
from candling.train.pipeline import train_bundle, work_folder
from candling.train.progress import Silent
from candling.train.stopping import Stopped
from candling.types import Verdict

RECIPE = """
[story]
product = "drawn discs"
[prepare]
pixels = 2048
multiple = 16
[method]
name = "autoencoder"
widths = [8, 16]
[training]
epochs = 3
batch_size = 4
hold_out = 0.3
precision = "float32"
[limits]
scores = ["mean_squared_error"]
goal = "quantile"
value = 1.0
"""


@pytest.fixture
def recipe():
    return parse_recipe(RECIPE, where="test")


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Give a folder of twenty bright discs on grey."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    for number in range(20):
        frame = rng.normal(60, 4, (48, 64))
        cv2.circle(frame, (32 + int(rng.integers(-3, 4)), 24), 14, 180, -1)
        assert cv2.imwrite(str(folder / f"{number}.png"), frame.clip(0, 255).astype(np.uint8))
    return folder


class Watcher(Silent):
    """Remembers the stages and presses Ctrl-C after some update."""

    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at, self.heard = stop_at, []

    def stage(self, sentence):
        self.heard.append(sentence)

    def stand(self, standing):
        if standing.step == self.stop_at:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def bundle(discs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "discs.bundle"
    return train_bundle(parse_recipe(RECIPE, where="test"), discs, out, progress=Watcher())


def test_a_bundle_is_ready_to_inspect(bundle, discs):
    """The bundle accepts a good image and rejects one with a dark stain."""
    inspector = Inspector.load(bundle.path)
    frame = cv2.imread(str(discs / "3.png"), cv2.IMREAD_GRAYSCALE)
    stained = frame.copy()
    stained[16:32, 24:40] = 255 - stained[16:32, 24:40]
    cv2.circle(stained, (10, 10), 9, 255, -1)
    assert inspector.inspect(frame).predictions[0].scores.keys() >= {"mean_squared_error"}
    assert inspector.inspect(stained).verdict is Verdict.REJECT


def test_the_recipe_inside_is_decided(bundle):
    """No "auto" is left; grey images became one channel, their shape was kept."""
    assert bundle.recipe.prepare.resolved
    assert bundle.recipe.prepare.shape == (1, 32, 48)


def test_the_card_tells_the_story(bundle):
    """Data, seed, epochs, precision, parity, versions and hardware are on the card; no path is."""
    card = bundle.card
    assert card.method == "autoencoder"
    assert card.data.counts == {"fit": 14, "held_out": 6}
    assert card.seeds == {"training": 0}
    assert "sigma 1.5" in card.scores["ssim"]
    assert card.training["epochs"] == 3
    assert card.training["updates"] == 3 * 4
    assert card.training["ended"] == "epochs"
    assert card.training["precision_chosen"] == "float32"
    assert card.parity["batches"] == "1, 3, 8"
    assert {"mean_squared_error", "anomaly_map mean", "anomaly_map max"} <= card.witness.keys()
    assert {"torch", "onnxruntime", "python"} <= card.versions.keys()
    assert card.hardware["device"] in {"cpu", "cuda", "mps"}
    assert str(bundle.path.parent) not in card.model_dump_json()


def test_the_limit_comes_from_held_out_images(bundle):
    """The limit was chosen on the six images that were not learned from."""
    (entry,) = bundle.limits.entries
    assert (entry.score, entry.samples_good, entry.samples_defect) == ("mean_squared_error", 6, 0)


def test_the_curves_travel_with_the_bundle(bundle):
    """One row an epoch, with learning rate and both losses."""
    rows = list(csv.DictReader(io.StringIO((bundle.path / "curves.csv").read_text())))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"step", "seconds", "rate", "training_loss", "held_out_loss"} <= rows[0].keys()


def test_the_work_folder_is_gone(bundle):
    """What an interrupted training needs is removed once the bundle is complete."""
    assert not work_folder(bundle.path).exists()


def test_the_same_command_goes_on(recipe, discs, tmp_path, bundle):
    """Stopped inside an epoch, the same command ends with the very same graph, and says that it goes on."""
    out = tmp_path / "discs.bundle"
    with pytest.raises(Stopped):
        train_bundle(recipe, discs, out, progress=Watcher(stop_at=6))
    assert not out.exists()
    assert work_folder(out).is_dir()
    watcher = Watcher()
    resumed = train_bundle(recipe, discs, out, progress=watcher)
    assert any(sentence.startswith("going on from the checkpoint") for sentence in watcher.heard)
    assert (resumed.path / "graph.onnx").read_bytes() == (bundle.path / "graph.onnx").read_bytes()
    assert not work_folder(out).exists()


def test_a_bundle_is_not_replaced_unasked(recipe, discs, tmp_path):
    """Something at the output is refused before any image is read."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        train_bundle(recipe, tmp_path / "no such data", tmp_path / "out")
    assert not work_folder(tmp_path / "out").exists()


def test_overwriting_replaces_only_when_complete(recipe, discs, tmp_path):
    """With overwrite, what was there stays until the new bundle is whole."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.txt").write_text("old")
    with pytest.raises(Stopped):
        train_bundle(recipe, discs, out, overwrite=True, progress=Watcher(stop_at=2))
    assert (out / "results.txt").read_text() == "old"
    train_bundle(recipe, discs, out, overwrite=True)
    assert not (out / "results.txt").exists()


def test_another_recipe_is_not_mixed_in(recipe, discs, tmp_path):
    """State of another training is refused with the remedy, and left behind when asked to begin anew."""
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        train_bundle(recipe, discs, out, progress=Watcher(stop_at=6))
    with pytest.raises(TrainingError, match="--restart"):
        train_bundle(recipe, discs, out, seed=5)
    watcher = Watcher(stop_at=1)
    with pytest.raises(Stopped, match="epoch 1 of 3 after 1 updates"):
        train_bundle(recipe, discs, out, seed=5, resume=False, progress=watcher)


def test_two_trainings_do_not_share_a_folder(recipe, discs, tmp_path):
    """A second training of the same output is refused while the first one works."""
    work = work_folder(tmp_path / "out")
    work.mkdir()
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another training works here"):
            train_bundle(recipe, discs, tmp_path / "out")


def test_a_foreign_file_keeps_its_folder(tmp_path):
    """Only what training wrote is removed from the work folder."""
    names = ("notes.txt", "lock", "curves.csv", "checkpoint.safetensors", "good-0.npy", "good-0.json")
    for name in names:
        (tmp_path / name).touch()
    pipeline._clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("minutes", -1.0), ("seed", -1)])
def test_an_impossible_budget_is_refused(recipe, discs, tmp_path, name, value):
    """Epochs, minutes and seed given beside the recipe are held to the recipe's own rules."""
    with pytest.raises(UsageError, match=name):
        train_bundle(recipe, discs, tmp_path / "out", **{name: value})


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(recipe, discs, tmp_path, count):
    """An empty folder and a folder with one image give one sentence, and leave nothing behind."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(count):
        (data / f"{number}.png").write_bytes((discs / f"{number}.png").read_bytes())
    with pytest.raises(SamplesError):
        train_bundle(recipe, data, tmp_path / "out")
    assert not work_folder(tmp_path / "out").exists()


def test_an_unreadable_image_is_refused(recipe, discs, tmp_path):
    """A text file named .png stops training with its name and the remedy."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.png").write_bytes((discs / f"{number}.png").read_bytes())
    (data / "2.png").write_text("no picture")
    with pytest.raises(DataError, match=r"2\.png.*candling check"):
        train_bundle(recipe, data, tmp_path / "out")


def test_a_goal_that_needs_defects_waits_for_them(bundle, discs):
    """Until labelled defects are seen, the limits aim at a false-reject rate, and the watcher hears why."""
    decided = bundle.recipe.model_copy(update={"limits": bundle.recipe.limits.model_copy(update={"goal": "youden"})})
    images = SimpleNamespace(
        recipe=decided,
        set=load_samples(discs),
        aligned=SimpleNamespace(aligners={}),
        matching=SimpleNamespace(matcher=None),
    )
    watcher = Watcher()
    exported = SimpleNamespace(graph=bundle.read_graph(), witness=bundle.card.witness)
    limits = finishing._limits(images, exported, progress=watcher)
    assert limits.entries[0].goal == "false_reject"
    assert any("needs labelled defects" in sentence for sentence in watcher.heard)


def test_limits_are_chosen_by_a_checked_engine(bundle, discs):
    """The engine that scores the held-out images is held against the witness first."""
    images = SimpleNamespace(recipe=bundle.recipe, set=load_samples(discs))
    exported = SimpleNamespace(graph=bundle.read_graph(), witness={"mean_squared_error": 9.0})
    with pytest.raises(EngineError, match=r"mean_squared_error is .* where the witness says 9"):
        finishing._limits(images, exported, progress=Watcher())


def test_real_capsules_train(real_data, tmp_path):
    """One epoch on some real capsules, shrunk, gives a bundle whose graph is proven equal to the network."""
    data = tmp_path / "data"
    data.mkdir()
    for path in sorted((real_data("mvtec_capsule") / "train" / "good").glob("*.png"))[:20]:
        (data / path.name).symlink_to(path)
    made = train_bundle(parse_recipe(RECIPE, where="test"), data, tmp_path / "out", epochs=1)
    assert made.card.data.counts == {"fit": 14, "held_out": 6}
    assert made.recipe.prepare.shape[0] == 1  # this category is stored in grey


class _Remembering:
    """A trained method that also remembers its first two good images, cell by cell of 16 px."""

    def __init__(self, method, pictures):
        self._method, self._pictures = method, pictures

    def __getattr__(self, name):
        return getattr(self._method, name)

    def references(self):
        return self._pictures

    def graph(self):
        return _Named(self._method.graph())


class _Named(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, image):
        picture = (image.mean((1, 2, 3)) > 0.3).to(torch.int64).view(-1, 1, 1)
        return {**self.inner(image), "nearest": torch.arange(6).view(1, 2, 3) + 6 * picture}


def test_what_a_method_remembers_goes_into_the_bundle(bundle, recipe, discs, tmp_path, monkeypatch):
    """The pictures lie beside the graph that names them; a method that remembers nothing leaves no such file."""
    pictures = np.arange(2 * 32 * 48, dtype=np.uint8).reshape(2, 32, 48)

    def fit(*args, **kwargs):
        fitted = pipeline_fit(*args, **kwargs)
        return replace(fitted, method=_Remembering(fitted.method, pictures))

    pipeline_fit = pipeline.fit
    monkeypatch.setattr(pipeline, "fit", fit)
    made = train_bundle(recipe, discs, tmp_path / "remembers", epochs=1)
    references = References.load(made)
    assert references.count == 2
    np.testing.assert_array_equal(references.page(1), pictures[1])
    [prediction] = Inspector.load(made).inspect_file(discs / "3.png", nearest=True).predictions
    assert prediction.nearest.shape == (2, 3)
    assert References.load(bundle) is None


def test_what_a_method_decided_stands_on_the_card(bundle, recipe, discs, tmp_path, monkeypatch):
    """Of a method that begins with the good images the card tells the choices; of another it tells none."""

    class Deciding:
        def __init__(self, method):
            self._method = method

        def __getattr__(self, name):
            return getattr(self._method, name)

        def begin(self, good, held_out, progress):
            self.seen = [sum(len(batch.images) for batch in some) for some in (good, held_out)]

        def choices(self):
            return {"good and held out": " and ".join(map(str, self.seen))}

    def fit(*args, **kwargs):
        return pipeline_fit(*args, **kwargs, build=lambda *given: Deciding(build_method(*given)))

    pipeline_fit = pipeline.fit
    monkeypatch.setattr(pipeline, "fit", fit)
    made = train_bundle(recipe, discs, tmp_path / "decides", epochs=1)
    assert made.card.choices["good and held out"] == "14 and 6"
    assert "good and held out" not in bundle.card.choices
    assert finishing._choices(SimpleNamespace()) == {}
