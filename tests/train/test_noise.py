"""The facts of noise.py: the published blend, noise only under its mask, and which losses vanish when they should."""

from __future__ import annotations

import pytest
import torch

from candling.train.noise import Noisy, noise_loss, superimpose


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 24, channels: int = 1) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand((count, channels, 64, 96), generator=seeded(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_blend_is_the_published_one(channels):
    """X* = (1 - M) X + (1 - beta) M X + beta N, written out pixel by pixel; beta is at least 0.5, N is 0 outside M."""
    clean = images(channels=channels)
    noisy = superimpose(clean, seeded(), probability=0.75)
    mask, beta = noisy.mask.float(), noisy.opacity
    blend = (1 - mask) * clean + (1 - beta) * mask * clean + beta * noisy.noise
    torch.testing.assert_close(noisy.images, blend)
    assert not noisy.noise[~noisy.mask].any()
    assert float(noisy.noise[noisy.mask].min()) > 0.5
    assert 0.5 <= float(beta.min()) <= float(beta.max()) <= 1.0
    assert 0.0 <= float(noisy.images.min()) <= float(noisy.images.max()) <= 1.0


def test_three_of_four_images_are_perturbed():
    """Probability 0.75 survives the masks that come out empty, because those are drawn again; the rest is untouched."""
    clean = torch.full((400, 1, 32, 32), 0.4)
    noisy = superimpose(clean, seeded(), probability=0.75)
    touched = noisy.mask.flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.75, abs=0.07)
    assert torch.equal(noisy.images[~touched], clean[~touched])


def test_nothing_is_drawn_at_probability_zero():
    """The images come back themselves, without mask, and the generator does not move."""
    generator = seeded()
    before, clean = generator.get_state(), images(2)
    noisy = superimpose(clean, generator, probability=0.0)
    assert noisy.images is clean
    assert not noisy.mask.any()
    assert torch.equal(before, generator.get_state())


def test_which_losses_vanish_for_a_perfect_reconstruction():
    """Where X^ = X, revised and consistent are 0; as printed, the loss is not: it pulls X^ away from the good image."""
    clean = images()
    noisy = superimpose(clean, seeded(), probability=0.75)
    at_best = {
        kind: float(noise_loss(kind, clean, noisy, clean)) for kind in ("as_printed", "revised", "consistent", "off")
    }
    assert at_best["revised"] == pytest.approx(0.0, abs=1e-12)
    assert at_best["consistent"] == at_best["off"] == 0.0
    assert at_best["as_printed"] > 0.005


@pytest.mark.parametrize("kind", ["as_printed", "revised", "consistent"])
def test_copying_the_noise_costs(kind):
    """A network that redraws the perturbed image removed nothing, and pays for it."""
    clean = images()
    noisy = superimpose(clean, seeded(), probability=0.75)
    assert float(noise_loss(kind, clean, noisy, noisy.images)) > 5e-5


def test_the_losses_of_one_pixel_are_worked_out_by_hand():
    """X = 0.2, N = 0.8, beta = 0.5, so X* = 0.5; for X^ = 0.3 the losses are 0.6, 0.0025 and 0.1."""
    one = torch.ones(1, 1, 1, 1)
    noisy = Noisy(0.5 * one, 0.8 * one, one.bool(), 0.5 * one)
    wanted = {"as_printed": 0.6, "revised": 0.0025, "consistent": 0.1, "off": 0.0}
    for kind, value in wanted.items():
        assert float(noise_loss(kind, 0.2 * one, noisy, 0.3 * one)) == pytest.approx(value, abs=1e-6), kind
