"""The facts of train/configure.py: settings follow from spoiled good images; products that lie anyhow are noticed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from candling.scenes.capsules import draw_capsule
from candling.train import configure
from candling.train.configure import (
    BOTH,
    CLEARLY,
    FAINT,
    MOST,
    candidates,
    choose_memory,
    image_score,
    spoiled_pairs,
)
from candling.train.memory import MemoryOptions, Settings

FINE = MemoryOptions(cell=8, keep_anywhere=512)
SIZE = 96


def capsules(count: int, *, seed: int, anyhow: bool = False) -> torch.Tensor:
    """Drawn capsules as they are, nearly alike, or each turned and moved at random: float32 (N, 1, 96, 96)."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        frame = draw_capsule(rng, size=SIZE, difficulty=0.0)
        if anyhow:
            turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), rng.uniform(0, 360), 0.4)
            turn[:, 2] += rng.uniform(-0.28, 0.28, 2) * SIZE
            frame = cv2.warpAffine(frame, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        frames.append(frame)
    return torch.from_numpy(np.stack(frames)).unsqueeze(1) / 255.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chosen(good: torch.Tensor, held_out: torch.Tensor, options: MemoryOptions = FINE, *, seed: int = 0, **told):
    return choose_memory((good, torch.arange(len(good))), held_out, options, generator=seeded(seed), **told)


def test_products_that_lie_anyhow_are_searched_anywhere():
    """Capsules turned and moved at random get one memory for all places, because it tells spoiled ones better."""
    choice = chosen(capsules(100, seed=0, anyhow=True), capsules(24, seed=50, anyhow=True))
    near, anywhere = (choice.evidence[Settings(8, radius)].merit for radius in (1, None))
    assert choice.settings.radius is None
    assert choice.memory.bank.radius is None
    assert anywhere > near + CLEARLY


@pytest.mark.parametrize("seed", [0, 1])
def test_fixtured_products_are_searched_near_their_place(seed):
    """Capsules that all lie alike keep a memory of each place, the cheaper setting of two about as good."""
    choice = chosen(capsules(24, seed=10 + seed), capsules(12, seed=20 + seed), seed=seed)
    near, anywhere = (choice.evidence[Settings(8, radius)].merit for radius in (1, None))
    assert choice.settings == Settings(8, 1)
    assert anywhere <= near + CLEARLY


def test_the_memory_is_of_the_chosen_settings():
    """What is given back was made with the settings that are said, and the card says them with their figures."""
    told: list[tuple[int, int]] = []
    good, held_out = capsules(50, seed=3), capsules(6, seed=4)
    choice = chosen(good, held_out, MemoryOptions(), tell=lambda done, of: told.append((done, of)))
    assert choice.settings in candidates(MemoryOptions())
    assert choice.evidence.keys() == set(candidates(MemoryOptions()))
    assert told == [(1, 3), (2, 3), (3, 3)]
    facts = choice.facts()
    assert facts["memory cell"] == ("4 and 8" if choice.settings.cell == BOTH else choice.settings.cell)
    assert facts["memory radius"] == ("anywhere" if choice.settings.radius is None else choice.settings.radius)
    assert sum(key.startswith("spoiled held-out images") for key in facts) == 3
    assert all("image AUROC" in str(value) for key, value in facts.items() if key.startswith("spoiled"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (MemoryOptions(cell=4, radius=2), [Settings(4, 2)]),
        (MemoryOptions(cell=8, radius=0), [Settings(8, 0)]),
        (MemoryOptions(cell=8, radius="anywhere"), [Settings(8, None)]),
        (MemoryOptions(cell=4), [Settings(4, 1), Settings(4, None)]),
        (MemoryOptions(cell="both", radius=1), [Settings(BOTH, 1)]),
        (MemoryOptions(), [Settings(BOTH, 1), Settings(8, None), Settings(8, 0, "gaussian")]),
        (MemoryOptions(search="nearest"), [Settings(BOTH, 1), Settings(8, None)]),
        (MemoryOptions(search="gaussian"), [Settings(8, 0)]),
    ],
)
def test_only_what_is_undecided_is_compared(options, expected):
    """What a recipe says stays; "auto" is compared, the likelier setting first."""
    assert candidates(options) == expected


def test_a_gaussian_of_its_own_choice_shows_examples(monkeypatch):
    """A chosen Gaussian names the nearest remembered cell, and measures by the spread of each place."""
    monkeypatch.setattr(configure, "CLEARLY", -2.0)  # whatever is tried last is taken
    choice = chosen(capsules(50, seed=3), capsules(6, seed=4), MemoryOptions())
    assert choice.settings == Settings(8, 0, "gaussian")
    assert choice.facts()["memory search"] == "gaussian"
    seen = choice.memory(capsules(2, seed=5))
    assert seen.number is not None
    assert seen.number.min() >= 0
    assert seen.number.max() < 50 * seen.number.shape[1] * seen.number.shape[2]
    assert float(choice.memory.sharpness.std()) > 0.0


def test_a_few_images_make_no_gaussian(monkeypatch):
    """A covariance of 18 numbers is not asked of 35 images."""
    monkeypatch.setattr(configure, "CLEARLY", -2.0)  # whatever is tried last is taken
    choice = chosen(capsules(35, seed=3), capsules(6, seed=4), MemoryOptions())
    assert Settings(8, 0, "gaussian") not in choice.evidence
    assert choice.settings == Settings(8, None)


def test_few_held_out_images_are_spoiled_several_times():
    """Three make as many spoiled ones as 24, and no two are alike."""
    images = capsules(3, seed=5)
    pairs = spoiled_pairs(images, seeded())
    assert torch.equal(pairs.good, images)
    assert 0.5 * MOST < len(pairs.spoiled) <= MOST
    assert len({spoiled.numpy().tobytes() for spoiled in pairs.spoiled}) == len(pairs.spoiled)


def test_without_held_out_images_the_first_setting_is_taken():
    """There is nothing to compare on, and a memory all the same."""
    choice = chosen(capsules(4, seed=0), capsules(1, seed=1)[:0])
    assert choice.settings == candidates(FINE)[0]
    assert choice.evidence == {}


def test_the_choice_repeats():
    """The same images and the same generator give the same figures; another generator other spoilings."""
    good, held_out = capsules(8, seed=0), capsules(6, seed=1)
    first, second, other = (chosen(good, held_out, seed=seed).evidence for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_spoiled_pairs_are_visibly_spoiled():
    """At most 24 images; each spoiled one has a visible defect where it differs, and the untouched are as they were."""
    images = capsules(MOST + 4, seed=5)
    pairs = spoiled_pairs(images, seeded())
    assert torch.equal(pairs.good, images[:MOST])
    assert 0.5 * MOST < len(pairs.spoiled) <= MOST
    assert len(pairs.defect) == len(pairs.spoiled)
    assert pairs.defect.flatten(1).any(dim=1).all()
    assert pairs.spoiled.min() >= 0.0
    assert pairs.spoiled.max() <= 1.0
    for spoiled, defect in zip(pairs.spoiled, pairs.defect, strict=True):
        clean = min(images[:MOST], key=lambda image: float((image - spoiled).abs().mean()))
        assert (clean - spoiled).abs()[0][defect].mean() > 3 * (clean - spoiled).abs()[0][~defect].mean()


def test_some_spoilings_are_faint():
    """On black every spoiling that brightens shows less than its full strength."""
    pairs = spoiled_pairs(torch.full((MOST, 1, 64, 64), 0.5), seeded(2))
    strength = (pairs.spoiled - 0.5).abs().flatten(1).amax(dim=1)
    assert strength.max() <= FAINT[1] * 0.6 + 1e-6  # scratches and spots differ by 0.6 at most
    assert strength.min() < 0.15


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 32, 48), (1, 1, 1)])
def test_an_image_score_is_the_top_above_the_median(shape):
    """The mean of the largest 0.2 %, at least one, less the (upper) median, as numpy sorts them."""
    maps = torch.randn(shape, generator=seeded())
    ordered = np.sort(maps.flatten(1).numpy(), axis=1)
    top = max(1, round(0.002 * ordered.shape[1]))
    expected = ordered[:, -top:].mean(axis=1) - ordered[:, (ordered.shape[1] - 1) // 2]
    np.testing.assert_allclose(image_score(maps), expected, rtol=1e-5, atol=1e-6)
