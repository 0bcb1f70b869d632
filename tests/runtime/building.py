"""Small ONNX graphs, recipes and whole bundles for tests: nothing is trained, torch never comes in."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from candling.recipe import Recipe
from candling.runtime.bundle import Card, DataFacts, LimitEntry, LimitsFile, save_bundle

SHAPE = (1, 32, 32)
WHEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def model(
    nodes, outputs, *, tensors=(), batch="N", shape=SHAPE, input_name="image", input_type=TensorProto.FLOAT, **more
):
    """Make an ONNX model from nodes, [(output name, type, shape)] and {name: array} initializers."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(input_name, input_type, [batch, *shape])],
        [helper.make_tensor_value_info(name, kind, sizes) for name, kind, sizes in outputs],
        [numpy_helper.from_array(value, name) for name, value in dict(tensors).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **more)
    made.ir_version = 8
    return made


def score(name, *, source="image"):
    """Give nodes and output of one honest score: the mean of a (N, C, H, W) tensor."""
    node = helper.make_node("ReduceMean", [source], [name], axes=[1, 2, 3], keepdims=0)
    return [node], (name, TensorProto.FLOAT, ["N"])


def brightness(*, batch="N", shape=SHAPE):
    """A graph whose score is the mean grey value and whose map is the picture: numbers a test can compute by head."""
    first = None if batch == "N" else batch
    sizes = ["N" if first is None else first]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["image"], ["peak"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["image"], ["anomaly_map"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["image"], ["reconstruction"]),
    ]
    outputs = [
        ("anomaly_map", TensorProto.FLOAT, [*sizes, *shape[1:]]),
        ("brightness", TensorProto.FLOAT, sizes),
        ("reconstruction", TensorProto.FLOAT, [*sizes, *shape]),
        ("peak", TensorProto.FLOAT, sizes),
    ]
    return model(nodes, outputs, batch=batch, shape=shape)


def autoencoder(*, shape=SHAPE, widths=(8, 16), seed=0):
    """A convolutional autoencoder with drawn weights: strided convolutions down, transposed ones up, scores inside."""
    rng = np.random.default_rng(seed)
    channels = [shape[0], *widths]
    nodes, tensors, last = [], {}, "image"
    steps = [("Conv", a, b) for a, b in pairwise(channels)]
    steps += [("ConvTranspose", b, a) for a, b in pairwise(channels)][::-1]
    for at, (kind, inner, outer) in enumerate(steps):
        sizes = (outer, inner, 3, 3) if kind == "Conv" else (inner, outer, 2, 2)
        tensors[f"w{at}"] = (rng.normal(size=sizes) / np.sqrt(9 * inner)).astype(np.float32)
        tensors[f"b{at}"] = rng.normal(size=outer, scale=0.1).astype(np.float32)
        how = {"strides": [2, 2], "pads": [1, 1, 1, 1]} if kind == "Conv" else {"strides": [2, 2]}
        nodes.append(helper.make_node(kind, [last, f"w{at}", f"b{at}"], [f"x{at}"], **how))
        last = f"y{at}" if at + 1 < len(steps) else f"x{at}"
        if last.startswith("y"):
            nodes.append(helper.make_node("Relu", [f"x{at}"], [last]))
    nodes += [
        helper.make_node("Sigmoid", [last], ["reconstruction"]),
        helper.make_node("Sub", ["image", "reconstruction"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["anomaly_map"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["square"], ["mean_error"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["square"], ["worst_error"], axes=[1, 2, 3], keepdims=0),
    ]
    outputs = [
        ("anomaly_map", TensorProto.FLOAT, ["N", *shape[1:]]),
        ("reconstruction", TensorProto.FLOAT, ["N", *shape]),
        ("mean_error", TensorProto.FLOAT, ["N"]),
        ("worst_error", TensorProto.FLOAT, ["N"]),
    ]
    return model(nodes, outputs, tensors=tensors, shape=shape)


def nan_when_black():
    """A graph whose score is 0 / 0 for a black picture: mean over mean."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Div", ["mean", "mean"], ["ratio"]),
        helper.make_node("Mul", ["ratio", "mean"], ["brightness"]),
    ]
    return model(nodes, [("brightness", TensorProto.FLOAT, ["N"])])


def recipe(*, shape=SHAPE, scores=("brightness",), regions=(), **limits):
    """A resolved recipe for a graph of this shape."""
    return Recipe.model_validate(
        {
            "story": {"product": "test plate"},
            "prepare": {"channels": shape[0], "height": shape[1], "width": shape[2]},
            "regions": regions,
            "method": {"name": "drawn"},
            "limits": {"scores": scores, **limits},
        }
    )


def entry(*, region="whole", score="brightness", high=0.5, **more):
    """One limit."""
    return LimitEntry(region=region, score=score, high=high, goal="quantile", chosen_at=WHEN, **more)


def card():
    """A card that says little."""
    facts = DataFacts(name="plates", sha256="0" * 64, counts={"fit": 3})
    return Card(name="plate", method="drawn", created=WHEN, candling="0.1.0", data=facts)


def bundle(folder, *, graph=None, recipe_=None, limits=None, extra=None):
    """Save a bundle; by default the brightness graph, with products above one half rejected."""
    return save_bundle(
        folder,
        graph=(graph or brightness()).SerializeToString(),
        recipe=recipe_ or recipe(),
        limits=limits or LimitsFile(entries=(entry(),)),
        card=card(),
        extra=extra,
    )


def picture(path, grey, *, size=(32, 32)):
    """Write a plain picture of one grey value (0 to 255), or an array as it is."""
    pixels = np.full(size, grey, np.uint8) if np.isscalar(grey) else grey
    done, data = cv2.imencode(path.suffix, pixels)
    assert done
    path.write_bytes(data.tobytes())
    return path


def external(data):
    """The same model with its first initializer moved to another file, as a hostile one would name it."""
    made = onnx.load_model_from_string(data)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return made.SerializeToString()
