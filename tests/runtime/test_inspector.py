"""The inspector: whatever arrives, an inspection leaves, and never an accept for what could not be judged."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from candling.errors import BundleError, EngineError, LimitError
from candling.runtime.bundle import LimitsFile, load_bundle
from candling.runtime.inspector import Inspector
from candling.types import Verdict

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@pytest.fixture
def inspector(bundle):
    return Inspector.load(bundle, engine="onnxruntime")


def test_a_dark_plate_is_accepted_and_a_bright_one_rejected(inspector):
    """The limit is one half; the reason holds score and limit."""
    good = inspector.inspect(np.full((32, 32), 100, np.uint8), product="17")
    assert (good.product, good.verdict, good.reasons) == ("17", Verdict.ACCEPT, ())
    assert good.severity < 1
    defect = inspector.inspect(np.full((32, 32), 200, np.uint8))
    assert defect.verdict is Verdict.REJECT
    assert defect.severity > 1
    assert defect.reasons[0].score == "brightness"
    assert defect.reasons[0].limit == 0.5
    assert defect.reasons[0].value == pytest.approx(200 / 255, abs=1e-5)


def test_an_inspection_is_the_whole_record(inspector, bundle):
    """Times by step, the bundle's hash, a map; no reconstruction unless asked for."""
    inspection = inspector.inspect(np.zeros((32, 32), np.uint8))
    assert set(inspection.milliseconds) == {"prepare", "predict", "judge"}
    assert all(value >= 0 for value in inspection.milliseconds.values())
    assert inspection.bundle == bundle.sha256
    assert inspection.predictions[0].anomaly_map is not None
    assert inspection.predictions[0].reconstruction is None


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (None, "no frame came in time"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((0, 0), np.uint8), r"uint8 (0, 0)"),
        ("picture", "a str, not an array"),
    ],
    ids=["late", "float", "empty", "text"],
)
def test_what_is_no_frame_is_rejected_with_its_reason(inspector, frame, told):
    """Never an accept, never an exception."""
    inspection = inspector.inspect(frame, product="9")
    assert (inspection.verdict, inspection.severity, inspection.predictions) == (Verdict.REJECT, math.inf, ())
    assert told in inspection.reasons[0].text


def test_a_score_that_is_no_number_is_rejected(building, tmp_path):
    """0 / 0 in the graph is a reject by arithmetic, in both engines."""
    bundle = building.bundle(tmp_path / "b", graph=building.nan_when_black())
    inspector = Inspector.load(bundle)
    black = inspector.inspect(np.zeros((32, 32), np.uint8))
    assert math.isnan(black.predictions[0].scores["brightness"])
    assert (black.verdict, black.severity) == (Verdict.REJECT, math.inf)
    assert "not a number" in black.reasons[0].text
    assert inspector.inspect(np.full((32, 32), 9, np.uint8)).verdict is Verdict.ACCEPT


def test_an_unreadable_file_is_a_recorded_reject_and_the_rest_goes_on(inspector, building, tmp_path):
    """Order is kept; each file has its inspection; the reason is the reader's sentence."""
    paths = [building.picture(tmp_path / f"{number}.png", 40) for number in range(6)]
    paths[2].write_text("no picture")
    paths.append(tmp_path / "missing.png")
    inspections = list(inspector.inspect_files(paths))
    assert [one.product for one in inspections] == [str(path) for path in paths]
    assert [one.verdict.value for one in inspections] == ["accept"] * 2 + ["reject"] + ["accept"] * 3 + ["reject"]
    assert str(paths[2]) in inspections[2].reasons[0].text
    assert inspections[2].severity == math.inf
    assert set(inspections[0].milliseconds) == {"read", "prepare", "predict", "judge"}
    alone = inspector.inspect_file(paths[2])
    assert (alone.verdict, alone.reasons) == (Verdict.REJECT, inspections[2].reasons)


def test_a_failing_engine_rejects(inspector, monkeypatch):
    """What could not be predicted is not accepted."""

    def broken(*_, **__):
        raise EngineError("onnxruntime failed: out of memory")

    monkeypatch.setattr(inspector.engine, "run", broken)
    inspection = inspector.inspect(np.zeros((32, 32), np.uint8))
    assert inspection.verdict is Verdict.REJECT
    assert inspection.reasons[0].text == "onnxruntime failed: out of memory"


def test_hostile_files_are_rejected(inspector, real_data):
    """The files that stop an unguarded decoder for seconds are rejects like any other."""
    paths = sorted(real_data("hostile").glob("*.png"))
    assert paths
    assert all(one.verdict is Verdict.REJECT for one in inspector.inspect_files(paths))


def test_a_grey_zone_leaves_undecided(building, tmp_path):
    """Between limit and its outer edge nobody decided."""
    limits = LimitsFile(entries=(building.entry(high=0.5, reject_high=0.7),))
    inspector = Inspector.load(building.bundle(tmp_path / "b", limits=limits))
    verdicts = [inspector.inspect(np.full((32, 32), grey, np.uint8)).verdict.value for grey in (100, 150, 200)]
    assert verdicts == ["accept", "undecided", "reject"]


def test_every_region_must_admit(building, tmp_path):
    """One bright corner rejects the product, and the reason names the region."""
    regions = [
        {"name": name, "top": 0, "left": left, "height": 32, "width": 16} for name, left in (("left", 0), ("right", 16))
    ]
    limits = LimitsFile(entries=tuple(building.entry(region=name) for name in ("left", "right")))
    inspector = Inspector.load(building.bundle(tmp_path / "b", recipe_=building.recipe(regions=regions), limits=limits))
    frame = np.zeros((32, 32), np.uint8)
    assert inspector.inspect(frame).verdict is Verdict.ACCEPT
    frame[:, 16:] = 255
    inspection = inspector.inspect(frame)
    assert (inspection.verdict, inspection.reasons[0].region) == (Verdict.REJECT, "right")


def test_a_bundle_without_limits_is_not_loaded_for_judging(building, tmp_path):
    """The sentence says what to run."""
    bundle = building.bundle(tmp_path / "b", limits=LimitsFile(entries=()))
    with pytest.raises(LimitError, match="no limit for score 'brightness' in region 'whole'; run `candling calibrate`"):
        Inspector.load(bundle)


def test_a_judged_score_the_graph_does_not_give_is_refused(building, tmp_path):
    """At load, not at the first product."""
    bundle = building.bundle(tmp_path / "b", recipe_=building.recipe(scores=("rarity",)))
    with pytest.raises(BundleError, match=r"judges by 'rarity', which the graph does not give \(brightness, peak\)"):
        Inspector.load(bundle)


@needs_openvino
def test_limits_of_another_precision_do_not_judge(building, tmp_path):
    """Scores move with the precision, so limits hold only for the one they were chosen in."""
    bundle = building.bundle(tmp_path / "b", limits=LimitsFile(precision="bfloat16", entries=(building.entry(),)))
    with pytest.raises(LimitError, match="chosen in bfloat16, the engine computes in float32, which moves scores"):
        Inspector.load(bundle, precision="float32")


def test_the_bundles_precision_is_the_default(building, tmp_path):
    """Limits chosen in bfloat16 ask for bfloat16; an engine without it refuses rather than judge by other numbers."""
    bundle = building.bundle(tmp_path / "b", limits=LimitsFile(precision="bfloat16", entries=(building.entry(),)))
    with pytest.raises(EngineError, match="float32 only, not in bfloat16"):
        Inspector.load(bundle, engine="onnxruntime")


@needs_openvino
def test_both_engines_give_the_same_verdicts(building, tmp_path):
    """On forty pictures around the limit no verdict differs, and no score by 1e-4."""
    rng = np.random.default_rng(11)
    frames = [rng.integers(0, 256, (48, 40), dtype=np.uint8) // int(rng.integers(1, 5)) for _ in range(40)]
    recipe = building.recipe(scores=("mean_error",))
    graph = building.autoencoder(widths=(16, 32))
    limits = LimitsFile(entries=(building.entry(score="mean_error", high=1.0),))
    first = Inspector.load(
        building.bundle(tmp_path / "a", graph=graph, recipe_=recipe, limits=limits), engine="onnxruntime"
    )
    scores = sorted(first.inspect(frame).predictions[0].scores["mean_error"] for frame in frames)
    middle = LimitsFile(entries=(building.entry(score="mean_error", high=(scores[19] + scores[20]) / 2),))
    bundle = building.bundle(tmp_path / "b", graph=graph, recipe_=recipe, limits=middle)
    pair = [Inspector.load(bundle, engine=engine) for engine in ("onnxruntime", "openvino")]
    verdicts = []
    for frame in frames:
        one, other = (inspector.inspect(frame) for inspector in pair)
        assert one.verdict is other.verdict
        assert one.predictions[0].scores == pytest.approx(dict(other.predictions[0].scores), abs=1e-4)
        verdicts.append(one.verdict)
    assert verdicts.count(Verdict.REJECT) == 20


def test_the_same_frame_has_the_same_numbers_after_a_restart(bundle):
    """Two inspectors, one bundle: bit for bit."""
    frame = np.random.default_rng(1).integers(0, 256, (70, 50), dtype=np.uint8)
    first, second = (Inspector.load(bundle.path).inspect(frame).predictions[0] for _ in range(2))
    assert first.scores == second.scores
    np.testing.assert_array_equal(first.anomaly_map, second.anomaly_map)


def test_a_loaded_bundle_need_not_be_loaded_again(bundle):
    """A path or a bundle, both are taken."""
    assert Inspector.load(bundle).bundle == Inspector.load(bundle.path).bundle == load_bundle(bundle.path)


def test_inspecting_brings_in_no_training_library(bundle, building, tmp_path):
    """Neither torch nor onnx nor the other engine is imported on the line."""
    picture = building.picture(tmp_path / "a.png", 30)
    code = f"""
import json, sys
from pathlib import Path
from candling.runtime.inspector import Inspector
inspection = Inspector.load(Path({str(bundle.path)!r}), engine="onnxruntime").inspect_file(Path({str(picture)!r}))
heavy = sys.modules.keys() & {{"torch", "lightning_fabric", "onnx", "onnxscript", "openvino", "scipy", "sklearn"}}
print(json.dumps([inspection.verdict.value, sorted(heavy)]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == ["accept", []]
