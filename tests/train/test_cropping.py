"""How the box of a product is decided from images on disk, and that the line cuts the same and refuses other sizes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.errors import DataError, ImageError
from candling.recipe import parse_recipe
from candling.runtime.predictor import Predictor
from candling.train.cropping import resolve_crop
from candling.train.pipeline import train_bundle
from candling.workflow.maps import frame_map


def recipe(crop="auto", regions=""):
    return parse_recipe(
        "[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 'auto'\nwidth = 'auto'\npixels = 4096\n"
        f"crop = '{crop}'\n{regions}[method]\nname = 'autoencoder'\n[training]\nepochs = 1\n"
        "[limits]\nscores = ['mean_squared_error']\n",
        where="test",
    )


def pill(size=(160, 200)):
    frame = np.full((*size, 3), 190, np.uint8)
    cv2.ellipse(frame, (100, 80), (60, 20), 0, 0, 360, (60, 60, 60), -1)
    return frame


@pytest.fixture
def pills(tmp_path):
    """Six pictures of one pill, as a folder of good images."""
    folder = tmp_path / "data" / "train" / "good"
    folder.mkdir(parents=True)
    samples = []
    for number in range(6):
        path = folder / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 3, pill().shape, dtype=np.uint8)
        assert cv2.imwrite(str(path), pill() + noise)
        samples.append(Sample(path, "good", "train"))
    return samples


def test_the_box_becomes_a_region_and_its_size_is_kept(pills):
    """The pill is inside with room, the frame's size is in the recipe, and the card says so."""
    decided, facts = resolve_crop(recipe(), pills)
    (region,) = decided.regions
    assert region.name == "product"
    assert region.top < 60 < 100 < region.top + region.height
    assert region.left < 40 < 160 < region.left + region.width
    assert region.height * region.width < 0.6 * 160 * 200
    assert decided.frame is not None
    assert (decided.frame.height, decided.frame.width) == (160, 200)
    assert decided.prepare.crop == "none"
    assert facts["crop"].startswith(f"rows {region.top} to ")


def test_what_has_regions_or_several_sizes_stays_whole(pills, tmp_path):
    """Regions are the user's word; several sizes have no common box; and 'none' decides nothing."""
    given = "[[regions]]\nname = 'middle'\ntop = 0\nleft = 0\nheight = 100\nwidth = 100\n"
    assert resolve_crop(recipe(regions=given), pills)[0].regions[0].name == "middle"
    assert resolve_crop(recipe(), [replace(pills[0], region="middle")])[0].regions == ()
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), pill((180, 200)))
    decided, facts = resolve_crop(recipe(), [*pills, Sample(other, "good", "train")])
    assert decided.regions == ()
    assert "several sizes" in facts["crop"]
    assert resolve_crop(recipe("none"), pills) == (recipe("none"), {})


def test_an_unreadable_image_is_named(pills, tmp_path):
    """Whoever put it there is told which one it is."""
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"torn\.png"):
        resolve_crop(recipe(), [*pills, Sample(torn, "good", "train")])


def test_the_line_cuts_the_same_and_refuses_other_sizes(pills, tmp_path):
    """A bundle trained so maps the product back to its place in the frame, at the least value around it."""
    bundle = train_bundle(recipe(), tmp_path / "data", tmp_path / "pill.bundle")
    (region,) = bundle.recipe.regions
    assert bundle.card.choices["crop"].startswith("rows ")
    predictor = Predictor.load(bundle)
    grey = pill()[..., 0]
    predictions = predictor.predict(grey)
    assert [one.region for one in predictions] == ["product"]
    whole = frame_map(predictions, grey.shape)
    assert whole is not None
    assert whole[: region.top].max() <= whole.min() + 1e-6
    with pytest.raises(ImageError, match="320 x 400 px"):
        predictor.predict(cv2.resize(grey, (400, 320)))


def test_a_stated_frame_size_holds_in_training_too(pills, tmp_path):
    """A box counted in the pixels of other frames would cut something else: the image is named, nothing is trained."""
    given = "[[regions]]\nname = 'middle'\ntop = 0\nleft = 0\nheight = 100\nwidth = 100\n"
    with pytest.raises(DataError, match=r"0\.png.*160 x 200 px.*320 x 400"):
        train_bundle(
            recipe("none", f"[frame]\nheight = 320\nwidth = 400\n{given}"), tmp_path / "data", tmp_path / "x.bundle"
        )
