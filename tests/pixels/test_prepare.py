"""Facts about pixels to network input: one definition, exact numbers, no pixel skipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candling.errors import ImageError
from candling.pixels.prepare import PixelSpec, prepare, scale, shape_frame

sides = st.integers(1, 40)


@given(height=sides, width=sides, rows=sides, columns=sides, channels=st.sampled_from([1, 3]), wide=st.booleans())
def test_prepare_is_scale_of_shape_frame(height, width, rows, columns, channels, wide):
    """Training (cache, then scale a batch) and the line (prepare) give the same numbers to the last bit."""
    rng = np.random.default_rng(height * 41 + width)
    dtype = np.uint16 if wide else np.uint8
    frames = [rng.integers(0, np.iinfo(dtype).max, (rows, columns, 3), dtype=dtype, endpoint=True) for _ in range(3)]
    spec = PixelSpec(channels, height, width)
    cached = [shape_frame(frame, channels=channels, height=height, width=width) for frame in frames]
    assert {shaped.dtype for shaped in cached} == {np.dtype(dtype)}
    batch = scale(np.stack(cached))
    assert batch.shape == (3, channels, height, width)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch.min() >= 0.0
    assert batch.max() <= 1.0
    for one, frame in zip(batch, frames, strict=True):
        np.testing.assert_array_equal(one, prepare(frame, spec))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_itu_r_601(dtype):
    """Grey is 0.299 R + 0.587 G + 0.114 B, to the rounding, at 8 and 16 bits."""
    frame = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (20, 30, 3), dtype=dtype)
    expected = frame @ np.array([0.299, 0.587, 0.114])
    grey = shape_frame(frame, channels=1, height=20, width=30)
    assert grey.dtype == dtype
    assert np.abs(grey - expected).max() <= (1 if dtype == np.uint8 else 3)


def test_grey_becomes_three_equal_channels():
    """A grey camera feeds a colour network."""
    frame = np.random.default_rng(0).integers(0, 255, (9, 9), dtype=np.uint8)
    shaped = shape_frame(frame, channels=3, height=9, width=9)
    for channel in range(3):
        np.testing.assert_array_equal(shaped[:, :, channel], frame)


def test_shrinking_averages_every_pixel():
    """A bright scratch of one pixel survives a fourfold reduction as its share of the area."""
    frame = np.zeros((64, 64), np.uint8)
    frame[:, 33] = 240
    assert shape_frame(frame, channels=1, height=16, width=16)[:, 8].tolist() == [60] * 16


@pytest.mark.parametrize("turned", [False, True])
def test_mixed_scaling_averages_the_shrinking_axis(turned):
    """Where one axis grows, the other is still averaged over all its pixels, not sampled."""
    frame = np.zeros((8, 64), np.uint8)
    frame[:, 33] = 240
    if turned:
        shaped = shape_frame(frame.T, channels=1, height=16, width=16).T
    else:
        shaped = shape_frame(frame, channels=1, height=16, width=16)
    assert shaped[:, 8].tolist() == [60] * 16


def test_an_unchanged_frame_is_not_copied():
    """A frame that fits already passes as it is."""
    frame = np.zeros((4, 5), np.uint16)
    assert shape_frame(frame, channels=1, height=4, width=5) is frame


def test_views_give_the_same_as_copies():
    """A cut region and a flipped view are prepared like their copies."""
    frame = np.random.default_rng(1).integers(0, 65535, (40, 40, 3), dtype=np.uint16)
    spec = PixelSpec(1, 10, 10)
    expected = prepare(np.ascontiguousarray(frame[5:25, ::-1][:, 3:33]), spec)
    np.testing.assert_array_equal(prepare(frame[5:25, ::-1][:, 3:33], spec), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scale_is_one_float32_division(dtype):
    """Every possible value gives value / white in float32, correctly rounded."""
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    white = np.float32(np.iinfo(dtype).max)
    np.testing.assert_array_equal(scale(values[None, None]).ravel(), values.astype(np.float32) / white)


def test_white_of_a_camera_of_12_bits():
    """The declared white becomes 1, brighter is clipped, and channels come first."""
    frames = np.zeros((1, 1, 2, 3), np.uint16)
    frames[0, 0] = [[4095, 0, 8000], [0, 2047, 0]]
    scaled = scale(frames, white=4095)
    assert scaled[0, :, 0, 0].tolist() == [1.0, 0.0, 1.0]
    assert scaled[0, 1, 0, 1] == np.float32(2047) / np.float32(4095)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), ">u2"),
        [[1, 2]],
        None,
    ],
)
def test_what_is_no_frame_is_refused(frame):
    """Floats, four channels, empty arrays, foreign byte order, lists: one ImageError that says what was given."""
    with pytest.raises(ImageError, match="give uint8 or uint16 of shape"):
        prepare(frame, PixelSpec(1, 4, 4))


def test_impossible_requests_are_refused():
    """Two channels, no rows and no white are the caller's mistake."""
    frame = np.zeros((4, 4), np.uint8)
    for channels, height in ((2, 4), (1, 0)):
        with pytest.raises(ValueError, match="channels must be 1 or 3"):
            shape_frame(frame, channels=channels, height=height, width=4)
    with pytest.raises(ValueError, match="white must be at least 1"):
        scale(frame[None], white=0)
    with pytest.raises(ImageError, match="float64"):
        scale(np.zeros((1, 4, 4)))
