"""Histograms live in the bundle, and a frame is matched whole before anything is cut out of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from candling.errors import BundleError
from candling.pixels.histogram import learn_matcher
from candling.recipe import Recipe
from candling.runtime.engine import open_engine
from candling.runtime.matching import HISTOGRAMS, encode_matcher, load_matcher
from candling.runtime.predictor import Predictor

SHAPE = (1, 32, 32)


def frames():
    rng = np.random.default_rng(0)
    return [
        rng.integers(20, 20 + top, (32, 32)).astype(np.uint16) for top in (60, 70, 900, 1000, 9000, 9900) for _ in "ab"
    ]


@pytest.fixture
def matching(building):
    """A function that makes a recipe which matches histograms."""

    def make(way="selective", **more):
        recipe = building.recipe(shape=SHAPE, **more)
        prepare = {**recipe.prepare.model_dump(), "histogram": way, "white": 10_000, "histogram_gain": 3.0}
        return Recipe.model_validate({**recipe.model_dump(), "prepare": prepare}, strict=False)

    return make


def saved(building, folder, recipe, data):
    return building.bundle(
        folder,
        graph=building.brightness(shape=SHAPE),
        recipe_=recipe,
        extra=None if data is None else {HISTOGRAMS: data},
    )


@pytest.mark.parametrize("way", ["global", "selective"])
def test_the_bundle_matches_as_training_did(building, matching, tmp_path, way):
    """The matcher comes back from the bundle equal, and the graph sees the matched frame divided by white."""
    learned = learn_matcher(frames(), way, gain=3.0, white=10_000)
    bundle = saved(building, tmp_path / "b", matching(way), encode_matcher(learned))
    loaded = load_matcher(bundle)
    assert encode_matcher(loaded) == encode_matcher(learned)
    assert (loaded.gain, loaded.white) == (3.0, 10_000)
    frame = frames()[4]
    before = frame.copy()
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(frame)
    np.testing.assert_allclose(prediction.anomaly_map, learned.match(frame) / np.float32(10_000), atol=1e-6)
    assert np.array_equal(frame, before)


def test_a_frame_is_matched_before_it_is_cut(building, matching, tmp_path):
    """A region sees its part of the matched whole frame, not a matching of its own."""
    learned = learn_matcher(frames(), "selective", gain=3.0, white=10_000)
    corner = {"name": "corner", "top": 0, "left": 0, "height": 32, "width": 32}
    bundle = saved(building, tmp_path / "b", matching(regions=[corner]), encode_matcher(learned))
    wide = np.hstack([frames()[0], frames()[8] + 500])
    [prediction] = Predictor.load(bundle, engine="onnxruntime").predict(wide)
    np.testing.assert_allclose(prediction.anomaly_map, learned.match(wide)[:, :32] / np.float32(10_000), atol=1e-6)
    assert not np.allclose(prediction.anomaly_map, learned.match(wide[:, :32]) / np.float32(10_000), atol=1e-3)


def test_a_bundle_without_its_histograms_is_refused(building, matching, tmp_path):
    """Nothing is predicted on frames that were not matched as in training."""
    with pytest.raises(BundleError, match=r"histograms\.json: is missing, and the recipe matches histograms"):
        load_matcher(saved(building, tmp_path / "b", matching(), None))
    with (
        open_engine(building.brightness(shape=SHAPE).SerializeToString()) as engine,
        pytest.raises(BundleError, match="no template was given"),
    ):
        Predictor(matching(), engine)
    assert load_matcher(saved(building, tmp_path / "c", building.recipe(shape=SHAPE), b"{}")) is None


GOOD = {"levels": [1, 5], "counts": [3, 4], "white": 255}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"templates": 5, "boundaries": []}',
        {"templates": {}, "boundaries": []},
        {"templates": {"dim": GOOD}, "boundaries": []},
        {"templates": {"low": GOOD, "high": GOOD}, "boundaries": []},
        {"templates": {"high": GOOD, "low": GOOD}, "boundaries": [1.0]},
        {"templates": {"low": GOOD, "medium": GOOD, "high": GOOD}, "boundaries": [2.0, 1.0]},
        {"templates": {"all": {**GOOD, "levels": [5, 1]}}, "boundaries": []},
        {"templates": {"all": {**GOOD, "levels": [1, 70_000]}}, "boundaries": []},
        {"templates": {"all": {**GOOD, "levels": ["x", 1]}}, "boundaries": []},
        {"templates": {"all": {**GOOD, "levels": [1, 10**30]}}, "boundaries": []},
        {"templates": {"all": {**GOOD, "white": None}}, "boundaries": []},
        {"templates": {"all": {**GOOD, "counts": [0, 1]}}, "boundaries": []},
        {"templates": {"all": GOOD}, "boundaries": ["x"]},
    ],
)
def test_damaged_histograms_are_refused(building, matching, tmp_path, data):
    """Whatever lies in the file, the sentence is ours."""
    packed = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(BundleError, match=r"histograms\.json: holds no histograms"):
        load_matcher(saved(building, tmp_path / "b", matching(), packed))
