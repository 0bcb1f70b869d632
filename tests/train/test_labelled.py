"""Masks beside prepared images: cut and sized as the image is, whatever the file's depth, height or footer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.samples import load_samples
from candling.errors import DataError, SamplesError
from candling.recipe import Recipe, parse_recipe
from candling.train.data import prepare_set
from candling.train.labelled import split_defects, with_masks
from candling.train.progress import Silent

RECIPE = """
[story]
product = "mats with a footer"
[prepare]
channels = 1
height = 40
width = 60
[[regions]]
name = "mat"
top = 0
left = 0
height = 80
width = 120
[method]
name = "patch_classifier"
[training]
hold_out = 0.25
[limits]
scores = ["defect_probability"]
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, where="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16-bit files with a white footer; good ones are four rows taller, as in the real set."""
    rng = np.random.default_rng(0)
    for kind, height, count in (("normal", 94, 2), ("anomalous", 90, 4)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            frame = rng.integers(0, 40_000, (height, 120)).astype(np.uint16)
            frame[80:] = 65_535
            cv2.imwrite(str(tmp_path / kind / f"{kind}{number}.png"), frame)
    (tmp_path / "gt").mkdir()
    for number in range(4):
        mask = np.zeros((90, 120), np.uint8)
        mask[20:40, 30:60] = 7 + number  # a value of its own
        mask[84:] = 255  # the footer is cut away with the image's
        cv2.imwrite(str(tmp_path / "gt" / f"anomalous{number}_gt.png"), mask)
    return tmp_path


def test_masks_are_cut_and_sized_as_their_images(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    """Footers are gone from both, masks stay true or false, and a good image has an empty one."""
    samples = load_samples(folder).samples
    prepared = prepare_set(samples, recipe, file=tmp_path / "x.npy", key="k", progress=Silent())
    found = with_masks(prepared, samples, recipe)
    assert found.frames.dtype == np.uint16
    assert found.frames.max() <= 40_000
    assert found.masks.dtype == bool
    assert found.masks.shape == (6, 40, 60)
    expected = np.zeros((40, 60), bool)
    expected[10:20, 15:30] = True
    for sample, mask in zip(samples, found.masks, strict=True):
        assert np.array_equal(mask, expected & (not sample.is_good))


def test_defects_are_split_by_image(folder: Path, recipe: Recipe) -> None:
    """Fit and held out share no image; what folders leave for the test is in neither."""
    found = load_samples(folder)
    fit, held = split_defects(found, recipe)
    assert not set(fit) & set(held)
    assert (len(fit), len(held)) == (2, 1)


def test_a_mask_that_does_not_fit_is_named(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    """Of another size than its image, or smaller than the recipe's region."""
    samples = load_samples(folder).samples
    prepared = prepare_set(samples, recipe, file=tmp_path / "x.npy", key="k", progress=Silent())
    cv2.imwrite(str(folder / "gt" / "anomalous1_gt.png"), np.zeros((94, 120), np.uint8))
    with pytest.raises(SamplesError, match=r"anomalous1_gt\.png: the mask has 94 x 120 px and its image 90 x 120"):
        with_masks(prepared, samples, recipe)
    cv2.imwrite(str(folder / "gt" / "anomalous1_gt.png"), np.zeros((70, 120), np.uint8))
    cv2.imwrite(str(folder / "anomalous" / "anomalous1.png"), np.zeros((70, 120), np.uint16))
    with pytest.raises(DataError, match=r"anomalous1\.png: region 'mat'"):
        with_masks(prepared, samples, recipe)
