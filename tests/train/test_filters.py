"""Kernels read back from a graph, and drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.errors import UsageError
from candling.train.classifying import PatchNetwork, Whole
from candling.train.export import _to_onnx
from candling.train.filters import draw_filters, filters_of
from candling.train.probability import Probability


def test_the_kernels_of_a_graph_are_those_of_its_network() -> None:
    """Three convolutions, each once though fragments share them, in order; the 1 x 1 ones are left out."""
    torch.manual_seed(0)
    network = PatchNetwork((1, 40, 48), patch=29, dropout=0.0, stride=8).eval()
    names = ["anomaly_map", "defect_probability", "covered_share"]
    graph = _to_onnx(Whole(network, Probability(5)).eval(), torch.rand(2, 1, 40, 48), names=names, opset=18)
    found = filters_of(graph)
    assert [kernels.shape for kernels in found] == [(16, 1, 5, 5), (32, 16, 5, 5), (64, 32, 3, 3)]
    np.testing.assert_array_equal(found[2], network.stages[2].conv.weight.detach().numpy())


def test_filters_are_drawn_row_by_row() -> None:
    """Zero is middle grey, the largest weight of an output white, its opposite black; rows are outputs."""
    kernels = np.zeros((2, 3, 2, 2), np.float32)
    kernels[0, 1, 0, 1], kernels[0, 2, 1, 0] = 0.5, -0.5
    picture = draw_filters(kernels, scale=2)
    assert picture.shape == (2 * 5 - 1, 3 * 5 - 1)
    assert picture[0, 5 + 2] == 255
    assert picture[2, 10] == 0
    assert picture[5, 0] == picture[0, 0] == 128
    with pytest.raises(UsageError, match="four axes"):
        draw_filters(kernels[0])
