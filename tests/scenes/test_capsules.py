"""Drawn capsules are reproducible, varied, of every size, quick, and lie on disk as a data set."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.data.samples import load_samples
from candling.errors import OutputExistsError, UsageError
from candling.scenes.capsules import DEFECTS, draw_capsule, draw_defect, write_dataset


def rng(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [128, 200, 256, 384, 512])
def test_every_size_shows_the_same_scene(size):
    """A picture is square, grey, 8 bits, well exposed, and of the two halves' usual brightness, at any size."""
    frame = draw_capsule(rng(1), size=size)
    assert (frame.shape, frame.dtype) == ((size, size), np.uint8)
    middle = slice(int(0.45 * size), int(0.55 * size))
    assert frame[middle, int(0.2 * size) : int(0.4 * size)].mean() < 50  # the cap
    assert 80 < frame[int(0.60 * size), int(0.60 * size) : int(0.80 * size)].mean() < 130  # the body below its print
    assert frame[: size // 10].mean() > 190  # the paper
    assert np.mean(frame == 255) < 0.001


def test_one_seed_is_one_picture_and_another_is_another():
    """Equal generators give equal bytes; other ones differ by more than noise."""
    assert np.array_equal(draw_capsule(rng(7)), draw_capsule(rng(7)))
    smooth = [cv2.GaussianBlur(draw_capsule(rng(seed)), (0, 0), 2).astype(int) for seed in (7, 8)]
    assert np.abs(smooth[0] - smooth[1]).max() > 20


def test_difficulty_widens_the_variation_of_good_capsules():
    """At difficulty 1 good capsules differ more from each other than at 0: in noise and in pose."""
    spread = [
        np.std([draw_capsule(rng(seed), size=128, difficulty=difficulty) for seed in range(12)], axis=0).mean()
        for difficulty in (0.0, 0.5, 1.0)
    ]
    assert spread[0] < spread[1] < spread[2]


def test_a_dark_background_is_dark():
    """On dark ground the paper is dark, the cap still stands out by its gloss, and the body is as bright as ever."""
    light, dark = (draw_capsule(rng(3), background=kind) for kind in ("light", "dark"))
    assert dark[:20].mean() < 60 < 190 < light[:20].mean()
    assert np.array_equal(light[125:131, 180:200] > 60, dark[125:131, 180:200] > 60)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 32}, "32 px cannot be drawn; choose a size from 64 to 2048"),
        ({"difficulty": 1.5}, "between 0 and 1; it is 1.5"),
        ({"difficulty": float("nan")}, "between 0 and 1"),
        ({"background": "pink"}, "no background 'pink'.*light, dark"),
    ],
)
def test_impossible_wishes_are_told(options, sentence):
    """Size, difficulty and background out of range are usage errors of one sentence."""
    with pytest.raises(UsageError, match=sentence):
        draw_capsule(rng(0), **options)


def test_dataset_has_the_mvtec_layout(tmp_path):
    """The set is read back with its splits, classes and masks; each mask has its image's size and marks something."""
    told = []
    folder = write_dataset(
        tmp_path / "set",
        seed=5,
        size=96,
        good_train=4,
        good_test=2,
        per_defect=2,
        difficulty=0.2,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(number, 16) for number in range(1, 17)]
    samples = load_samples(folder)
    assert samples.layout == "mvtec"
    assert samples.counts() == {("train", "good"): 4, ("test", "good"): 2} | {("test", kind): 2 for kind in DEFECTS}
    for sample in samples:
        assert (sample.mask is None) == sample.is_good
        if sample.mask is not None:
            mask = cv2.imread(str(sample.mask), cv2.IMREAD_UNCHANGED)
            assert (mask.shape, set(np.unique(mask))) == ((96, 96), {0, 255})


def test_no_capsule_is_in_two_places_and_more_capsules_begin_with_the_same(tmp_path):
    """Every picture of a set differs from every other; a larger set of one seed contains the smaller one."""
    options = {"seed": 5, "size": 64, "good_test": 3}
    small = write_dataset(tmp_path / "small", good_train=3, per_defect=1, **options)
    large = write_dataset(tmp_path / "large", good_train=5, per_defect=2, **options)
    other = write_dataset(tmp_path / "other", good_train=3, per_defect=1, **{**options, "seed": 6})
    pictures = {path.relative_to(large): path.read_bytes() for path in large.rglob("*.png")}
    assert len(set(pictures.values())) == len(pictures)
    for path in small.rglob("*.png"):
        assert pictures[path.relative_to(small)] == path.read_bytes()
        assert (other / path.relative_to(small)).read_bytes() != path.read_bytes()


def test_a_set_is_written_whole_or_not_at_all(tmp_path):
    """An existing folder is refused unless it may be replaced; an interruption leaves nothing behind."""
    folder = write_dataset(tmp_path / "set", seed=1, size=64, good_train=2, good_test=0, per_defect=0)
    before = sorted(path.read_bytes() for path in folder.rglob("*.png"))
    with pytest.raises(OutputExistsError):
        write_dataset(folder, seed=2, size=64)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(folder, seed=2, size=64, overwrite=True, progress=interrupt)
    assert sorted(path.read_bytes() for path in folder.rglob("*.png")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with pytest.raises(UsageError, match="at least 1 good training image"):
        write_dataset(tmp_path / "none", seed=1, good_train=0)


def test_unknown_defects_are_told():
    """A defect that cannot be drawn is named beside those that can."""
    with pytest.raises(UsageError, match=r"no defect 'rust'.*crack, faulty_imprint, poke, scratch, squeeze"):
        draw_defect("rust", rng(0))
