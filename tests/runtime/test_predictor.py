"""The predictor: frames and files to predictions, in order, whatever arrives."""

from __future__ import annotations

import itertools
import threading

import cv2
import numpy as np
import pytest

from candling.errors import BundleError, EngineError, ImageError
from candling.runtime import predictor as module
from candling.runtime.engine import open_engine
from candling.runtime.predictor import Predictor
from candling.types import Box


@pytest.fixture
def predictor(bundle):
    return Predictor.load(bundle, engine="onnxruntime")


@pytest.fixture
def files(building, tmp_path):
    """Twelve pictures, each brighter than the one before."""
    return [building.picture(tmp_path / f"{number:02}.png", 20 * number) for number in range(12)]


def test_a_frame_is_cut_prepared_and_run(predictor):
    """Score, map and box are those of the frame; a reconstruction comes only when asked for."""
    frame = np.full((64, 48), 51, np.uint8)
    [prediction] = predictor.predict(frame)
    assert prediction.region == "whole"
    assert prediction.box == Box(0, 0, 64, 48)
    assert prediction.scores == pytest.approx({"brightness": 0.2, "peak": 0.2}, abs=1e-5)
    assert prediction.anomaly_map.shape == (32, 32)
    assert prediction.reconstruction is None
    assert predictor.predict(frame, reconstructions=True)[0].reconstruction.shape == (1, 32, 32)
    assert predictor.predict(frame, maps=False)[0].anomaly_map is None


def test_each_region_gets_its_own_prediction(building, tmp_path):
    """Two regions of one frame are two patches of one product, in the recipe's order."""
    regions = [
        {"name": "left", "top": 0, "left": 0, "height": 40, "width": 20},
        {"name": "right", "top": 0, "left": 20, "height": 40, "width": 20},
    ]
    limits = building.LimitsFile(entries=(building.entry(region="left"), building.entry(region="right")))
    bundle = building.bundle(tmp_path / "b", recipe_=building.recipe(regions=regions), limits=limits)
    frame = np.zeros((40, 40), np.uint8)
    frame[:, 20:] = 255
    left, right = Predictor.load(bundle).predict(frame)
    assert (left.region, left.scores["brightness"]) == ("left", 0.0)
    assert (right.region, right.scores["brightness"]) == ("right", pytest.approx(1.0, abs=1e-5))
    assert right.box == Box(0, 20, 40, 20)


def test_colour_and_depth_become_what_the_graph_takes(predictor):
    """Colour, 16 bit and any size go through the one preparation."""
    assert predictor.predict(np.full((20, 90, 3), 51, np.uint8))[0].scores["peak"] == pytest.approx(0.2, abs=1e-5)
    assert predictor.predict(np.full((20, 90), 13107, np.uint16))[0].scores["peak"] == pytest.approx(0.2, abs=1e-5)


WRONG_FRAMES = {
    "none": (None, "no frame came in time"),
    "list": ([[1]], "the frame is a list, not an array"),
    "float": (np.zeros((4, 4), np.float32), "the frame is float32"),
    "empty": (np.zeros((0, 4), np.uint8), r"the frame is uint8 \(0, 4\)"),
    "line": (np.zeros(4, np.uint8), r"the frame is uint8 \(4,\)"),
    "alpha": (np.zeros((4, 4, 4), np.uint8), r"the frame is uint8 \(4, 4, 4\)"),
}


@pytest.mark.parametrize("kind", WRONG_FRAMES)
def test_a_frame_that_is_none_is_told(predictor, kind):
    """Asked to predict it is raised, asked to attempt it is told."""
    frame, told = WRONG_FRAMES[kind]
    with pytest.raises(ImageError, match=told):
        predictor.predict(frame)
    attempted = predictor.attempt(frame, product="7")
    assert (attempted.product, attempted.predictions) == ("7", ())
    assert isinstance(attempted.error, ImageError)


def test_files_come_in_order_and_as_single_ones(predictor, files):
    """Reading ahead and running several together changes neither order nor numbers."""
    together = list(predictor.predict_files(files))
    assert [one.product for one in together] == [str(path) for path in files]
    for path, one in zip(files, together, strict=True):
        [alone] = predictor.predict_file(path)
        assert one.predictions[0].scores == alone.scores
        np.testing.assert_array_equal(one.predictions[0].anomaly_map, alone.anomaly_map)
        assert set(one.milliseconds) == {"read", "prepare", "predict"}


def test_an_unreadable_file_does_not_stop_the_rest(predictor, files):
    """It is told in its place; the others have their numbers."""
    files[3].write_text("no picture")
    files[7].unlink()
    results = list(predictor.predict_files(files))
    assert [at for at, one in enumerate(results) if one.error is not None] == [3, 7]
    assert all(isinstance(results[at].error, ImageError) and not results[at].predictions for at in (3, 7))
    assert str(files[3]) in str(results[3].error)
    assert results[8].predictions[0].scores["brightness"] == pytest.approx(160 / 255, abs=1e-5)
    with pytest.raises(ImageError):
        predictor.predict_file(files[3])


def test_a_region_that_does_not_fit_is_told(building, tmp_path):
    """A frame of another camera does not become a prediction of something else."""
    regions = [{"name": "neck", "top": 0, "left": 0, "height": 100, "width": 100}]
    limits = building.LimitsFile(entries=(building.entry(region="neck"),))
    bundle = building.bundle(tmp_path / "b", recipe_=building.recipe(regions=regions), limits=limits)
    with pytest.raises(ImageError, match="region 'neck'"):
        Predictor.load(bundle).predict(np.zeros((50, 200), np.uint8))


def test_paths_may_be_endless(predictor, files):
    """Only as much is drawn from them as is read ahead."""
    drawn = itertools.count()

    def endless():
        for path in itertools.cycle(files):
            next(drawn)
            yield path

    results = predictor.predict_files(endless())
    for _ in range(30):
        next(results)
    results.close()
    assert next(drawn) < 30 + 4 * (predictor.engine.requests + 1) + 4


def test_reading_runs_while_the_engine_works(predictor, files, monkeypatch):
    """The second file is read while the engine still works on the first."""
    read, run = module.read_image, predictor.engine.run
    engine_works, second_read = threading.Event(), threading.Event()

    def watched_read(path):
        if path != files[0]:
            assert engine_works.wait(timeout=20)
        frame = read(path)
        if path == files[1]:
            second_read.set()
        return frame

    def watched_run(images, **wish):
        engine_works.set()
        assert second_read.wait(timeout=20)
        return run(images, **wish)

    monkeypatch.setattr(module, "read_image", watched_read)
    monkeypatch.setattr(predictor.engine, "run", watched_run)
    assert [one.error for one in predictor.predict_files(files)] == [None] * len(files)


def test_no_thread_is_left_when_a_caller_stops_early(predictor, files):
    """Closing the iterator ends the reading."""
    results = predictor.predict_files(files)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("candling-read")]


def test_a_worker_can_end_the_reading_it_works_for(predictor, files, monkeypatch):
    """An iterator that nobody ends is collected wherever memory is, even in its own worker: that is no error."""
    read, given, ended = module.read_image, threading.Event(), []

    def closing_read(path):
        if path == files[1]:
            assert given.wait(timeout=20)
            results.close()
            ended.append(threading.current_thread().name)
        return read(path)

    monkeypatch.setattr(module, "read_image", closing_read)
    results = predictor.predict_files(files)
    next(results)
    given.set()
    readers = [thread for thread in threading.enumerate() if thread.name.startswith("candling-read")]
    for reader in readers:
        reader.join(timeout=20)
    assert len(ended) == 1
    assert ended[0].startswith("candling-read")


def test_no_file_gives_nothing(predictor):
    """An empty list is an empty answer."""
    assert list(predictor.predict_files([])) == []


def test_a_failing_engine_is_told_for_each_product(predictor, files, monkeypatch):
    """Every product of the group gets the engine's sentence; one that could not be read keeps its own."""

    def broken(*_, **__):
        raise EngineError("openvino failed: out of memory")

    monkeypatch.setattr(predictor.engine, "run", broken)
    files[1].write_text("no picture")
    results = list(predictor.predict_files(files[:3]))
    assert [type(one.error) for one in results] == [EngineError, ImageError, EngineError]
    with pytest.raises(EngineError, match="out of memory"):
        predictor.predict(np.zeros((8, 8), np.uint8))


def test_memory_that_runs_out_is_told(predictor, files, monkeypatch):
    """One picture too many does not stop the rest."""

    def greedy(_path):
        raise MemoryError

    monkeypatch.setattr(module, "read_image", greedy)
    [one] = predictor.predict_files(files[:1])
    assert "memory ran out" in str(one.error)


def test_a_graph_and_a_recipe_of_two_trainings_are_refused(building):
    """The graph's size must be the recipe's."""
    engine = open_engine(building.brightness(shape=(1, 16, 16)).SerializeToString(), engine="onnxruntime")
    with pytest.raises(BundleError, match=r"takes images of \(1, 16, 16\) and the recipe prepares \(1, 32, 32\)"):
        Predictor(building.recipe(), engine)


def test_colour_graphs_see_red_green_blue(building, tmp_path):
    """Channels arrive in the order R, G, B."""
    shape = (3, 32, 32)
    bundle = building.bundle(
        tmp_path / "b", graph=building.brightness(shape=shape), recipe_=building.recipe(shape=shape)
    )
    blue_green_red = np.zeros((32, 32, 3), np.uint8)
    blue_green_red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), blue_green_red)
    [prediction] = Predictor.load(bundle).predict_file(tmp_path / "red.png", reconstructions=True)
    assert prediction.reconstruction[:, 0, 0].tolist() == [1.0, 0.0, 0.0]
