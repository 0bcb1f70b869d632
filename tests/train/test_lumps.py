"""Lumps drawn into good pictures: where they are is known, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from candling.train.lumps import LumpOptions, draw_lumps


def _drawn(options: LumpOptions, *, seed: int = 0, images: torch.Tensor | None = None):
    images = torch.full((6, 1, 96, 80), 0.4) if images is None else images
    return images, *draw_lumps(images, torch.Generator().manual_seed(seed), options)


def test_nothing_changes_far_from_a_lump() -> None:
    """Two pixels off a mask a picture is what it was; inside most of it changed; values stay in [0, 1]."""
    images, drawn, masks = _drawn(LumpOptions(grain=0.2))
    assert drawn.shape == images.shape
    assert masks.shape == (6, 1, 96, 80)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    near = torch.nn.functional.max_pool2d(masks, 5, 1, 2)
    assert torch.equal(drawn[near == 0], images[near == 0])
    assert (drawn[masks > 0] != images[masks > 0]).float().mean() > 0.9
    assert 0.0 <= drawn.min() <= drawn.max() <= 1.0


def test_the_same_generator_draws_the_same() -> None:
    """Chance comes from the generator alone."""
    first, again, other = (_drawn(LumpOptions(), seed=seed)[1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_sizes_keep_their_bounds() -> None:
    """A lump of radius 6 px, as long as broad, covers about pi 36 pixels, its uneven rim included."""
    images = torch.zeros((64, 1, 96, 96))
    _, _, masks = _drawn(LumpOptions(smallest_px=6, largest_px=6, longest=1, most=1, whole=0.0), images=images)
    areas = masks.sum(dim=(1, 2, 3))
    assert 60 < float(areas.max()) < 330
    assert float(areas.median()) == pytest.approx(113, rel=0.35)


def test_the_share_that_stays_whole_stays_whole() -> None:
    """Of many windows about that share has no lump."""
    images = torch.zeros((400, 1, 32, 32))
    _, _, masks = _drawn(LumpOptions(whole=0.5, smallest_px=8, largest_px=20, most=2), images=images)
    without = (masks.amax(dim=(1, 2, 3)) == 0).float().mean()
    assert 0.42 < float(without) < 0.62


def test_matter_is_as_bright_as_the_picture_says() -> None:
    """Half of the picture is dark: matter brighter than half of it takes the bright value, whatever its colour."""
    images = torch.zeros((16, 3, 64, 64))
    images[:, 0, :, 32:], images[:, 1, :, 32:] = 0.9, 0.5
    options = LumpOptions(brighter_than=0.75, grain=0.0, thinnest=1.0, whole=0.0, most=1)
    _, drawn, masks = _drawn(options, images=images)
    inside = -torch.nn.functional.max_pool2d(-masks, 5, 1, 2)
    dark = (inside > 0) & (images[:, :1] == 0.0)
    assert bool(dark.any())
    red, green = drawn[:, :1][dark], drawn[:, 1:2][dark]
    assert float(red.min()) >= 0.55  # shade takes away up to 0.3
    assert float((red - green).mean()) == pytest.approx(0.4, abs=0.1)


def test_sizes_out_of_order_are_refused() -> None:
    """The smallest is no larger than the largest."""
    with pytest.raises(ValidationError, match=r"smallest_px 9\.0 must not exceed largest_px 5\.0"):
        LumpOptions(smallest_px=9, largest_px=5)
