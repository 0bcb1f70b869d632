"""Facts about cutting and stitching: every pixel is covered, and what was cut comes together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candling.errors import ImageError
from candling.pixels.tiling import cut, grid, starts, stitch
from candling.types import Box, Region


@st.composite
def layouts(draw):
    """A picture's size with a patch and a stride that fit it."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    size = draw(st.integers(1, min(height, width)))
    return height, width, size, draw(st.integers(1, size))


@given(layouts())
def test_every_pixel_lies_in_some_patch(layout):
    """The promise of a grid, for any size, patch and stride; and no patch leaves the picture or comes twice."""
    height, width, size, stride = layout
    boxes = grid(height, width, size, stride)
    covered = np.zeros((height, width), int)
    for box in boxes:
        assert (box.height, box.width) == (size, size)
        assert box.top >= 0
        assert box.left >= 0
        assert box.bottom <= height
        assert box.right <= width
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.min() >= 1
    assert len(set(boxes)) == len(boxes)


@given(layouts(), st.sampled_from(["mean", "max"]))
def test_stitching_patches_of_a_map_gives_the_map(layout, how):
    """Cut and stitched, a map is itself: overlaps agree."""
    height, width, size, stride = layout
    whole = np.random.default_rng(0).normal(size=(height, width)).astype(np.float32)
    boxes = grid(height, width, size, stride)
    pieces = [whole[box.top : box.bottom, box.left : box.right] for box in boxes]
    stitched = stitch(pieces, boxes, (height, width), how=how)
    assert stitched.dtype == np.float32
    np.testing.assert_allclose(stitched, whole, rtol=1e-6)


def test_the_paper_count_of_patches():
    """A frame of 1024 x 1024 in patches of 256 without overlap is 16 patches, and 49 at half steps."""
    assert len(grid(1024, 1024, 256)) == 16
    assert len(grid(1024, 1024, 256, 128)) == 49


def test_nan_is_not_lost_in_stitching():
    """A pixel that one patch could not judge stays NaN, so that it is rejected."""
    boxes = [Box(0, 0, 1, 2), Box(0, 1, 1, 2)]
    pieces = np.float32([[[1, np.nan]], [[2, 3]]])
    for how in ("mean", "max"):
        assert np.isnan(stitch(pieces, boxes, (1, 3), how=how)).tolist() == [[False, True, False]]


def test_stitching_refuses_what_does_not_fit():
    """A pixel in no box, a map of another size, a box outside and unequal numbers are the caller's mistakes."""
    one = np.ones((2, 2), np.float32)
    for pieces, boxes, sentence in (
        ([one], [Box(0, 0, 2, 2)], "2 of 6 pixels lie in no box"),
        ([one], [Box(0, 0, 2, 3)], "does not fit"),
        ([one], [Box(0, 2, 2, 2)], "does not fit"),
        ([one, one], [Box(0, 0, 2, 2)], "zip"),
    ):
        with pytest.raises(ValueError, match=sentence):
            stitch(pieces, boxes, (2, 3))
    with pytest.raises(ValueError, match="how must be"):
        stitch([np.ones((2, 3), np.float32)], [Box(0, 0, 2, 3)], (2, 3), how="median")


@pytest.mark.parametrize(("size", "stride"), [(0, None), (4, 5), (4, 0), (-1, None)])
def test_a_stride_that_leaves_pixels_out_is_refused(size, stride):
    """A stride longer than the patch would break the promise."""
    with pytest.raises(ValueError, match="stride between 1 px and the size"):
        starts(20, size, stride)


def test_regions_are_views_of_the_frame():
    """Cutting copies nothing, keeps order, and gives the whole frame where a region has no box."""
    frame = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    neck = Region("neck", Box(1, 2, 3, 3))
    (first, box, whole), (second, place, patch) = cut(frame, [Region(), neck])
    assert (first.name, box, second, place) == ("whole", Box(0, 0, 4, 5), neck, neck.box)
    assert np.shares_memory(whole, frame)
    assert np.shares_memory(patch, frame)
    np.testing.assert_array_equal(patch, frame[1:4, 2:5])


@pytest.mark.parametrize("box", [Box(0, 0, 5, 1), Box(-1, 0, 2, 2), Box(0, 4, 1, 2), Box(1, 1, 0, 1)])
def test_a_region_outside_the_frame_is_one_sentence(box):
    """The message names the region, its place and the frame's size."""
    with pytest.raises(ImageError, match=r"region 'flag' \(rows .* does not fit the frame of 4 x 5 px"):
        cut(np.zeros((4, 5), np.uint8), [Region("flag", box)])
