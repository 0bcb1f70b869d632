"""Drawn mats: what is drawn, what the mask says of it, and the data set on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from candling.data.samples import load_samples
from candling.errors import UsageError
from candling.pixels.read import read_image, read_mask
from candling.scenes.fibres import DEFECTS, draw_mat, write_dataset

SIZE = (96, 128)


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_is_where_its_mask_says(kind: str) -> None:
    """With the same chance, the picture with a defect differs from the one without inside the mask alone."""
    frame, mask = draw_mat(np.random.default_rng(4), size=SIZE, fibre_px=5, defects=(kind,))
    assert frame.shape == SIZE
    assert frame.dtype == np.uint8
    assert 0.002 < mask.mean() < 0.3
    inside = frame[mask].astype(float)
    assert inside.std() < frame.std()  # a defect is more even than the mat


def test_a_good_mat_has_no_mask_and_a_wide_range_of_grey() -> None:
    """Fibres from dark to light over a dark ground, and nothing marked."""
    frame, mask = draw_mat(np.random.default_rng(0), size=SIZE, fibre_px=5)
    assert not mask.any()
    assert frame.std() > 30
    again, _ = draw_mat(np.random.default_rng(0), size=SIZE, fibre_px=5)
    assert np.array_equal(frame, again)


def test_a_data_set_is_found_with_its_masks(tmp_path: Path) -> None:
    """Folders as of the real set: good images train, each defect has its mask, of its image's size."""
    found = load_samples(write_dataset(tmp_path / "mats", seed=1, size=SIZE, fibre_px=5, normal=2, anomalous=3))
    assert [sample.is_good for sample in found].count(True) == 2
    for sample in found:
        assert (sample.mask is None) == sample.is_good
        if sample.mask is not None:
            assert read_mask(sample.mask).shape == read_image(sample.path).shape == SIZE


def test_impossible_mats_are_refused(tmp_path: Path) -> None:
    """A tiny picture, an unknown defect, no good picture."""
    with pytest.raises(UsageError, match="from 48 x 48 px on"):
        draw_mat(np.random.default_rng(0), size=(40, 100))
    with pytest.raises(UsageError, match=r"no defect 'hole'.*bead, film, dust"):
        draw_mat(np.random.default_rng(0), size=SIZE, defects=("hole",))
    with pytest.raises(UsageError, match="needs a normal picture"):
        write_dataset(tmp_path / "x", seed=0, normal=0)
