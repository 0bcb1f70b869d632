"""Maps of a whole frame put together from patches, and their fixed colour scale."""

from __future__ import annotations

import numpy as np
import pytest

from candling.types import Box, Prediction
from candling.workflow.maps import MapScale, draw_outline, frame_map, frame_reconstruction


def patch(box: Box, value: float) -> Prediction:
    """A patch with a constant map and reconstruction at 4 x 4."""
    values = np.full((4, 4), value, np.float32)
    return Prediction("part", box, {}, values, values[None])


def test_one_patch_over_the_frame_is_resized():
    """A whole frame's map comes back at the frame's size."""
    whole = frame_map([patch(Box(0, 0, 10, 20), 0.5)], (10, 20))
    assert whole.shape == (10, 20)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, 0.5)


def test_the_worse_value_stays_where_patches_overlap():
    """Two patches overlap in columns 5 to 9; outside both the map is 0."""
    found = frame_map([patch(Box(0, 0, 6, 10), 0.2), patch(Box(0, 5, 6, 10), 0.7)], (10, 20))
    np.testing.assert_allclose(found[:6, :5], 0.2)
    np.testing.assert_allclose(found[:6, 5:15], 0.7)
    assert not found[6:].any()
    assert not found[:, 15:].any()


def test_a_negative_map_stays_below_nothing():
    """Values below 0 are kept where a patch lies: overlap is decided by comparison, not by adding to zeros."""
    found = frame_map([patch(Box(0, 0, 5, 5), -0.4), patch(Box(5, 0, 5, 5), -0.1)], (10, 5))
    np.testing.assert_allclose(found[:5], -0.4)
    np.testing.assert_allclose(found[5:], -0.1)


def test_a_map_can_be_put_together_small():
    """At half the size the patch covers half the pixels; a patch never vanishes."""
    found = frame_map([patch(Box(0, 0, 6, 10), 0.2), patch(Box(8, 18, 1, 1), 0.9)], (10, 20), size=(5, 10))
    np.testing.assert_allclose(found[:3, :5], 0.2)
    assert found[4, 9] == np.float32(0.9)


def test_without_maps_there_is_no_map():
    """A graph without maps or reconstructions gives None, not zeros."""
    bare = Prediction("whole", Box(0, 0, 4, 4), {})
    assert frame_map([bare], (4, 4)) is None
    assert frame_reconstruction([bare], (4, 4), (4, 4)) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_are_put_back_in_place(channels):
    """Grey spreads over three channels; values outside [0, 1] are clipped; what no patch covers is black."""
    values = np.full((channels, 4, 4), 1.5, np.float32)
    found = frame_reconstruction([Prediction("part", Box(2, 0, 4, 4), {}, None, values)], (8, 8), (8, 8))
    assert found.shape == (8, 8, 3)
    assert (found[2:6, :4] == 255).all()
    assert not found[:2].any()


def test_what_no_good_image_reaches_begins_at_two_thirds_of_the_colours():
    """The edge lies two thirds of the way from the darkest to the brightest colour."""
    scale = MapScale.of_good_maps(0.2, 0.8)
    assert (scale.edge - scale.low) / (scale.high - scale.low) == pytest.approx(2 / 3)


def test_an_outline_of_one_pixel_survives_shrinking():
    """A single marked pixel of a large mask is still drawn in a small picture."""
    mask = np.zeros((400, 400), bool)
    mask[200, 200] = True
    picture = np.full((40, 40, 3), 100, np.uint8)
    draw_outline(picture, mask)
    assert (picture[20, 20] == 255).all()
