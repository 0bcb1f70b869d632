"""The facts of train/marker.py: shapes, where it looks, and that evidence and place count."""

from __future__ import annotations

import pytest
import torch

from candling.train.marker import Marker


def marker(shape: tuple[int, int, int] = (1, 64, 96)) -> Marker:
    torch.manual_seed(0)
    return Marker(shape, 5, width=8).eval()


def evidence(count: int, shape: tuple[int, int, int] = (1, 64, 96)) -> tuple[torch.Tensor, torch.Tensor]:
    """At 1/8 and at 1/4 of the size, none."""
    _, height, width = shape
    return torch.zeros(count, 5, height // 8, width // 8), torch.zeros(count, 1, height // 4, width // 4)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 64, 96), (3, 96, 32)])
def test_logits_lie_at_half_the_size(shape):
    """One logit for each block of 2 x 2 pixels, float32; at first a defect is as rare as one in twenty."""
    with torch.no_grad():
        logits = marker(shape)(torch.rand(2, *shape), *evidence(2, shape))
    assert logits.shape == (2, 1, shape[1] // 2, shape[2] // 2)
    assert logits.dtype == torch.float32
    assert abs(float(logits.mean()) + 3.0) < 1.0


@pytest.mark.parametrize(("row", "column"), [(10, 20), (44, 81)])
def test_a_pixel_moves_the_logit_above_it_most(row, column):
    """Blocks are put together again in the order in which they were taken apart: the strongest answer is in place.

    Averaged over random networks, for a single one may look aside.
    """
    change = torch.zeros(1, 1, 32, 48)
    for seed in range(12):
        torch.manual_seed(seed)
        network = Marker((1, 64, 96), 5, width=8).eval()
        image = torch.rand(1, 1, 64, 96)
        other = image.clone()
        other[..., row - 2 : row + 3, column - 2 : column + 3] += 1.0
        with torch.no_grad():
            change += (network(image, *evidence(1)) - network(other, *evidence(1))).abs()
    flat = change.flatten()
    places = torch.arange(len(flat))
    centre = (flat**2 * (places // 48)).sum() / (flat**2).sum(), (flat**2 * (places % 48)).sum() / (flat**2).sum()
    assert abs(float(centre[0]) - row / 2) < 3.0
    assert abs(float(centre[1]) - column / 2) < 3.0


@pytest.mark.parametrize("scale", [0, 1])
def test_evidence_counts_where_it_lies(scale):
    """Evidence of one cell, coarse or fine, changes the logits around that cell, and those far from it hardly."""
    network = marker()
    image, told = torch.rand(1, 1, 64, 96), evidence(1)
    told[scale][..., (2, 4)[scale], (9, 18)[scale]] = 3.0
    change = (network(image, *told) - network(image, *evidence(1))).abs()[0, 0]
    assert change[4:16, 28:48].mean() > 2 * change[20:, :20].mean()


def test_the_place_counts():
    """On a plain picture the middle is not marked as the border is: row and column are told."""
    network = marker()
    plain = network(torch.full((1, 1, 64, 96), 0.5), *evidence(1))
    network.get_buffer("grid").zero_()
    without = network(torch.full((1, 1, 64, 96), 0.5), *evidence(1))
    assert (plain - without).abs().max() > 1e-3


def test_every_weight_learns():
    """No part of the network is cut off from the loss."""
    network = marker().train()
    told = [torch.rand_like(part) for part in evidence(2)]
    network(torch.rand(2, 1, 64, 96), *told).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in network.parameters())
