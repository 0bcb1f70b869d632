"""The facts of outline.py: where the product is, and the erosion that scipy gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from candling.train.outline import inside, well_inside


def test_any_channel_above_the_ground_shows_the_product():
    """A pixel that is dark in two channels and bright in one belongs to the product; the ground itself does not."""
    image = torch.zeros(1, 3, 2, 2)
    image[0, 1, 0, 0] = 0.5
    image[0, :, 1, 1] = 0.2
    assert inside(image, 0.2)[0].tolist() == [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("fills", [False, True])
@pytest.mark.parametrize("margin", [0, 1, 3])
def test_it_is_the_erosion_by_a_square(margin, fills):
    """What is left is scipy's erosion, with or without product beyond the border."""
    shown = np.random.default_rng(0).random((2, 40, 30)) < 0.99
    square = np.ones((1, 2 * margin + 1, 2 * margin + 1), bool)
    expected = binary_erosion(shown, square, border_value=fills)
    given = well_inside(torch.from_numpy(shown).float(), margin, fills=fills).numpy()
    np.testing.assert_array_equal(given, expected.astype(np.float32))
