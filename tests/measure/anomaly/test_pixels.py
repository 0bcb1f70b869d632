"""Pixel metrics against scikit-learn, a naive AUPRO and an analytic one; thinning, intervals, speed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from candling.errors import DataError, UsageError
from candling.measure import anomaly
from candling.measure.anomaly import PixelScores


def drawn(seed, *, images=6, size=40, levels=None, strength=1.0):
    """Maps and masks: noise, with some rectangles in which it is stronger; every third image is good."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for index in range(images):
        one = rng.normal(size=(size, size + 3)).astype(np.float32)
        mask = np.zeros(one.shape, bool)
        for _ in range(0 if index % 3 == 0 else rng.integers(1, 4)):
            top, left = rng.integers(0, size - 8, 2)
            mask[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = True
        one[mask] += strength
        maps.append(one if levels is None else np.round(one * levels) / levels)
        masks.append(mask if mask.any() else None)
    return maps, masks


def filled(maps, masks):
    return [np.zeros(m.shape, bool) if mask is None else mask for m, mask in zip(maps, masks, strict=True)]


def naive_aupro(maps, masks, limit):
    """Try every distinct score as threshold on every region (scipy's components), with straight lines between."""
    regions, good = [], []
    for one, mask in zip(maps, filled(maps, masks), strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [one[labels == index] for index in range(1, count + 1)]
        good.append(one[~mask])
    good = np.concatenate(good)
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([one.ravel() for one in maps]))[::-1]:
        rates.append(np.mean(good >= threshold))
        overlaps.append(np.mean([np.mean(region >= threshold) for region in regions]))
    rates, overlaps = np.array(rates), np.array(overlaps)
    inside = rates <= limit
    beyond = np.flatnonzero(~inside)
    x, y = list(rates[inside]), list(overlaps[inside])
    if beyond.size:
        j = beyond[0]
        x.append(limit)
        y.append(overlaps[j - 1] + (overlaps[j] - overlaps[j - 1]) * (limit - rates[j - 1]) / (rates[j] - rates[j - 1]))
    return sum((x[i + 1] - x[i]) * (y[i + 1] + y[i]) / 2 for i in range(len(x) - 1)) / limit


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("seed", range(3))
def test_areas_over_pixels_are_those_of_scikit_learn(seed, levels):
    """Pixel AUROC and average precision agree with scikit-learn over all pixels, with few and with many ties."""
    maps, masks = drawn(seed, levels=levels)
    truth = np.concatenate([mask.ravel() for mask in filled(maps, masks)])
    scores = np.concatenate([one.ravel() for one in maps])
    assert anomaly.pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert anomaly.pixel_average_precision(maps, masks) == pytest.approx(
        average_precision_score(truth, scores), abs=1e-12
    )


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
def test_aupro_is_that_of_the_naive_definition(levels, limit):
    """AUPRO agrees with every threshold tried on every region, whatever the ties and the limit."""
    maps, masks = drawn(11, images=3, size=16, levels=levels)
    assert anomaly.aupro(maps, masks, limit=limit) == pytest.approx(naive_aupro(maps, masks, limit), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 1000]), st.floats(0.02, 1.0))
def test_aupro_holds_for_any_small_scene(seed, levels, limit):
    """The same over random scenes, ties and limits."""
    rng = np.random.default_rng(seed)
    maps = [np.round(rng.normal(size=(7, 6)) * levels) / levels for _ in range(2)]
    maps = [one.astype(np.float32) for one in maps]
    masks = [rng.random((7, 6)) < 0.2 for _ in range(2)]
    masks[0][0, 0], masks[1][0, 0] = True, False
    assert anomaly.aupro(maps, masks, limit=limit) == pytest.approx(naive_aupro(maps, masks, limit), abs=1e-9)


def test_aupro_has_a_value_on_paper():
    """Two regions: one found before any good pixel, one in the middle of them.

    The overlap is 1/2 up to the false-reject rate 0.1 and 1 beyond: (0.1 * 0.5 + 0.2 * 1) / 0.3 = 5/6.
    """
    one = np.linspace(0.0, 1.0, 1002, dtype=np.float32).reshape(1, -1)
    mask = np.zeros(one.shape, bool)
    mask[0, -1] = True  # above all 1000 good pixels
    mask[0, -102] = True  # below exactly 100 of them
    assert anomaly.aupro([one], [mask]) == pytest.approx(5 / 6)


def test_a_random_map_covers_as_much_as_it_falsely_rejects():
    """Without any knowledge the overlap equals the false-reject rate, so AUPRO is half the limit and AUROC one half."""
    maps, masks = drawn(2, images=40, size=128, strength=0.0)
    assert anomaly.aupro(maps, masks) == pytest.approx(0.15, abs=0.03)
    assert anomaly.pixel_auroc(maps, masks) == pytest.approx(0.5, abs=0.03)


def test_a_constant_map_knows_nothing():
    """All pixels tied: AUROC is one half, AUPRO half the limit, average precision the share of defective pixels."""
    one, mask = np.full((10, 10), 7.0, np.float32), np.zeros((10, 10), bool)
    mask[:2] = True
    assert anomaly.pixel_auroc([one], [mask]) == 0.5
    assert anomaly.aupro([one], [mask]) == pytest.approx(0.15)
    assert anomaly.pixel_average_precision([one], [mask]) == pytest.approx(0.2)


def test_a_small_region_counts_as_much_as_a_large_one():
    """Finding a region of one pixel and missing one of 99 is half of AUPRO and one hundredth of the pixels."""
    one, mask = np.zeros((100, 100), np.float32), np.zeros((100, 100), bool)
    mask[50, :99] = mask[0, 0] = True
    one[0, 0], one[50, :99] = 1.0, -1.0
    assert anomaly.aupro([one], [mask]) == pytest.approx(0.5)
    assert anomaly.pixel_auroc([one], [mask]) == pytest.approx(0.01)


def test_regions_touching_at_a_corner_are_one():
    """Components are 8-connected, as in MVTec AD's own evaluation."""
    scores = PixelScores.gather([(np.zeros((4, 4), np.float32), np.eye(4, dtype=bool))])
    assert scores.region_sizes.tolist() == [4]


@given(st.sampled_from([np.exp, np.arctan, lambda x: 3.0 * x - 40.0]))
def test_pixel_metrics_do_not_change_under_monotone_transforms(transform):
    """A strictly rising change of the maps changes none of the three."""
    maps, masks = drawn(3, images=3, size=20, levels=8)
    changed = [transform(one.astype(np.float64)) for one in maps]
    for metric in (anomaly.pixel_auroc, anomaly.pixel_average_precision, anomaly.aupro):
        assert metric(changed, masks) == pytest.approx(metric(maps, masks), abs=1e-12)


def test_masks_may_be_integers():
    """A mask of 0 and 255 means what a mask of False and True means."""
    maps, masks = drawn(4)
    numbers = [None if mask is None else mask.astype(np.uint8) * 255 for mask in masks]
    assert anomaly.aupro(maps, numbers) == anomaly.aupro(maps, masks)


def test_maps_pass_by_once():
    """A generator is enough: nothing asks for a map a second time, and images keep their order."""
    maps, masks = drawn(5)
    scores = PixelScores.gather((one, mask) for one, mask in zip(maps, masks, strict=True))
    assert scores.auroc() == anomaly.pixel_auroc(maps, masks)
    assert len(scores.good) == len(maps)
    assert scores.resolution == 0.0


def test_thinning_stays_within_its_stated_resolution():
    """With a small budget good pixels are thinned, memory stays bounded, and areas move by less than the bound."""
    maps, masks = drawn(6, images=12, size=96)
    exact = PixelScores.gather(zip(maps, masks, strict=True))
    thin = PixelScores.gather(zip(maps, masks, strict=True), keep=9_000)
    assert sum(part.size for part in thin.good) <= 9_000
    assert thin.stride == 16
    assert 0.0 < thin.resolution < 0.002
    assert thin.auroc() == pytest.approx(exact.auroc(), abs=thin.resolution)
    assert thin.aupro() == pytest.approx(exact.aupro(), abs=thin.resolution / 0.3)
    assert thin.average_precision() == pytest.approx(exact.average_precision(), abs=0.01)


def test_without_good_or_defective_pixels_there_is_no_metric():
    """No image, only good images, or nothing but defect: all three are None, and so are their intervals."""
    one = np.zeros((3, 3), np.float32)
    for pairs in ([], [(one, None)], [(one, np.zeros((3, 3), bool))], [(one, np.ones((3, 3), bool))]):
        scores = PixelScores.gather(pairs)
        assert (scores.auroc(), scores.average_precision(), scores.aupro()) == (None, None, None)
        estimates = scores.estimate(rng=np.random.default_rng(0))
        assert (estimates.auroc, estimates.average_precision, estimates.aupro) == (None, None, None)


def test_intervals_surround_the_exact_values():
    """The values beside the intervals are the exact ones, and the intervals hold them."""
    maps, masks = drawn(7, images=15)
    scores = PixelScores.gather(zip(maps, masks, strict=True))
    found = scores.estimate(rng=np.random.default_rng(0), rounds=100)
    assert (found.auroc.value, found.average_precision.value, found.aupro.value) == (
        scores.auroc(),
        scores.average_precision(),
        scores.aupro(),
    )
    for interval in (found.auroc, found.average_precision, found.aupro):
        assert interval.low < interval.value < interval.high


def test_the_quick_bootstrap_is_the_slow_one():
    """Resampling histograms gives the interval that resampling the images themselves gives."""
    maps, masks = drawn(8, images=12, size=64)
    quick = PixelScores.gather(zip(maps, masks, strict=True)).estimate(rng=np.random.default_rng(1), rounds=400)
    rng = np.random.default_rng(2)
    groups = [[i for i, mask in enumerate(masks) if (mask is None) is good] for good in (True, False)]
    slow = []
    for _ in range(200):
        picked = np.concatenate([rng.choice(group, len(group)) for group in groups])
        again = PixelScores.gather((maps[i], masks[i]) for i in picked)
        slow.append((again.auroc(), again.average_precision(), again.aupro()))
    low, high = np.quantile(slow, [0.025, 0.975], axis=0)
    for i, interval in enumerate((quick.auroc, quick.average_precision, quick.aupro)):
        width = high[i] - low[i]
        assert interval.low == pytest.approx(low[i], abs=0.3 * width)
        assert interval.high == pytest.approx(high[i], abs=0.3 * width)


def test_products_are_drawn_whole():
    """The same image given four times is one product: the interval is as wide as without the copies."""
    maps, masks = drawn(9, images=12)
    single = PixelScores.gather(zip(maps, masks, strict=True)).estimate(rng=np.random.default_rng(0), rounds=300)
    scores = PixelScores.gather(zip(maps * 4, masks * 4, strict=True))
    by_image = scores.estimate(rng=np.random.default_rng(0), rounds=300)
    by_product = scores.estimate(rng=np.random.default_rng(0), rounds=300, products=[str(i % 12) for i in range(48)])
    widths = [found.auroc.high - found.auroc.low for found in (single, by_image, by_product)]
    assert widths[1] < 0.7 * widths[0]
    assert widths[2] == pytest.approx(widths[0], rel=0.2)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused(strange):
    """A NaN or infinite pixel is refused with the number of the map."""
    maps, masks = drawn(10)
    maps[2][3, 4] = strange
    with pytest.raises(DataError, match="map 3 holds values that are not finite"):
        anomaly.aupro(maps, masks)


def test_shapes_that_do_not_fit_are_refused():
    """A mask of another size and a map with channels are refused, with both shapes."""
    with pytest.raises(DataError, match=r"mask 1 is \(3, 4\) and its map \(4, 4\)"):
        anomaly.pixel_auroc([np.zeros((4, 4))], [np.zeros((3, 4), bool)])
    with pytest.raises(DataError, match=r"map 1 must be \(height, width\), not \(1, 4, 4\)"):
        anomaly.pixel_auroc([np.zeros((1, 4, 4))], [None])


@pytest.mark.parametrize("limit", [0.0, 1.1, -0.3])
def test_an_impossible_limit_is_refused(limit):
    """The false-reject limit of AUPRO lies above 0 and up to 1."""
    with pytest.raises(UsageError, match="false-reject limit"):
        anomaly.aupro([np.zeros((2, 2))], [None], limit=limit)


def test_many_maps_are_streamed():
    """All three metrics with their intervals are had from a stream of 70 maps of 512x512."""
    rng = np.random.default_rng(12)
    maps = [rng.standard_normal((512, 512), dtype=np.float32) for _ in range(7)]
    mask = np.zeros((512, 512), bool)
    mask[100:200, 100:200] = mask[300:310, 300:310] = True
    scores = PixelScores.gather((maps[i % 7], mask if i % 2 else None) for i in range(70))
    found = scores.estimate(rng=rng)
    assert found.aupro.value == pytest.approx(0.15, abs=0.02)
