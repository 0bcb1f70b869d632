"""The facts of train/gradients.py: what a descriptor tells, and how it turns with the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from candling.train.gradients import DIRECTIONS, Gradients, descriptor_size


def picture(*, channels: int = 1, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Smooth noise in [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=(channels, size, size))
    smooth = np.stack([ndimage.gaussian_filter(plane, 2.0) for plane in noise])
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(smooth.astype(np.float32)).unsqueeze(0)


def ramp(angle: float, *, slope: float = 0.01, size: int = 64) -> torch.Tensor:
    """A picture that brightens by ``slope`` a pixel towards ``angle`` (0 is right, a quarter circle is down)."""
    places = torch.arange(size) - (size - 1) / 2
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    return (0.5 + slope * (columns * math.cos(angle) + rows * math.sin(angle)))[None, None]


@pytest.mark.parametrize(("channels", "size"), [(1, 18), (3, 22)])
def test_the_maps_lie_at_a_quarter_and_an_eighth(channels, size):
    """A descriptor has 8 directions at two scales, and mean and spread of each channel."""
    fine, coarse = Gradients(channels)(picture(channels=channels).expand(2, -1, -1, -1))
    assert descriptor_size(channels) == size
    assert fine.shape == (2, size, 16, 16)
    assert coarse.shape == (2, size, 8, 8)


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_a_ramp_counts_in_its_own_direction_alone(direction):
    """A ramp towards one of the directions shows there with (1 - 0.7) of its slope, and in no other."""
    fine, _ = Gradients(1)(ramp(direction * math.tau / DIRECTIONS))
    inner = fine[0, :DIRECTIONS, 4:-4, 4:-4].square() - 1e-5
    torch.testing.assert_close(inner[direction], torch.full_like(inner[0], 0.3 * 0.01), rtol=1e-3, atol=1e-6)
    others = [other for other in range(DIRECTIONS) if other != direction]
    assert inner[others].abs().max() < 1e-4


def test_no_gradient_is_lost_between_two_directions():
    """A ramp halfway between two directions counts in both alike, with cos(22.5 degrees) - 0.7 of its slope."""
    fine, _ = Gradients(1)(ramp(math.tau / 16))
    inner = (fine[0, :DIRECTIONS, 8, 8].square() - 1e-5) / 0.01
    torch.testing.assert_close(inner[:2], torch.full((2,), math.cos(math.pi / 8) - 0.7), rtol=1e-3, atol=1e-4)
    assert inner[2:].abs().max() < 1e-2


def test_a_turned_picture_gives_turned_maps():
    """Turned by a quarter of a circle, the maps are the old ones turned, with the directions moved on by two."""
    image = picture()
    for before, after in zip(Gradients(1)(image), Gradients(1)(image.rot90(1, (2, 3))), strict=True):
        turned = before.rot90(1, (2, 3))
        for scale in (slice(0, DIRECTIONS), slice(DIRECTIONS, 2 * DIRECTIONS)):
            expected = turned[:, scale].roll(-2, dims=1)
            torch.testing.assert_close(after[:, scale], expected, rtol=1e-3, atol=2e-4)
        torch.testing.assert_close(after[:, 2 * DIRECTIONS :], turned[:, 2 * DIRECTIONS :], rtol=1e-3, atol=2e-4)


def test_an_inverted_picture_turns_its_directions_around():
    """Dark for bright exchanges each direction with the opposite one."""
    image = picture()
    for before, after in zip(Gradients(1)(image), Gradients(1)(1.0 - image), strict=True):
        for start in (0, DIRECTIONS):
            scale = slice(start, start + DIRECTIONS)
            torch.testing.assert_close(after[:, scale], before[:, scale].roll(4, dims=1), rtol=1e-3, atol=2e-4)


def test_mean_and_spread_are_those_of_the_surroundings():
    """The last numbers are the mean under weights 1 2 1 over cells of 4 px, and the root of the cells' variances."""
    image = picture(channels=3)
    fine, _ = Gradients(3)(image)
    row, column = 5, 9
    around = image[0, :, 4 * row - 8 : 4 * row + 12, 4 * column - 8 : 4 * column + 12].numpy().astype(np.float64)
    cells = around.reshape(3, 5, 4, 5, 4).transpose(0, 1, 3, 2, 4).reshape(3, 5, 5, 16)
    means = cells.mean(axis=3)
    near = np.stack([[means[:, r : r + 3, c : c + 3].mean(axis=(1, 2)) for c in range(3)] for r in range(3)])
    variances = cells.var(axis=3)[:, 1:4, 1:4] + (means[:, 1:4, 1:4] - near.transpose(2, 0, 1)) ** 2
    weights = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    mean = (means[:, 1:4, 1:4] * weights).sum(axis=(1, 2))
    spread = np.sqrt((variances * weights).sum(axis=(1, 2)) + 1e-5)
    np.testing.assert_allclose(fine[0, 16:19, row, column], mean, atol=1e-6)
    np.testing.assert_allclose(fine[0, 19:22, row, column], spread, rtol=1e-4)


def test_spread_of_a_smooth_bright_place_is_exact():
    """On a nearly white place of faint texture no digit is lost: float32 gives what float64 gives."""
    generator = torch.Generator().manual_seed(3)
    image = 0.98 + 0.001 * torch.rand((1, 1, 32, 32), generator=generator)
    exact = Gradients(1).double()(image.double())[0]
    torch.testing.assert_close(Gradients(1)(image)[0].double(), exact, rtol=1e-4, atol=1e-6)


def test_a_plain_picture_has_no_edges_up_to_its_border():
    """On one grey value every direction stays at its floor, at the border as well."""
    for maps in Gradients(1)(torch.full((1, 1, 32, 64), 0.8)):
        torch.testing.assert_close(maps[:, :16], torch.full_like(maps[:, :16], math.sqrt(1e-5)), rtol=1e-2, atol=1e-5)
