"""The facts of windows.py: the fast form computes plain window averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.nn.functional import avg_pool2d

from candling.train.windows import box_taps, gaussian_taps, smooth_same, smooth_valid


def maps() -> torch.Tensor:
    return torch.rand((2, 17, 23), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_box_inside_is_an_average_pooling(size):
    """smooth_valid with a box equals average pooling at stride 1, columns first."""
    expected = avg_pool2d(maps().unsqueeze(1), size, stride=1).squeeze(1).transpose(1, 2)
    torch.testing.assert_close(smooth_valid(maps(), box_taps(size)), expected)


def test_a_window_at_the_border_averages_what_lies_inside():
    """smooth_same weighs only pixels of the map: scipy's zero-padded filter, divided by that of a map of ones."""
    taps = gaussian_taps(1.7, 11).numpy()

    def filtered(array):
        return correlate1d(correlate1d(array, taps, axis=-1, mode="constant"), taps, axis=-2, mode="constant")

    expected = filtered(maps().numpy()) / filtered(np.ones((17, 23)))
    np.testing.assert_allclose(smooth_same(maps(), torch.from_numpy(taps)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [5, 31, 99])
def test_a_constant_map_stays_constant(size):
    """A constant map stays as it is up to its borders, under windows larger than itself as well."""
    constant = torch.full((1, 12, 30), 0.25, dtype=torch.float64)
    torch.testing.assert_close(smooth_same(constant, box_taps(size)), constant)


@pytest.mark.parametrize("taps", [gaussian_taps(1.5, 11), gaussian_taps(0.3, 3), box_taps(21)])
def test_taps_are_a_symmetric_mean(taps):
    """Every window sums to 1 and is its own mirror image."""
    assert taps.sum().item() == pytest.approx(1.0, abs=1e-15)
    torch.testing.assert_close(taps, taps.flip(0), rtol=0, atol=0)
