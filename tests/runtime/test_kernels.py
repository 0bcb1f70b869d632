"""Kernels read back from a graph's bytes."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import EngineError
from candling.runtime.kernels import kernels_of

onnx = pytest.importorskip("onnx")


def _graph(*weights: np.ndarray, raw: bool = True) -> bytes:
    """A chain of convolutions, each with the next weights."""
    helper = onnx.helper
    names = [f"w{number}" for number in range(len(weights))]
    tensors = [
        onnx.numpy_helper.from_array(one, name)
        if raw
        else helper.make_tensor(name, onnx.TensorProto.FLOAT, one.shape, one.ravel().tolist())
        for name, one in zip(names, weights, strict=True)
    ]
    nodes = [helper.make_node("Conv", [f"x{at}", name], [f"x{at + 1}"]) for at, name in enumerate(names)]
    ends = [[helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)] for name in ("x0", f"x{len(weights)}")]
    return helper.make_model(helper.make_graph(nodes, "chain", *ends, initializer=tensors)).SerializeToString()


def _kernels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("raw", [True, False])
def test_kernels_come_back_in_the_order_of_the_graph(raw) -> None:
    """As raw bytes or as numbers; what has nothing to show is left out."""
    first, second = _kernels(4, 1, 5, 5), _kernels(6, 4, 3, 3)
    smooth = np.ones((6, 1, 3, 3), np.float32)
    found = kernels_of(_graph(first, _kernels(4, 4, 1, 1), second, smooth, _kernels(6, 6, 7), raw=raw))
    assert [one.shape for one in found] == [first.shape, second.shape]
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], second)


def test_weights_of_another_type_are_passed_over() -> None:
    """Halves and numbers with a sign are not taken for float32."""
    assert kernels_of(_graph(_kernels(4, 2, 3, 3).astype(np.float16))) == []


def test_a_file_that_is_no_graph_is_refused() -> None:
    """Torn bytes are told as such, whatever they are."""
    whole = _graph(_kernels(4, 2, 3, 3))
    with pytest.raises(EngineError, match="not a whole ONNX model"):
        kernels_of(whole[:-7])


def test_the_kernels_of_the_patch_network_are_found() -> None:
    """Three convolutions, each once though fragments share them, in order; the one of 1 x 1 is left out."""
    torch = pytest.importorskip("torch")
    from candling.train.classifying import PatchNetwork, Whole
    from candling.train.export import _to_onnx
    from candling.train.probability import Probability

    torch.manual_seed(0)
    network = PatchNetwork((1, 40, 48), patch=29, dropout=0.0, stride=8).eval()
    names = ["anomaly_map", "defect_probability", "covered_share"]
    graph = _to_onnx(Whole(network, Probability(5)).eval(), torch.rand(2, 1, 40, 48), names=names, opset=18)
    found = kernels_of(graph)
    assert [kernels.shape for kernels in found] == [(16, 1, 5, 5), (32, 16, 5, 5), (64, 32, 3, 3)]
    np.testing.assert_array_equal(found[2], network.stages[2].conv.weight.detach().numpy())
