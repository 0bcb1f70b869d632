"""The facts of train/positions.py: distances, shrinkage and the scale, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.spatial.distance import mahalanobis

from candling.errors import TrainingError
from candling.train.positions import LEAST_VARIANCE, PositionOptions, Positions, fit_positions, smooth_three

SHAPE = (3, 5, 4)
PLAIN = PositionOptions(shrink=0.0, ridge=0.0)


def good(count: int = 60, *, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Correlated vectors whose covariance and mean differ from position to position."""
    rng = np.random.default_rng(seed)
    size, height, width = shape
    mixing = np.random.default_rng(99).normal(size=(height, width, size, size))
    vectors = np.einsum("hwij,nhwj->nihw", mixing, rng.normal(size=(count, height, width, size)))
    return torch.from_numpy((vectors + np.arange(width)).astype(np.float32))


def fitted(maps: torch.Tensor, options: PositionOptions = PLAIN, *, batch: int = 7) -> Positions:
    positions = Positions(tuple(maps.shape[1:]), options)
    fit_positions([positions], lambda: ((part,) for part in maps.split(batch)), count=len(maps))
    return positions


def reference_gaussian(maps: np.ndarray, options: PositionOptions) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, h, w) and covariance (h, w, n, n), smoothed over the 3 x 3 positions inside, shrunk."""
    count, _, height, width = maps.shape
    mean = maps.mean(axis=0)
    centred = maps - mean
    covariance = np.einsum("nihw,njhw->hwij", centred, centred) / count
    inside = uniform_filter(np.ones((height, width)), 3, mode="constant")
    near = uniform_filter(covariance, (3, 3, 0, 0), mode="constant") / inside[:, :, None, None]
    whole = covariance.mean(axis=(0, 1))
    share = options.shrink / (options.shrink + count)
    return mean, (1 - share) * near + share * whole + np.diag(options.ridge * np.diag(whole) + LEAST_VARIANCE)


def reference_distance(maps: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Scipy's Mahalanobis distance over the root of n: (N, h, w)."""
    count, size, height, width = maps.shape
    out = np.empty((count, height, width))
    for row, column in np.ndindex(height, width):
        inverse = np.linalg.inv(covariance[row, column])
        for image in range(count):
            out[image, row, column] = mahalanobis(maps[image, :, row, column], mean[:, row, column], inverse)
    return out / np.sqrt(size)


@pytest.mark.parametrize("options", [PLAIN, PositionOptions()])
def test_the_distance_is_mahalanobis(options):
    """Before the scale, the distance equals scipy's under the smoothed, shrunk covariance of each position."""
    maps = good()
    positions = fitted(maps, options)
    other = good(4, seed=5)
    given = positions(other) / positions.sharpness + positions.level
    mean, covariance = reference_gaussian(maps.double().numpy(), options)
    np.testing.assert_allclose(given, reference_distance(other.double().numpy(), mean, covariance), rtol=2e-3)


@pytest.mark.parametrize("count", [7, 60])
def test_the_scale_is_cross_fitted(count):
    """Level and spread come from the distances of each run of neighbours under the Gaussian of the other runs."""
    options = PositionOptions()
    maps = good(count)
    positions = fitted(maps, options)
    values = maps.double().numpy()
    runs = np.arange(count) * 3 // count
    distances = np.concatenate(
        [reference_distance(values[runs == run], *reference_gaussian(values[runs != run], options)) for run in range(3)]
    )
    inside = uniform_filter(np.ones(SHAPE[1:]), 3, mode="constant")
    level = uniform_filter(distances.mean(axis=0), 3, mode="constant") / inside
    variance = uniform_filter(((distances - level) ** 2).mean(axis=0), 3, mode="constant") / inside
    spread = np.maximum(np.sqrt(variance), options.floor * np.sqrt(variance.mean()))
    np.testing.assert_allclose(positions.level[0], level, rtol=2e-3)
    np.testing.assert_allclose(1.0 / positions.sharpness[0], spread, rtol=5e-3)


def test_unseen_good_images_are_usual():
    """New good images measure about 0 with spread 1, though those the Gaussian was fitted to measure much less."""
    shape = (12, 6, 6)
    maps = torch.randn((24, *shape), generator=torch.Generator().manual_seed(0))
    positions = fitted(maps, PositionOptions(shrink=1.0))
    fresh = positions(torch.randn((200, *shape), generator=torch.Generator().manual_seed(1)))
    assert (
        -0.7 < float(fresh.mean()) < 0.2
    )  # a little below 0: one third of few images is missed when they are left out
    assert 0.7 < float(fresh.std()) < 1.3
    assert positions(maps).mean() < fresh.mean() - 0.15


def test_batches_do_not_matter():
    """However the images are divided into batches, the statistics are the same to rounding."""
    maps = good(31)
    whole, parts = fitted(maps, batch=31), fitted(maps, batch=4)
    for name, values in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_suffice(count):
    """With one image, or two alike, distances are finite, and an unusual vector still stands out."""
    maps = good(1).expand(count, -1, -1, -1)
    positions = fitted(maps, PositionOptions())
    usual, unusual = positions(maps[:1]), positions(maps[:1] + 1.0)
    assert torch.isfinite(usual).all()
    assert torch.isfinite(unusual).all()
    assert (unusual > usual + 1.0).all()


def test_a_walk_that_can_be_taken_once_only_is_refused():
    """A count that does not fit the images is refused, not averaged over."""
    with pytest.raises(TrainingError, match="announced"):
        fit_positions([Positions(SHAPE, PLAIN)], lambda: iter([(good(4),)]), count=5)


def test_smoothing_keeps_a_plain_map():
    """The mean over 3 x 3 positions counts those inside only, so a constant map stays."""
    plain = torch.full((1, 2, 4, 5), 3.0)
    torch.testing.assert_close(smooth_three(plain), plain)
