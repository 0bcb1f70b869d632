"""Small ONNX graphs, recipes and whole bundles for tests: nothing is trained, torch never comes in."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from candling.recipe import Recipe
from candling.runtime.bundle import Card, DataFacts, LimitEntry, LimitsFile, MapRange, save_bundle

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


def remembering(pictures, *, cell=8):
    """A graph that remembers pictures (K, H, W) cell by cell, each at its own place only, and names the nearest."""
    count, height, width = pictures.shape
    rows, columns = height // cell, width // cell
    cells = pictures.astype(np.float32).reshape(count, rows, cell, columns, cell) / np.float32(255)
    names = np.arange(rows * columns, dtype=np.int64).reshape(1, rows, columns)
    tensors = {
        "cells": cells,
        "names": names,
        "size": np.array(rows * columns, np.int64),
        "blocks": np.array([0, 1, rows, cell, columns, cell], np.int64),
        "channel": np.array([1], np.int64),
        "scales": np.array([1, 1, cell, cell], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["image", "blocks"], ["image_cells"]),
        node("Sub", ["image_cells", "cells"], ["difference"]),
        node("Mul", ["difference", "difference"], ["square"]),
        node("ReduceMean", ["square"], ["distances"], axes=[3, 5], keepdims=0),
        node("ArgMin", ["distances"], ["picture"], axis=1, keepdims=0),
        node("Mul", ["picture", "size"], ["first"]),
        node("Add", ["first", "names"], ["nearest"]),
        node("ReduceMin", ["distances"], ["closest"], axes=[1], keepdims=1),
        node("Resize", ["closest", "", "scales"], ["large"], mode="nearest"),
        node("Squeeze", ["large", "channel"], ["anomaly_map"]),
        node("ReduceMax", ["closest"], ["distance"], axes=[1, 2, 3], keepdims=0),
    ]
    outputs = [
        ("anomaly_map", TensorProto.FLOAT, ["N", height, width]),
        ("distance", TensorProto.FLOAT, ["N"]),
        ("nearest", TensorProto.INT64, ["N", rows, columns]),
    ]
    return model(nodes, outputs, tensors=tensors, shape=(1, height, width))


def remembering_bundle(folder, pictures, *, references=None, typical=0.0, highest=0.01):
    """Save a bundle of that graph whose limit is what its good maps reach, with these bytes as its references."""
    _, height, width = pictures.shape
    limits = LimitsFile(
        entries=(entry(score="distance", high=highest),), map_range=MapRange(typical=typical, highest=highest)
    )
    resolved = recipe(shape=(1, height, width), scores=("distance",))
    extra = {} if references is None else {"references.tif": references}
    return bundle(folder, graph=remembering(pictures), recipe_=resolved, limits=limits, extra=extra)


def strip_recipe(*, vials=2, frames=3, height=64, scores=("brightness",), **limits):
    """A recipe for strips: two regions of 32 x 32 px in each vial, one over the other, vials side by side."""
    boxes = [
        {"name": name, "top": top, "left": 0, "height": 32, "width": 32} for name, top in (("neck", 0), ("body", 32))
    ]
    strip = {"vials": vials, "pitch_px": 32, "frames": frames, "height": height, "width": 32 * vials}
    data = recipe(scores=scores, regions=boxes, **limits).model_dump(mode="json")
    return Recipe.model_validate({**data, "strip": {**strip, "runs": 3, "agree": 2}})


def strip_bundle(folder, *, graph=None, recipe_=None, high=0.5, empty=False):
    """Save a bundle for strips by the brightness graph; patches above ``high`` are rejected."""
    entries = () if empty else tuple(entry(region=region, high=high) for region in ("neck", "body"))
    return bundle(folder, graph=graph, recipe_=recipe_ or strip_recipe(), limits=LimitsFile(entries=entries))


def strip_frames(*, grey=100, bright=None, count=3, size=(64, 64)):
    """Frames of one acquisition, each a little different; ``bright`` (vial, region, frame, grey) lights one patch."""
    frames = [np.full(size, grey, np.uint8) for _ in range(count)]
    for number, frame in enumerate(frames):
        frame[0, number] += 1  # no frame is sent twice
    if bright is not None:
        vial, region, number, level = bright
        top, left = (0 if region == "neck" else 32), 32 * (vial - 1)
        frames[number - 1][top : top + 32, left : left + 32] = level
    return frames


def strip_table(folder, strips):
    """Write frames and ``samples.csv``: strips are (product, label, split, run, frames[, (vial, region)])."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,split,product,run,frame,defect,severity,vial,region"]
    for product, label, split, run, frames, *place in strips:
        for number, pixels in zip((0, 7, 15), frames, strict=False):
            name = f"{product}_{run}_{number:02d}.png"
            picture(folder / name, pixels)
            good = label == "good"
            where = f"{place[0][0]},{place[0][1]}" if place else ","
            row = f"{name},{label},{split},{product},{run},{number},{'' if good else label},{'' if good else 'major'}"
            lines.append(f"{row},{where}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder / "samples.csv"
