"""One picture that explains one verdict."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import tifffile

from candling.types import Box, Inspection, Prediction, Verdict
from candling.workflow.maps import MapScale
from candling.workflow.overlays import LONGEST, NARROWEST, draw_overlay, encode_map

SCALE = MapScale.of_good_maps(0.0, 0.5)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (3000, 400), (700, 4000)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=["uint8", "uint16"])
def test_every_frame_gets_a_banner(make_inspection, limits, shape, dtype):
    """Grey and colour, 8 and 16 bit, narrow and huge: the picture is bounded and its banner readable."""
    frame = np.zeros(shape, dtype)
    patch = Prediction("whole", Box(0, 0, *shape[:2]), {"error": 0.5}, np.ones((8, 8), np.float32))
    found = Inspection("x", Verdict.REJECT, 2.0, (), (patch,))
    picture = draw_overlay(frame, found, limits=limits, scale=SCALE, title="x" * 500 + "é")
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert NARROWEST <= picture.shape[1] <= LONGEST
    assert min(LONGEST, shape[0]) * 0.1 < picture.shape[0] <= LONGEST + 120
    assert (picture[:20] > 200).any()  # white letters


def test_a_longer_title_is_cut_and_stays_inside(make_inspection, limits):
    """No letter touches the right margin."""
    picture = draw_overlay(
        np.zeros((40, 60), np.uint8), make_inspection("x", 0.5), limits=limits, scale=SCALE, title="W" * 999
    )
    assert not (picture[:40, -8:] > 240).all(axis=2).any()


def test_a_score_that_is_no_number_is_drawn(make_inspection, limits):
    """NaN does not stop the picture of the reject it causes."""
    found = make_inspection("x", math.nan)
    assert found.verdict is Verdict.REJECT
    assert draw_overlay(np.zeros((40, 60), np.uint8), found, limits=limits, scale=SCALE, title="x").size


def test_the_map_of_several_patches_is_put_together():
    """Two patches give one map of their common extent."""
    patches = tuple(Prediction("part", Box(top, 0, 10, 30), {}, np.full((5, 5), top, np.float32)) for top in (0, 10))
    data = encode_map(Inspection("x", Verdict.ACCEPT, 0.0, (), patches))
    stored = tifffile.imread(io.BytesIO(data))
    assert stored.shape == (20, 30)
    assert stored[15, 15] == 10.0


def test_without_a_map_nothing_is_encoded():
    """A graph without maps writes no TIFF."""
    assert encode_map(Inspection("x", Verdict.REJECT, math.inf, (), ())) is None
