"""Images with numbered cells: which mask belongs to which, which may be learned from, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.numbered import read_numbered
from candling.data.samples import Sample, SampleSet
from candling.data.samples.numbered import cells_to_learn, load_cells, well_of
from candling.errors import DataError, SamplesError


def picture(path: Path, shape: tuple[int, ...] = (8, 9)) -> Path:
    """Write an empty picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros(shape, np.uint8))
    return path


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Nine images of three wells, three sites each, with their masks."""
    for well in ("A01", "B12", "P24"):
        for site in range(3):
            for folder in ("images", "labels"):
                picture(tmp_path / folder / f"plate_{well}_s{site}_w1.png")
    return tmp_path


def test_every_image_has_the_mask_of_its_name_and_its_well(plate):
    """Images are paired by name; the well is the product."""
    found = load_cells(plate)
    assert found.problems == ()
    assert len(found.set) == 9
    assert all(one.mask is not None and one.mask.name == one.path.name for one in found.set)
    assert {one.product for one in found.set} == {"A01", "B12", "P24"}


def test_a_well_is_learned_from_whole_or_not_at_all(plate):
    """A third of the images stays for the test, and no well is on both sides."""
    found = load_cells(plate).set
    learned = cells_to_learn(found, seed=0)
    left = set(found.samples) - set(learned)
    assert len(learned) == 6
    assert not {one.product for one in learned} & {one.product for one in left}
    assert cells_to_learn(SampleSet(found.root, found.layout, found.samples[::-1]), seed=0) == learned


def test_what_has_no_counterpart_is_named_and_not_used(plate):
    """An image without a mask and a mask without an image each cost themselves alone."""
    picture(plate / "images" / "alone.png")
    picture(plate / "labels" / "lonely.png")
    found = load_cells(plate)
    assert len(found.set) == 9
    assert [("alone" in one, "lonely" in one) for one in found.problems] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("name", "well"),
    [("x_A02_s1.png", "A02"), ("P24-1.tif", "P24"), ("x_A25_.png", None), ("x_Q01_.png", None), ("BA02_1.png", None)],
)
def test_a_well_is_one_of_a_plate(name, well):
    """Rows A to P, columns 01 to 24, between separators."""
    assert well_of(name) == well


def test_a_table_says_its_own_splits(tmp_path):
    """Rows of split train with a mask are learned from; a row without a mask is named."""
    lines = ["path,label,split,mask"]
    for number in range(4):
        picture(tmp_path / f"{number}.png")
        picture(tmp_path / f"{number}_mask.png")
        split = "test" if number == 3 else "train"
        lines.append(f"{number}.png,good,{split},{'' if number == 0 else f'{number}_mask.png'}")
    (tmp_path / "samples.csv").write_text("\n".join(lines) + "\n")
    found = load_cells(tmp_path)
    assert [one.path.name for one in cells_to_learn(found.set, seed=0)] == ["1.png", "2.png"]
    assert len(found.problems) == 1
    assert "0.png" in found.problems[0]


def test_bad_folders_are_named(tmp_path, plate):
    """No folder, no masks, two of one name, none that fits, too few: one sentence each."""
    with pytest.raises(SamplesError, match="no such folder"):
        load_cells(tmp_path / "nowhere")
    with pytest.raises(SamplesError, match="labels"):
        load_cells(plate / "images")
    picture(plate / "images" / "again" / "plate_A01_s0_w1.png")
    with pytest.raises(SamplesError, match="two images of one name"):
        load_cells(plate)
    other = tmp_path / "other"
    picture(other / "images" / "a.png")
    picture(other / "labels" / "b.png")
    with pytest.raises(SamplesError, match="rename"):
        load_cells(other)
    picture(other / "labels" / "a.png")
    with pytest.raises(SamplesError, match="at least 3"):
        cells_to_learn(load_cells(other).set, seed=0)


def test_masks_that_do_not_fit_are_named(tmp_path):
    """Another size, colour, none at all, or no picture: the file is named."""
    image = picture(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        read_numbered(Sample(image, "good", "train"))
    for name, shape, told in (("size.png", (5, 9), "5 x 9"), ("colour.png", (8, 9, 3), "colour")):
        mask = picture(tmp_path / name, shape)
        if told == "colour":
            cv2.imwrite(str(mask), np.random.default_rng(0).integers(0, 255, shape, np.uint8))
        with pytest.raises(DataError, match=told):
            read_numbered(Sample(image, "good", "train", mask=mask))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match="broken"):
        read_numbered(Sample(image, "good", "train", mask=broken))


def test_dots_of_the_images_names_or_with_dots_for_cell_are_masks(tmp_path):
    """Every bright pixel, grey or in colour, is a numbered disc; discs that meet part half-way."""
    picture(tmp_path / "images" / "001cell.png", (30, 40))
    picture(tmp_path / "images" / "b.png", (30, 40))
    marks = np.zeros((30, 40, 3), np.uint8)
    marks[10, 10, 2] = marks[10, 14, 2] = marks[25, 39, 2] = 255
    (tmp_path / "dots").mkdir()
    cv2.imwrite(str(tmp_path / "dots" / "001dots.png"), marks)
    cv2.imwrite(str(tmp_path / "dots" / "b.png"), marks[:, :, 2])
    found = load_cells(tmp_path)
    assert found.problems == ()
    for sample in found.set:
        _, labels = read_numbered(sample)
        assert np.unique(labels).tolist() == [0, 1, 2, 3]
        assert (labels[10, 6], labels[10, 11], labels[10, 13], labels[10, 18], labels[10, 19]) == (1, 1, 2, 2, 0)


def test_two_pictures_of_dots_for_one_image_are_named(tmp_path):
    """Nobody knows which is right."""
    picture(tmp_path / "images" / "1cell.png")
    for name in ("1cell.png", "1dots.png"):
        picture(tmp_path / "dots" / name)
    with pytest.raises(SamplesError, match=r"1cell\.png and .*1dots\.png"):
        load_cells(tmp_path)
