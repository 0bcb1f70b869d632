"""The guard: every place of an ONNX file that can hide a tensor or an operator is looked at, within bounds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from candling.errors import EngineError
from candling.runtime.onnx_guard import check_graph_bytes

WEIGHTS = np.arange(4, dtype=np.float32)
EXTERNAL = "keeps weights in another file"


def outside(name="w"):
    """A tensor that claims to lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def place(where):
    """Put an external tensor into one place of an otherwise honest model."""
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4])
    inner = helper.make_graph([helper.make_node("Identity", ["image"], ["x"])], "inner", [], [value])
    nodes, more, functions = [helper.make_node("Identity", ["image"], ["y"])], {}, []
    sparse = onnx.SparseTensorProto(values=outside(), indices=numpy_helper.from_array(np.arange(4)), dims=[8])
    if where == "initializer":
        more["initializer"] = [outside()]
    elif where == "sparse initializer values":
        more["sparse_initializer"] = [sparse]
    elif where == "sparse initializer indices":
        swapped = onnx.SparseTensorProto(values=numpy_helper.from_array(WEIGHTS), indices=outside(), dims=[8])
        more["sparse_initializer"] = [swapped]
    elif where == "constant":
        nodes.append(helper.make_node("Constant", [], ["c"], value=outside()))
    elif where == "sparse constant":
        nodes.append(helper.make_node("Constant", [], ["c"], sparse_value=sparse))
    elif where == "tensor list":
        node = helper.make_node("Constant", [], ["c"])
        node.attribute.add(name="many", type=onnx.AttributeProto.TENSORS).tensors.append(outside())
        nodes.append(node)
    elif where == "sparse tensor list":
        node = helper.make_node("Constant", [], ["c"])
        node.attribute.add(name="many", type=onnx.AttributeProto.SPARSE_TENSORS).sparse_tensors.append(sparse)
        nodes.append(node)
    elif where in {"subgraph", "subgraph list"}:
        inner.initializer.append(outside())
        node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
        if where == "subgraph list":
            node = helper.make_node("Identity", ["image"], ["z"])
            node.attribute.add(name="many", type=onnx.AttributeProto.GRAPHS).graphs.append(inner)
        nodes.append(node)
    elif where in {"function", "function default"}:
        body = [helper.make_node("Constant", [], ["c"], value=outside())] if where == "function" else []
        made = helper.make_function("local", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
        if where == "function default":
            made.attribute_proto.append(helper.make_attribute("weights", outside()))
        functions.append(made)
    model = helper.make_model(
        helper.make_graph(nodes, "graph", [value], [helper.make_tensor_value_info("y", 1, ["N", 4])], **more),
        opset_imports=[helper.make_opsetid("", 17)],
        functions=functions,
    )
    if where == "training graph":
        inner.initializer.append(outside())
        model.training_info.add().initialization.CopyFrom(inner)
    return model.SerializeToString()


PLACES = [
    "initializer", "sparse initializer values", "sparse initializer indices", "constant", "sparse constant",
    "tensor list", "sparse tensor list", "subgraph", "subgraph list", "function", "function default", "training graph",
]  # fmt: skip


def test_an_honest_model_passes(building):
    """A convolutional autoencoder with all weights inside is let through."""
    check_graph_bytes(building.autoencoder().SerializeToString())
    check_graph_bytes(place("nowhere"))


@pytest.mark.parametrize("where", PLACES)
def test_external_data_is_found_wherever_it_hides(where):
    """One sentence, naming the graph and the remedy."""
    with pytest.raises(EngineError, match=f"plate: the graph {EXTERNAL}.*external_data=False"):
        check_graph_bytes(place(where), where="plate")


def test_a_location_without_the_flag_is_refused_too():
    """Readers differ in whether the flag or the entry counts, so either is enough."""
    tensor = outside()
    tensor.data_location = TensorProto.DEFAULT
    graph = helper.make_graph([], "graph", [], [], [tensor])
    with pytest.raises(EngineError, match=EXTERNAL):
        check_graph_bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("domain", ["com.microsoft", "evil.ops"])
def test_an_operator_outside_the_standard_is_refused(domain):
    """Also inside a subgraph: the sentence names operator and domain."""
    inner = helper.make_graph([helper.make_node("EPContext", ["x"], ["y"], domain=domain)], "inner", [], [])
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    model = helper.make_model(helper.make_graph([node], "graph", [], []))
    with pytest.raises(EngineError, match=f"operator 'EPContext' of '{domain}' is not of the ONNX standard"):
        check_graph_bytes(model.SerializeToString())


def test_a_function_the_model_defines_itself_passes():
    """What a model brings along needs no library."""
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    double = helper.make_function("local", "Double", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    graph = helper.make_graph([helper.make_node("Double", ["x"], ["y"], domain="local")], "graph", [], [])
    check_graph_bytes(helper.make_model(graph, functions=[double]).SerializeToString())


@pytest.mark.parametrize(
    "data", [b"", b"not a model", b"<?xml version='1.0'?><net/>", b"\x18\x00\x00\x00ORTM", b"PK\x03\x04"]
)
def test_what_is_no_model_is_told(data):
    """Text, XML, ONNX Runtime's own format and archives are no ONNX models."""
    with pytest.raises(EngineError, match="graph: not an ONNX model"):
        check_graph_bytes(data)


def test_a_truncated_model_is_refused(building):
    """No cut passes unnoticed, except where nothing but the empty rest of a message is lost."""
    data = building.autoencoder().SerializeToString()
    for end in range(1, len(data) - 1, 97):
        with pytest.raises(EngineError, match=r"not a whole ONNX model|holds 0 graphs"):
            check_graph_bytes(data[:end])


def test_two_graphs_are_refused(building):
    """Readers would merge them, each in its own way."""
    data = building.brightness().SerializeToString()
    with pytest.raises(EngineError, match="holds 2 graphs"):
        check_graph_bytes(data + data)


def test_a_key_beyond_32_bits_is_refused(building):
    """Readers that cut it would see another field than readers that do not."""
    hidden = (14 << 3) | (1 << 40)
    key = b""
    while hidden > 0x7F:
        key += bytes([hidden & 0x7F | 0x80])
        hidden >>= 7
    with pytest.raises(EngineError, match="an impossible field number"):
        check_graph_bytes(building.brightness().SerializeToString() + key + bytes([hidden]) + b"\x01")


def field(number, data):
    """Encode one field that holds a message, as protobuf does."""
    length, size = b"", len(data)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@pytest.mark.parametrize("depth", [40, 5000])
def test_deep_nesting_ends(depth):
    """A graph in a graph in a graph is refused and exhausts nothing."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))  # graph.node.attribute.g
    with pytest.raises(EngineError, match="nested too deeply"):
        check_graph_bytes(b"\x08\x08" + field(7, graph))


def test_weights_are_skipped_not_copied():
    """Twenty megabytes of weights need no memory of their own."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [5_000_000], bytes(20_000_000), raw=True)
    data = helper.make_model(helper.make_graph([], "graph", [], [], [tensor])).SerializeToString()
    tracemalloc.start()
    try:
        check_graph_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_pass_but_never_crash(noise):
    """Whatever follows the first byte, the answer is an EngineError or nothing."""
    try:
        check_graph_bytes(b"\x08\x08" + noise)
    except EngineError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are allowed, other errors are not
