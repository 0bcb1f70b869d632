"""A density to learn: bells that add up to the cells, at the edge as well, against scipy's Gaussian filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from candling.train.bells import bell_loss, bells_of, cells_a_pixel

ndimage = pytest.importorskip("scipy.ndimage", reason="needs scipy as an independent implementation")


@pytest.mark.parametrize("spread", [1.0, 2.5])
def test_bells_are_a_gaussian_filter_that_is_reflected_at_the_edge(spread):
    """The same numbers as scipy's filter of the centres, in units of one bell's top."""
    centres = np.random.default_rng(0).random((40, 52)) < 0.02
    wanted = ndimage.gaussian_filter(centres.astype(float), spread, mode="reflect", truncate=4.0)
    found = bells_of(torch.from_numpy(centres)[None], spread)
    np.testing.assert_allclose(cells_a_pixel(found, spread)[0, 0].numpy(), wanted, atol=1e-6)


def test_the_sum_is_the_count_also_in_a_corner():
    """Nothing is lost beyond the edge; a lone bell is about 1 at its top."""
    centres = torch.zeros((2, 30, 44), dtype=torch.bool)
    for row, column in ((0, 0), (29, 43), (15, 20), (0, 22)):
        centres[0, row, column] = True
    found = bells_of(centres, 2.0)
    assert float(cells_a_pixel(found, 2.0)[0].sum()) == pytest.approx(4.0, abs=1e-4)
    assert float(cells_a_pixel(found, 2.0)[1].sum()) == 0.0
    assert float(found[0, 0, 15, 20]) == pytest.approx(1.0, abs=0.02)


def test_no_spread_is_no_map():
    """A method that learns no density has no plane of it."""
    assert bells_of(torch.ones((2, 8, 8), dtype=torch.bool), 0.0).shape == (2, 0, 8, 8)


def test_the_loss_is_zero_only_for_the_density_itself_and_where_nobody_knows():
    """A density that is too low everywhere costs more than noise of the same size, which cancels in a count."""
    bells = bells_of(torch.rand((1, 32, 32), generator=torch.Generator().manual_seed(0)) < 0.02, 2.0)
    known = torch.ones_like(bells, dtype=torch.bool)
    assert float(bell_loss(bells, bells, known)) == 0.0
    assert float(bell_loss(bells + 5.0, bells, ~known)) == 0.0
    sign = torch.where(torch.arange(32) % 2 == 0, 0.1, -0.1)
    assert float(bell_loss(bells - 0.1, bells, known)) > 5 * float(bell_loss(bells + sign, bells, known))
