"""Histogram matching is scikit-image's, exact for 8 and 16 bits, guarded, and finds contrast groups by itself."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from skimage.exposure import match_histograms

from candling.errors import UsageError
from candling.pixels.histogram import ALL, Histogram, Matcher, histogram_of, learn_matcher, lookup
from candling.pixels.read import read_image


def field(seed, *, count=40, bright=900, background=120, noise=6.0, size=160, dtype=np.uint16):
    """Draw blurred nuclei on a noisy ground."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size, size), np.float32)
    for x, y in rng.integers(8, size - 8, (count, 2)):
        cv2.circle(picture, (int(x), int(y)), int(rng.integers(4, 8)), 1.0, -1)
    picture = background + bright * cv2.GaussianBlur(picture, (0, 0), 1.5) + rng.normal(0, noise, picture.shape)
    return np.clip(picture, 0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_matching_is_scikit_images(dtype):
    """Without a guard every level becomes what scikit-image makes of it, rounded instead of cut."""
    top = 150 if dtype == np.uint8 else 3000
    frame = field(1, bright=top / 3, background=top / 20, dtype=dtype)
    template = field(2, bright=top, background=top / 10, dtype=dtype)
    ours = Matcher({ALL: histogram_of(template)}).match(frame)
    theirs = match_histograms(frame.astype(np.float64), template.astype(np.float64))
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, np.rint(theirs))


def test_a_frame_matched_to_itself_stays(tmp_path):
    """Exactly, level by level, for both depths; and the frame is never written to."""
    for frame in (field(1), field(1, bright=150, background=20, dtype=np.uint8)):
        before = frame.copy()
        frame.flags.writeable = False
        for gain in (None, 1.0):
            assert np.array_equal(Matcher({ALL: histogram_of(frame)}, gain=gain).match(frame), before)


def test_sixteen_bits_are_not_eight():
    """More than 256 levels survive, and no value wraps round."""
    frame, template = field(1, bright=60000, background=2000), field(2, bright=30000, background=500)
    matched = Matcher({ALL: histogram_of(template)}).match(frame)
    assert np.unique(matched).size > 1000
    assert abs(int(matched.max()) - int(template.max())) <= 1
    order = np.argsort(frame.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()  # brighter stays brighter


def test_depths_meet_at_white():
    """An 8-bit frame takes the histogram of a 16-bit template as shares of white, and the other way round."""
    narrow, wide = np.arange(0, 250, dtype=np.uint8).reshape(10, 25), np.arange(0, 50000, 200, dtype=np.uint16)
    wide = wide.reshape(10, 25)
    matched = Matcher({ALL: histogram_of(wide)}).match(narrow)
    np.testing.assert_allclose(matched / 255, wide / 65535, atol=0.5 / 255)
    twelve = Matcher({ALL: histogram_of(wide // 16, white=4095)}, white=4095).match(wide // 20)
    np.testing.assert_array_equal(twelve, wide // 16)


def test_colour_keeps_its_channels_apart():
    """The grey levels are matched and every channel goes through the one table, so grey stays grey."""
    grey = field(1, bright=120, background=20, dtype=np.uint8)
    template = histogram_of(field(2, bright=200, background=40, dtype=np.uint8))
    coloured = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    matched = Matcher({ALL: template}).match(coloured)
    assert matched.shape == coloured.shape
    assert np.array_equal(matched[..., 1], Matcher({ALL: template}).match(grey))


def test_a_frame_without_nuclei_does_not_grow_any():
    """Unguarded, noise becomes as bright as the template's nuclei; guarded, its spread grows by the gain at most."""
    template, empty = field(1), field(2, count=0)
    wild = Matcher({ALL: histogram_of(template)}).match(empty)
    calm = Matcher({ALL: histogram_of(template)}, gain=2.0).match(empty)
    assert wild.max() > 900
    assert calm.max() - int(np.median(calm)) <= 2.0 * (empty.max() - int(np.median(empty))) + 1
    assert int(np.median(calm)) == int(np.median(wild))


def test_the_guard_keeps_rings_dim():
    """The blur around nuclei of a sparse frame is lifted no more than the gain allows, brightness order kept."""
    sparse, crowded = field(3, count=6), field(4, count=120)
    nuclei = sparse > 600
    ring = cv2.dilate(nuclei.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~nuclei
    wild = Matcher({ALL: histogram_of(crowded)}).match(sparse)
    calm = Matcher({ALL: histogram_of(crowded)}, gain=1.5).match(sparse)
    lifted = [float(some[ring].mean() - np.median(some)) for some in (sparse, wild, calm)]
    assert lifted[1] > 1.8 * lifted[0]
    assert lifted[2] <= 1.5 * lifted[0] + 1


def test_the_guard_never_steepens():
    """No difference of neighbouring levels is enlarged beyond the gain, for any gain; a large one changes nothing."""
    source, template = histogram_of(field(1, count=5)), histogram_of(field(2, bright=4000))
    for gain in (0.5, 1.0, 3.0):
        values = lookup(source, template, gain=gain)
        assert (np.diff(values) <= gain * np.diff(source.levels) + 1e-9).all()
        assert (np.diff(values) >= -1e-9).all()
    np.testing.assert_allclose(lookup(source, template, gain=1e9), lookup(source, template), atol=1e-6)


def test_contrast_groups_are_found():
    """Three kinds of exposure are told apart without being named, and a new frame goes to its kind."""
    kinds = {"low": 100, "medium": 700, "high": 3500}
    frames = [field(seed, bright=bright) for bright in kinds.values() for seed in range(8)]
    matcher = learn_matcher(frames, "selective", gain=4.0)
    assert list(matcher.templates) == ["low", "medium", "high"]
    for number, frame in enumerate(frames):
        assert matcher.group(frame).group == list(kinds)[number // 8]
    for name, bright in kinds.items():
        found = matcher.group(field(99, bright=bright))
        assert found.group == name
        assert found.margin > 0.5
    assert matcher.facts["histogram_low"] == 8
    alike = learn_matcher(frames, "global", gain=4.0)
    moved = [
        np.mean([abs(which.group(which.match(frame)).contrast - which.group(frame).contrast) for frame in frames])
        for which in (matcher, alike)
    ]
    assert moved[0] < 0.5 < moved[1]  # groups leave an exposure what it is, one template for all does not


def test_groups_part_contrasts_best():
    """The partition has the least squared differences of all partitions into three, tried one by one."""
    from candling.pixels.histogram import _parted

    rng = np.random.default_rng(0)
    contrasts = np.concatenate([rng.normal(8, 0.5, 9), rng.normal(10, 0.4, 7), rng.normal(12, 0.3, 11)])
    rng.shuffle(contrasts)
    ranked = np.sort(contrasts)
    every = [
        (sum(part.var() * part.size for part in np.split(ranked, [a, b])), a, b - a)
        for a in range(2, 24)
        for b in range(a + 2, 26)
    ]
    _, low, medium = min(every)
    names = _parted(contrasts)
    assert [names.count(name) for name in ("low", "medium")] == [low, medium]
    assert {names[at] for at in np.argsort(contrasts)[:low]} == {"low"}


@pytest.mark.parametrize(("count", "groups"), [(1, ["medium"]), (3, ["medium"]), (4, ["low", "high"])])
def test_few_frames_make_few_groups(count, groups):
    """A group needs frames; equal frames are one group."""
    frames = [field(seed, bright=100 * 4**seed) for seed in range(count)]
    assert list(learn_matcher(frames, "selective").templates) == groups
    assert list(learn_matcher([frames[0]] * 12, "selective").templates) == ["medium"]


def test_a_persons_groups_win():
    """Named groups replace the found ones, and boundaries follow; at matching, too, a person may say which."""
    frames = [field(seed, bright=bright) for bright in (100, 400, 3000) for seed in range(4)]
    said = ["low"] * 4 + ["low"] * 4 + ["high"] * 4
    matcher = learn_matcher(frames, "selective", groups=said)
    assert list(matcher.templates) == ["low", "high"]
    assert matcher.group(frames[5]).group == "low"
    assert not np.array_equal(matcher.match(frames[5], group="high"), matcher.match(frames[5]))
    with pytest.raises(UsageError, match="no contrast group 'dim'; there are: low, high"):
        matcher.match(frames[0], group="dim")
    with pytest.raises(UsageError, match="12 frames with 1 groups"):
        learn_matcher(frames, "selective", groups=["low"])


def test_the_template_is_one_of_the_frames():
    """The most typical one: an outlier never becomes the template."""
    frames = [field(seed) for seed in range(6)] + [field(9, bright=30000)]
    template = learn_matcher(frames, "global").templates[ALL]
    assert any(np.array_equal(template.counts, histogram_of(frame).counts) for frame in frames[:6])


def test_constant_frames_are_harmless():
    """A black frame, a white frame and a template of one level give numbers, not errors."""
    for value in (0, 65535):
        flat = np.full((9, 9), value, np.uint16)
        matched = Matcher({ALL: histogram_of(field(1))}, gain=2.0).match(flat)
        assert np.unique(matched).size == 1
        assert Matcher({ALL: histogram_of(flat)}).match(field(1)).max() == value


def test_impossible_histograms_are_refused():
    """Levels that do not rise, no pixel, a gain of nothing."""
    for levels, counts in (([3, 3], [1, 1]), ([], []), ([1], [0]), ([-1], [2])):
        with pytest.raises(UsageError, match="rising levels"):
            Histogram(np.array(levels, np.int64), np.array(counts, np.int64), 255)
    with pytest.raises(UsageError, match="gain of 0"):
        lookup(histogram_of(field(1)), histogram_of(field(2)), gain=0)
    with pytest.raises(UsageError, match="need one boundary less"):
        Matcher({ALL: histogram_of(field(1))}, (1.0,))


def test_real_images_without_nuclei_stay_dim(real_data):
    """BBBC039's two empty images: matched unguarded they look full of nuclei, guarded they do not."""
    folder = real_data("bbbc039_nuclei")
    with (folder / "counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    empty = [read_image(folder / "images" / row["image"]) for row in rows if row["objects_area_ge_30px"] == "0"]
    seen = [read_image(folder / "images" / row["image"]) for row in rows[:60:6]]
    guarded = learn_matcher(seen, "selective", gain=4.0, white=4095)
    wild = Matcher(guarded.templates, guarded.boundaries, white=4095)
    assert len(empty) == 2
    nuclei = min(np.quantile(guarded.match(frame), 0.99) for frame in seen)
    for frame in empty:
        assert guarded.group(frame).group == "low"
        assert np.quantile(wild.match(frame), 0.99) > nuclei
        assert np.quantile(guarded.match(frame), 0.999) < 0.5 * nuclei
