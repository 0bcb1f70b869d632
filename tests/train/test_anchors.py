"""Anchors fit the boxes they are fitted to, and the share of boxes they reach is told truly."""

from __future__ import annotations

import numpy as np
import pytest

from candling.data.annotations import read_annotations
from candling.errors import TrainingError
from candling.train.anchors import THESIS_RATIOS, THESIS_SIDES, fit_anchors, grid_anchors, reached


def boxes(heights, widths, rng, *, size=512):
    corner = rng.uniform(0, size, (len(heights), 2))
    return np.hstack([corner, corner + np.stack([widths, heights], axis=1)])


def test_the_thesis_anchors_are_nine():
    """Three areas at three ratios, areas kept."""
    anchors = grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=16)
    assert anchors.sizes.shape == (9, 2)
    np.testing.assert_allclose(
        anchors.sizes.prod(axis=1).reshape(3, 3), np.array([[32.0], [64], [128]]) ** 2 * np.ones(3)
    )
    np.testing.assert_allclose(anchors.sizes[:3, 0] / anchors.sizes[:3, 1], THESIS_RATIOS)


def test_kinds_of_boxes_are_found():
    """Three kinds of cells give three anchors, smallest first, each in the middle of its kind."""
    rng = np.random.default_rng(0)
    kinds = [(20, 20), (30, 60), (90, 88)]
    some = [boxes(rng.normal(h, 1.5, 50), rng.normal(w, 1.5, 50), rng) for h, w in kinds]
    anchors = fit_anchors(np.vstack(some), 3, stride_px=8, rng=rng)
    np.testing.assert_allclose(anchors.sizes, kinds, atol=1.0)
    one = fit_anchors(np.tile(some[0][:1], (9, 1)), 4, stride_px=8, rng=rng)
    assert len(one.sizes) == 1  # equal boxes need one
    with pytest.raises(TrainingError, match="cannot be fitted to 0 boxes"):
        fit_anchors(np.zeros((0, 4)), 3, stride_px=8, rng=rng)


def test_reach_is_that_of_a_search_over_all_places():
    """Against every anchor of every place, for boxes of many sizes."""
    rng = np.random.default_rng(1)
    some = boxes(rng.uniform(10, 90, 60), rng.uniform(10, 90, 60), rng, size=160)
    anchors = grid_anchors((24.0, 48.0), (0.5, 1.0, 2.0), stride_px=16)
    best = np.zeros(60)
    for y in np.arange(8, 300, 16):
        for x in np.arange(8, 300, 16):
            for height, width in anchors.sizes:
                left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
                across = np.clip(np.minimum(some[:, 2], right) - np.maximum(some[:, 0], left), 0, None)
                down = np.clip(np.minimum(some[:, 3], bottom) - np.maximum(some[:, 1], top), 0, None)
                shared = across * down
                area = (some[:, 2] - some[:, 0]) * (some[:, 3] - some[:, 1]) + height * width - shared
                best = np.maximum(best, shared / area)
    for iou in (0.3, 0.5, 0.7):
        assert reached(some, anchors, iou=iou) == pytest.approx(np.mean(best >= iou))
    assert reached(np.zeros((0, 4)), anchors, iou=0.5) == 1.0


def test_fitted_anchors_reach_more_real_nuclei(real_data):
    """Nuclei of BBBC039 are smaller than the thesis' anchors: fitted ones reach far more of them."""
    folder = real_data("bbbc039_nuclei")
    files = sorted((folder / "labels").iterdir())[:8]
    some = np.vstack([read_annotations(file, least_px=30).images[0].boxes for file in files])
    thesis = reached(some, grid_anchors(THESIS_SIDES, THESIS_RATIOS, stride_px=16), iou=0.5)
    fitted = reached(some, fit_anchors(some, 9, stride_px=8, rng=np.random.default_rng(0)), iou=0.5)
    assert thesis < 0.7
    assert fitted > 0.85
