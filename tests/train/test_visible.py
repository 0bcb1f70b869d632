"""The facts of visible.py: what counts as a defect depends on the texture, and its losses on what counts."""

from __future__ import annotations

import math

import pytest
import torch

from candling.train.visible import SMOOTH, marking_losses, visible


def textured() -> torch.Tensor:
    """Grey on the left, coarse noise of standard deviation 0.1 on the right."""
    image = torch.full((1, 1, 64, 64), 0.5)
    image[..., 32:] += 0.1 * torch.randn((1, 1, 64, 32), generator=torch.Generator().manual_seed(0))
    return image


def changed(image: torch.Tensor, by: float) -> torch.Tensor:
    """Two squares, one on each side."""
    spoiled = image.clone()
    spoiled[..., 10:20, 10:20] += by
    spoiled[..., 10:20, 44:54] += by
    return spoiled


def test_a_weak_change_counts_on_a_smooth_ground_only():
    """Of two equal changes the one on the smooth side is a defect, the one in the texture is left open."""
    image = textured()
    defect, undecided = visible(image, changed(image, 0.06), times=1.2)
    assert defect[..., 12:18, 12:18].all()
    assert not defect[..., 32:].any()
    assert undecided[..., 12:18, 46:52].all()
    assert not (defect & undecided).any()


def test_a_strong_change_counts_everywhere():
    """A change several times the texture is a defect on both sides, and nothing far from it is."""
    image = textured()
    defect, undecided = visible(image, changed(image, 0.4), times=1.2)
    assert defect[..., 12:18, 12:18].all()
    assert defect[..., 12:18, 46:52].all()
    assert not (defect | undecided)[..., 40:, :].any()


def test_an_invisible_change_is_no_defect():
    """Half a grey level is nothing; one per cent of white is left open even on a smooth ground."""
    image = textured()
    for by, open_ in ((0.002, False), (0.01, True)):
        defect, undecided = visible(image, changed(image, by), times=1.2)
        assert not defect.any()
        assert bool(undecided.any()) is open_


def test_colour_changes_count():
    """A change of one channel of three is enough."""
    image = torch.full((1, 3, 32, 32), 0.5)
    spoiled = image.clone()
    spoiled[:, 2, 8:16, 8:16] += 0.2
    assert visible(image, spoiled, times=1.2)[0][..., 10:14, 10:14].all()


def labels() -> tuple[torch.Tensor, torch.Tensor]:
    defect, undecided = torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    defect[..., 0, 0] = True
    undecided[..., 3, 3] = True
    return defect, undecided


def test_the_focal_loss_is_worked_out_by_hand():
    """At logits of 0 each counted block costs 0.25 log 2 with gamma 2; alpha 0.25 weighs one defect and two good."""
    logits = torch.zeros(1, 1, 2, 2)
    focal, dice = marking_losses(logits, *labels(), gamma=2.0, alpha=None)
    assert float(focal) == pytest.approx(0.25 * math.log(2))
    assert float(dice) == pytest.approx(1 - (2 * 0.5 + SMOOTH) / (1.5 + 1 + SMOOTH))
    weighed, _ = marking_losses(logits, *labels(), gamma=2.0, alpha=0.25)
    assert float(weighed) == pytest.approx(0.25 * math.log(2) * (0.25 + 2 * 0.75) / 3)
    plain, _ = marking_losses(logits, *labels(), gamma=0.0, alpha=None)
    assert float(plain) == pytest.approx(math.log(2))


def test_undecided_blocks_teach_nothing():
    """The gradient at a block that is left open is 0, elsewhere it is not."""
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    sum(marking_losses(logits, *labels(), gamma=2.0, alpha=None)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 1, 1] == 0.0
    assert logits.grad[0, 0, 0, 0] < 0.0 < logits.grad[0, 0, 0, 1]
