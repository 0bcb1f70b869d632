"""How the way of aligning is decided from images on disk, and that training sees what the line sees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.data.samples import Sample
from candling.pixels.align import shape_aligned
from candling.pixels.prepare import PixelSpec
from candling.pixels.read import read_image
from candling.recipe import parse_recipe
from candling.runtime.aligning import TEMPLATE
from candling.runtime.inspector import Inspector
from candling.train.aligning import resolve_align
from candling.train.data import prepare_set, resolve_prepare
from candling.train.pipeline import train_bundle
from candling.train.progress import Silent


def recipe(align, regions="", size=64):
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = {size}\nwidth = {size}\nalign = '{align}'\n"
        f"{regions}[method]\nname = 'autoencoder'\n[limits]\nscores = ['error']\n",
        where="test",
    )


def bar(turn):
    frame = np.full((96, 96, 3), 120, np.uint8)
    cv2.rectangle(frame, (22, 40), (73, 56), (30, 30, 30), -1)
    cv2.circle(frame, (66, 48), 5, (250, 250, 250), -1)
    matrix = cv2.getRotationMatrix2D((47.5, 47.5), -turn, 1.0)
    return cv2.warpAffine(frame, matrix, (96, 96), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture
def bars(tmp_path):
    """Sixteen products turned at will."""
    rng, samples = np.random.default_rng(0), []
    for number in range(16):
        path = tmp_path / f"{number}.png"
        assert cv2.imwrite(str(path), bar(rng.uniform(0, 360)))
        samples.append(Sample(path, "good", "train"))
    return samples


def test_auto_decides_and_says_why(bars):
    """Products turned at will are turned back; the figures that decided it are for the card."""
    aligned = resolve_align(recipe("auto"), bars)
    assert aligned.recipe.prepare.align == "turn"
    assert aligned.recipe.prepare.resolved
    assert list(aligned.aligners) == ["whole"]
    assert aligned.choices["align"] == "turn"
    assert aligned.choices["align_images"] == 16
    assert aligned.choices["align_residual_turn"] < 0.5 * aligned.choices["align_residual_none"]


def test_a_given_way_is_kept(bars):
    """What the recipe says is done, without a decision; "none" reads nothing."""
    aligned = resolve_align(recipe("shift"), bars)
    assert aligned.recipe.prepare.align == "shift"
    assert aligned.choices == {"align": "shift"}
    assert aligned.aligners["whole"].way == "shift"
    nothing = resolve_align(recipe("none"), [])
    assert (nothing.aligners, nothing.choices) == ({}, {})


def test_too_few_images_are_left_alone(bars):
    """Two good images prove nothing: "auto" is "none", and the card says why."""
    aligned = resolve_align(recipe("auto"), bars[:2])
    assert aligned.recipe.prepare.align == "none"
    assert not aligned.aligners
    assert aligned.choices["align_reason"] == "fewer than 8 good images"


def test_sizes_are_decided_apart(bars):
    """Deciding sizes leaves aligning open; deciding that resolves the recipe."""
    open_still = resolve_prepare(recipe("auto"), bars)
    assert open_still.prepare.align == "auto"
    assert not open_still.prepare.resolved


def test_regions_have_templates_of_their_own(bars):
    """Each region is aligned to itself, and all by the simplest way that one of them asks for."""
    regions = "".join(
        f"[[regions]]\nname = '{name}'\ntop = {top}\nleft = 0\nheight = 48\nwidth = 96\n"
        for name, top in (("upper", 0), ("lower", 48))
    )
    aligned = resolve_align(recipe("shift", regions), bars)
    assert list(aligned.aligners) == ["upper", "lower"]
    assert not np.array_equal(aligned.aligners["upper"].template, aligned.aligners["lower"].template)
    decided = resolve_align(recipe("auto", regions), bars)
    assert {"align_upper_residual_none", "align_lower_residual_none"} <= set(decided.choices)


def test_a_region_that_no_image_shows_is_not_moved(bars):
    """A table may name regions image by image; one without images gets a template to which nothing is moved."""
    regions = "".join(
        f"[[regions]]\nname = '{name}'\ntop = 0\nleft = 0\nheight = 96\nwidth = 96\n" for name in ("seen", "unseen")
    )
    samples = [Sample(sample.path, "good", "train", region="seen") for sample in bars]
    aligned = resolve_align(recipe("turn", regions), samples)
    frame = cv2.resize(bar(90.0)[..., 0], (64, 64))
    assert aligned.aligners["unseen"].align(frame)[0] is frame
    assert aligned.aligners["seen"].align(frame)[0] is not frame


def test_training_sees_what_the_line_sees(bars, tmp_path):
    """Every prepared image is, to the bit, what the one function gives that the line calls too."""
    aligned = resolve_align(recipe("turn"), bars)
    prepared = prepare_set(
        bars, aligned.recipe, file=tmp_path / "x.npy", key="k", progress=Silent(), aligners=aligned.aligners
    )
    for frame, sample in zip(prepared.frames, bars, strict=True):
        expected, _ = shape_aligned(read_image(sample.path), PixelSpec(1, 64, 64), aligned.aligners["whole"])
        assert np.array_equal(frame, expected)
    spread = prepared.frames[:, 12:-12, 12:-12].astype(float).std(axis=0).mean()
    plain = prepare_set(bars, recipe("none"), file=tmp_path / "y.npy", key="k", progress=Silent())
    assert spread < 0.4 * plain.frames[:, 12:-12, 12:-12].astype(float).std(axis=0).mean()


def test_another_template_is_another_file(bars, tmp_path):
    """Prepared images on disk are used again only with the template they were aligned to."""
    more = {"file": tmp_path / "z.npy", "key": "k", "progress": Silent(), "in_memory_bytes": 0}
    aligned = resolve_align(recipe("turn"), bars)
    first = prepare_set(bars, aligned.recipe, aligners=aligned.aligners, **more).frames.copy()
    again = prepare_set(bars, aligned.recipe, aligners=aligned.aligners, **more).frames
    assert np.array_equal(first, again)
    other = resolve_align(recipe("turn"), bars[3:9])
    assert not np.array_equal(first, prepare_set(bars, other.recipe, aligners=other.aligners, **more).frames)


def test_a_trained_bundle_aligns(bars, tmp_path):
    """From a folder to a bundle: the template is in it, the card says why, and a turned product is like the others."""
    chosen = parse_recipe(
        "[story]\nproduct = 'bars'\n[prepare]\nchannels = 1\nheight = 32\nwidth = 32\nalign = 'auto'\n"
        "[method]\nname = 'autoencoder'\nwidths = [8]\n[training]\nepochs = 1\nprecision = 'float32'\n"
        "[limits]\nscores = ['mean_squared_error']\n",
        where="test",
    )
    bundle = train_bundle(chosen, bars[0].path.parent, tmp_path / "out" / "bars.bundle")
    assert bundle.recipe.prepare.align == "turn"
    assert bundle.card.choices["align"] == "turn"
    assert bundle.card.choices["align_residual_turn"] < bundle.card.choices["align_residual_none"]
    assert TEMPLATE in bundle.manifest.files
    inspector = Inspector.load(bundle, engine="onnxruntime")
    scores = [inspector.inspect(bar(turn)).predictions[0].scores["mean_squared_error"] for turn in (10.0, 100.0, 250.0)]
    assert max(scores) < 1.2 * min(scores)
