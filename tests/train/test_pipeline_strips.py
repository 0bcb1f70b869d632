"""Training on strips: every vial, region and frame is learned from, and limits are chosen at their level."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.recipe import MethodChoice, load_recipe, parse_recipe
from candling.runtime.inspector import Inspector
from candling.scenes.capsules import draw_capsule
from candling.scenes.vials import INSPECTED, draw_strip, write_line
from candling.train.pipeline import train_bundle
from candling.types import Verdict

RECIPE = """
[story]
product = "small strips"
[prepare]
channels = 1
height = 32
width = 32
[[regions]]
name = "neck"
top = 0
left = 0
height = 32
width = 32
[[regions]]
name = "body"
top = 32
left = 0
height = 32
width = 32
[strip]
vials = 2
pitch_px = 32
frames = 3
height = 64
width = 64
runs = 3
agree = 2
[method]
name = "autoencoder"
widths = [8, 8]
[training]
epochs = 1
batch_size = 16
hold_out = 0.4
precision = "float32"
[limits]
scores = ["mean_squared_error"]
goal = "quantile"
value = 1.0
level = "LEVEL"
"""


def noisy(rng):
    """Three frames of noise on grey."""
    return list(rng.normal(120, 10, (3, 64, 64)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def line(building, tmp_path):
    """Write a line of five strips to learn from, the first with a rank frame, and ``calibrated`` runs of one more."""

    def write(calibrated):
        rng = np.random.default_rng(0)
        strips = [(f"T{at}", "good", "train", 0, noisy(rng)) for at in range(5)]
        strips += [("C1", "good", "calibration", run, noisy(rng)) for run in range(calibrated)]
        table = building.strip_table(tmp_path / "line", strips)
        building.picture(table.parent / "rank.png", np.minimum.reduce(noisy(rng)))
        table.write_text(table.read_text() + "rank.png,good,train,T0,0,darkest,,,,\n")
        return table.parent

    return write


@pytest.mark.parametrize(
    ("level", "calibrated", "found", "count"),
    [("run", 3, "run", 1), ("run", 2, "strip", 2)],
)
def test_limits_are_chosen_at_the_recipes_level(line, tmp_path, level, calibrated, found, count):
    """Products by their runs; where these are not complete it is told, and strips are counted."""
    recipe = parse_recipe(RECIPE.replace("LEVEL", level), where="test")
    bundle = train_bundle(recipe, line(calibrated), tmp_path / "a.bundle")
    assert {entry.level for entry in bundle.limits.entries} == {found}
    assert {entry.samples_good for entry in bundle.limits.entries} == {count}
    # five strips of three frames and a rank frame, four patches each
    assert sum(bundle.card.data.counts.values()) == 16 * 4


def test_without_a_split_for_it_held_out_strips_choose_the_limits(line, tmp_path):
    """Whole strips are held out, a rank frame is none of theirs, and what is learned judges strips."""
    recipe = parse_recipe(RECIPE.replace("LEVEL", "strip"), where="test")
    bundle = train_bundle(recipe, line(0), tmp_path / "a.bundle")
    assert {entry.samples_good for entry in bundle.limits.entries} == {2}
    inspector = Inspector.load(bundle, threads=1)
    frames = noisy(np.random.default_rng(9))
    assert len(inspector.inspect_strip(frames).predictions) == 12
    frames[1][32:, 32:] = 255
    inspection = inspector.inspect_strip(frames)
    assert inspection.verdict is Verdict.REJECT
    assert inspection.reasons[0].text.startswith("vial 2, body, frame 2: mean_squared_error")


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    """Remember four drawn strips cell by cell; limits accept one more."""
    folder = tmp_path_factory.mktemp("line")
    counts = {"train_strips": 4, "calibration_strips": 1, "kit_good": 0, "kit_defect": 0}
    line = write_line(
        folder / "line", seed=3, **counts, train_runs=1, calibration_runs=1, frames=INSPECTED, ranks=False
    )
    recipe = load_recipe("vials")
    update = {
        "prepare": recipe.prepare.model_copy(update={"height": 32, "width": 32}),
        "method": MethodChoice.model_validate(
            {"name": "memory", "memory": {"cell": 8, "radius": 1, "search": "nearest"}}
        ),
        "limits": recipe.limits.model_copy(update={"scores": ("anomaly",), "goal": "quantile", "value": 1.0}),
    }
    return Inspector.load(train_bundle(recipe.model_copy(update=update), line, folder / "m.bundle"), threads=1)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("other", ["capsule", "upside down", "half a vial aside"])
def test_a_frame_of_another_product_is_rejected(remembering, number, other):
    """One of the three shows a capsule, a strip upside down, or half a vial aside: a reject that names it."""
    frames = [draw_strip(900_000, 0, frame) for frame in INSPECTED]
    frame = frames[number - 1]
    frames[number - 1] = {
        "capsule": cv2.resize(draw_capsule(np.random.default_rng(1)), (1280, 1024)),
        "upside down": np.ascontiguousarray(frame[::-1]),
        "half a vial aside": np.ascontiguousarray(np.roll(frame, 128, axis=1)),
    }[other]
    inspection = remembering.inspect_strip(frames)
    assert inspection.verdict is Verdict.REJECT
    assert f"frame {number}" in inspection.reasons[0].text
