"""Patches from masks: what they are called, how far apart they lie, and that nothing leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.patches import (
    Rules,
    defect_shares,
    draw_patches,
    draw_spots,
    read_patches,
    refuse_leaks,
    write_patches,
)
from candling.data.samples import load_samples
from candling.data.samples.labelled import defects_to_learn
from candling.data.samples.sample import Sample
from candling.errors import SamplesError, UsageError
from candling.scenes.fibres import write_dataset


@pytest.fixture(scope="module")
def mats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good mats and six with defects."""
    return write_dataset(
        tmp_path_factory.mktemp("mats") / "mats", seed=3, size=(96, 128), fibre_px=5, normal=2, anomalous=6
    )


def test_shares_are_counted_over_each_patch() -> None:
    """The share of every patch equals the mean of its cut from the mask."""
    mask = np.random.default_rng(0).random((20, 17)) < 0.3
    shares = defect_shares(mask, 6)
    assert shares.shape == (15, 12)
    for top, left in ((0, 0), (14, 11), (3, 8)):
        assert shares[top, left] == mask[top : top + 6, left : left + 6].mean()


def test_patches_keep_their_rules() -> None:
    """Corners lie apart, no kind exceeds its number, mixed patches come only where they are wanted."""
    mask = np.zeros((120, 150), bool)
    mask[20:80, 30:110] = True
    rules = Rules(size=16, distance_px=7, most=30)
    spots = draw_spots(mask, rules, rng=np.random.default_rng(1))
    kinds = Counter(rules.kind_of(share) for share in spots.shares)
    assert kinds["mixed"] == 0
    assert 10 < kinds["defect"] <= 30
    assert 10 < kinds["good"] <= 30
    apart = np.maximum(
        np.abs(spots.tops[:, None] - spots.tops), np.abs(spots.lefts[:, None] - spots.lefts)
    ) + 1000 * np.eye(len(spots))
    assert apart.min() >= 7
    kept = draw_spots(mask, replace(rules, mixed="keep"), rng=np.random.default_rng(1))
    assert {rules.kind_of(share) for share in kept.shares} == {"good", "defect", "mixed"}
    band = Rules(size=16, good_up_to=0.2, defect_from=0.6, most=500)
    assert all(share <= 0.2 or share >= 0.6 for share in draw_spots(mask, band, rng=np.random.default_rng(1)).shares)


def test_a_data_set_is_drawn_balanced_and_again_alike(mats: Path, tmp_path: Path) -> None:
    """As many good as defect patches, the same for a seed, unchanged by writing; another seed draws others."""
    samples = [replace(sample, split="train") for sample in load_samples(mats)]
    rules = Rules(size=9, defect_from=0.9, distance_px=3)
    drawn = draw_patches(samples, rules, root=mats, seed=0)
    counts = Counter(patch.kind for patch in drawn)
    assert counts["good"] == counts["defect"] > 10
    assert drawn == draw_patches(samples, rules, root=mats, seed=0)
    alone = draw_patches(samples[:1], rules, root=mats, seed=0, balance=False)
    every = draw_patches(samples, rules, root=mats, seed=0, balance=False)
    assert alone == tuple(patch for patch in every if patch.image == alone[0].image)
    assert drawn != draw_patches(samples, rules, root=mats, seed=1)
    write_patches(tmp_path / "patches.csv", drawn)
    assert read_patches(tmp_path / "patches.csv") == drawn


def test_leaks_are_refused(mats: Path, tmp_path: Path) -> None:
    """One image, or one product, in two splits is refused by name, when drawn and when read."""
    samples = [replace(sample, product="roll 7", split="train") for sample in load_samples(mats)]
    samples[0] = replace(samples[0], split="test")
    with pytest.raises(SamplesError, match=r"product roll 7 is in the splits .* split by image and product"):
        draw_patches(samples, Rules(size=9, defect_from=0.9), root=mats, seed=0)
    alone = [replace(sample, split="train") for sample in load_samples(mats)]
    drawn = draw_patches(alone, Rules(size=9, defect_from=0.9), root=mats, seed=0)
    with pytest.raises(SamplesError, match=r"image anomalous/MAT002\.png is in the splits"):
        refuse_leaks([*drawn, replace(drawn[0], split="test")])
    table = tmp_path / "patches.csv"
    write_patches(table, [*drawn, replace(drawn[0], split="test")])
    with pytest.raises(SamplesError, match="is in the splits"):
        read_patches(table)
    table.write_text(table.read_text().replace(",good\n", ",fine\n"))
    with pytest.raises(SamplesError, match="no kind 'fine'"):
        read_patches(table)


def test_bad_images_and_masks_are_named(tmp_path: Path) -> None:
    """An image smaller than the patch, a mask of another size, a defect without a mask, impossible rules."""
    image, mask = tmp_path / "a.png", tmp_path / "m.png"
    cv2.imwrite(str(image), np.zeros((20, 40), np.uint8))
    cv2.imwrite(str(mask), np.zeros((20, 41), np.uint8))
    rules = Rules(size=29)
    with pytest.raises(SamplesError, match=r"a\.png: an image of 20 x 40 px is smaller than a patch of 29 px"):
        draw_patches([Sample(image, "good", "train")], rules, root=tmp_path, seed=0)
    with pytest.raises(SamplesError, match=r"m\.png: the mask has 20 x 41 px and its image 20 x 40"):
        draw_patches([Sample(image, "bead", "train", mask=mask)], rules, root=tmp_path, seed=0)
    with pytest.raises(SamplesError, match="without a mask"):
        draw_patches([Sample(image, "bead", "train")], rules, root=tmp_path, seed=0)
    with pytest.raises(UsageError, match="good_up_to must lie below defect_from"):
        Rules(good_up_to=0.5, defect_from=0.5)


def test_masks_of_any_kind_are_read(tmp_path: Path) -> None:
    """A mask of grey levels other than two, and one with a palette, mark every pixel that is not black."""
    from PIL import Image

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 30), np.uint8))
    grey = np.zeros((30, 30), np.uint8)
    grey[5:25, 5:25] = np.arange(20)[:, None] + 1
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    palette = Image.fromarray((grey > 0).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(tmp_path / "palette.png")
    for name in ("grey.png", "palette.png"):
        sample = Sample(tmp_path / "a.png", "bead", "train", mask=tmp_path / name)
        drawn = draw_patches([sample], Rules(size=9, most=500), root=tmp_path, seed=0, balance=False)
        assert Counter(patch.kind for patch in drawn)["defect"] > 0


def test_defects_to_learn_come_from_train_or_a_share_of_folders(mats: Path, tmp_path: Path) -> None:
    """Folders give two thirds; a table gives what it calls train, and is refused where that holds no mask."""
    found = load_samples(mats)
    learned = defects_to_learn(found, seed=0)
    assert len(learned) == 4
    assert learned == defects_to_learn(found, seed=0)
    table = tmp_path / "t.csv"
    rows = [f"{sample.path},{sample.label},test,{sample.mask or ''}" for sample in found]
    table.write_text("\n".join(["path,label,split,mask", *rows]))
    with pytest.raises(SamplesError, match="is of split 'train'"):
        defects_to_learn(load_samples(table), seed=0)
    table.write_text("\n".join(["path,label,split,mask", *[row.rpartition(",")[0] + "," for row in rows]]))
    with pytest.raises(SamplesError, match="no defect has a mask"):
        defects_to_learn(load_samples(table), seed=0)


def test_real_masks_give_all_three_kinds(real_data: Callable[[str], Path]) -> None:
    """One image of the real set, its palette mask included: defects, good places and mixed ones."""
    root = real_data("nanofibre_sem")
    chosen = [sample for sample in load_samples(root) if sample.path.stem in {"ITIA1101", "ITIA1140"}]
    drawn = draw_patches(chosen, Rules(mixed="keep", most=20), root=root, seed=0, balance=False)
    assert {patch.kind for patch in drawn} == {"good", "defect", "mixed"}
