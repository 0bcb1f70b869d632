"""The facts of augment.py: variants of good images, off by default, drawn from one generator."""

from __future__ import annotations

import pytest
import torch

from candling.train.augment import AugmentOptions, augment


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images() -> torch.Tensor:
    return torch.rand((200, 1, 8, 10), generator=torch.Generator().manual_seed(9))


def test_nothing_happens_by_default():
    """Without options the images come back as they are and nothing is drawn."""
    generator = seeded()
    before = generator.get_state()
    given = images()
    assert augment(given, generator, AugmentOptions()) is given
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize(("key", "axis"), [("flip_left_right", 3), ("flip_up_down", 2)])
def test_a_flip_mirrors_its_share_of_the_images(key, axis):
    """At probability 0.5 half of the images are mirrored along the named axis, the others kept."""
    given = images()
    variants = augment(given, seeded(), AugmentOptions.model_validate({key: 0.5}))
    kept = (variants == given).flatten(1).all(dim=1)
    mirrored = (variants == given.flip(axis)).flatten(1).all(dim=1)
    assert bool((kept ^ mirrored).all())
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.12)


def test_a_shift_moves_and_repeats_the_border():
    """Every shifted row is a row of the original, moved by at most the given number of pixels."""
    ramp = torch.arange(8.0).view(1, 1, 8, 1).expand(50, 1, 8, 10) / 10
    moved = augment(ramp, seeded(), AugmentOptions(shift_px=2))
    offsets = (moved - ramp)[:, 0, 2:-2, 0] * 10
    assert torch.allclose(offsets, offsets[:, :1])
    assert set(offsets[:, 0].round().int().tolist()) == {-2, -1, 0, 1, 2}
    assert moved.min() >= 0.0
    assert moved.max() <= 0.7001


def test_brightness_multiplies_and_stays_in_range():
    """Grey values move by up to the given share, one factor an image, and never leave [0, 1]."""
    given = images()
    variants = augment(given, seeded(), AugmentOptions(brightness=0.2))
    assert variants.max() <= 1.0
    factors = (variants / given).flatten(1)[:, 0]
    assert factors.min() >= 0.79
    assert factors.max() <= 1.21


def test_a_turn_is_a_rotation_about_the_middle():
    """A level line leans by up to the given angle, either way, also where pictures are not square; its middle stays."""
    rows = torch.linspace(-1, 1, 41).view(1, 1, 41, 1)
    line = torch.exp(-20 * rows**2).expand(60, 1, 41, 81)  # level, through the middle
    turned = augment(line, seeded(), AugmentOptions(turn_degrees=20.0))
    ends = turned[:, 0, :, 70].argmax(dim=1) - turned[:, 0, :, 10].argmax(dim=1)
    angles = torch.atan2(ends.float(), torch.tensor(60.0)).rad2deg()
    assert angles.abs().max() <= 21.0
    assert angles.min() < -12.0
    assert angles.max() > 12.0
    assert turned[:, 0, 20, 40].min() > 0.95  # the middle stays


def test_noise_has_its_standard_deviation():
    """Grey pictures get Gaussian noise of the given spread, and stay in [0, 1]."""
    noisy = augment(torch.full((50, 1, 16, 16), 0.5), seeded(), AugmentOptions(noise=0.03))
    assert noisy.std().item() == pytest.approx(0.03, rel=0.05)
    assert augment(torch.ones(5, 1, 16, 16), seeded(), AugmentOptions(noise=0.03)).max() == 1.0


def test_what_moved_stands_still_in_its_share_of_the_images():
    """At probability 0.5 half of the images get three equal colours, each time one of their own; grey ones stay."""
    given = torch.rand((200, 3, 8, 10), generator=torch.Generator().manual_seed(9))
    variants = augment(given, seeded(), AugmentOptions(still=0.5))
    kept = (variants == given).flatten(1).all(dim=1)
    shown = torch.stack([(variants == given[:, at : at + 1]).flatten(1).all(dim=1) for at in range(3)])
    assert bool((kept ^ shown.any(dim=0)).all())
    assert shown.any(dim=0).float().mean().item() == pytest.approx(0.5, abs=0.12)
    assert shown.any(dim=1).all()
    grey = images()
    assert augment(grey, seeded(), AugmentOptions(still=1.0)) is grey
