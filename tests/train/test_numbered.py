"""Images with numbered cells as tiles: nothing is resized, and neither debris nor padding teaches."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.errors import RecipeError
from candling.pixels.instances import BACKGROUND, CENTRE, inside_and_border
from candling.recipe import Recipe
from candling.scenes.cells import draw_cells
from candling.train.numbered import UNKNOWN, check_cells_recipe, prepare_cells
from candling.train.progress import Silent


def recipe(**prepare: object) -> Recipe:
    """A recipe whose tiles are 64 px."""
    return Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": 64, "width": 64, "white": 4095, **prepare},
            "method": {"name": "unet"},
            "limits": {"scores": ["covered_share"]},
        }
    )


def sample(folder: Path, name: str, frame: np.ndarray, labels: np.ndarray) -> Sample:
    """Write an image and its mask."""
    paths = folder / f"{name}.png", folder / f"{name}_mask.png"
    for path, picture in zip(paths, (frame, labels), strict=True):
        cv2.imwrite(str(path), picture)
    return Sample(paths[0], "good", "train", mask=paths[1])


def test_tiles_are_pieces_of_the_image_at_its_own_scale(tmp_path):
    """Each tile and its kinds are found in the image again, pixel by pixel; together they cover it."""
    field = draw_cells(np.random.default_rng(0), height=100, width=130, cells=12, radius_px=6.0)
    one = sample(tmp_path, "a", field.frame, field.labels)
    prepared = prepare_cells([one], recipe(), border_px=2, least_px=0, matcher=None, progress=Silent())
    kinds = inside_and_border(field.labels, border_px=2)
    assert prepared.frames.dtype == np.uint16
    assert prepared.masks is not None
    covered = np.zeros(field.frame.shape, bool)
    for tile, told in zip(prepared.frames, prepared.masks, strict=True):
        places = [
            (top, left)
            for top in range(100 - 64 + 1)
            for left in range(130 - 64 + 1)
            if np.array_equal(field.frame[top : top + 64, left : left + 64], tile)
        ]
        assert len(places) == 1
        top, left = places[0]
        assert np.array_equal(kinds[top : top + 64, left : left + 64], told)
        covered[top : top + 64, left : left + 64] = True
    assert covered.all()


def test_a_small_image_is_continued_and_what_was_added_teaches_nothing(tmp_path):
    """It keeps its scale; beside it every pixel is unknown."""
    field = draw_cells(np.random.default_rng(1), height=64, width=64, cells=6, radius_px=5.0)
    small = sample(tmp_path, "a", field.frame[:40, :50], field.labels[:40, :50])
    prepared = prepare_cells([small], recipe(), border_px=2, least_px=0, matcher=None, progress=Silent())
    assert prepared.frames.shape == (1, 64, 64)
    assert prepared.masks is not None
    assert np.array_equal(prepared.frames[0, :40, :50], field.frame[:40, :50])
    assert (prepared.masks[0, 40:] == UNKNOWN).all()
    assert (prepared.masks[0, :, 50:] == UNKNOWN).all()
    assert not (prepared.masks[0, :40, :50] == UNKNOWN).any()


def test_debris_teaches_nothing(tmp_path):
    """A smaller object is neither a cell nor background."""
    labels = np.zeros((64, 64), np.uint16)
    labels[5:15, 5:15] = 3
    labels[40:42, 40:42] = 7
    one = sample(tmp_path, "a", np.zeros((64, 64), np.uint16), labels)
    prepared = prepare_cells([one], recipe(), border_px=2, least_px=30, matcher=None, progress=Silent())
    assert prepared.masks is not None
    assert (prepared.masks[0][labels == 7] == UNKNOWN).all()
    assert not np.isin(prepared.masks[0][labels == 3], (UNKNOWN, BACKGROUND)).any()


def test_images_of_8_and_16_bits_learn_together(tmp_path):
    """With white said, values stay what they are; without, an 8-bit image is spread so that white is white."""
    labels = np.zeros((64, 64), np.uint16)
    deep = sample(tmp_path, "deep", np.full((64, 64), 4095, np.uint16), labels)
    flat = sample(tmp_path, "flat", np.full((64, 64), 200, np.uint8), labels)
    for white, level in ((4095, 200), (None, 200 * 257)):
        prepared = prepare_cells(
            [deep, flat], recipe(white=white), border_px=2, least_px=0, matcher=None, progress=Silent()
        )
        assert prepared.frames[:, 0, 0].tolist() == [4095, level]


@pytest.mark.parametrize(("key", "word"), [("align", "shift"), ("crop", "auto")])
def test_what_moves_or_cuts_frames_is_refused(key, word):
    """Cells are counted in whole frames, where they are."""
    with pytest.raises(RecipeError, match=rf"prepare\.{key}"):
        check_cells_recipe(recipe(**{key: word}))


def test_the_middle_of_every_cell_is_marked_where_it_is_asked_for(tmp_path):
    """One pixel a cell over all tiles that hold it, none of debris, and nothing else changes."""
    field = draw_cells(np.random.default_rng(3), height=64, width=64, cells=6, radius_px=6.0)
    labels = field.labels.copy()
    labels[0, 0] = 99
    one = sample(tmp_path, "a", field.frame, labels)
    plain, marked = (
        prepare_cells([one], recipe(), border_px=2, least_px=9, matcher=None, progress=Silent(), centres=centres)
        for centres in (False, True)
    )
    assert plain.masks is not None
    assert marked.masks is not None
    middles = marked.masks[0] == CENTRE
    assert middles.sum() == field.count
    assert sorted(labels[middles].tolist()) == list(range(1, field.count + 1))
    assert np.array_equal(plain.masks[0][~middles], marked.masks[0][~middles])
