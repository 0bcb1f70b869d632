"""Coverage, sizes, covered shares and patch counts, against counts made pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from candling.errors import DataError, UsageError
from candling.measure.anomaly import PixelScores
from candling.measure.defects import (
    Agreement,
    agreement,
    agreement_rates,
    covered_shares,
    defect_coverage,
    mean_of_images,
    recall_by_size,
)

EIGHT = np.ones((3, 3))


def drawn(count: int = 8, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Maps that are higher on their defects, and masks of a few blobs; every fourth image is good."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        mask = np.zeros((60, 80), bool)
        for _ in range(0 if number % 4 == 3 else 3):
            top, left, side = rng.integers(0, 40), rng.integers(0, 60), rng.integers(3, 16)
            mask[top : top + side, left : left + side] = True
        values = rng.normal(0.0, 1.0, mask.shape) + 1.5 * mask
        pairs.append((values.astype(np.float32), mask))
    return pairs


def test_coverage_equals_a_count_by_region() -> None:
    """The limit leaves 5 % of the good pixels above it, and each defect's share above it is counted one by one."""
    pairs = drawn()
    found = defect_coverage(PixelScores.gather(pairs), rng=np.random.default_rng(0), rounds=200)
    good = np.concatenate([values[~mask] for values, mask in pairs])
    assert np.mean(good > found.limit) == pytest.approx(0.05, abs=1.0 / good.size)
    shares = []
    for values, mask in pairs:
        labels, count = ndimage.label(mask, EIGHT)
        shares += [float(np.mean(values[labels == one] > found.limit)) for one in range(1, count + 1)]
    assert sorted(found.regions) == pytest.approx(sorted(shares))
    assert found.mean.value == pytest.approx(np.mean(shares))
    assert found.mean.low < found.mean.value < found.mean.high
    assert found.mean.high - found.mean.low < 0.4


def test_the_interval_holds_the_spread_between_images() -> None:
    """The bootstrap's spread is that of resampling images by hand, with a limit of its own each time."""
    pairs = drawn(12, seed=3)
    found = defect_coverage(PixelScores.gather(pairs), rng=np.random.default_rng(1), rounds=600)
    rng = np.random.default_rng(2)
    flawed = [at for at, (_, mask) in enumerate(pairs) if mask.any()]
    clean = [at for at, (_, mask) in enumerate(pairs) if not mask.any()]
    means = []
    for _ in range(200):
        picked = [*rng.choice(flawed, len(flawed)), *rng.choice(clean, len(clean))]
        again = defect_coverage(PixelScores.gather([pairs[at] for at in picked]), rng=rng, rounds=1)
        means.append(again.mean.value)
    low, high = np.quantile(means, (0.025, 0.975))
    assert found.mean.low == pytest.approx(low, abs=0.03)
    assert found.mean.high == pytest.approx(high, abs=0.03)


def test_sizes_hold_every_defect_once() -> None:
    """Classes of area add up to all defects; one without a defect says so by None."""
    scores = PixelScores.gather(drawn())
    found = defect_coverage(scores, rng=np.random.default_rng(0), rounds=10)
    classes = recall_by_size(scores, found, edges=(0, 50, 10_000))
    assert sum(one.count for one in classes) == scores.region_sizes.size
    assert (classes[-1].count, classes[-1].found, classes[-1].coverage) == (0, None, None)
    small = found.regions[scores.region_sizes < 50]
    assert classes[0].coverage == pytest.approx(small.mean())
    assert classes[0].found == pytest.approx(np.mean(small >= 0.5))


def test_covered_shares_are_counts_of_pixels() -> None:
    """The share of each image above a limit, and its mask's own, whatever the order of the scores."""
    pairs = drawn()
    judged, true = covered_shares(PixelScores.gather(pairs), 1.0)
    assert judged == pytest.approx([np.mean(values > 1.0) for values, _ in pairs])
    assert true == pytest.approx([mask.mean() for _, mask in pairs])
    mean = mean_of_images(true, rng=np.random.default_rng(0), rounds=100)
    assert mean.value == pytest.approx(true.mean())
    assert mean.low <= mean.value <= mean.high


def test_patches_agree_as_counted_place_by_place() -> None:
    """The report's section 4.5, pixel by pixel with bounds guarded, under names that cannot be turned round."""
    rng = np.random.default_rng(5)
    truth = ndimage.binary_opening(rng.random((30, 34)) < 0.6, iterations=2)
    marked = np.roll(truth, 3, axis=1)
    marked[20:, :12], truth[:9, 20:] = True, True
    truth[22:, 5:], marked[22:, 20:] = True, True
    expected = Agreement()
    for row in range(30):
        for column in range(34):
            window = np.s_[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            kinds = [("d" if one[window].all() else "g" if not one[window].any() else "m") for one in (truth, marked)]
            names = {"dd": "found", "gg": "accepted", "dg": "missed_defect", "gd": "false_alarm"}
            expected += Agreement(**{names.get("".join(kinds), "mixed"): 1})
    found = agreement(marked, truth, patch=5)
    assert found == expected
    assert min(found.found, found.accepted, found.false_alarm, found.mixed) > 0
    missed, alarms = agreement_rates([found, found], rng=np.random.default_rng(0), rounds=50)
    assert missed.value == pytest.approx(found.missed_defect / (found.missed_defect + found.found))
    assert alarms.value == pytest.approx(found.false_alarm / (found.false_alarm + found.accepted))


def test_what_cannot_be_measured_is_told() -> None:
    """Shapes that differ, an even patch, an impossible rate; no defect gives None."""
    with pytest.raises(DataError, match="bring them to one size"):
        agreement(np.zeros((3, 3), bool), np.zeros((3, 4), bool))
    with pytest.raises(UsageError, match="odd side, not 4"):
        agreement(np.zeros((3, 3), bool), np.zeros((3, 3), bool), patch=4)
    scores = PixelScores.gather(drawn())
    with pytest.raises(UsageError, match="is impossible"):
        defect_coverage(scores, rng=np.random.default_rng(0), false_alarms=1.0)
    clean = PixelScores.gather([(np.zeros((4, 4), np.float32), None)])
    assert defect_coverage(clean, rng=np.random.default_rng(0)) is None
