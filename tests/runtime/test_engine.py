"""Engines: both keep the contract, give the same numbers in any batch, and refuse what they must in one sentence."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from candling.errors import EngineError, MissingExtraError
from candling.runtime.engine import available_threads, open_engine
from candling.runtime.engine import opened as opened_module

ENGINES = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
both = pytest.mark.parametrize("engine", ENGINES)
needs_openvino = pytest.mark.skipif("openvino" not in ENGINES, reason="the extra openvino is not installed")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).random((8, 1, 32, 32), dtype=np.float32)


@both
def test_numbers_are_right(building, images, engine):
    """Scores, maps and reconstructions are what arithmetic says."""
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened:
        outputs = opened.run(images, reconstructions=True)
    np.testing.assert_allclose(outputs.scores["brightness"], images.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(outputs.scores["peak"], images.max(axis=(1, 2, 3)))
    np.testing.assert_array_equal(outputs.anomaly_map, images[:, 0])
    np.testing.assert_array_equal(outputs.reconstruction, images)
    assert opened.name == engine
    assert opened.score_names == ("brightness", "peak")
    assert (opened.input_shape, opened.has_map, opened.has_reconstruction) == ((1, 32, 32), True, True)


@both
@pytest.mark.parametrize("requests", [1, 2, 3])
def test_an_image_has_the_same_numbers_in_any_batch(building, images, engine, requests):
    """Batches of 1, 3 and 8, and any number of requests side by side, agree to the last bit."""
    graph = building.autoencoder().SerializeToString()
    with open_engine(graph, engine=engine, threads=requests, requests=requests) as opened:
        whole = opened.run(images, reconstructions=True)
        for size in (1, 3):
            for at in range(0, 8, size):
                part = opened.run(images[at : at + size], reconstructions=True)
                for name, values in part.scores.items():
                    np.testing.assert_array_equal(values, whole.scores[name][at : at + size])
                np.testing.assert_array_equal(part.anomaly_map, whole.anomaly_map[at : at + size])
                np.testing.assert_array_equal(part.reconstruction, whole.reconstruction[at : at + size])


@both
def test_a_chunk_of_eight_agrees_with_eight_of_one(building, images, engine):
    """A graph with a free N keeps it: one request of eight images gives what eight requests give."""
    graph = building.autoencoder().SerializeToString()
    single, together = (open_engine(graph, engine=engine, chunk=chunk).run(images) for chunk in (1, 8))
    for name, values in single.scores.items():
        np.testing.assert_allclose(together.scores[name], values, atol=1e-6)
    np.testing.assert_allclose(together.anomaly_map, single.anomaly_map, atol=1e-6)


@needs_openvino
def test_engines_agree(building, images):
    """OpenVINO and ONNX Runtime differ by less than 1e-4 at float32, in scores, maps and reconstructions."""
    graph = building.autoencoder(widths=(16, 32, 64)).SerializeToString()
    first, second = (open_engine(graph, engine=engine).run(images, reconstructions=True) for engine in ENGINES)
    for name, values in first.scores.items():
        np.testing.assert_allclose(second.scores[name], values, atol=1e-4, rtol=0)
    np.testing.assert_allclose(second.anomaly_map, first.anomaly_map, atol=1e-4, rtol=0)
    np.testing.assert_allclose(second.reconstruction, first.reconstruction, atol=1e-4, rtol=0)


@needs_openvino
def test_bfloat16_is_taken_only_when_asked_for(building, images):
    """At float32 OpenVINO rounds like ONNX Runtime; at bfloat16 it does not, where the processor has it."""
    graph = building.autoencoder(widths=(16, 32, 64)).SerializeToString()
    exact = open_engine(graph, engine="onnxruntime").run(images).anomaly_map
    assert np.abs(open_engine(graph, engine="openvino").run(images).anomaly_map - exact).max() < 1e-5
    try:
        rough = open_engine(graph, engine="openvino", precision="bfloat16")
    except EngineError as error:
        assert "no bfloat16" in str(error)  # noqa: PT017 - either outcome is right, by processor
        return
    assert rough.precision == "bfloat16"
    assert 1e-5 < np.abs(rough.run(images).anomaly_map - exact).max() < 0.05


def test_onnxruntime_has_no_bfloat16(building):
    """ONNX Runtime is not silently run at float32 when bfloat16 was asked for."""
    with pytest.raises(
        EngineError, match="onnxruntime computes in float32 only, not in bfloat16; use engine 'openvino'"
    ):
        open_engine(building.brightness().SerializeToString(), engine="onnxruntime", precision="bfloat16")


@both
def test_only_what_is_asked_for_comes_back(building, images, engine):
    """Maps and reconstructions are left where they are unless wanted."""
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened:
        bare = opened.run(images, maps=False)
        assert bare.anomaly_map is None
        assert bare.reconstruction is None
        assert opened.run(images).reconstruction is None
        assert opened.run(images).anomaly_map is not None


@both
def test_outputs_stay_when_the_engine_runs_again(building, images, engine):
    """What was given is the caller's: a later run does not write into it."""
    with open_engine(building.brightness().SerializeToString(), engine=engine, requests=1) as opened:
        first = opened.run(images[:1])
        kept = first.anomaly_map.copy()
        opened.run(images[1:2])
        np.testing.assert_array_equal(first.anomaly_map, kept)


@both
def test_no_image_gives_empty_outputs(building, engine):
    """N may be 0: the shapes are right and hold nothing."""
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened:
        outputs = opened.run(np.zeros((0, 1, 32, 32), np.float32))
    assert outputs.scores["peak"].shape == (0,)
    assert outputs.anomaly_map.shape == (0, 32, 32)


@both
@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_fixed_batch_is_filled_and_cut(building, images, engine, count):
    """A graph with N fixed at 3 takes any number of images."""
    with open_engine(building.brightness(batch=3).SerializeToString(), engine=engine) as opened:
        outputs = opened.run(images[:count])
    np.testing.assert_array_equal(outputs.scores["peak"], images[:count].max(axis=(1, 2, 3)))
    assert outputs.anomaly_map.shape == (count, 32, 32)


@both
def test_one_engine_serves_several_threads(building, images, engine):
    """Runs from several threads at once do not mix their images."""
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened, ThreadPoolExecutor(4) as pool:
        for at, outputs in enumerate(pool.map(lambda at: opened.run(images[at : at + 1]), range(8))):
            np.testing.assert_array_equal(outputs.anomaly_map[0], images[at, 0])


@both
def test_a_strided_view_is_taken(building, images, engine):
    """Images need not be contiguous."""
    with open_engine(building.brightness().SerializeToString(), engine=engine) as opened:
        flipped = images[::-1, :, :, ::-1]
        np.testing.assert_array_equal(opened.run(flipped).anomaly_map, flipped[:, 0])


@both
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.zeros((1, 1, 32, 31), np.float32), r"takes float32 \(N, 1, 32, 32\), was given float32 \(1, 1, 32, 31\)"),
        (np.zeros((1, 1, 32, 32), np.float64), "was given float64"),
        (np.zeros((1, 32, 32), np.float32), r"was given float32 \(1, 32, 32\)"),
        ([[1.0]], "was given list"),
    ],
)
def test_images_of_another_shape_are_refused(building, engine, wrong, told):
    """The sentence names what is taken and what was given."""
    with (
        open_engine(building.brightness().SerializeToString(), engine=engine) as opened,
        pytest.raises(EngineError, match=told),
    ):
        opened.run(wrong)


def _violations(building):
    mean = ("ReduceMean", ["image"])
    float_, double = TensorProto.FLOAT, TensorProto.DOUBLE
    good_nodes, good_output = building.score("brightness")

    def graph(name, kind, axes, sizes, *, keepdims=0, cast=None, **more):
        inner = f"{name}_inner" if cast else name
        nodes = [helper.make_node(*mean, [inner], axes=axes, keepdims=keepdims)]
        nodes += [helper.make_node("Cast", [inner], [name], to=cast)] if cast else []
        return building.model([*good_nodes, *nodes], [good_output, (name, kind, sizes)], **more)

    flat = helper.make_node("Reshape", ["image", "sizes"], ["fixed"])
    return {
        "input name": (
            building.model(
                [helper.make_node("ReduceMean", ["x"], ["brightness"], axes=[1, 2, 3], keepdims=0)],
                [good_output],
                input_name="x",
            ),
            r"takes x float32 \(N, 1, 32, 32\), but the contract wants one input: image float32 \(N, C, H, W\)",
        ),
        "input type": (
            building.model(
                [helper.make_node("Cast", ["image"], ["f"], to=float_), *building.score("brightness", source="f")[0]],
                [good_output],
                input_type=TensorProto.UINT8,
            ),
            r"input is image uint8 \(N, 1, 32, 32\), but",
        ),
        "free size": (building.model(good_nodes, [good_output], shape=(1, "H", "W")), "only N may be free"),
        "score rank": (
            graph("rarity", float_, [2, 3], ["N", 1]),
            r"output rarity float32 \(N, 1\) breaks .*, which wants float32 \(N,\) \(any other name is a score\)",
        ),
        "score type": (graph("rarity", double, [1, 2, 3], ["N"], cast=double), r"output rarity float64 \(N,\) breaks"),
        "score name": (graph("Rarity!", float_, [1, 2, 3], ["N"]), "'Rarity!' is no name for a score"),
        "map rank": (
            graph("anomaly_map", float_, [1], ["N", 1, 32, 32], keepdims=1),
            r"output anomaly_map float32 \(N, 1, 32, 32\) breaks the contract, which wants float32 \(N, 32, 32\)",
        ),
        "map size": (
            building.model(
                [
                    *good_nodes,
                    helper.make_node("AveragePool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
                    helper.make_node("ReduceMean", ["half"], ["anomaly_map"], axes=[1], keepdims=0),
                ],
                [good_output, ("anomaly_map", float_, ["N", 16, 16])],
            ),
            r"output anomaly_map float32 \(N, 16, 16\) breaks the contract, which wants float32 \(N, 32, 32\)",
        ),
        "fixed output": (
            building.model(
                [*good_nodes, flat],
                [good_output, ("fixed", float_, [1024])],
                tensors={"sizes": np.array([1024], np.int64)},
            ),
            "output fixed float32 .* has a fixed N where the input's is free",
        ),
        "boxes alone": (
            building.model(
                [
                    *good_nodes,
                    helper.make_node("Squeeze", ["image", "one"], ["boxes_"]),
                    helper.make_node("Slice", ["boxes_", "zero", "four", "two"], ["boxes"]),
                ],
                [good_output, ("boxes", float_, ["N", 32, 4])],
                tensors={k: np.array([v], np.int64) for k, v in {"one": 1, "zero": 0, "four": 4, "two": 2}.items()},
            ),
            "output 'boxes' comes without labels, confidences",
        ),
        "labels type": (
            graph("labels", float_, [1, 2], ["N", 32]),
            r"output labels float32 \(N, 32\) breaks the contract, which wants int64 \(N, 32\)",
        ),
        "nothing to judge": (
            building.model(
                [helper.make_node(*mean, ["anomaly_map"], axes=[1], keepdims=0)],
                [("anomaly_map", float_, ["N", 32, 32])],
            ),
            "no output is a score and none are boxes",
        ),
    }


VIOLATIONS = [
    "input name", "input type", "free size", "score rank", "score type", "score name", "map rank", "map size",
    "fixed output", "boxes alone", "labels type", "nothing to judge",
]  # fmt: skip


@both
@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_graph_that_breaks_the_contract_is_refused_at_load(building, engine, kind):
    """The sentence names the offending end, what it is and what it must be."""
    graph, told = _violations(building)[kind]
    with pytest.raises(EngineError, match=told) as caught:
        open_engine(graph.SerializeToString(), engine=engine)
    assert "\n" not in str(caught.value)


@both
def test_a_graph_the_engine_does_not_take_is_one_sentence(building, engine):
    """A broken graph is the engine's to refuse; its own message arrives in one line."""
    graph = building.model(
        [helper.make_node("ReduceMean", ["nowhere"], ["brightness"])], [building.score("brightness")[1]]
    )
    with pytest.raises(EngineError, match=f"graph: {engine} refused the graph: ") as caught:
        open_engine(graph.SerializeToString(), engine=engine)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    """The path stands in the sentence."""
    with pytest.raises(EngineError, match=r"none\.onnx: cannot be read: No such file"):
        open_engine(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"engine": "tensorrt"}, "no engine 'tensorrt'; there are auto, onnxruntime and openvino"),
        ({"precision": "int8"}, "no precision 'int8'; there are float32 and bfloat16"),
        ({"threads": 0}, "must be at least 1"),
        ({"requests": 0}, "must be at least 1"),
        ({"chunk": 0}, "must be at least 1"),
    ],
)
def test_an_impossible_wish_is_refused(building, wish, told):
    """Engine, precision and counts are checked before anything is opened."""
    with pytest.raises(EngineError, match=told):
        open_engine(building.brightness().SerializeToString(), **wish)


def test_more_requests_than_threads_are_not_made(building):
    """A request needs a core of its own; the default is one a core, at most four."""
    graph = building.brightness().SerializeToString()
    assert open_engine(graph, engine="onnxruntime", threads=1, requests=3).requests == 1
    assert open_engine(graph, engine="onnxruntime", threads=16).requests == 4
    assert open_engine(graph, engine="onnxruntime").threads == available_threads()


def test_a_container_grants_less_than_the_machine_has(tmp_path):
    """Quota over period is the number of cores; without a limit, or without the file, it is all of them."""
    limit = tmp_path / "cpu.max"
    limit.write_text("150000 100000\n")
    assert opened_module._granted(limit) == 1.5
    limit.write_text("max 100000\n")
    assert opened_module._granted(limit) == opened_module._granted(tmp_path / "none") == float(os.cpu_count())
    assert 1 <= available_threads() <= os.cpu_count()


@needs_openvino
def test_first_requests_side_by_side_do_not_wait_for_ever(building, tmp_path):
    """A process whose very first OpenVINO requests run at once ends; without care one in ten hung."""
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(building.brightness().SerializeToString())
    code = f"""
import numpy as np
from pathlib import Path
from candling.runtime.engine import open_engine
open_engine(Path({str(graph)!r}), engine="openvino", threads=4).run(np.zeros((8, 1, 32, 32), np.float32))
"""
    for _ in range(4):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_openvino_is_told_with_its_remedy(building, monkeypatch):
    """Asked for by name it is an error; left to choose, candling takes ONNX Runtime."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'candling\[openvino\]'"):
        open_engine(building.brightness().SerializeToString(), engine="openvino")


@both
def test_opening_an_engine_leaves_nothing_behind(building, tmp_path, engine):
    """No telemetry module, no torch, nothing in the home folder, nothing in the working folder."""
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(building.brightness().SerializeToString())
    empty = tmp_path / "empty"
    empty.mkdir()
    code = f"""
import sys, numpy as np
from pathlib import Path
from candling.runtime.engine import open_engine
open_engine(Path({str(graph)!r}), engine={engine!r}).run(np.zeros((2, 1, 32, 32), np.float32))
print([name for name in sys.modules if "telemetry" in name or name in ("torch", "onnx", "openvino.tools.ovc")])
"""
    environment = {**os.environ, "HOME": str(empty), "XDG_CACHE_HOME": str(empty)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=empty, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
    assert run.stderr == ""
    assert not list(empty.iterdir())


def test_a_signal_after_two_graphs_does_not_kill(building, tmp_path):
    """Two OpenVINO graphs whose lives overlap leave the signal stack as it was, so the next signal is survived."""
    pytest.importorskip("openvino", reason="the engine under test is not installed")
    (tmp_path / "graph.onnx").write_bytes(building.autoencoder().SerializeToString())
    code = (
        "import faulthandler, gc, os, signal, sys\n"
        "from pathlib import Path\n"
        "from candling.runtime.engine import open_engine\n"
        "faulthandler.enable()\n"
        "one, other = (open_engine(Path(sys.argv[1]), engine='openvino') for _ in range(2))\n"
        "one.close(); del one; gc.collect()\n"
        "other.close(); del other; gc.collect()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('alive'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "graph.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
