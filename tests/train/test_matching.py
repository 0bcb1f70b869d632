"""Histograms are learned from the images that are trained on, and training sees what the line sees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.errors import DataError, SamplesError
from candling.pixels.prepare import shape_frame
from candling.pixels.read import read_image
from candling.recipe import parse_recipe
from candling.runtime.matching import HISTOGRAMS, load_matcher
from candling.train.data import prepare_set
from candling.train.matching import resolve_matching
from candling.train.pipeline import train_bundle
from candling.train.progress import Silent


def recipe(histogram, *, size=32):
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = {size}\nwidth = {size}\n"
        f"histogram = '{histogram}'\n[method]\nname = 'autoencoder'\nwidths = [8]\n"
        "[training]\nepochs = 1\nprecision = 'float32'\n[limits]\nscores = ['mean_squared_error']\n",
        where="test",
    )


@pytest.fixture
def plates(tmp_path):
    """Twelve plates of three exposures."""
    rng, samples = np.random.default_rng(0), []
    for number in range(12):
        frame = rng.normal(10, 2, (48, 48))
        frame[10:30, 10:30] += 20 * 3.2 ** (number // 4)
        path = tmp_path / f"{number:02d}.png"
        assert cv2.imwrite(str(path), np.clip(frame, 0, 255).astype(np.uint8))
        samples.append(Sample(path, "good", "train"))
    return samples


def test_training_sees_what_the_line_sees(plates, tmp_path):
    """Every prepared image is, to the bit, the matched file brought to size; the files stay as they were."""
    before = [sample.path.read_bytes() for sample in plates]
    matching = resolve_matching(recipe("selective"), plates, folder=tmp_path)
    prepared = prepare_set(
        plates, recipe("selective"), file=tmp_path / "x.npy", key="k", progress=Silent(), matcher=matching.matcher
    )
    for frame, sample in zip(prepared.frames, plates, strict=True):
        matched = matching.matcher.match(read_image(sample.path))
        assert np.array_equal(frame, shape_frame(matched, channels=1, height=32, width=32))
    assert [sample.path.read_bytes() for sample in plates] == before
    assert matching.choices["histogram"] == "selective"
    assert [matching.choices[f"histogram_{name}"] for name in ("low", "medium", "high")] == [4, 4, 4]


def test_nothing_is_read_where_nothing_is_matched(tmp_path):
    """Files that are not there do not matter."""
    nothing = resolve_matching(recipe("none"), [Sample(tmp_path / "gone.png", "good", "train")], folder=tmp_path)
    assert (nothing.matcher, dict(nothing.choices)) == (None, {})


def test_a_table_names_the_groups(plates, tmp_path):
    """What contrast.csv says wins over what was found; the card counts it; nonsense in it is refused."""
    table = tmp_path / "contrast.csv"
    table.write_text("image,group\n00.png,High\n01.png,high\n")
    matching = resolve_matching(recipe("selective"), plates, folder=tmp_path)
    assert (matching.choices["histogram_high"], matching.choices["histogram_named"]) == (6, 2)
    table.write_text("image,group\n00.png,dim\n")
    with pytest.raises(SamplesError, match="row 1: no group 'dim'; it can be low, medium, high"):
        resolve_matching(recipe("selective"), plates, folder=tmp_path)


def test_images_of_a_region_cannot_be_matched(plates, tmp_path):
    """Their whole frames are not there."""
    samples = [Sample(sample.path, "good", "train", region="neck") for sample in plates]
    with pytest.raises(DataError, match="shows the region 'neck' alone"):
        resolve_matching(recipe("global"), samples, folder=tmp_path)


def test_another_template_is_another_file(plates, tmp_path):
    """Prepared images on disk are used again only with the histograms they were matched to."""
    more = {"file": tmp_path / "z.npy", "key": "k", "progress": Silent(), "in_memory_bytes": 0}
    one, other = (
        resolve_matching(recipe("global"), some, folder=tmp_path).matcher for some in (plates[:4], plates[8:])
    )
    first = prepare_set(plates, recipe("global"), matcher=one, **more).frames.copy()
    assert np.array_equal(first, prepare_set(plates, recipe("global"), matcher=one, **more).frames)
    assert not np.array_equal(first, prepare_set(plates, recipe("global"), matcher=other, **more).frames)


def test_a_trained_bundle_matches(plates, tmp_path):
    """From a folder to a bundle: the histograms are in it, and the card says what they were learned from."""
    bundle = train_bundle(recipe("selective"), plates[0].path.parent, tmp_path / "out" / "plates.bundle")
    assert HISTOGRAMS in bundle.manifest.files
    assert bundle.card.choices["histogram"] == "selective"
    assert list(load_matcher(bundle).templates) == ["low", "medium", "high"]
