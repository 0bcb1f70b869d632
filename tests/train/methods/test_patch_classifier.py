"""What the patch classifier promises beside the contract: rules, windows, and that it learns from masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from candling.data.samples import SampleSet, load_samples
from candling.errors import RecipeError, SamplesError, TrainingError
from candling.recipe import MethodChoice, Recipe, Training, load_recipe
from candling.runtime.bundle import load_bundle
from candling.runtime.inspector import Inspector
from candling.runtime.learned import LEARNED, learned_hashes
from candling.scenes.fibres import draw_mat, write_dataset
from candling.train.method import Batch, Plan, build_method, learns_defects, method_names
from candling.train.pipeline import train_bundle
from candling.train.progress import Silent
from candling.workflow.evaluate import evaluate

SHAPE = (1, 96, 128)
CONTEXT = {"network": "context", "window": 64, "width": 8, "levels": 3, "stem": 2}


def mats(count: int, seed: int, *, masks: bool = True) -> Batch:
    """Drawn mats, every other one with defects."""
    drawn = [
        draw_mat(
            np.random.default_rng([seed, number]),
            size=SHAPE[1:],
            fibre_px=5,
            defects=("bead", "film", "dust") if number % 2 else (),
        )
        for number in range(count)
    ]
    images = torch.from_numpy(np.stack([frame for frame, _ in drawn])[:, None].astype(np.float32) / 255)
    marks = torch.from_numpy(np.stack([mask for _, mask in drawn]))
    return Batch(images, torch.arange(count), torch.Generator().manual_seed(seed), masks=marks if masks else None)


def built(options: dict, shape: tuple[int, int, int] = SHAPE):
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return build_method("patch_classifier", options, Plan(shape, Training(learning_rate=3e-3), fabric))


def test_it_alone_learns_defects() -> None:
    """A method says by one word in its file that it is given masks; those of good images alone say nothing."""
    assert [name for name in method_names() if learns_defects(name)] == ["patch_classifier"]


@pytest.mark.parametrize(
    "options",
    [
        {"patches": {"size": 28, "defect_from": 0.4, "good_up_to": 0.02, "mixed": "keep"}},
        {**CONTEXT, "patches": {"size": 9, "defect_from": 0.5, "an_update": 8}, "hard": 0.5, "moving_average": True},
    ],
    ids=["published", "context"],
)
def test_it_finds_drawn_defects_it_never_saw(options: dict) -> None:
    """After some updates, defects of other mats have a higher probability than their ground."""
    method = built(options)
    good, held_out = mats(6, 1), mats(4, 2)
    method.begin([good], [held_out], Silent())
    first = method.validate(held_out)["loss"]
    for step in range(60):
        method.step(Batch(good.images, good.indices, torch.Generator().manual_seed(step), masks=good.masks))
    assert method.validate(held_out)["loss"] < first
    method.finish([good])
    unseen = mats(4, 3)
    with torch.no_grad():
        out = method.graph()(unseen.images)
    values = out["anomaly_map"]
    assert values[unseen.masks].mean() > 1.5 * values[~unseen.masks].mean()
    shares = out["covered_share"]
    assert 0.0 < shares.min() <= shares.max() < 0.5  # fitted to what occurs, not to half defects


def test_what_it_cannot_learn_from_is_told() -> None:
    """No masks, no patch that is wholly a defect, options that contradict, windows larger than images."""
    method = built({})
    with pytest.raises(TrainingError, match="learns from labelled defects, and no masks came"):
        method.begin([mats(2, 0, masks=False)], [], Silent())
    empty = mats(2, 0)
    with pytest.raises(SamplesError, match="none of the patches of 29 px is defect"):
        method.begin([Batch(empty.images, empty.indices, empty.generator, masks=empty.masks & False)], [], Silent())
    with pytest.raises(RecipeError, match="must be a multiple of 32"):
        built({"network": "context", "levels": 5, "window": 200})
    with pytest.raises(RecipeError, match=r"good_up_to \(0\.5\) must lie below defect_from \(0\.4\)"):
        built({"patches": {"good_up_to": 0.5, "defect_from": 0.4}})
    with pytest.raises(RecipeError, match=r"smaller than method\.window = 192"):
        built({"network": "context"})


def test_pixels_near_the_border_of_a_mask_teach_nothing() -> None:
    """Of a window's labels those within the band around a mask's outline have no weight."""
    method = built({**CONTEXT, "ignore_px": 3})
    defect = torch.zeros(1, 1, 32, 32)
    defect[:, :, 10:20, 10:20] = 1.0
    teaching = method._teaching(defect)[0, 0]
    assert teaching[15, 15] == teaching[2, 2] == 1.0
    assert teaching[10, 15] == teaching[7, 15] == teaching[12, 15] == 0.0
    assert teaching[6, 15] == teaching[13, 15] == 1.0


@pytest.fixture(scope="module")
def small() -> Recipe:
    """The recipe of the fibres, on small drawn mats."""
    recipe = load_recipe("nanofibres")
    options = recipe.method.options | CONTEXT | {"patches": {"size": 9, "defect_from": 0.5, "an_update": 4}}
    return recipe.model_copy(
        update={
            "prepare": recipe.prepare.model_copy(update={"height": 96, "width": 128}),
            "regions": (),
            "method": MethodChoice.model_validate({"name": "patch_classifier", **options}),
            "training": recipe.training.model_copy(update={"epochs": 2, "minutes": None}),
        }
    )


def test_a_bundle_is_never_measured_on_what_it_learned(small: Recipe, tmp_path: Path) -> None:
    """From one folder without splits: learned images are written down, left out of the evaluation, and said so."""
    data = write_dataset(tmp_path / "mats", seed=7, size=(96, 128), fibre_px=5, normal=4, anomalous=9)
    bundle = train_bundle(small, data, tmp_path / "a.bundle")
    known = learned_hashes(bundle)
    assert len(known) == 4 + 6
    table = bundle.read_extra(LEARNED).decode().splitlines()
    assert [line.split(",")[1] for line in table[1:]].count("held out") >= 2
    inspector = Inspector.load(load_bundle(tmp_path / "a.bundle"))
    found = evaluate(inspector, load_samples(data), rounds=100, most_examples=0)
    assert len(found.images) == 3
    assert any("10 images were left out" in note for note in found.notes)
    figures = found.to_json()["defects"]
    assert figures["defects"] >= 3
    assert set(figures["patches"]) >= {"found", "accepted", "missed_defect", "false_alarm", "mixed"}
    assert figures["covered_percent"]["by_masks"]["value"] > 0
    names = {line.rpartition(",")[2] for line in table[1:]}
    learned = tuple(sample for sample in load_samples(data) if sample.path.name in names)
    with pytest.raises(SamplesError, match=r"among those that a\.bundle learned from"):
        evaluate(inspector, SampleSet(data, "folders", learned), rounds=100, most_examples=0)


def test_masks_do_not_follow_an_alignment(small: Recipe, tmp_path: Path) -> None:
    """A recipe that aligns is refused before training."""
    data = write_dataset(tmp_path / "mats", seed=7, size=(96, 128), fibre_px=5, normal=3, anomalous=3)
    aligned = small.model_copy(update={"prepare": small.prepare.model_copy(update={"align": "shift"})})
    with pytest.raises(RecipeError, match=r"prepare\.align: masks are not moved"):
        train_bundle(aligned, data, tmp_path / "a.bundle")
