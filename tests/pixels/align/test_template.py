"""What a template is, and when aligning is chosen: by good images that it did not see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.pixels.align import Aligner, decide, learn_template


def products(scenes, *, turn=0.0, shift_px=0.0, count=8, noise=0.03):
    """One capsule, laid somewhere within these bounds, again and again."""
    picture, rng = scenes.capsule(size=128), np.random.default_rng(2)
    return [
        scenes.laid(
            picture,
            turn=rng.uniform(-turn, turn),
            down_px=rng.uniform(-shift_px, shift_px),
            right_px=rng.uniform(-shift_px, shift_px),
            noise=noise,
            seed=at,
        )
        for at in range(count)
    ]


@pytest.mark.parametrize(("turn", "shift_px", "way"), [(0, 12, "shift"), (180, 8, "turn")])
def test_a_template_shows_the_product(scenes, turn, shift_px, way):
    """The median of what was aligned is the product, wherever it lies; the plain median is a blur."""
    frames = products(scenes, turn=turn, shift_px=shift_px)
    clean, blur = scenes.laid(scenes.capsule(size=128)), np.median(frames, axis=0).astype(np.uint8)
    differences = []
    for template in (learn_template(frames, way), blur):
        aligned, _ = Aligner(template, way).align(clean)
        differences.append(np.abs(aligned.astype(float) - template)[16:-16, 16:-16].mean())
    assert differences[0] < 3.0
    assert differences[1] > 3 * differences[0]


def test_a_template_lies_where_its_images_do(scenes):
    """Images shifted to one side give a template on that side: on average nothing has to move."""
    frames = [scenes.laid(scenes.capsule(size=128), down_px=15 + at, right_px=-10) for at in range(-3, 4)]
    aligner = Aligner(learn_template(frames, "shift"), "shift")
    found = [aligner.find(frame) for frame in frames]
    assert abs(np.median([movement.down for movement in found])) * 128 < 0.5
    assert abs(np.median([movement.right for movement in found])) * 128 < 0.5


@pytest.mark.parametrize("way", ["shift", "turn"])
@pytest.mark.parametrize("frames", [[np.full((32, 48), 7, np.uint8)], [np.full((32, 48, 3), 65535, np.uint16)] * 2])
def test_nothing_to_see_gives_a_template_too(frames, way):
    """One blank image, or two: the template is that grey."""
    template = learn_template(frames, way)
    assert (template == (7 if frames[0].dtype == np.uint8 else 255)).all()
    assert template.shape == (32, 48)


def test_identical_images_are_their_template(scenes):
    """Nothing moves, so nothing is smoothed."""
    frame = scenes.laid(scenes.capsule(size=128))
    assert np.array_equal(learn_template([frame] * 5, "turn"), frame)


@pytest.mark.parametrize(
    ("turn", "shift_px", "way"), [(0, 0.0, "none"), (0, 0.2, "none"), (0, 10.0, "shift"), (180, 6.0, "turn")]
)
def test_the_way_is_what_the_images_need(scenes, turn, shift_px, way):
    """Fixtured, shifted and turned products are told apart; moving noise smooths it, which is no reason to move."""
    decision = decide(products(scenes, turn=turn, shift_px=shift_px))
    assert decision.way == way
    figures = {f"{figure}_{one}" for figure in ("residual", "worst", "lost") for one in ("none", "shift", "turn")}
    assert set(decision.facts) == {"images", *figures}
    if way != "none":
        assert decision.facts[f"residual_{way}"] < 0.9 * decision.facts["residual_none"]


def test_a_texture_is_not_turned_out_of_its_frame():
    """A pattern that fills the frame would lose its corners, and the line would never look at them."""
    rows, columns = np.indices((400, 400))
    pattern = (128 + 60 * np.sin(rows / 6) * (columns % 40 < 20) + 50 * np.sin(columns / 9)).astype(np.uint8)
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        turned = cv2.warpAffine(pattern, cv2.getRotationMatrix2D((200, 200), rng.uniform(0, 360), 1.0), (400, 400))
        frames.append(turned[136:264, 136:264])
    decision = decide(frames)
    assert decision.facts["residual_turn"] < 0.8 * decision.facts["residual_none"]
    assert decision.facts["lost_turn"] > 0.05
    assert decision.way == "none"


def test_a_background_that_stands_still_is_not_moved_with_the_product(scenes):
    """A bright rail at the edge of every picture would be moved along, and stick out: the product stays."""
    frames = products(scenes, shift_px=4, noise=0.0)
    assert decide(frames).way == "shift"
    for frame in frames:
        frame[:6] = 255
        frame[6:9] = 0
    decision = decide(frames)
    assert decision.facts["worst_shift"] > 0.9 * decision.facts["worst_none"]
    assert decision.way == "none"


def test_a_camera_of_12_bits_fills_the_template(scenes):
    """White is what the recipe says it is: twelve bits in a frame of sixteen are not sixteen grey levels."""
    frames = products(scenes, shift_px=8)
    deep = [frame.astype(np.uint16) * 16 for frame in frames]
    template = learn_template(deep, "shift", white=4080)
    assert np.array_equal(template, learn_template(frames, "shift"))
    moved = [Aligner(template, "shift").find(one) for one in (deep[1], frames[1])]
    assert abs(moved[0].down - moved[1].down) * 128 < 0.05
    assert decide(deep, white=4080).facts == decide(frames).facts


def test_of_few_or_equal_images_nothing_is_decided(scenes):
    """Two images prove nothing, and equal ones need nothing."""
    frame = scenes.laid(scenes.capsule(size=128))
    assert decide([frame, frame]).facts["reason"] == "fewer than 8 good images"
    assert decide([cv2.resize(frame, (64, 64))] * 8).way == "none"
    assert decide([np.zeros((64, 64), np.uint8)] * 8).way == "none"
