"""Every defect of the catalogue changes what its mask marks, where its record says, and fades to nothing."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest

from candling.errors import UsageError
from candling.scenes.vials import DEFECTS, GEOMETRY, SEVERITIES, draw_frame, draw_mask, make_strip
from candling.scenes.vials.defects import draw_flaw
from candling.scenes.vials.still import draw_still

RUN, FRAME = 1, 7

remembered = lru_cache(maxsize=4)(draw_still)


@pytest.fixture(autouse=True)
def _still_drawn_once(monkeypatch):
    """Draw what stands still once a seed: it is the same for every defect."""
    monkeypatch.setattr("candling.scenes.vials.strip.draw_still", remembered)


def test_the_catalogue_has_classes():
    """Thirteen kinds, each of one of three classes, and every class is there."""
    assert len(DEFECTS) == 13
    assert set(DEFECTS.values()) == set(SEVERITIES)


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_changes_its_mask_and_fades(kind):
    """Outside the mask nothing changes; inside, the change falls with contrast, and at 0 it is gone to the last bit."""
    strips = [make_strip(17, defect=kind, contrast=contrast) for contrast in (0.0, 0.3, 1.0)]
    none, faint, strong = (draw_frame(strip, RUN, FRAME).astype(int) for strip in strips)
    masks = [draw_mask(strip, RUN, FRAME) for strip in strips]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    mask = masks[0] > 0
    assert (masks[0].dtype, masks[0].shape, set(np.unique(masks[0]))) == (np.uint8, none.shape, {0, 255})
    change = np.abs(strong - none)
    near = cv2.dilate(masks[0], np.ones((7, 7), np.uint8)) > 0
    assert np.mean(change[mask]) > 8
    # an outline that moves smears half a grey or two beyond what can be seen
    assert np.mean(change[~near] > 12) < 1e-4
    assert 0 < np.abs(faint - none)[mask].mean() < 0.7 * change[mask].mean()
    if strips[0].flaw.companion is None:
        assert np.array_equal(none, draw_frame(make_strip(17), RUN, FRAME))


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_is_where_its_record_says(kind):
    """The mask's middle lies in the recorded vial, near the recorded place, and the region is that of the place."""
    for seed in (17, 18):
        strip = make_strip(seed, defect=kind)
        known = strip.defect
        assert (known.kind, known.severity) == (kind, DEFECTS[kind])
        rows, columns = np.nonzero(draw_mask(strip, 0, 0))
        assert 12 < len(rows) < 0.02 * GEOMETRY.height * GEOMETRY.width
        assert abs(rows.mean() - known.row) < 40
        assert abs(columns.mean() - known.column) < 100
        assert GEOMETRY.region_at(known.row) == known.region
        border = 12 if kind == "laser_cut" else 0  # the cut is the border between two vials
        assert known.vial in {GEOMETRY.vial_at(columns.mean() - border), GEOMETRY.vial_at(columns.mean() + border)}


def test_defects_are_where_such_defects_happen():
    """Over many strips: necks are bumped in the upper region, cuts fail at flags, particles lie in the liquid."""
    found = {kind: {draw_flaw(kind, seed).defect.region for seed in range(60)} for kind in DEFECTS}
    assert found["bump_neck"] == {"r1_upper"}
    assert found["laser_cut"] == found["bump_cap"] == {"r0_flag"}
    assert found["particle"] == {"r2_liquid", "r3_bottom"}
    assert found["deformation_light"] == found["deformation_heavy"] == {"r3_bottom"}
    assert len(found["black_spot"]) == 4
    assert len({draw_flaw("burn", seed).defect.vial for seed in range(60)}) == 5


def test_a_defect_stays_on_its_strip():
    """In another run and frame the mask is the same up to the pose: at most 5 px away, of nearly the same area."""
    strip = make_strip(4, defect="black_spot")
    masks = [draw_mask(strip, run, frame) for run, frame in ((0, 0), (5, 15), (9, 7))]
    middles = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    assert 0.1 < np.abs(middles - middles[0]).max() < 5
    assert max(mask.sum() for mask in masks) < 1.3 * min(mask.sum() for mask in masks)


def test_dirty_foam_follows_the_level():
    """Dirty foam is on the level in every frame, and drifts there."""
    strip = make_strip(6, defect="contaminated_foam")
    masks = [draw_mask(strip, run, frame) for run in (1, 3) for frame in (0, 15)]
    middles = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    assert np.abs(middles[:, 0] - strip.still.levels[strip.defect.vial - 1]).max() < 25
    assert np.abs(middles - middles[0]).max() > 3


def test_companions_are_normal():
    """A bump beside a bubble keeps its bubble at contrast 0: the bubble is no part of the defect."""
    good, bubbled = (
        draw_frame(make_strip(9, defect=kind, contrast=0.0), 0, 0).astype(int) for kind in (None, "bump_beside_bubble")
    )
    change = np.abs(bubbled - good) > 20
    mask = draw_mask(make_strip(9, defect="bump_beside_bubble"), 0, 0) > 0
    assert change.sum() > 200
    assert np.mean(change[mask]) < 0.1


def test_unknown_defects_are_told():
    """A defect that cannot be drawn is named beside those that can."""
    with pytest.raises(UsageError, match=r"no defect 'rust'.*particle, contaminated_foam"):
        make_strip(0, defect="rust")
