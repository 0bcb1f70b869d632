"""What a bundle learned from is known by its bytes, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from candling.data.samples.sample import Sample
from candling.errors import BundleError, SamplesError
from candling.runtime.learned import FIT, HELD_OUT, encode_learned, learned_hashes, without_learned


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four different pictures."""
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((8, 8), 10 * number, np.uint8))
        found.append(Sample(path, "bead" if number else "good", "train"))
    return found


def bundle_with(data: bytes | None) -> SimpleNamespace:
    return SimpleNamespace(path=Path("a.bundle"), read_extra=lambda _name: data)


def test_learned_images_are_left_out_under_any_name(samples: list[Sample], tmp_path: Path) -> None:
    """A copy elsewhere is the same image; of the two parts one may stay where limits are chosen."""
    bundle = bundle_with(encode_learned([(FIT, samples[:2]), (HELD_OUT, samples[2:3])]))
    copied = Sample(Path(shutil.copy(samples[0].path, tmp_path / "renamed.png")), "good", "test")
    left, notes = without_learned([copied, *samples[1:]], bundle)
    assert left == (samples[3],)
    assert "3 images were left out" in notes[0]
    left, _ = without_learned(samples, bundle, held_out=False)
    assert left == tuple(samples[2:])
    assert len(learned_hashes(bundle)) == 3


def test_a_bundle_that_does_not_say_leaves_all(samples: list[Sample]) -> None:
    """Methods of good images alone write no table."""
    assert without_learned(samples, bundle_with(None)) == (tuple(samples), ())


def test_damage_and_emptiness_are_told(samples: list[Sample]) -> None:
    """A table that is none, nothing left to measure on, an image that is gone."""
    with pytest.raises(BundleError, match=r"learned\.csv: is not the table"):
        learned_hashes(bundle_with(b"sha256,part\n1,2\n"))
    bundle = bundle_with(encode_learned([(FIT, samples)]))
    with pytest.raises(SamplesError, match=r"all 4 images are among those that a\.bundle learned from"):
        without_learned(samples, bundle)
    with pytest.raises(SamplesError, match="cannot be read"):
        without_learned([Sample(Path("gone.png"), "good", "test")], bundle)
