"""Templates live in the bundle, and maps of aligned frames lie where the frame shows what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.errors import BundleError
from candling.pixels.align import Aligner
from candling.recipe import Recipe
from candling.runtime.aligning import TEMPLATE, encode_aligners, load_aligners
from candling.runtime.bundle import load_bundle
from candling.runtime.engine import open_engine
from candling.runtime.inspector import Inspector
from candling.runtime.predictor import Predictor

SHAPE = (1, 64, 64)


def product(*, row=32.0, column=32.0, turn=0.0, size=64):
    """A dark bar with one bright end on grey: no two angles look the same."""
    frame = np.full((64, 64), 120, np.uint8)
    cv2.rectangle(frame, (14, 26), (49, 38), 30, -1)
    cv2.circle(frame, (44, 32), 4, 250, -1)
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), -turn, 1.0)
    matrix[:, 2] += (column - 32, row - 32)
    moved = cv2.warpAffine(frame, matrix, (64, 64), borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(moved, (size, size), interpolation=cv2.INTER_AREA)


@pytest.fixture
def aligning(building):
    """A function that makes a recipe which aligns."""

    def make(way="turn", **more):
        recipe = building.recipe(shape=SHAPE, **more)
        return Recipe.model_validate(
            {**recipe.model_dump(), "prepare": {**recipe.prepare.model_dump(), "align": way}}, strict=False
        )

    return make


def saved(building, folder, recipe, templates):
    names = [region.name for region in recipe.places]
    aligners = {name: Aligner(template, "turn") for name, template in zip(names, templates, strict=True)}
    return building.bundle(
        folder,
        graph=building.brightness(shape=SHAPE),
        recipe_=recipe,
        extra={TEMPLATE: encode_aligners(recipe, aligners)},
    )


@pytest.fixture
def bundle(building, aligning, tmp_path):
    return saved(building, tmp_path / "bar.bundle", aligning(), [product()])


def test_templates_come_back_to_the_bit(building, aligning, tmp_path):
    """What training learned is what the line aligns to, region by region; the manifest holds its hash."""
    regions = [
        {"name": "left", "top": 0, "left": 0, "height": 64, "width": 64},
        {"name": "right", "top": 0, "left": 64, "height": 64, "width": 64},
    ]
    templates = [product(), product(turn=90.0)]
    recipe = aligning(regions=regions)
    limits = building.LimitsFile(entries=tuple(building.entry(region=name) for name in ("left", "right")))
    aligners = {name: Aligner(one, "turn") for name, one in zip(("left", "right"), templates, strict=True)}
    bundle = building.bundle(
        tmp_path / "two.bundle",
        graph=building.brightness(shape=SHAPE),
        recipe_=recipe,
        limits=limits,
        extra={TEMPLATE: encode_aligners(recipe, aligners)},
    )
    loaded = load_aligners(load_bundle(bundle.path))
    assert TEMPLATE in bundle.manifest.files
    assert list(loaded) == ["left", "right"]
    for aligner, template in zip(loaded.values(), templates, strict=True):
        assert np.array_equal(aligner.template, template)
    assert {aligner.way for aligner in loaded.values()} == {"turn"}


@pytest.mark.parametrize(("row", "column", "turn"), [(36.0, 27.0, 0.0), (32.0, 32.0, 90.0), (34.0, 30.0, -130.0)])
def test_maps_lie_where_the_frame_shows_the_product(bundle, row, column, turn):
    """The graph sees the product upright; its map, brought back, shows the bright end where the frame has it."""
    frame = product(row=row, column=column, turn=turn)
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(frame, reconstructions=True)
    seen = prediction.anomaly_map[6:-6, 6:-6]  # the graph's map is the picture it sees
    assert np.abs(seen - frame[6:-6, 6:-6] / 255).mean() < 0.02
    assert np.abs(product() / 255 - frame / 255).mean() > 0.03
    peak = np.unravel_index(prediction.anomaly_map.argmax(), (64, 64))
    expected = np.unravel_index(cv2.GaussianBlur(frame, (0, 0), 2).argmax(), (64, 64))
    assert np.abs(np.subtract(peak, expected)).max() <= 4
    inside = np.hypot(*(np.indices((64, 64)) - 31.5)) < 24  # the moved frame shows all of this disc
    assert np.abs(prediction.reconstruction[0] - prediction.anomaly_map)[inside].max() < 1e-6
    assert prediction.scores["brightness"] == pytest.approx(product().mean() / 255, abs=0.01)


def test_what_was_not_inspected_never_looks_bad(bundle):
    """Where the moved frame did not show the frame, the map holds its lowest value."""
    frame = product(row=40.0)
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(frame)
    assert (prediction.anomaly_map[:6] == prediction.anomaly_map.min()).all()


def test_a_frame_of_something_else_is_judged_as_it_is(bundle):
    """What cannot be aligned is not torn: the graph sees it unmoved."""
    frame = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(frame)
    np.testing.assert_allclose(prediction.anomaly_map, frame / np.float32(255), atol=1e-6)


def test_inspections_align(bundle):
    """The whole inference path: products that lie anywhere get one score, and none is an error."""
    inspector = Inspector.load(bundle, engine="onnxruntime")
    inspections = [inspector.inspect(product(turn=turn), maps=False) for turn in (0.0, 45.0, 180.0)]
    scores = [inspection.predictions[0].scores["brightness"] for inspection in inspections]
    assert max(scores) - min(scores) < 0.01
    assert inspector.inspect(np.zeros((64, 64), np.uint8)).predictions


def test_a_recipe_that_aligns_needs_its_template(building, aligning, tmp_path):
    """No template, or one of another size: refused in one sentence, not aligned to nothing."""
    bare = building.bundle(tmp_path / "bare.bundle", graph=building.brightness(shape=SHAPE), recipe_=aligning())
    with pytest.raises(BundleError, match=r"template.png: is missing, and the recipe aligns by 'turn'"):
        Predictor.load(bare)
    other = building.bundle(
        tmp_path / "other.bundle",
        graph=building.brightness(shape=SHAPE),
        recipe_=aligning(),
        extra={TEMPLATE: cv2.imencode(".png", np.zeros((64, 32), np.uint8))[1].tobytes()},
    )
    with pytest.raises(BundleError, match=r"the templates of 1 regions are uint8 \(64, 64\)"):
        Predictor.load(other)
    torn = building.bundle(
        tmp_path / "torn.bundle",
        graph=building.brightness(shape=SHAPE),
        recipe_=aligning(),
        extra={TEMPLATE: b"\x89PNG\r\n\x1a\nno more"},
    )
    with pytest.raises(BundleError, match=r"template.png"):
        Predictor.load(torn)
    with (
        open_engine(building.brightness(shape=SHAPE).SerializeToString()) as engine,
        pytest.raises(BundleError, match="no template was given"),
    ):
        Predictor(aligning(), engine)


def test_a_recipe_that_does_not_align_ignores_templates(building, aligning, tmp_path):
    """Without aligning nothing moves, whatever else lies in the bundle."""
    bundle = saved(building, tmp_path / "b", aligning("none"), [product()])
    assert load_aligners(bundle) == {}
    frame = product(turn=90.0)
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(frame)
    np.testing.assert_allclose(prediction.anomaly_map, frame / np.float32(255), atol=1e-6)
