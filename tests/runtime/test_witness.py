"""The witness: the same picture everywhere, and no engine that contradicts it is opened."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from candling.errors import EngineError
from candling.runtime.bundle import load_bundle, save_bundle
from candling.runtime.engine import contradiction, on_onnxruntime, on_openvino, open_engine, statement, witness_picture
from candling.runtime.inspector import Inspector
from candling.runtime.predictor import Predictor

ENGINES = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
BACKENDS = {"onnxruntime": on_onnxruntime.OnnxRuntime, "openvino": on_openvino.OpenVino}
both = pytest.mark.parametrize("engine", ENGINES)
needs_openvino = pytest.mark.skipif("openvino" not in ENGINES, reason="the extra openvino is not installed")


@pytest.fixture(scope="module")
def graph(building):
    return building.brightness().SerializeToString()


@pytest.fixture(scope="module")
def witness():
    """What arithmetic says of the witness picture: the brightness graph's scores and map."""
    picture = witness_picture((1, 32, 32)).astype(np.float64)
    mean, peak = picture.mean(), picture.max()
    return {"brightness": mean, "peak": peak, "anomaly_map mean": mean, "anomaly_map max": peak}


class Faulty:
    """Stands in a backend's way: what it answers is spoiled while ``spoiled`` says so; counts compilations and runs."""

    def __init__(self, monkeypatch, engine, spoiled, *, by=lambda values: values * np.float32(np.nan)):
        self.compilations, self.runs = 0, 0
        backend = BACKENDS[engine]
        compile_, run = backend.compile, backend.run

        def counted(inner, chunk):
            self.compilations += 1
            return compile_(inner, chunk)

        def faulty(inner, images, wanted):
            self.runs += 1
            answers = run(inner, images, wanted)
            return [by(answer) for answer in answers] if spoiled(self) else answers

        monkeypatch.setattr(backend, "compile", counted)
        monkeypatch.setattr(backend, "run", faulty)


# The picture ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "hashed"),
    [
        ((1, 32, 32), "6ab660e1807f6481a4b860934caad1a38b699bb47b1d727364587c0435898bcc"),
        ((3, 40, 56), "54bd46d1308d20932564b09a6f0fdeaebe8a842b7a0424c0f03f017fd93e8dab"),
    ],
)
def test_the_picture_is_the_same_to_the_last_bit(shape, hashed):
    """In this call, the next, and in any version: bundles hold what was said of exactly this picture."""
    picture = witness_picture(shape)
    np.testing.assert_array_equal(picture, witness_picture(shape))
    assert hashlib.sha256(picture.astype("<f4").tobytes()).hexdigest() == hashed


def test_the_picture_is_an_image_with_something_on_it():
    """float32 in [0, 1], rising along both axes, with noise, and no two channels alike."""
    picture = witness_picture((3, 64, 48))
    assert (picture.dtype, picture.shape) == (np.float32, (3, 64, 48))
    assert 0 <= picture.min() < 0.1
    assert 0.9 < picture.max() <= 1
    assert picture[:, 48:].mean() > picture[:, :16].mean() + 0.2
    assert picture[:, :, 36:].mean() > picture[:, :, :12].mean() + 0.2
    assert np.abs(np.diff(picture, axis=2)).mean() > 0.05
    assert min(np.abs(picture[0] - picture[1]).mean(), np.abs(picture[1] - picture[2]).mean()) > 0.01


# What is said and held against it -------------------------------------------------------------------------------------


def test_testimony_is_scores_map_and_best_confidence():
    """Pictures for people, boxes and labels are passed over; where there is no box the best confidence is 0."""
    answers = {
        "error": np.array([0.25], np.float32),
        "anomaly_map": np.array([[[1.0, 2.0], [3.0, 6.0]]], np.float32),
        "reconstruction": np.ones((1, 1, 2, 2), np.float32),
        "nearest": np.ones((1, 2, 2), np.int64),
        "boxes": np.ones((1, 2, 4), np.float32),
        "labels": np.ones((1, 2), np.int64),
        "confidences": np.array([[0.5, 0.125]], np.float32),
    }
    expected = {"error": 0.25, "anomaly_map mean": 3.0, "anomaly_map max": 6.0, "confidences max": 0.5}
    assert statement(answers) == expected
    assert statement({"confidences": np.zeros((1, 0), np.float32)}) == {"confidences max": 0.0}


@pytest.mark.parametrize(
    ("said", "told", "precision", "contradicts"),
    [
        (2.0019, 2.0, "float32", False),
        (2.0021, 2.0, "float32", True),
        (1.9979, 2.0, "float32", True),
        (2.059, 2.0, "bfloat16", False),
        (2.061, 2.0, "bfloat16", True),
        (-2.0019, -2.0, "float32", False),
        (9e-7, 0.0, "float32", False),
        (2e-6, 0.0, "float32", True),
        (math.nan, 2.0, "bfloat16", True),
        (math.inf, 2.0, "bfloat16", True),
    ],
)
def test_a_value_may_differ_by_its_tolerance(said, told, precision, contradicts):
    """A thousandth at float32, three hundredths at bfloat16, of 0.001 at least; NaN and infinity always differ."""
    assert (contradiction({"error": said}, {"error": told}, precision) is not None) == contradicts


def test_every_value_is_compared_and_a_missing_one_contradicts():
    """The first that differs is named with both numbers; what the witness does not know is not asked."""
    assert contradiction({"a": 1.0, "b": 2.0}, {"a": 1.0}, "float32") is None
    told = contradiction({"a": 1.0, "b": 2.5}, {"a": 1.0, "b": 2.0}, "float32")
    assert told == "b is 2.5 where the witness says 2"
    assert contradiction({}, {"a": 1.0}, "float32") == "a is nan where the witness says 1"


# Opening --------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("requests", [1, 3])
def test_an_engine_that_repeats_the_witness_is_opened(graph, witness, engine, requests, monkeypatch):
    """One compilation, and one image a request."""
    watched = Faulty(monkeypatch, engine, lambda _: False)
    with open_engine(graph, engine=engine, threads=requests, requests=requests, witness=witness):
        assert (watched.compilations, watched.runs) == (1, requests)


@both
@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values * np.float32(np.nan),
        lambda values: values * np.float32(1e6),
        lambda values: values * np.float32(1.01),
    ],
    ids=["not a number", "a million times", "one per cent"],
)
def test_an_engine_of_garbage_is_refused(graph, witness, engine, spoil, monkeypatch):
    """After three compilations, in one sentence with the other engine as its remedy; no thread is left."""
    faulty = Faulty(monkeypatch, engine, lambda _: True, by=spoil)
    other = "onnxruntime" if engine == "openvino" else "openvino"
    told = f"graph: {engine} computes garbage, .* brightness is .* where the witness says .*; use engine '{other}'"
    with pytest.raises(EngineError, match=told) as caught:
        open_engine(graph, engine=engine, threads=2, requests=2, witness=witness)
    assert "\n" not in str(caught.value)
    assert faulty.compilations == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("candling-engine")]


@both
def test_compiling_again_heals(graph, witness, engine, monkeypatch):
    """Garbage of the first two compilations is forgotten; the third one's numbers are right."""
    faulty = Faulty(monkeypatch, engine, lambda self: self.compilations < 3)
    with open_engine(graph, engine=engine, threads=2, requests=2, witness=witness) as opened:
        assert faulty.compilations == 3
        images = np.full((4, 1, 32, 32), 0.25, np.float32)
        assert opened.run(images).scores["brightness"].tolist() == [0.25] * 4


@needs_openvino
def test_a_signal_after_compiling_again_does_not_kill(building, tmp_path):
    """Graphs that were compiled, given up, compiled again and freed leave the signal stack as it was."""
    (tmp_path / "graph.onnx").write_bytes(building.autoencoder().SerializeToString())
    code = (
        "import faulthandler, gc, os, signal, sys\n"
        "from pathlib import Path\n"
        "from candling.errors import EngineError\n"
        "from candling.runtime.engine import open_engine\n"
        "faulthandler.enable()\n"
        "opened = open_engine(Path(sys.argv[1]), engine='openvino', threads=3)\n"
        "try:\n"
        "    open_engine(Path(sys.argv[1]), engine='openvino', threads=3, witness={'mean_error': 9.0})\n"
        "except EngineError as error:\n"
        "    print('computes garbage' in str(error))\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('alive'))\n"
        "gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "opened.close(); del opened; gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "graph.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\nalive\nalive\n"), done.stderr


@needs_openvino
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_request_of_garbage_among_three_is_found(graph, witness, at, monkeypatch):
    """Each request is asked, whichever it is, and only its own answer is wrong."""
    ask, seen = on_openvino.OpenVino._ask, []

    def faulty(self, request, images, wanted):
        if request not in seen:
            seen.append(request)
        answers = ask(self, request, images, wanted)
        return [answer * np.float32(np.nan) for answer in answers] if seen.index(request) == at else answers

    monkeypatch.setattr(on_openvino.OpenVino, "_ask", faulty)
    with open_engine(graph, engine="openvino", threads=3, requests=3, witness=witness) as opened:
        assert len(seen) == 6  # the three that were found wrong, and the three that were compiled again
        assert np.isfinite(opened.run(np.zeros((9, 1, 32, 32), np.float32)).scores["brightness"]).all()


@both
def test_a_graph_of_a_fixed_batch_is_held_against_its_witness(building, witness, engine, monkeypatch):
    """Each of its N images must say it: garbage in the last one alone is refused."""
    graph = building.brightness(batch=3).SerializeToString()
    open_engine(graph, engine=engine, requests=1, witness=witness).close()

    def last(values):
        values = values.copy()
        values[-1] = 7.0
        return values

    Faulty(monkeypatch, engine, lambda _: True, by=last)
    with pytest.raises(EngineError, match="computes garbage"):
        open_engine(graph, engine=engine, requests=1, witness=witness)


@both
def test_without_a_witness_nothing_is_run(graph, engine, monkeypatch):
    """None, as in older bundles, and an empty one prove nothing and cost nothing."""
    watched = Faulty(monkeypatch, engine, lambda _: True)
    for nothing in (None, {}):
        open_engine(graph, engine=engine, witness=nothing).close()
    assert watched.runs == 0


# OpenVINO's compilations ----------------------------------------------------------------------------------------------


@needs_openvino
def test_each_request_has_a_compilation_of_its_own(graph):
    """One stream each: several in one compiled graph computed garbage in one process of six."""
    with open_engine(graph, engine="openvino", threads=4, requests=2) as opened:
        requests = [opened._backend._idle.get() for _ in range(2)]
        compiled = [request.get_compiled_model() for request in requests]
    assert [one.get_property("NUM_STREAMS") for one in compiled] == [1, 1]
    assert [one.get_property("INFERENCE_NUM_THREADS") for one in compiled] == [2, 2]
    assert opened._backend._idle.empty()


@needs_openvino
def test_a_large_constant_product_is_right_every_time_it_is_opened(building):
    """A matrix of its own for each of 4096 positions, times the image's 18 values there, by two requests."""
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(4096, 18, 18)).astype(np.float32)
    image = rng.random((1, 18, 64, 64), dtype=np.float32)
    nodes = [
        helper.make_node("Transpose", ["image"], ["moved"], perm=[2, 3, 1, 0]),
        helper.make_node("Reshape", ["moved", "sizes"], ["vectors"]),
        helper.make_node("MatMul", ["matrices", "vectors"], ["products"]),
        helper.make_node("Mul", ["products", "products"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["error"], axes=[0, 1], keepdims=0),
    ]
    tensors = {"matrices": matrices, "sizes": np.array([4096, 18, -1])}
    graph = building.model(nodes, [("error", TensorProto.FLOAT, ["N"])], tensors=tensors, shape=(18, 64, 64))
    data = graph.SerializeToString()
    vectors = image.astype(np.float64).reshape(18, 4096).T
    expected = (np.einsum("pij,pj->pi", matrices.astype(np.float64), vectors) ** 2).mean()
    for _ in range(4):
        with open_engine(data, engine="openvino", threads=2, requests=2) as opened:
            given = opened.run(np.repeat(image, 4, axis=0)).scores["error"]
        np.testing.assert_allclose(given, expected, rtol=1e-5)


# Bundles --------------------------------------------------------------------------------------------------------------


def saved(building, folder, witness):
    """Save the brightness bundle with a witness on its card."""
    card = building.card().model_copy(update={"witness": witness})
    old = building.bundle(folder)
    return save_bundle(folder, graph=old.read_graph(), recipe=old.recipe, limits=old.limits, card=card, overwrite=True)


@pytest.mark.parametrize("door", [Predictor, Inspector])
@both
def test_a_bundle_is_opened_against_its_witness(building, tmp_path, witness, door, engine):
    """The card's numbers are asked for; a card of another graph does not open this one."""
    honest = saved(building, tmp_path / "a", witness)
    assert load_bundle(honest.path).card.witness == witness
    assert door.load(honest.path, engine=engine).engine.name == engine
    foreign = saved(building, tmp_path / "b", {**witness, "peak": 3.0})
    with pytest.raises(EngineError, match=r"peak is .* where the witness says 3"):
        door.load(foreign.path, engine=engine)


def test_a_bundle_without_a_witness_is_opened(building, tmp_path):
    """Bundles made before there was one have none on their card."""
    bundle = saved(building, tmp_path / "a", None)
    assert bundle.card.witness is None
    assert Predictor.load(bundle).predict(np.zeros((32, 32), np.uint8))[0].scores["peak"] == 0.0
