"""The facts of spoil: Perlin noise has its reference figures, and every spoiling paints what its mask says."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from candling.train.spoil import (
    SpoilKind,
    SpoilOptions,
    perlin_mask,
    perlin_noise,
    spoil,
    spoil_many,
    spoil_often,
)
from candling.train.spoil.perlin import LEAST_PIXELS

KINDS = get_args(SpoilKind)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 8, channels: int = 1, size: tuple[int, int] = (96, 128)) -> torch.Tensor:
    """Smooth drawn images in [0.2, 0.8], each different."""
    rows, columns = torch.linspace(0, 3, size[0])[:, None], torch.linspace(0, 5, size[1])
    phases = torch.arange(count * channels).view(count, channels, 1, 1)
    return 0.5 + 0.3 * torch.sin(rows + phases) * torch.cos(columns - 0.3 * phases)


def test_perlin_noise_has_the_reference_figures():
    """At 256 x 256 the mask area is 5.4 % on average, 10 % at the 95th percentile, and 4.7 % of the draws are empty."""
    generator = seeded()
    areas = []
    for _ in range(30):
        noise = perlin_noise(2 ** torch.randint(6, (50, 2), generator=generator), (256, 256), generator)
        assert noise.abs().max() <= 1.0
        areas.append((noise > 0.5).float().mean(dim=(1, 2)))
    area = torch.cat(areas)
    assert area.mean().item() == pytest.approx(0.054, abs=0.002)
    assert area.median().item() == pytest.approx(0.054, abs=0.003)
    assert area.quantile(0.95).item() == pytest.approx(0.10, abs=0.01)
    assert (area == 0).float().mean().item() == pytest.approx(0.047, abs=0.017)  # three standard errors


@pytest.mark.parametrize(
    ("cells", "share", "within"), [(1, 0.61, 0.05), (2, 0.14, 0.04), (4, 0.0, 0.005), (16, 0.0, 0.0)]
)
def test_coarse_perlin_noise_is_often_empty(cells, share, within):
    """One cell leaves 61 % of the masks empty, two cells 14 %, four and more none."""
    noise = perlin_noise(torch.full((900, 2), cells), (64, 64), seeded())
    empty = ((noise > 0.5).sum(dim=(1, 2)) == 0).float().mean().item()
    assert empty == pytest.approx(share, abs=within)


def test_perlin_noise_is_zero_on_its_lattice():
    """Gradient noise vanishes at every lattice node: here each 16th pixel down and each 8th across."""
    noise = perlin_noise(torch.tensor([[4, 8]]), (64, 64), seeded())
    assert noise[0, ::16, ::8].abs().max() < 1e-6
    assert noise[0, 8::16, 4::8].abs().max() > 0.1


def test_a_drawn_perlin_mask_is_not_empty():
    """With eight tries next to no mask stays under 25 pixels, and the mask is where the noise exceeds 0.5."""
    noise, mask = perlin_mask(200, (128, 128), seeded())
    assert (mask.sum(dim=(1, 2, 3)) >= LEAST_PIXELS).float().mean() > 0.99
    assert torch.equal(mask, noise > 0.5)


def test_perlin_spoiling_follows_its_equation():
    """X* = (1 - M) X + (1 - beta) M X + beta N, beta >= 0.5 and N > 0.5: a black image is over 0.25 under the mask."""
    black = torch.zeros(16, 1, 64, 64)
    spoiled, mask = spoil(black, seeded(), kinds=("perlin",), probability=1.0)
    assert torch.equal(spoiled > 0, mask)
    assert spoiled[mask].min() > 0.25
    assert spoiled.max() <= 1.0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_paints_what_its_mask_says(kind, channels):
    """An image changes where its mask is true (and softly around it), stays in [0, 1], and the original is kept."""
    clean = images(channels=channels)
    kept = clean.clone()
    spoiled, mask = spoil(clean, seeded(), kinds=(kind,), probability=1.0)
    assert torch.equal(clean, kept)
    assert spoiled.shape == clean.shape
    assert mask.shape == (len(clean), 1, *clean.shape[2:])
    assert mask.dtype == torch.bool
    assert spoiled.min() >= 0.0
    assert spoiled.max() <= 1.0
    changed = (spoiled - clean).abs().amax(dim=1, keepdim=True)
    assert (mask.sum(dim=(1, 2, 3)) > 0).float().mean() >= 0.75  # a curve or spot may leave the image
    assert changed[mask].mean() > 10 * changed[~mask].mean()
    if kind in {"perlin", "texture", "cutpaste"}:
        assert changed[~mask].max() == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_spoiling_repeats_for_a_seed(kind):
    """The same generator state gives the same pixels; another seed gives others."""
    first, second, other = (spoil(images(), seeded(seed), kinds=(kind,), probability=0.9)[0] for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_spoiling_depends_on_nothing_global():
    """The global generator is neither read nor moved."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = spoil(images(), seeded(), kinds=KINDS, probability=1.0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second, _ = spoil(images(), seeded(), kinds=KINDS, probability=1.0)
    assert torch.equal(first, second)


def test_probability_zero_draws_nothing():
    """At probability 0 the images come back as they are and the generator does not move."""
    generator = seeded()
    before = generator.get_state()
    clean = images()
    spoiled, mask = spoil(clean, generator, kinds=KINDS, probability=0.0)
    assert spoiled is clean
    assert not mask.any()
    assert torch.equal(before, generator.get_state())


def test_the_probability_is_the_share_of_spoiled_images():
    """At probability 0.75 three of four images are spoiled, the others untouched to the bit."""
    clean = images(count=400, size=(32, 32))
    spoiled, mask = spoil(clean, seeded(), kinds=("cutpaste",), probability=0.75)
    touched = mask.flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.75, abs=0.07)
    assert torch.equal(spoiled[~touched], clean[~touched])


def test_all_kinds_are_drawn_alike():
    """Of two kinds each takes half: on black images Perlin noise shows, and a patch of another black image does not."""
    spoiled, _ = spoil(torch.zeros(400, 1, 32, 32), seeded(), kinds=("perlin", "cutpaste"), probability=1.0)
    assert spoiled.flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_a_single_image_can_be_spoiled():
    """A batch of one has no other image to borrow from, and needs none."""
    for kind in KINDS:
        spoiled, _ = spoil(images(count=1), seeded(3), kinds=(kind,), probability=1.0)
        assert torch.isfinite(spoiled).all()


def test_a_warp_moves_pixels_and_makes_none():
    """A dragged place shows its neighbourhood: no grey level that was not there, a stripe stays a stripe, elsewhere."""
    clean = (torch.arange(128) // 8 % 2).float().expand(8, 1, 96, 128)
    spoiled, mask = spoil(clean, seeded(), kinds=("warp",), probability=1.0)
    assert (mask.sum(dim=(1, 2, 3)) > 0).all()
    assert (spoiled - clean).abs().flatten(1).amax(dim=1).min() > 0.3
    assert ((spoiled < 0.02) | (spoiled > 0.98)).float().mean() > 0.9
    plain = torch.full((8, 3, 64, 64), 0.4)
    torch.testing.assert_close(spoil(plain, seeded(), kinds=("warp",), probability=1.0)[0], plain)


def test_a_warp_stays_where_it_is():
    """Nearly all that a warp changes is within its mask, a round place of at most a third of the image."""
    clean = images(count=16)
    spoiled, mask = spoil(clean, seeded(), kinds=("warp",), probability=1.0)
    changed = (spoiled - clean).abs()
    assert changed[mask].sum() > 0.9 * changed.sum()
    assert mask.float().mean(dim=(1, 2, 3)).max() < 0.4


def test_a_blister_is_a_lens_with_a_rim():
    """It bends what is behind it and shades its rim; on a plain picture only the rim is seen, alike in all channels."""
    clean = images(count=16)
    spoiled, mask = spoil(clean, seeded(), kinds=("blister",), probability=1.0)
    changed = (spoiled - clean).abs()
    assert changed[mask].sum() > 0.9 * changed.sum()
    assert mask.float().mean(dim=(1, 2, 3)).max() < 0.1
    plain = torch.full((16, 3, 96, 96), 0.4)
    shaded, mask = spoil(plain, seeded(), kinds=("blister",), probability=1.0)
    assert torch.equal(shaded[:, 0], shaded[:, 2])
    assert ((shaded - plain).abs().amax(dim=(1, 2, 3)) > 0.01).all()
    assert (shaded - plain).abs()[:, :1][~mask].max() < 0.05


def test_a_blur_takes_texture_away_and_noise_adds_it():
    """Under the mask the spread falls by a blur and rises by noise of 0.03 to 0.15; the mean stays."""
    grain = 0.5 + 0.1 * torch.randn((12, 1, 96, 96), generator=seeded(1))
    for kind, clean, falls in (("blur", grain, True), ("noise", torch.full_like(grain, 0.5), False)):
        spoiled, mask = spoil(clean.clamp(0, 1), seeded(), kinds=(kind,), probability=1.0)
        before, after = clean.clamp(0, 1)[mask], spoiled[mask]
        assert after.mean().item() == pytest.approx(before.mean().item(), abs=0.01)
        if falls:
            assert after.std() < 0.7 * before.std()
        else:
            assert 0.03 < after.std() < 0.15


def test_a_stain_lets_what_is_behind_shine_through():
    """Both halves of a stained image change by the same share, half of the images darken, and black stays black."""
    clean = torch.full((64, 1, 96, 96), 0.2)
    clean[..., 48:] = 0.4
    spoiled, mask = spoil(clean, seeded(), kinds=("stain",), probability=1.0)
    assert torch.equal(spoiled[~mask], clean[~mask])
    shares = (spoiled / clean - 1.0)[mask]
    halves = (clean > 0.3)[mask]
    assert shares[halves].abs().mean().item() == pytest.approx(shares[~halves].abs().mean().item(), rel=0.2)
    darker = torch.tensor([float((spoiled[i] / clean[i] - 1.0)[mask[i]].mean() < 0.0) for i in range(64)])
    assert 0.3 < darker.mean() < 0.7
    black = torch.zeros(8, 1, 64, 64)
    assert torch.equal(spoil(black, seeded(), kinds=("stain",), probability=1.0)[0], black)


def test_spoiling_often_halves_the_probability_each_time():
    """Three times in a row, each half as likely as the one before, from one generator."""
    images = torch.full((64, 1, 64, 64), 0.5)
    options = SpoilOptions(probability=0.8, kinds=("fill", "scratch"))
    expected, generator = images, torch.Generator().manual_seed(3)
    for probability in (0.8, 0.4, 0.2):
        expected, _ = spoil(expected, generator, kinds=options.kinds, probability=probability)
    assert torch.equal(spoil_often(images, torch.Generator().manual_seed(3), options, marks=3), expected)
    once, _ = spoil(images, torch.Generator().manual_seed(3), kinds=options.kinds, probability=0.8)
    assert torch.equal(spoil_often(images, torch.Generator().manual_seed(3), options, marks=1), once)
    assert not torch.equal(once, expected)


@pytest.mark.parametrize("kind", ["texture", "cutpaste"])
def test_what_is_pasted_is_turned(kind):
    """A product striped along its rows gets places that change along rows: an upright copy would look good there."""
    striped = (0.5 + 0.3 * torch.sin(torch.arange(96) / 3.0)).view(1, 1, 96, 1).expand(16, 1, 96, 96).contiguous()
    spoiled, mask = spoil(striped, seeded(), kinds=(kind,), probability=1.0)
    steps = (spoiled[..., 1:] - spoiled[..., :-1]).abs()
    inside = mask[..., 1:] & mask[..., :-1]
    assert steps[inside].mean() > 0.01


def test_spoiling_many_times_is_even():
    """With one kind that never overlaps itself for long, the changed area grows with the number of spoilings."""
    clean = torch.full((256, 1, 64, 64), 0.5)
    options = SpoilOptions(probability=0.75, kinds=("spot",))
    areas = [(spoil_many(clean, seeded(), options, most=most) != clean).float().mean().item() for most in (1, 4)]
    assert areas[1] == pytest.approx(2.5 * areas[0], rel=0.25)
    spoiled = spoil_many(clean, seeded(3), options, most=4)
    untouched = (spoiled == clean).flatten(1).all(dim=1).float().mean().item()
    assert untouched == pytest.approx(0.25, abs=0.09)
    assert torch.equal(spoiled, spoil_many(clean, seeded(3), options, most=4))
