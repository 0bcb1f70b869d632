"""The output ``nearest``: both engines give it when asked, alike, and a graph that gives anything else is refused."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper

from candling.errors import EngineError
from candling.pixels.align import Aligner, Movement, move_back
from candling.runtime.contract import Port, check_contract
from candling.runtime.engine import open_engine
from candling.runtime.inspector import Inspector
from candling.runtime.predictor import Predictor

ENGINES = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
both = pytest.mark.parametrize("engine", ENGINES)
IMAGE = Port("image", "float32", (None, 1, 32, 32))
SCORE = Port("distance", "float32", (None,))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(2).integers(0, 256, (5, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def graph(building, pictures):
    return building.remembering(pictures)


@both
def test_each_cell_names_where_it_comes_from(graph, pictures, engine):
    """A picture put together from remembered cells gets back exactly their pictures, rows and columns."""
    chosen = np.random.default_rng(3).integers(0, 5, (4, 4))
    mixed = np.zeros((32, 32), np.uint8)
    for (row, column), picture in np.ndenumerate(chosen):
        place = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        mixed[place] = pictures[(picture, *place)]
    images = np.stack([mixed, pictures[4]])[:, None].astype(np.float32) / np.float32(255)
    with open_engine(graph.SerializeToString(), engine=engine) as opened:
        assert opened.has_nearest
        assert opened.score_names == ("distance",)
        outputs = opened.run(images, nearest=True)
    assert outputs.nearest.dtype == np.int64
    np.testing.assert_array_equal(outputs.nearest[0], chosen * 16 + np.arange(16).reshape(4, 4))
    np.testing.assert_array_equal(outputs.nearest[1] // 16, 4)


@both
def test_it_comes_only_when_asked_for(building, graph, engine):
    """Left where it is unless wanted; a graph without it gives None, wanted or not."""
    images = np.zeros((2, 1, 32, 32), np.float32)
    with open_engine(graph.SerializeToString(), engine=engine) as opened:
        assert opened.run(images).nearest is None
        assert opened.run(images, maps=False, nearest=True).anomaly_map is None
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened:
        assert not opened.has_nearest
        assert opened.run(images, nearest=True).nearest is None


def test_it_walks_through_predictor_and_inspector(building, graph, tmp_path):
    """Frames and files of another size than the graph's: one grid a patch, only when asked for."""
    limits = building.LimitsFile(entries=(building.entry(score="distance"),))
    loaded = building.bundle(tmp_path / "b", graph=graph, recipe_=building.recipe(scores=("distance",)), limits=limits)
    predictor = Predictor.load(loaded, engine="onnxruntime")
    path = building.picture(tmp_path / "a.png", 90, size=(64, 48))
    frame = np.full((64, 48), 90, np.uint8)
    wanted = predictor.predict(frame, nearest=True)[0].nearest
    assert wanted.shape == (4, 4)
    assert predictor.predict(frame)[0].nearest is None
    inspector = Inspector(loaded, predictor)
    others = [
        predictor.predict_file(path, nearest=True)[0],
        inspector.inspect(frame, nearest=True).predictions[0],
        inspector.inspect_file(path, nearest=True).predictions[0],
        next(inspector.inspect_files([path], nearest=True)).predictions[0],
    ]
    for prediction in others:
        np.testing.assert_array_equal(prediction.nearest, wanted)
    assert next(inspector.inspect_files([path])).predictions[0].nearest is None


@pytest.mark.parametrize(
    ("port", "told"),
    [
        (Port("nearest", "int32", (None, 4, 4)), r"nearest int32 \(N, 4, 4\) breaks .*wants int64 \(N, 4, 4\)"),
        (Port("nearest", "float32", (None, 4, 4)), r"wants int64 \(N, 4, 4\)"),
        (Port("nearest", "int64", (None, 4)), r"nearest int64 \(N, 4\) breaks .*wants int64 \(N, 4, \?\)$"),
        (Port("nearest", "int64", (None,)), r"wants int64 \(N, \?, \?\)$"),
        (Port("nearest", "int64", (1, 4, 4)), "has a fixed N where the input's is free"),
    ],
)
def test_another_type_or_shape_is_refused(port, told):
    """The sentence names the output, what it is and what it must be."""
    with pytest.raises(EngineError, match=told):
        check_contract([IMAGE], [SCORE, port])


def test_a_graph_that_gives_it_as_floats_is_refused_at_load(building):
    """What is no int64 never reaches a picture."""
    nodes, output = building.score("brightness")
    nodes = [*nodes, helper.make_node("ReduceMean", ["image"], ["nearest"], axes=[1], keepdims=0)]
    graph = building.model(nodes, [output, ("nearest", TensorProto.FLOAT, ["N", 32, 32])])
    with pytest.raises(EngineError, match="output nearest float32"):
        open_engine(graph.SerializeToString(), engine="onnxruntime")


def test_of_a_turned_product_it_lies_where_the_frame_shows_it(building):
    """A product that had to be turned: its cells are named where the frame shows them, and its turn is told."""
    page = np.full((64, 64), 60, np.uint8)
    cv2.ellipse(page, (30, 34), (22, 9), 0, 0, 360, 200, -1)
    cv2.circle(page, (40, 32), 3, 90, -1)
    page = cv2.GaussianBlur(page, (0, 0), 1.2)
    plain = building.recipe(shape=(1, 64, 64), scores=("distance",))
    turning = plain.model_copy(update={"prepare": plain.prepare.model_copy(update={"align": "turn"})})
    with open_engine(building.remembering(page[None]).SerializeToString(), engine="onnxruntime") as engine:
        predictor = Predictor(turning, engine, {"whole": Aligner(page, "turn")})
        [prediction] = predictor.predict(move_back(page, Movement(turn=40), outside=60), nearest=True)
    assert prediction.turn == pytest.approx(40, abs=1)
    names = move_back(np.arange(64).reshape(8, 8), Movement(turn=40), outside=-1)
    assert (prediction.nearest == names).mean() > 0.9
    assert (prediction.nearest[0, 0], prediction.nearest[7, 7]) == (-1, -1)
