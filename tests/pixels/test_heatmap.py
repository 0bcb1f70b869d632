"""Facts about pictures of maps: a fixed scale, ordered colours, nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.heatmap import OUTLINE, encode_jpeg, encode_png, heatmap, overlay, resize_map, stretch, thumbnail
from candling.pixels.read import decode

RAMP = np.linspace(0, 1, 256, dtype=np.float32)[None]


def lightness(picture: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB pixels (Rec. 709)."""
    share = picture / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_lightness_grows_along_the_scale():
    """Colours are ordered by lightness from dark to bright, so that a grey print reads the same."""
    light = lightness(heatmap(RAMP, low=0.0, high=1.0))[0]
    assert light[0] < 0.01
    assert light[-1] > 0.8
    assert (np.diff(light) > -1e-4).all()
    assert (np.diff(light[::8]) > 0).all()


def test_the_scale_is_fixed():
    """A value has its colour whatever else is in the map; beyond the scale the ends hold."""
    alone = heatmap(np.float32([[0.5]]), low=0.0, high=1.0)
    among = heatmap(np.float32([[0.5, 900.0, -7.0, np.inf, -np.inf]]), low=0.0, high=1.0)
    np.testing.assert_array_equal(alone[0, 0], among[0, 0])
    ends = heatmap(np.float32([[0.0, 1.0]]), low=0.0, high=1.0)[0]
    np.testing.assert_array_equal(among[0, 1:], ends[[1, 0, 1, 0]])


@pytest.mark.filterwarnings("error")
def test_nan_is_shown_as_the_worst():
    """What could not be judged is bright, without a warning."""
    picture = heatmap(np.float32([[np.nan, 1.0]]), low=0.0, high=1.0)
    np.testing.assert_array_equal(picture[0, 0], picture[0, 1])


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.0), (3.0, 2.0), (2.0, float("nan"))])
def test_no_scale_is_two_colours(low, high):
    """Where the limits of the scale coincide, a constant map is dark and what lies above is bright."""
    picture = heatmap(np.float32([[1.0, 2.0, 4.0]]), low=low, high=high)[0]
    np.testing.assert_array_equal(picture[0], picture[1])
    assert picture[2].sum() > picture[1].sum() + 400


def test_colours_grow_denser_with_the_value():
    """Opacity 0 is the frame; else each pixel is mixed by opacity times its share of the scale."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    values = rng.random((20, 30), dtype=np.float32)
    values[0, 0], values[0, 1] = 0.0, 1.0
    colours = heatmap(values, low=0.0, high=1.0)
    np.testing.assert_array_equal(overlay(frame, values, low=0.0, high=1.0, opacity=0.0), frame)
    mixed = overlay(frame, values, low=0.0, high=1.0, opacity=1.0)
    np.testing.assert_array_equal(mixed[0, 0], frame[0, 0])
    np.testing.assert_array_equal(mixed[0, 1], colours[0, 1])
    share = values[..., None].astype(float)
    assert np.abs(mixed - (frame * (1 - share) + colours * share)).max() <= 1


def test_the_frame_is_not_changed():
    """Drawing an outline leaves the caller's frame and map as they were."""
    frame, values = np.full((20, 20, 3), 9, np.uint8), np.zeros((20, 20), np.float32)
    values[5:9, 5:9] = 1
    before = frame.copy(), values.copy()
    overlay(frame, values, low=0.0, high=1.0, outline_above=0.5)
    np.testing.assert_array_equal(frame, before[0])
    np.testing.assert_array_equal(values, before[1])


def test_the_outline_runs_along_the_area_above_the_limit():
    """The outline's pixels are the border of the area, and only there; NaN counts as above."""
    values = np.zeros((20, 20), np.float32)
    values[5:10, 6:12] = 1
    values[15:18, 2:5] = np.nan
    picture = overlay(np.zeros((20, 20), np.uint8), values, low=0.0, high=2.0, outline_above=0.5)
    drawn = (picture == OUTLINE).all(axis=2)
    border = np.isnan(values) | (values > 0.5)
    border[6:9, 7:11] = border[16, 3] = False
    np.testing.assert_array_equal(drawn, border)


def test_the_map_is_brought_to_the_frame():
    """A map of the graph's resolution covers the whole frame, and a larger one is averaged."""
    assert overlay(np.zeros((60, 40), np.uint8), np.zeros((6, 4), np.float32), low=0, high=1).shape == (60, 40, 3)
    values = np.zeros((8, 8), np.float32)
    values[0, 0] = 16
    assert resize_map(values, (2, 2)).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert resize_map(values, (8, 8)) is values
    assert resize_map(values.astype(np.float64), (3, 9)).dtype == np.float32


def test_frames_of_16_bits_are_stretched_for_display():
    """A 12-bit picture in 16 bits uses the whole range of the screen; a constant one does not divide by zero."""
    frame = np.random.default_rng(0).integers(500, 1500, (50, 50), dtype=np.uint16)
    shown = stretch(frame)
    assert (shown.dtype, shown.min(), shown.max()) == (np.uint8, 0, 255)
    order = np.argsort(frame.ravel())
    assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()
    assert len(np.unique(stretch(np.full((4, 4), 777, np.uint16)))) == 1


def test_hot_pixels_do_not_darken_the_picture():
    """One saturated pixel in ten thousand leaves the rest as it was."""
    frame = np.tile(np.arange(100, 200, dtype=np.uint16), (100, 1))
    hot = frame.copy()
    hot[0, 0] = 65535
    np.testing.assert_array_equal(stretch(hot)[1:], stretch(frame)[1:])


@pytest.mark.parametrize("shape", [(300, 200), (200, 300, 3), (10, 12), (5000, 2)])
def test_thumbnails_fit_and_keep_their_shape(shape):
    """The longer side is the size asked for, small frames stay, and no side vanishes."""
    small = thumbnail(np.zeros(shape, np.uint16), 64)
    assert small.dtype == np.uint8
    assert small.ndim == 3
    assert max(small.shape[:2]) == min(64, max(shape[:2]))
    assert min(small.shape[:2]) == max(1, round(shape[shape[0] > shape[1]] * min(1, 64 / max(shape[:2]))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(11, 13), (11, 13, 3)])
def test_a_png_gives_its_pixels_back(shape, dtype):
    """Encoding and reading are each other's inverse, in RGB order."""
    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    np.testing.assert_array_equal(decode(encode_png(picture)), picture)


def test_a_jpeg_gives_nearly_its_pixels_back():
    """RGB order is kept, and quality is what it says."""
    picture = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    assert np.abs(decode(encode_jpeg(picture, 95)).astype(int) - picture).max() <= 3
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    assert len(encode_jpeg(noise, 20)) < len(encode_jpeg(noise, 95)) / 2


def test_what_cannot_be_encoded_is_an_image_error():
    """An array that is no picture is our error, not OpenCV's."""
    for picture in (np.zeros((0, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4), np.int64)):
        with pytest.raises(ImageError, match=r"cannot be encoded as \.png; give uint8 or uint16"):
            encode_png(picture)
    with pytest.raises(ImageError, match=r"cannot be encoded as \.jpg; give uint8 of shape"):
        encode_jpeg(np.zeros((4, 4), np.uint16))
