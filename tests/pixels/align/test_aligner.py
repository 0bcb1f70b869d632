"""Known shifts and turns are found again, and what cannot be found is left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.align import Aligner, Movement, shape_aligned
from candling.pixels.prepare import PixelSpec, shape_frame
from candling.scenes.capsules import draw_defect


@pytest.fixture(scope="module")
def template(scenes):
    return scenes.laid(scenes.capsule())


@pytest.fixture(scope="module")
def shifting(template):
    return Aligner(template, "shift")


@pytest.fixture(scope="module")
def turning(template):
    return Aligner(template, "turn")


def apart(turn, other):
    """Degrees between two angles."""
    return abs((turn - other + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize("noise", [0.0, 0.06])
@pytest.mark.parametrize(("down", "right"), [(0.0, 7.3), (-31.0, 22.5), (12.6, -40.0), (45.0, 45.0)])
def test_shifts_are_found(scenes, shifting, down, right, noise):
    """Up to nearly a quarter of a side, to half a pixel, noise or not."""
    found = shifting.find(scenes.laid(scenes.capsule(), down_px=down, right_px=right, noise=noise))
    assert found.turn == 0.0
    assert abs(found.down * 192 - down) < 0.5
    assert abs(found.right * 192 - right) < 0.5


@pytest.mark.parametrize("turn", [-178.0, -91.4, -47.0, -3.3, 0.0, 1.2, 66.6, 90.0, 135.8, 180.0])
def test_turns_are_found(scenes, turning, turn):
    """All round, to half a degree and half a pixel, with noise and a shift besides."""
    frame = scenes.laid(scenes.capsule(), turn=turn, down_px=9.5, right_px=-14.0, noise=0.04)
    found = turning.find(frame)
    assert apart(found.turn, turn) < 0.5
    assert abs(found.down * 192 - 9.5) < 0.5
    assert abs(found.right * 192 + 14.0) < 0.5


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_every_kind_of_frame_is_aligned(scenes, template, turning, colour, wide):
    """Grey and colour, 8 and 16 bits: the type stays, and the product comes to lie on the template."""
    frame = scenes.laid(scenes.capsule(), turn=77.0, right_px=10.0)
    frame = frame.astype(np.uint16) * 257 if wide else frame
    frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) if colour else frame
    aligned, movement = turning.align(frame)
    assert (aligned.dtype, aligned.shape) == (frame.dtype, frame.shape)
    assert apart(movement.turn, 77.0) < 0.5
    before, after = ((one[..., 0] if colour else one) / (257 if wide else 1) - template for one in (frame, aligned))
    assert np.abs(before).mean() > 10.0
    assert np.abs(after)[20:-20, 20:-20].mean() < 2.0


def test_another_light_changes_nothing(scenes, turning):
    """Half the light and some stray light move the product nowhere."""
    bright = scenes.laid(scenes.capsule(), turn=30.0, down_px=5.0)
    dim = (bright * 0.5 + 40).astype(np.uint8)
    one, other = turning.find(bright), turning.find(dim)
    assert apart(one.turn, other.turn) < 0.1
    assert abs(one.down - other.down) * 192 < 0.1


@pytest.mark.parametrize("kind", ["crack", "poke", "squeeze"])
def test_a_defect_does_not_pull_the_product_away(kind):
    """A product with a defect is laid where the same product without it would be."""
    good, _ = draw_defect(kind, np.random.default_rng(5), size=192, difficulty=1.0)
    bad, _ = draw_defect(kind, np.random.default_rng(5), size=192, difficulty=0.0)
    template, _ = draw_defect(kind, np.random.default_rng(6), size=192, difficulty=1.0)
    grey = template if template.ndim == 2 else cv2.cvtColor(template, cv2.COLOR_RGB2GRAY)
    aligner = Aligner(grey, "turn")
    strong, faint = aligner.find(bad), aligner.find(good)
    assert strong.correlation > 0.8
    assert abs(strong.down - faint.down) * 192 < 3.0


def test_turns_are_rigid_before_the_frame_was_squeezed(scenes):
    """A frame of 192 x 192 px prepared at 128 x 192 px: a product a quarter round is found as such, not as a shear."""
    upright, lying = scenes.laid(scenes.capsule()), scenes.laid(scenes.capsule(), turn=90.0)
    shaped = [shape_frame(frame, channels=1, height=128, width=192) for frame in (upright, lying)]
    right, wrong = (Aligner(shaped[0], "turn").align(shaped[1], aspect=aspect) for aspect in (1.0, None))
    assert apart(right[1].turn, 90.0) < 0.5
    assert right[1].correlation > 0.98 > wrong[1].correlation
    assert np.abs(right[0].astype(float) - shaped[0])[15:-15, 15:-15].mean() < 2.0


@pytest.mark.parametrize("way", ["shift", "turn"])
@pytest.mark.parametrize("kind", ["noise", "blank", "gradient"])
def test_what_does_not_look_like_the_template_stays(template, way, kind):
    """A frame of something else, or of nothing, passes to the last bit."""
    frame = {
        "noise": np.random.default_rng(0).integers(0, 255, template.shape, dtype=np.uint8),
        "blank": np.full(template.shape, 200, np.uint8),
        "gradient": np.tile(np.arange(192, dtype=np.uint8), (192, 1)),
    }[kind]
    aligned, movement = Aligner(template, way).align(frame)
    assert movement.still
    assert aligned is frame


@pytest.mark.parametrize("way", ["shift", "turn"])
def test_a_template_of_one_grey_moves_nothing(template, way):
    """Where there is nothing to align to, nothing is divided by zero and nothing moves."""
    aligned, movement = Aligner(np.full_like(template, 90), way).align(template)
    assert aligned is template
    assert movement.correlation == 0.0


@pytest.mark.parametrize("way", ["shift", "turn"])
def test_a_product_in_its_place_stays_to_the_bit(template, way):
    """The template itself is not touched."""
    aligned, movement = Aligner(template, way).align(template)
    assert aligned is template
    assert movement.correlation > 0.999


@pytest.mark.parametrize("shape", [(8, 8), (8, 200), (40, 9), (512, 64)])
@pytest.mark.parametrize("way", ["shift", "turn"])
def test_every_size_has_an_answer(shape, way):
    """The smallest and the longest of frames do not fail."""
    rng = np.random.default_rng(0)
    template, frame = (rng.integers(0, 255, shape, dtype=np.uint8) for _ in range(2))
    assert Aligner(template, way).align(frame)[0].shape == shape


def test_shaping_and_aligning_is_one_function(scenes, turning):
    """Without an aligner it is shape_frame alone; with one, its frame aligned, at the proportions of what came in."""
    frame = cv2.resize(scenes.laid(scenes.capsule(), turn=40.0), (384, 384))
    spec = PixelSpec(1, 192, 192)
    plain, still = shape_aligned(frame, spec, None)
    assert np.array_equal(plain, shape_frame(frame, channels=1, height=192, width=192))
    assert still == Movement()
    aligned, movement = shape_aligned(frame, spec, turning)
    assert np.array_equal(aligned, turning.align(plain, aspect=1.0)[0])
    assert apart(movement.turn, 40.0) < 0.5


def test_threads_agree(scenes, template):
    """One aligner answers several threads, each as if it were alone."""
    frames = [scenes.laid(scenes.capsule(), turn=30.0 * at, right_px=at) for at in range(8)]
    alone = [Aligner(template, "turn").find(frame) for frame in frames]
    shared = Aligner(template, "turn")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shared.find, frames)) == alone


def test_what_cannot_be_compared_is_refused(template, shifting):
    """Another size, a template in colour or of 16 bits: one sentence."""
    with pytest.raises(ImageError, match="give one size"):
        shifting.find(np.zeros((10, 10), np.uint8))
    with pytest.raises(ImageError, match="give uint8 of shape"):
        Aligner(template.astype(np.uint16), "shift")
    with pytest.raises(ImageError, match="give uint8 of shape"):
        Aligner(np.zeros((4, 4, 3), np.uint8), "shift")
