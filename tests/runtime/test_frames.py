"""What cannot show a strip is refused in one sentence, before a graph sees it."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import ImageError
from candling.recipe import FrameSize, Strip
from candling.runtime.frames import check_acquisition, check_frame, check_strip_frame

STRIP = Strip(vials=2, pitch_px=32, frames=3, height=64, width=64)


def frames(dtype=np.uint8, level=100):
    made = [np.full((64, 64), level, dtype) for _ in range(3)]
    for number, frame in enumerate(made):
        frame[0, number] += 1
    return made


def test_usable_frames_come_back_as_they_are():
    """No pixel is copied."""
    given = frames()
    assert all(one is other for one, other in zip(check_acquisition(given, STRIP, white=None), given, strict=True))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda given: given[:2], "2 frames came where one acquisition has 3"),
        (lambda given: [*given, given[0] + 1], "4 frames came where one acquisition has 3"),
        (lambda given: [], "0 frames came where one acquisition has 3"),
        (lambda given: [given[0], None, given[2]], "frame 2 of 3: no frame came in time"),
        (lambda given: [given[0], given[1], given[2][:, :60]], "frame 3 of 3: the frame has 64 x 60 px"),
        (lambda given: [given[0], given[1], given[0].copy()], "frames 1 and 3 of 3 are the same picture"),
        (lambda given: [given[0], np.zeros_like(given[1]), given[2]], "frame 2 of 3: the frame is black"),
        (lambda given: [given[0], np.full_like(given[1], 255), given[2]], "frame 2 of 3: the frame is saturated"),
        (lambda given: [given[0].astype(np.float32), *given[1:]], "frame 1 of 3: the frame is float32"),
        (lambda given: [np.full((64, 64), np.nan), *given[1:]], "frame 1 of 3: the frame is float64"),
        (lambda given: ["a.png", *given[1:]], "frame 1 of 3: the frame is a str"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_frame(spoil, sentence):
    """One sentence that says which frame it is and what to check."""
    with pytest.raises(ImageError, match=sentence):
        check_acquisition(spoil(frames()), STRIP, white=None)


def test_colour_and_grey_are_told_apart_where_the_recipe_says():
    """Colour where grey was learned and grey where colour was are one sentence each; grey stored as RGB is grey."""
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    stored, colour = np.stack([grey] * 3, axis=2), np.stack([grey, grey // 2, grey // 3], axis=2)
    for kept in (grey, stored):
        assert check_frame(kept, FrameSize(channels=1)) is kept
    assert check_frame(colour, FrameSize(channels=3)) is colour
    with pytest.raises(ImageError, match="is in colour and the recipe's are grey"):
        check_frame(colour, FrameSize(channels=1))
    with pytest.raises(ImageError, match="is grey and the recipe's are in colour"):
        check_frame(grey, FrameSize(channels=3))
    with pytest.raises(ImageError, match=r"has 32 x 32 px .* and the recipe's have 50 x 50"):
        check_frame(grey, FrameSize(height=50, width=50))
    with pytest.raises(ValueError, match="given together"):
        FrameSize(height=50)


def test_a_dark_frame_with_something_in_it_is_no_black_one():
    """Two hundredths of white is black; a strip that shows in a fiftieth of the pixels is enough to be judged."""
    frame = np.full((64, 64), 3, np.uint8)
    with pytest.raises(ImageError, match="black"):
        check_strip_frame(frame, STRIP, white=None)
    frame[::4, 24:28] = 90
    assert check_strip_frame(frame, STRIP, white=None) is frame


def test_white_is_what_the_recipe_says():
    """A camera of 12 bits in 16 is saturated at 4095 and black below 82."""
    twelve = np.full((64, 64), 4095, np.uint16)
    with pytest.raises(ImageError, match="saturated"):
        check_strip_frame(twelve, STRIP, white=4095)
    assert check_strip_frame(twelve, STRIP, white=None) is twelve
    with pytest.raises(ImageError, match="black"):
        check_strip_frame(np.full((64, 64), 80, np.uint16), STRIP, white=4095)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda frame: frame[..., 0], "grey and the recipe's have three colours"),
        (lambda frame: frame[..., [0, 1, 1]], "green and blue of the frame are the same picture"),
        (lambda frame: frame[..., [2, 1, 2]], "red and blue of the frame are the same picture"),
    ],
)
def test_a_frame_that_came_twice_is_seen_in_the_picture_put_together(spoil, sentence):
    """Two equal colours are one frame twice; of three different ones nothing is said."""
    frame = np.dstack(frames())
    assert check_strip_frame(frame, STRIP, white=None, coloured=True) is frame
    with pytest.raises(ImageError, match=sentence):
        check_strip_frame(spoil(frame), STRIP, white=None, coloured=True)
    assert check_strip_frame(spoil(frame), STRIP, white=None) is not None
