"""The facts of usual.py: rarity is a mean square in standard deviations, and only the unusual is pulled back."""

from __future__ import annotations

import pytest
import torch

from candling.train.usual import Usual


def fitted() -> Usual:
    norm = Usual((3,), reach=2.0)
    values = 100.0 + torch.randn((400, 3), generator=torch.Generator().manual_seed(0)) * torch.tensor([0.5, 1.0, 2.0])
    norm.fit(values.split(64))
    return norm


def test_it_learns_mean_and_spread_in_pieces():
    """Batches of any size give mean and standard deviation of all; a large mean does not cancel the spread away."""
    norm = fitted()
    assert norm.mean.tolist() == pytest.approx([100.0] * 3, abs=0.2)
    assert norm.spread.tolist() == pytest.approx([0.5, 1.0, 2.0], rel=0.1)


def test_rarity_counts_in_standard_deviations():
    """The mean is not rare at all; three spreads away in one of three numbers is 9 / 3."""
    norm = fitted()
    away = norm.mean + torch.tensor([0.0, 3.0, 0.0]) * norm.spread
    assert norm.rarity(torch.stack((norm.mean, away))).tolist() == pytest.approx([0.0, 3.0], abs=1e-3)


def test_only_the_unusual_is_pulled_back():
    """A number within its reach stays; one beyond comes back to the edge."""
    norm = fitted()
    values = norm.mean + torch.tensor([[-5.0, 1.0, 4.0]]) * norm.spread
    edges = norm.mean + torch.tensor([[-2.0, 1.0, 2.0]]) * norm.spread
    torch.testing.assert_close(norm.pulled(values), edges)


def test_identical_latents_have_a_least_spread():
    """One good image, or many alike, give a finite rarity."""
    norm = Usual((2,))
    norm.fit([torch.ones(5, 2)])
    assert torch.isfinite(norm.rarity(torch.zeros(1, 2))).all()


@pytest.mark.parametrize("smooth_px", [0.0, 1.0])
def test_no_spread_is_far_below_the_others(smooth_px):
    """Where good maps never vary the spread is a fifth of the mean one."""
    maps = torch.zeros(50, 20, 30)
    maps[:, :, 15:] = torch.randn((50, 20, 15), generator=torch.Generator().manual_seed(0))
    norm = Usual((20, 30), smooth_px=smooth_px)
    norm.fit([maps])
    assert norm.spread[:, :5].unique().item() == pytest.approx(0.2 * 0.5, rel=0.2)
    assert norm.deviation(maps)[:, :, 20:].std().item() == pytest.approx(1.0, abs=0.1)
