"""Drawn defects change what their masks mark, fade with difficulty, and keep their place while they fade."""

from __future__ import annotations

import numpy as np
import pytest

from candling.scenes.capsules import DEFECTS, draw_capsule, draw_defect
from candling.scenes.defects import clouds, difference_mask, smudge, strength_of

SEEDS = range(8)


def pair(kind, seed, *, size=256, difficulty=0.0):
    """Draw a capsule with and without a defect, as int, and the mask."""
    options = {"size": size, "difficulty": difficulty}
    good = draw_capsule(np.random.default_rng(seed), **options)
    altered, mask = draw_defect(kind, np.random.default_rng(seed), **options)
    return good.astype(int), altered.astype(int), mask


def test_the_five_defects_are_mvtecs():
    """The classes bear the names of MVTec AD's capsule category."""
    assert DEFECTS == ("crack", "faulty_imprint", "poke", "scratch", "squeeze")


@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("kind", DEFECTS)
def test_masks_mark_what_changed(kind, size):
    """Outside the mask hardly a pixel differs from the same capsule without the defect; inside, most do."""
    for seed in SEEDS:
        good, altered, mask = pair(kind, seed, size=size)
        change = np.abs(altered - good)
        assert (mask.shape, mask.dtype) == ((size, size), np.bool_)
        assert 2e-4 < mask.mean() < 0.12
        assert np.mean(change[~mask] > 12) < 2e-3
        assert change[mask].mean() > 12
        # closed gaps and the lens's blur are unchanged pixels inside the mask, and few
        assert np.mean(change[mask] > 3) > 0.6


@pytest.mark.parametrize("kind", DEFECTS)
def test_difficulty_takes_contrast_away(kind):
    """From difficulty 0 to 1 the change inside the mask falls at every step, to about the noise."""
    contrast = []
    for difficulty in (0.0, 0.25, 0.5, 0.75, 1.0):
        changes = []
        for seed in SEEDS:
            good, altered, mask = pair(kind, seed, difficulty=difficulty)
            assert mask.any()
            changes.append(np.abs(altered - good)[mask].mean())
        contrast.append(np.mean(changes))
    assert contrast == sorted(contrast, reverse=True)
    assert contrast[0] > 18
    assert contrast[-1] < 6


@pytest.mark.parametrize("kind", ["crack", "faulty_imprint", "poke", "scratch"])
def test_a_faint_defect_has_the_mask_of_a_strong_one(kind):
    """What fades is the contrast, not the place: masks at difficulty 0.9 and 0.0 of one drawing agree."""
    rng = np.random.default_rng(0)
    good = np.full((64, 64), 100.0, np.float32)
    strong = good + 80.0 * (clouds(rng, (64, 64), 8.0) > 0.5)
    for strength in (1.0, strength_of(0.5), strength_of(1.0)):
        faint = good + np.float32(strength) * (strong - good)
        assert np.array_equal(difference_mask(good, faint, strength), difference_mask(good, strong, 1.0))
    for seed in SEEDS:
        sizes = [pair(kind, seed, difficulty=difficulty)[2].sum() for difficulty in (0.0, 0.9)]
        assert max(sizes) < 2 * min(sizes)


@pytest.mark.parametrize("kind", DEFECTS)
def test_defects_are_reproducible_and_varied(kind):
    """Equal generators give equal pictures and masks; other ones put the defect elsewhere."""
    first, again = (draw_defect(kind, np.random.default_rng(4), size=128) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    masks = [draw_defect(kind, np.random.default_rng(seed), size=128)[1] for seed in SEEDS]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_defects_lie_on_the_capsule():
    """Cracks, pokes, scratches and prints are on the product, never on the paper; a squeeze may move its outline."""
    for kind in ("crack", "faulty_imprint", "poke", "scratch"):
        for seed in SEEDS:
            mask = draw_defect(kind, np.random.default_rng(seed))[1]
            rows, columns = np.nonzero(mask)
            assert 0.33 * 256 < rows.min() <= rows.max() < 0.67 * 256
            assert 0.05 * 256 < columns.min() <= columns.max() < 0.95 * 256


def test_a_faulty_imprint_is_on_the_printed_half():
    """The imprint that fails is the light half's, right of the joint."""
    for seed in SEEDS:
        columns = np.nonzero(draw_defect("faulty_imprint", np.random.default_rng(seed))[1])[1]
        assert columns.min() > 0.5 * 256


def test_smudging_keeps_ink_between_nothing_and_full():
    """However an imprint is spoilt, ink stays in [0, 1], something changes, and strength 0 changes nothing."""
    ink = np.zeros((60, 160), np.float32)
    ink[15:45, 20:140] = 1.0
    for seed in range(20):
        spoilt = smudge(ink, np.random.default_rng(seed), 1.0)
        assert spoilt.dtype == np.float32
        assert spoilt.min() >= 0.0
        assert spoilt.max() <= 1.0 + 1e-6
        assert not np.allclose(spoilt, ink)
        assert np.array_equal(smudge(ink, np.random.default_rng(seed), 0.0), ink)
