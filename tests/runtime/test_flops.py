"""Operations are counted as torch counts them."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from candling.errors import EngineError
from candling.runtime.engine.flops import count_flops, flops_of


class Every(nn.Module):
    """Every operator that is counted, with groups, strides, dilation and a batch of matrices."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4)
        self.up = nn.ConvTranspose2d(12, 6, 4, stride=2, padding=1, groups=2)
        self.dense = nn.Linear(6 * 32 * 32, 5)
        self.turned = nn.Parameter(torch.randn(32, 7))

    def forward(self, image):
        maps = self.up(torch.relu(self.grouped(self.first(image))))
        products = maps @ self.turned
        return {"score": self.dense(maps.flatten(1)).mean(1) + products.mean((1, 2, 3))}


def test_the_count_is_that_of_torch():
    """An independent counter, on the network before export, for one image of 32 x 32 px."""
    network, image = Every().eval(), torch.zeros(1, 1, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (image,), file, input_names=["image"], output_names=["score"], dynamo=False, opset_version=17
        )
    assert count_flops(file.getvalue(), (1, 32, 32)) == counter.get_total_flops()


def test_the_count_of_a_drawn_graph_is_the_one_by_hand(building):
    """Two convolutions down, two transposed ones up, each value times its kernel."""
    down = 2 * (8 * 16 * 16 * 9 + 16 * 8 * 8 * 9 * 8)
    up = 2 * (16 * 8 * 8 * 8 * 4 + 8 * 16 * 16 * 1 * 4)
    assert count_flops(building.autoencoder().SerializeToString(), (1, 32, 32)) == down + up


def test_a_product_with_a_turned_factor_counts_the_same():
    """Gemm with A of (K, M) or (M, K) is the same work."""
    assert flops_of("Gemm", [(1, 64), (64, 5)], [(1, 5)]) == flops_of("Gemm", [(64, 1), (5, 64)], [(1, 5)]) == 640


def test_other_operators_count_nothing():
    """What is added element by element is little beside it."""
    assert flops_of("Relu", [(1, 8, 16, 16)], [(1, 8, 16, 16)]) == 0


def test_a_graph_that_does_not_run_is_one_sentence():
    """As everywhere else."""
    with pytest.raises(EngineError, match="cannot be run to count its operations"):
        count_flops(b"\x08", (1, 32, 32))
