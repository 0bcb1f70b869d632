"""Calibration of strips: patches, strips and runs, each with its goal in the bundle."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from candling.data.samples import Sample, SampleSet, content_hash, load_samples
from candling.errors import LimitError, SamplesError
from candling.runtime.bundle import load_bundle, replace_limits
from candling.runtime.inspector import Inspector
from candling.runtime.predictor import Predictor
from candling.types import Verdict
from candling.workflow.calibrate import calibrate, calibration_samples

WHEN = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)


def levels(count, rng):
    """Grey levels of products: a typical one each, from 60 to 120."""
    return [int(level) for level in rng.permutation(np.linspace(60, 120, count).round())]


@pytest.fixture
def table(building, tmp_path):
    """Ten good strips and six with a bright patch in vial 2's body, three runs each, and one of the kit."""
    rng = np.random.default_rng(0)
    strips = []
    for at, grey in enumerate(levels(10, rng)):
        strips += [(f"G{at}", "good", "calibration", run, building.strip_frames(grey=grey + run)) for run in range(3)]
    for at, grey in enumerate(levels(6, rng)):
        for run in range(3):
            frames = building.strip_frames(grey=grey, bright=(2, "body", 1 + run, 160 + 10 * at + run))
            strips.append((f"D{at}", "burn", "calibration", run, frames, (2, "body")))
    strips.append(("K0", "good", "kit", 0, building.strip_frames(grey=250)))
    return load_samples(building.strip_table(tmp_path / "line", strips))


@pytest.fixture
def predictor(building, tmp_path):
    return Predictor.load(building.strip_bundle(tmp_path / "b", empty=True), engine="onnxruntime", threads=1)


def test_the_kit_is_never_calibrated_on(table, predictor):
    """Neither for good images nor for labelled ones, with or without a split of its own."""
    recipe = predictor.recipe
    assert {s.product[0] for s in calibration_samples(table, recipe)} == {"G"}
    assert {s.product[0] for s in calibration_samples(table, recipe, goal="youden")} == {"G", "D"}
    kit = SampleSet(table.root, "table", tuple(s for s in table if s.split == "kit" or s.product == "D0"))
    assert {s.product[0] for s in calibration_samples(kit, recipe, goal="youden")} == {"D"}


def test_limits_of_patches_count_every_patch(table, predictor):
    """Each region's goal is its own, over all vials, frames and runs; a defect counts where it lies, nowhere else."""
    good = calibration_samples(table, predictor.recipe)
    limits = calibrate(predictor, good, goal="quantile", value=0.9, clock=lambda: WHEN)
    assert [(e.region, e.level, e.samples_good, e.value) for e in limits.entries] == [
        ("neck", "patch", 180, 0.9),
        ("body", "patch", 180, 0.9),
    ]
    assert limits.entries[0].false_reject.value == pytest.approx(0.1, abs=0.02)
    assert calibrate(predictor, good, goal="false_reject", value=0.1).entries[0].value == 0.1  # no share of it


def test_defects_count_in_their_vial_and_region(table, predictor):
    """Three frames of one vial's body a run: not the other vial's, and none of the neck."""
    both = calibration_samples(table, predictor.recipe, goal="youden")
    with pytest.raises(LimitError, match="neck: brightness: the goal 'youden' needs scores of defects"):
        calibrate(predictor, both, goal="youden", level="patch")


def test_a_strip_goal_is_kept_strip_by_strip(building, table, predictor, tmp_path):
    """The stated share of strips is what the limits reject when whole strips are judged."""
    good = calibration_samples(table, predictor.recipe)
    limits = calibrate(predictor, good, goal="quantile", value=0.8, level="strip", clock=lambda: WHEN)
    assert {(e.level, e.goal, e.value, e.samples_good) for e in limits.entries} == {("strip", "quantile", 0.8, 30)}
    assert {e.data for e in limits.entries} == {content_hash(good)}
    assert "moved together; counts and rates are those of strips" in limits.entries[0].note
    assert "The 30 strips show 10 products; the interval counts each as independent" in limits.entries[0].note
    bundle = replace_limits(load_bundle(tmp_path / "b"), limits, reason="strips", by="A. Keller")
    assert {entry.level for entry in load_bundle(bundle.path).limits.entries} == {"strip"}
    inspector = Inspector.load(bundle, engine="onnxruntime", threads=1)
    names = {(s.product, s.run) for s in good}
    paths = {name: [s.path for s in good if (s.product, s.run) == name] for name in names}
    found = inspector.inspect_acquisitions((" ".join(name), files) for name, files in paths.items())
    rejected = sum(one.verdict is Verdict.REJECT for one in found)
    assert rejected == round(30 * limits.entries[0].false_reject.value) == 6


def test_runs_are_counted_by_product(table, predictor):
    """Two of three runs agree, as the recipe says; labelled goals see both kinds."""
    both = calibration_samples(table, predictor.recipe, goal="youden")
    entries = calibrate(predictor, both, goal="youden", level="run").entries
    assert {(e.level, e.samples_good, e.samples_defect) for e in entries} == {("run", 10, 6)}
    assert (entries[0].false_reject.value, entries[0].missed_defect.value) == (0.0, 0.0)


def test_runs_may_have_to_reject_the_same_place(building, predictor, tmp_path, monkeypatch):
    """A bright patch that is elsewhere in each run is no defect; one that stays is: limits go between the two."""
    strips = []
    for at in range(8):
        for run in range(3):
            moved = building.strip_frames(grey=80 + at, bright=(1 + run % 2, "body", 1 + run, 220))
            strips.append((f"G{at}", "good", "calibration", run, moved))
            stays = building.strip_frames(grey=80 + at, bright=(2, "body", 2, 200))
            strips.append((f"D{at}", "burn", "calibration", run, stays, (2, "body")))
    samples = load_samples(building.strip_table(tmp_path / "line", strips))
    somewhere = calibrate(predictor, samples, goal="youden", level="run").entries
    assert somewhere[0].false_reject.value + somewhere[0].missed_defect.value >= 1.0
    recipe = predictor.recipe
    strip = recipe.strip.model_copy(update={"same_place": True})
    monkeypatch.setattr(predictor, "recipe", recipe.model_copy(update={"strip": strip}))
    entries = calibrate(predictor, samples, goal="youden", level="run").entries
    assert (entries[0].false_reject.value, entries[0].missed_defect.value) == (0.0, 0.0)
    assert "which must reject the same place" in entries[0].note


def test_a_product_without_all_its_runs_is_refused(table, predictor):
    """Two of three are not three."""
    good = [s for s in calibration_samples(table, predictor.recipe) if (s.product, s.run) != ("G4", "1")]
    with pytest.raises(LimitError, match="product 'G4' has 2 of 3 runs"):
        calibrate(predictor, good, level="run")


def test_a_strip_without_a_frame_is_refused(table, predictor):
    """Limits are not chosen from what happened to be there."""
    good = [s for s in calibration_samples(table, predictor.recipe) if (s.product, s.run, s.frame) != ("G4", "1", "7")]
    with pytest.raises(LimitError, match="G4 run 1 has 2 of 3 frames, and limits of level 'strip' need whole"):
        calibrate(predictor, good, level="strip")
    with pytest.raises(SamplesError, match="names no product or no frame"):
        calibrate(predictor, [Sample(good[0].path, "good", "validation")], level="strip")


def test_levels_are_for_strips(building, tmp_path):
    """A product without a strip has one patch a region."""
    plain = Predictor.load(building.bundle(tmp_path / "plain"), engine="onnxruntime")
    sample = Sample(building.picture(tmp_path / "a.png", 50), "good", "validation")
    with pytest.raises(LimitError, match="limits of level 'strip' are for strips"):
        calibrate(plain, [sample], level="strip")
