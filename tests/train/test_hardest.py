"""Which places teach."""

from __future__ import annotations

import torch

from candling.train.hardest import keep_hardest


def test_every_defect_and_the_worst_good_places_teach() -> None:
    """Of ten good places with rising losses the upper half is kept, and the defect whatever its loss."""
    losses = torch.arange(11.0)
    target = torch.zeros(11)
    target[0] = 1.0
    assert keep_hardest(losses, target, 0.5).tolist() == [1.0, *[0.0] * 4, *[1.0] * 6]


def test_without_good_places_or_with_all_of_them_everything_teaches() -> None:
    """A share of 1, and a picture that is all defect."""
    losses = torch.rand((2, 1, 4, 4))
    assert keep_hardest(losses, torch.zeros_like(losses), 1.0).all()
    assert keep_hardest(losses, torch.ones_like(losses), 0.1).all()
