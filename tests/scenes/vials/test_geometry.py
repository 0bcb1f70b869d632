"""Five vials of four regions cover the frame, and a vial's outline is where its regions say."""

from __future__ import annotations

import numpy as np

from candling.pixels.tiling import cut, stitch
from candling.scenes.vials.geometry import GEOMETRY, LEVEL, half_widths, outline
from candling.types import Region


def test_twenty_patches_are_the_frame():
    """Every pixel lies in exactly one of 5 x 4 square patches of 256 px."""
    seen = np.zeros((GEOMETRY.height, GEOMETRY.width), int)
    patches = [patch for vial in range(1, 6) for patch in GEOMETRY.patches(vial)]
    for _, box in patches:
        assert (box.height, box.width) == (256, 256)
        seen[box.top : box.bottom, box.left : box.right] += 1
    assert len(patches) == 20
    assert np.array_equal(seen, np.ones_like(seen))


def test_the_house_cuts_and_stitches_the_frame():
    """The house's own cutting takes these boxes, and its stitching gives the frame back."""
    frame = np.random.default_rng(0).integers(256, size=(1024, 1280)).astype(np.uint8)
    pieces = cut(frame, [Region(name, box) for vial in range(1, 6) for name, box in GEOMETRY.patches(vial)])
    whole = stitch([patch.astype(np.float32) for _, _, patch in pieces], [box for _, box, _ in pieces], frame.shape)
    assert np.array_equal(whole, frame)


def test_places_are_named():
    """Rows belong to regions from top to bottom, columns to vials from left to right; outside, to the nearest."""
    assert [GEOMETRY.region_at(row) for row in (-5, 0, 255.9, 256, LEVEL, 768, 1023, 2000)] == [
        "r0_flag",
        "r0_flag",
        "r0_flag",
        "r1_upper",
        "r2_liquid",
        "r3_bottom",
        "r3_bottom",
        "r3_bottom",
    ]
    assert [GEOMETRY.vial_at(column) for column in (-9, 0, 256, 1279, 1500)] == [1, 1, 2, 5, 5]
    assert all(GEOMETRY.vial_at(GEOMETRY.axis(vial)) == vial for vial in range(1, 6))


def test_the_outline_is_a_vial():
    """The neck is the thinnest place, the body the widest; the distance from the outline agrees with the half-width."""
    half = half_widths()
    assert half[:30].max() == half[1000:].max() == 0
    assert 262 <= 60 + half[60:900].argmin() <= 284
    assert half[500:900].min() > 100
    shape = outline()
    cover = shape.cover[700]
    assert abs(cover.sum() - 2 * half[700]) < 0.6
    assert abs(shape.inside[700, 128] - 60) < 1e-6
    assert np.allclose(shape.cover, shape.cover[:, ::-1], atol=1e-4)
    assert np.all(shape.hollow <= shape.cover)
