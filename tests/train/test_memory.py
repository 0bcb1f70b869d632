"""The facts of train/memory.py: directions of equal weight, distances in usual units, and few or identical images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import uniform_filter

from candling.errors import TrainingError
from candling.train.bank import UNKNOWN
from candling.train.memory import (
    LEAST_SPREAD,
    Memory,
    MemoryOptions,
    Settings,
    blank_memory,
    fit_memory,
    know,
    pad_to_cells,
    usual,
)


def good(count: int, *, seed: int = 0, channels: int = 1, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    """Bright discs on a dark ground, each a little elsewhere, with fine noise: float32 (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.linspace(-1, 1, size[0])[:, None], torch.linspace(-1, 1, size[1])
    moves = 0.1 * torch.rand((2, count, 1, 1, 1), generator=generator)
    disc = torch.sigmoid(12 * (0.5 - (rows - moves[0]) ** 2 - (columns - moves[1]) ** 2))
    noise = 0.02 * torch.randn((count, channels, *size), generator=generator)
    return (0.2 + 0.6 * disc + noise).clamp(0, 1)


def stained(images: torch.Tensor) -> torch.Tensor:
    spoiled = images.clone()
    spoiled[..., 24:36, 40:52] = 1.0 - 0.5 * spoiled[..., 24:36, 40:52]
    return spoiled


def fitted(images: torch.Tensor, cell: int = 8, radius: int | None = 1, **options) -> Memory:
    numbered = [(images, torch.arange(len(images)))]
    known = know(numbered, cells=[cell], whitening=0.25)[cell]
    return fit_memory(known, Settings(cell, radius), MemoryOptions(**options))


@pytest.mark.parametrize("whitening", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_directions_get_the_weight_that_was_asked_for(channels, whitening):
    """Of the standardised descriptors, a direction of variance v keeps v^(1 - 2 w): at 0.5 all vary alike."""
    images = good(6, channels=channels)
    known = know([(images, torch.arange(6))], cells=[4], whitening=whitening)[4]
    vectors = known.maps.permute(1, 0, 2, 3).flatten(1).double().numpy()
    assert np.abs(vectors.mean(axis=1)).max() < 1e-3
    raw = known.standard.gradients(images)[0].permute(1, 0, 2, 3).flatten(1).double().numpy()
    spread = np.maximum(raw.std(axis=1), LEAST_SPREAD)
    values = np.linalg.eigvalsh(np.cov(raw / spread[:, None], bias=True))
    expected = values * np.maximum(values, LEAST_SPREAD) ** (-2 * whitening)
    covariance = np.cov(vectors, bias=True)
    np.testing.assert_allclose(np.sort(np.diag(covariance)), np.sort(expected), rtol=1e-2, atol=1e-4)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3


def test_known_maps_are_those_of_its_standard():
    """What is remembered is what an image later becomes, for both cell sizes and an image that must be padded."""
    images = good(4, size=(50, 70))
    batches = [(images[:3], torch.arange(3)), (images[3:], torch.tensor([3]))]
    for cell, known in know(batches, cells=[4, 8], whitening=0.25).items():
        assert known.maps.shape[2:] == (64 // cell, 96 // cell)
        assert known.pictures.tolist() == [0, 1, 2, 3]
        torch.testing.assert_close(known.standard(pad_to_cells(images)), known.maps, rtol=1e-4, atol=1e-4)


def test_a_bank_is_made_once():
    """Settings that search alike share one bank, also where a Gaussian shows examples; other settings do not."""
    (known,) = know([(good(4), torch.arange(4))], cells=(8,), whitening=0.25).values()
    options = MemoryOptions()
    first = fit_memory(known, Settings(8, 1), options)
    assert fit_memory(known, Settings(8, 1), options, sample=slice(2)).bank is first.bank
    assert fit_memory(known, Settings(8, 0, "gaussian"), options).bank.examples is first.bank
    assert fit_memory(known, Settings(8, 0), options).bank is not first.bank
    assert known.bank(1, MemoryOptions(keep=2)).numbers.shape[1] == 2


def test_padding_repeats_the_border():
    """Both sides grow to the next multiple of 32 with the last row and column; what fits is given back as it is."""
    images = good(2, size=(33, 64))
    padded = pad_to_cells(images)
    assert padded.shape == (2, 1, 64, 64)
    assert torch.equal(padded[:, :, :33], images)
    assert torch.equal(padded[:, :, 33:], images[:, :, 32:].expand(-1, -1, 31, -1))
    assert pad_to_cells(padded) is padded


def test_nothing_cannot_be_remembered():
    """Without a good image there is a sentence."""
    with pytest.raises(TrainingError, match="no good image"):
        know([], cells=[8], whitening=0.25)


@pytest.mark.parametrize("spread", ["place", "whole", "none"])
def test_usual_distances_are_worked_out_by_numpy(spread):
    """Level and spread are those of distances to all pictures but the own one, smoothed over 3 x 3 cells inside."""
    images = good(9)
    known = know([(images, torch.arange(9))], cells=[8], whitening=0.25)[8]
    memory = fit_memory(known, Settings(8, 1), MemoryOptions(spread=spread, floor=0.5))
    distance = memory.bank(known.maps, known.pictures).distance.double().numpy()
    inside = uniform_filter(np.ones(memory.bank.grid), 3, mode="constant")
    level = uniform_filter(distance.mean(axis=0), 3, mode="constant") / inside
    variance = uniform_filter(((distance - level) ** 2).mean(axis=0), 3, mode="constant") / inside
    whole = np.sqrt(variance.mean())
    expected = np.maximum(np.sqrt(variance), 0.5 * whole) if spread == "place" else np.full_like(level, whole)
    np.testing.assert_allclose(1.0 / memory.sharpness[0], expected, rtol=1e-3)
    np.testing.assert_allclose(memory.level[0], level.mean() if spread == "none" else level, rtol=1e-3)


def test_images_that_are_not_remembered_set_the_usual_distances_too():
    """Maps given besides count like the remembered ones, without anything being left out of the search."""
    images = good(8)
    known = know([(images, torch.arange(8))], cells=[8], whitening=0.25)[8]
    others = known.standard(good(5, seed=3))
    memory = fit_memory(known, Settings(8, None), MemoryOptions(spread="whole"), more=[others[:2], others[2:]])
    both = torch.cat((memory.bank(known.maps, known.pictures).distance, memory.bank(others).distance))
    inside = uniform_filter(np.ones(memory.bank.grid), 3, mode="constant")
    level = uniform_filter(both.mean(dim=0).numpy(), 3, mode="constant") / inside
    np.testing.assert_allclose(memory.level[0], level, rtol=1e-3)


@pytest.mark.parametrize("radius", [1, None])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_few_images_suffice(count, radius):
    """From one image on, new good images are finite and a stain is stranger than anything good."""
    memory = fitted(good(count), radius=radius)
    fresh, bad = memory(good(6, seed=9)), memory(stained(good(6, seed=9)))
    assert fresh.deviation.isfinite().all()
    assert fresh.number.min() >= 0
    assert (bad.deviation.flatten(1).amax(1) > 1.5 * fresh.deviation.max()).all()
    strangest = bad.deviation.flatten(1).argmax(dim=1)
    assert ((strangest // 12 - 3).abs() <= 2).all()  # where the stain is: rows 3 and 4, columns 5 and 6
    assert ((strangest % 12 - 5).abs() <= 2).all()


@pytest.mark.parametrize(
    ("ground", "radius", "count"),
    [("disc", 1, 30), ("disc", None, 30), ("grey", None, 1000), ("grey", 0, 30), ("black", 1, 30), ("white", 0, 30)],
)
def test_identical_images_divide_nothing_by_zero(ground, radius, count):
    """However often the same image came, it is usual, another is strange, and every number is finite."""
    plain = {"black": 0.0, "white": 1.0, "grey": 0.5}
    one = good(1, size=(32, 32)) if ground == "disc" else torch.full((1, 1, 32, 32), plain[ground])
    memory = fitted(one.expand(count, -1, -1, -1), radius=radius)
    spoiled = one.clone()
    spoiled[..., 8:20, 8:20] += 0.3 if ground != "white" else -0.3
    same, other = memory(one), memory(spoiled.clamp(0, 1))
    for seen in (same, other):
        assert seen.deviation.isfinite().all()
        assert seen.residual.isfinite().all()
    assert same.deviation.max() < 1.0
    assert other.deviation.max() > 3.0
    assert (same.number >= 0).all()


def test_contaminated_images_are_no_failure():
    """With a tenth of defects among the good images training goes through, and an unlike defect still stands out."""
    images = good(30)
    images[::10] = stained(images[::10])
    memory = fitted(images)
    bad = good(2, seed=5)
    bad[..., 40:52, 60:72] = 0.0
    assert memory(bad).deviation.isfinite().all()
    assert memory(bad).deviation.amax() > 1.5 * memory(good(4, seed=9)).deviation.max()


def test_colour_is_seen():
    """A stain of another tint and the same brightness is strange to a memory of colour."""
    memory = fitted(good(8, channels=3))
    tinted = good(2, seed=4, channels=3)
    tinted[:, 0, 24:36, 40:52] += 0.15
    tinted[:, 2, 24:36, 40:52] -= 0.15
    assert memory(tinted.clamp(0, 1)).deviation.max() > 2 * memory(good(4, seed=9, channels=3)).deviation.max()


def test_who_has_seen_nothing_finds_all_equally_strange():
    """A blank memory fits any shape, names no picture, and its distances are finite."""
    for shape in ((1, 64, 96), (3, 33, 70)):
        seen = blank_memory(shape)(pad_to_cells(good(2, channels=shape[0], size=shape[1:])))
        assert seen.residual.shape[1] == MemoryOptions().descriptor_size(shape[0])
        assert seen.deviation.isfinite().all()
        assert (seen.number == UNKNOWN).all()


def test_batches_do_not_matter():
    """The usual distances are the same to rounding, however the images come."""
    images = good(9)
    known = know([(images, torch.arange(9))], cells=[8], whitening=0.25)[8]
    memory = fit_memory(known, Settings(8, 1), MemoryOptions())
    level, sharpness = memory.level.clone(), memory.sharpness.clone()
    parts = zip(known.maps.split(2), known.pictures.split(2), strict=True)
    usual(memory, parts, spread="none", floor=0.5)
    torch.testing.assert_close(memory.level, level)
    torch.testing.assert_close(memory.sharpness, sharpness)


@pytest.mark.parametrize(
    "wrong", [{"cell": 5}, {"radius": 4}, {"radius": -1}, {"keep": 0}, {"pictures": 1}, {"whitening": 0.6}, {"size": 3}]
)
def test_impossible_options_are_refused(wrong):
    """Every option is held to its bounds, and unknown ones are refused."""
    with pytest.raises(ValidationError):
        MemoryOptions(**wrong)
