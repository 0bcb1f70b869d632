"""Calibration: limits from scores of the right images, with everything a later reader must know beside them."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from candling.data.samples import Sample, SampleSet, content_hash, split_hold_out, training_samples
from candling.decide.limits import choose_limit
from candling.errors import ImageError, LimitError
from candling.runtime.bundle import LimitsFile, load_bundle, replace_limits
from candling.runtime.inspector import Inspector
from candling.runtime.predictor import Predictor
from candling.types import Verdict
from candling.workflow.calibrate import calibrate, calibration_samples, score_samples, set_by_hand

WHEN = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
GOOD = [40, 44, 48, 52, 56, 60, 64, 68, 72, 76, 80, 84, 88, 92, 96, 100, 104, 108, 112, 116]
DEFECT = [180, 190, 200, 210]


@pytest.fixture(scope="module")
def building():
    """The builders of the runtime's tests."""
    path = Path(__file__).parents[1] / "runtime" / "building.py"
    spec = importlib.util.spec_from_file_location("candling_building", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bundle(building, tmp_path):
    """A bundle without limits whose score is the mean grey value."""
    return building.bundle(tmp_path / "plate.bundle", limits=LimitsFile(entries=()))


@pytest.fixture
def predictor(bundle):
    return Predictor.load(bundle, engine="onnxruntime")


@pytest.fixture
def good(building, tmp_path):
    """Twenty good pictures from grey 40 to 116."""
    return [Sample(building.picture(tmp_path / f"good{grey}.png", grey), "good", "validation") for grey in GOOD]


@pytest.fixture
def defect(building, tmp_path):
    """Four scratched ones from grey 180 to 210."""
    return [Sample(building.picture(tmp_path / f"scratch{grey}.png", grey), "scratch", "validation") for grey in DEFECT]


def test_every_sample_is_scored_in_order(predictor, good, defect):
    """Values are the graph's; the progress ends where the samples end."""
    seen = []
    scored = score_samples(predictor, [*good, *defect], progress=lambda done, total: seen.append((done, total)))
    assert [one.sample for one in scored] == [*good, *defect]
    values = [one.scores["whole", "brightness"][0] for one in scored]
    np.testing.assert_allclose(values, np.array([*GOOD, *DEFECT]) / 255, atol=1e-5)
    assert seen == [(done, 24) for done in range(1, 25)]
    assert scored[0].map_highest == pytest.approx(40 / 255)
    assert scored[0].map_typical == pytest.approx(40 / 255)


def test_a_limit_is_the_one_decide_chooses(predictor, good):
    """Calibration adds images and records to decide's choice, and no arithmetic of its own."""
    limits = calibrate(predictor, good, goal="quantile", value=0.9, confidence=0.9, grey=0.5, clock=lambda: WHEN)
    [entry] = limits.entries
    scores = np.array([predictor.predict_file(one.path)[0].scores["brightness"] for one in good])
    chosen = choose_limit(scores, None, goal="quantile", value=0.9, score="brightness", confidence=0.9, grey=0.5)
    assert entry.limit() == chosen.limit
    assert (entry.region, entry.score, entry.goal, entry.value, entry.confidence) == (
        "whole",
        "brightness",
        "quantile",
        0.9,
        0.9,
    )
    assert entry.false_reject.interval() == chosen.false_reject
    assert (entry.samples_good, entry.samples_defect, entry.missed_defect) == (20, 0, None)
    assert (entry.chosen_at, entry.data, entry.note) == (WHEN, content_hash(good), chosen.note)
    assert (limits.precision, limits.engine, limits.history) == ("float32", "onnxruntime", ())


def test_the_recipe_says_what_nobody_else_says(building, tmp_path, good):
    """Goal, value, confidence and grey zone come from the recipe unless given."""
    recipe = building.recipe(goal="quantile", value=0.8, confidence=0.8, grey=0.25)
    predictor = Predictor.load(building.bundle(tmp_path / "b", recipe_=recipe, limits=LimitsFile(entries=())))
    [entry] = calibrate(predictor, good).entries
    assert (entry.goal, entry.value, entry.confidence) == ("quantile", 0.8, 0.8)
    assert entry.reject_high - entry.high == pytest.approx(0.25 * (entry.high - entry.typical))
    [entry] = calibrate(predictor, good, goal="false_reject").entries
    assert entry.value == 0.05  # the usual number of a goal that is not the recipe's


def test_a_goal_for_good_images_leaves_defects_aside(predictor, good, defect):
    """The same limit, counts and hash with and without them."""
    first, second = (calibrate(predictor, samples, clock=lambda: WHEN) for samples in (good, [*good, *defect]))
    assert first == second


def test_a_labelled_goal_takes_both(predictor, good, defect):
    """The limit lies in the middle of the gap, and both rates are stated."""
    [entry] = calibrate(predictor, [*good, *defect], goal="youden").entries
    assert entry.high == pytest.approx((116 + 180) / 2 / 255, abs=1e-5)
    assert (entry.samples_good, entry.samples_defect) == (20, 4)
    assert (entry.false_reject.value, entry.missed_defect.value) == (0.0, 0.0)
    assert entry.missed_defect.high > 0.5  # four defects prove little
    assert entry.data == content_hash([*good, *defect])


def test_a_labelled_goal_without_defects_is_refused(predictor, good):
    """One sentence, with the remedy, before anything is scored."""
    with pytest.raises(
        LimitError, match="the goal 'f1' needs images of defects and all 20 are good; give labelled images, or"
    ):
        calibrate(predictor, good, goal="f1", progress=lambda *_: pytest.fail("scored"))


def test_no_good_image_is_refused(predictor, defect):
    """Every limit needs good scores."""
    with pytest.raises(LimitError, match="no good image among 4"):
        calibrate(predictor, defect)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"goal": "youdn"}, "did you mean 'youden'"),
        ({"goal": "quantile", "value": 2.0}, "needs a share above 0"),
        ({"scores": ("rarity",)}, "the graph gives no score 'rarity'; it gives: brightness, peak"),
    ],
)
def test_an_impossible_wish_is_refused(predictor, good, wish, told):
    """Unknown goals, impossible values, scores the graph lacks."""
    with pytest.raises(LimitError, match=told):
        calibrate(predictor, good, **wish)


def test_an_unreadable_image_is_named(predictor, good):
    """Limits are not chosen from what happened to be readable."""
    good[4].path.write_text("no picture")
    with pytest.raises(ImageError, match=good[4].path.name):
        calibrate(predictor, good)


def test_a_score_that_is_no_number_is_named_with_its_image(building, tmp_path, good):
    """Which image, which score."""
    bundle = building.bundle(tmp_path / "b", graph=building.nan_when_black(), limits=LimitsFile(entries=()))
    building.picture(good[2].path, 0)
    with pytest.raises(LimitError, match=rf"{good[2].path.name}: brightness is nan in region whole"):
        calibrate(Predictor.load(bundle), good)


def test_several_scores_share_a_false_reject_target(predictor, good):
    """A product is rejected by any of its limits, so each gets its part, and the note says so."""
    limits = calibrate(predictor, good, goal="false_reject", value=0.2, scores=("brightness", "peak"))
    assert [entry.value for entry in limits.entries] == [0.1, 0.1]
    assert all(entry.note.startswith("The target 0.2 is the product's") for entry in limits.entries)
    quantiles = calibrate(predictor, good, goal="quantile", value=0.9, scores=("brightness", "peak"))
    assert [entry.value for entry in quantiles.entries] == [0.9, 0.9]


def test_each_region_has_its_own_limit(building, tmp_path):
    """A defect known to lie in one region counts as a defect there and nowhere else."""
    regions = [
        {"name": name, "top": 0, "left": left, "height": 32, "width": 16} for name, left in (("left", 0), ("right", 16))
    ]
    bundle = building.bundle(tmp_path / "b", recipe_=building.recipe(regions=regions), limits=LimitsFile(entries=()))
    samples = []
    for number, (left, right, label, region) in enumerate(
        [(10, 100, "good", None), (14, 110, "good", None), (50, 104, "spot", "left"), (12, 150, "spot", "right")]
    ):
        frame = np.full((32, 32), left, np.uint8)
        frame[:, 16:] = right
        path = building.picture(tmp_path / f"{number}.png", frame)
        samples.append(Sample(path, label, "validation", region=region))
    limits = {entry.region: entry for entry in calibrate(Predictor.load(bundle), samples, goal="youden").entries}
    assert limits["left"].high == pytest.approx((14 + 50) / 2 / 255, abs=1e-5)
    assert limits["right"].high == pytest.approx((110 + 150) / 2 / 255, abs=1e-5)
    assert [limits[name].samples_defect for name in ("left", "right")] == [1, 1]


def test_the_colour_scale_comes_from_good_maps(predictor, good, defect):
    """Typical and highest value of good maps; defects do not stretch it."""
    limits = calibrate(predictor, [*good, *defect], goal="youden")
    assert limits.map_range.highest == pytest.approx(116 / 255)
    assert limits.map_range.typical == pytest.approx(78 / 255)


def test_limits_are_changed_without_training_and_the_change_is_logged(bundle, good, defect):
    """Calibrate, replace, judge; calibrate again for another goal: the graph stays, the history grows."""
    predictor = Predictor.load(bundle)
    first = replace_limits(bundle, calibrate(predictor, good), reason="first", by="candling calibrate")
    inspector = Inspector.load(first)
    assert inspector.inspect_file(good[0].path).verdict is Verdict.ACCEPT
    assert inspector.inspect_file(defect[0].path).verdict is Verdict.REJECT
    again = calibrate(inspector, [*good, *defect], goal="recall", value=1.0)
    second = replace_limits(first, again, reason="no defect may pass", by="A. Keller")
    assert load_bundle(bundle.path).limits.history == second.limits.history
    assert [change.new[0].goal for change in second.limits.history] == ["false_reject", "recall"]
    assert second.manifest.files["graph.onnx"] == bundle.manifest.files["graph.onnx"]


def test_a_limit_set_by_hand_says_so(predictor, good):
    """Its number is somebody's decision, so no rate is claimed; the others stay as they are."""
    limits = calibrate(predictor, good, scores=("brightness", "peak"))
    changed = set_by_hand(limits, region="whole", score="peak", high=0.9, reject_high=0.95, at=WHEN)
    assert changed.entries[0] == limits.entries[0]
    hand = changed.entries[1]
    assert (hand.high, hand.reject_high, hand.goal, hand.data, hand.false_reject) == (0.9, 0.95, "manual", None, None)
    assert hand.typical == limits.entries[1].typical


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"score": "rarity"}, "no limit for score 'rarity' in region 'whole' to set; there are: brightness in whole"),
        ({"high": float("nan")}, "a limit is a finite number"),
        ({"high": float("inf")}, "a limit is a finite number"),
        ({"reject_high": 0.1}, "its grey zone ends above it"),
    ],
)
def test_an_impossible_limit_by_hand_is_refused(predictor, good, wish, told):
    """Unknown scores, numbers that are none, a grey zone that ends before it begins."""
    with pytest.raises(LimitError, match=told):
        set_by_hand(
            calibrate(predictor, good), **{"region": "whole", "score": "brightness", "high": 0.5, "at": WHEN, **wish}
        )


def _set(*samples):
    return SampleSet(Path("plates"), "table", tuple(Sample(Path(name), label, split) for name, label, split in samples))


TRAIN = tuple((f"{number}.png", "good", "train") for number in range(20))
TEST = (("t0.png", "good", "test"), ("t1.png", "scratch", "test"))


def test_limits_are_chosen_on_what_training_held_out(building):
    """The same seed and share give the very images that the network did not learn from."""
    recipe = building.recipe()
    chosen = calibration_samples(_set(*TRAIN, *TEST), recipe)
    _, held = split_hold_out(training_samples(_set(*TRAIN)), recipe.training.hold_out, seed=recipe.training.seed)
    assert chosen == held
    assert len(chosen) == 2


def test_a_validation_split_goes_first(building):
    """Somebody put these images aside for this very purpose."""
    aside = (("v0.png", "good", "validation"), ("v1.png", "crack", "validation"))
    samples = _set(*TRAIN, *aside, *TEST)
    assert [one.path.name for one in calibration_samples(samples, building.recipe())] == ["v0.png"]
    assert [one.path.name for one in calibration_samples(samples, building.recipe(), goal="f1")] == ["v0.png", "v1.png"]


def test_a_labelled_goal_takes_everything_outside_training(building):
    """Without a validation split with defects there is no other place for labels."""
    chosen = calibration_samples(_set(*TRAIN, ("v0.png", "good", "validation"), *TEST), building.recipe(), goal="cost")
    assert [one.path.name for one in chosen] == ["v0.png", "t0.png", "t1.png"]


def test_a_set_without_training_split_gives_its_good_images(building):
    """A folder somebody collected for calibrating."""
    chosen = calibration_samples(_set(("a.png", "good", "new"), ("b.png", "crack", "new")), building.recipe())
    assert [one.path.name for one in chosen] == ["a.png"]


def test_limits_moved_together_spend_the_whole_target(building, tmp_path):
    """Two scores that know the same: apart each gets half of the target, together the products meet all of it."""
    pictures = [
        Sample(building.picture(tmp_path / f"{at}.png", 40 + 2 * at), "good", "validation") for at in range(100)
    ]
    found = {}
    for together in (False, True):
        recipe = building.recipe(scores=("brightness", "peak"), together=together)
        made = building.bundle(tmp_path / f"{together}.bundle", recipe_=recipe, limits=LimitsFile(entries=()))
        predictor = Predictor.load(made, engine="onnxruntime")
        found[together] = calibrate(predictor, pictures, goal="false_reject", value=0.1).entries
    apart, joint = found[False], found[True]
    assert [entry.score for entry in joint] == ["brightness", "peak"]
    # the pictures are flat: brightness and peak are one number, so both limits reject the same products
    assert apart[0].false_reject.value == pytest.approx(0.04)
    assert joint[0].false_reject == joint[1].false_reject
    assert joint[0].false_reject.value == pytest.approx(0.09)
    assert "moved together" in joint[0].note
    assert joint[0].value == 0.1


def test_together_is_the_recipes_choice_and_needs_several_limits(building, predictor, good):
    """One limit alone is chosen as ever, whatever the recipe says of togetherness."""
    [entry] = calibrate(predictor, good, goal="false_reject", value=0.2).entries
    assert "together" not in entry.note
