"""The facts of train/averages.py: running moments are the moments, and averaged weights follow."""

from __future__ import annotations

import copy

import torch
from torch import nn

from candling.train.averages import MEMORY, MovingAverage, RunningMoments


def same(values: torch.Tensor) -> torch.Tensor:
    return values


def test_the_running_mean_is_the_mean():
    """Over the first images the running mean is exact, in batches of any size."""
    maps = torch.rand(37, 2, 3, 4)
    moments = RunningMoments((2, 3, 4))
    for part in maps.split(5):
        moments.observe(part, share=same)
    assert int(moments.seen) == 37
    torch.testing.assert_close(moments.mean, maps.mean(dim=0, keepdim=True))
    relative = moments.variance / maps.var(dim=0, keepdim=True)
    assert 0.5 < float(relative.mean()) < 1.1


def test_old_images_are_forgotten():
    """After many images of another kind, the running mean is theirs."""
    moments = RunningMoments((1, 1, 1))
    moments.observe(torch.zeros(MEMORY, 1, 1, 1), share=same)
    for _ in range(40):
        moments.observe(torch.ones(MEMORY // 4, 1, 1, 1), share=same)
    assert float(moments.mean) > 0.99


def test_ranks_count_together():
    """With two ranks, a batch weighs twice its images, and the shared mean is what enters."""
    moments = RunningMoments((1, 1, 1))
    moments.observe(torch.zeros(4, 1, 1, 1), share=lambda values: values + 1.0, world=2)
    assert int(moments.seen) == 8
    assert float(moments.mean) == 1.0


def test_the_average_lies_between_old_and_new():
    """The first update is taken whole; then the average follows slowly; counters are copied."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(copy.deepcopy(network), most=0.5)
    nn.init.constant_(network[0].weight, 1.0)
    average.follow(network)
    assert torch.equal(average.network[0].weight, network[0].weight)
    for _ in range(20):
        average.follow(network)
    nn.init.constant_(network[0].weight, 3.0)
    network[1].num_batches_tracked.fill_(7)
    average.follow(network)
    torch.testing.assert_close(average.network[0].weight, torch.full((2, 2), 2.0))
    assert int(average.network[1].num_batches_tracked) == 7
    assert not any(parameter.requires_grad for parameter in average.parameters())
