"""A Gaussian for each place as a memory's search: Mahalanobis's distance, measured against good images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.train.gaussians import Gaussians, fit_gaussians
from candling.train.memory import Known, MemoryOptions, Settings, Standard, fit_memory


def good_maps(count: int = 40, size: int = 5, grid: tuple[int, int] = (4, 6), seed: int = 0) -> torch.Tensor:
    """Descriptors whose mean and spread differ from place to place."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn((1, size, *grid), generator=generator)
    spread = 0.2 + torch.rand((1, 1, *grid), generator=generator)
    return mean + spread * torch.randn((count, size, *grid), generator=generator)


def remembered(maps: torch.Tensor) -> Known:
    size = maps.shape[1]
    return Known(maps, torch.arange(len(maps)), Standard(1, 8, torch.zeros(size), torch.eye(size)))


def test_the_distance_is_mahalanobis():
    """A cell's distance is that of numpy's inverse covariance, over the root of the number of dimensions."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5, 5))
    covariance = factor @ factor.T + np.eye(5)
    mean = rng.normal(size=5)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    bank = Gaussians(
        torch.tensor(mean, dtype=torch.float32).view(1, 5, 1, 1).expand(1, 5, 2, 3).contiguous(),
        torch.tensor(whiten, dtype=torch.float32).expand(6, 5, 5).contiguous(),
    )
    cells = rng.normal(size=(2, 5, 2, 3))
    found = bank(torch.tensor(cells, dtype=torch.float32), torch.tensor([0, 1]))
    difference = cells - mean[None, :, None, None]
    expected = np.sqrt(np.einsum("nihw,ij,njhw->nhw", difference, np.linalg.inv(covariance), difference) / 5)
    np.testing.assert_allclose(found.distance.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(found.residual.numpy(), difference, atol=1e-6)
    assert found.number is None
    assert bank.grid == (2, 3)


def test_usual_distances_follow_the_setting_of_spread():
    """By place, over the whole, or the mean level alone: what ``spread`` says of a memory, it says of Gaussians."""
    maps = good_maps()
    by_place = fit_gaussians(maps, spread="place", floor=0.1)
    whole = fit_gaussians(maps, spread="whole", floor=0.1)
    none = fit_gaussians(maps, spread="none", floor=0.1)
    assert torch.equal(by_place[1], whole[1])
    assert by_place[2].std() > 0.0
    for _, _, sharpness in (whole, none):
        variances = by_place[2].double().reciprocal().square()
        torch.testing.assert_close(sharpness.double().reciprocal().square(), variances.mean().expand_as(variances))
    torch.testing.assert_close(none[1], by_place[1].mean().expand_as(by_place[1]))


@pytest.mark.parametrize("spread", ["place", "whole", "none"])
def test_good_images_that_were_not_remembered_are_usual(spread):
    """Their deviations lie around 0 with a spread of about 1, as distances to Gaussians that had not seen them."""
    maps = good_maps(200)
    memory = fit_memory(remembered(maps[:100]), Settings(8, 0), MemoryOptions(search="gaussian", spread=spread))
    deviation = memory.compare(maps[100:]).deviation
    assert abs(float(deviation.mean())) < 0.3
    assert 0.6 < float(deviation.std()) < 1.6


def test_a_strange_cell_deviates_and_its_neighbours_do_not():
    """What is unusual at one place is usual nowhere else for it: a Gaussian looks at its own place alone."""
    maps = good_maps()
    memory = fit_memory(remembered(maps), Settings(8, 0), MemoryOptions(search="gaussian"))
    before = memory.compare(maps[:1]).deviation
    strange = maps[:1].clone()
    strange[:, :, 2, 3] += 5.0
    after = memory.compare(strange).deviation
    changed = (after - before).abs() > 1e-5
    assert changed.nonzero().tolist() == [[0, 2, 3]]
    assert after[0, 2, 3] > 5.0


@pytest.mark.parametrize("count", [2, 30])
def test_identical_images_divide_nothing_by_zero(count):
    """Good images without any spread leave finite numbers, and themselves at the usual distance."""
    maps = good_maps(1).expand(count, -1, -1, -1)
    memory = fit_memory(remembered(maps), Settings(8, 0), MemoryOptions(search="gaussian"))
    deviation = memory.compare(maps[:1]).deviation
    assert torch.isfinite(deviation).all()
    assert deviation.abs().max() < 1e-2
    assert torch.isfinite(memory.compare(maps[:1] + 1.0).deviation).all()


def test_its_size_does_not_grow_with_the_good_images():
    """A memory of 300 images is as large as one of 30."""
    sizes = []
    for count in (30, 300):
        memory = fit_memory(remembered(good_maps(count)), Settings(8, 0), MemoryOptions(search="gaussian"))
        sizes.append(sum(buffer.numel() for buffer in memory.buffers()))
    assert sizes[0] == sizes[1]
