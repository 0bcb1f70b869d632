"""Anchors, decoding, suppression and regions, against independent implementations written out box by box."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from candling.measure.matching import iou_matrix
from candling.pixels.boxes import BoxSet, suppress
from candling.train.anchors import Anchors, reached
from candling.train.proposals import HANDICAP, anchor_boxes, asked_first, clip, decode, overlaps, surest, take_regions


def drawn(count: int, seed: int, *, size: float = 100.0, largest: float = 40.0) -> np.ndarray:
    """Boxes that overlap a good deal."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (count, 2))
    return np.hstack([corner, corner + rng.uniform(4, largest, (count, 2))])


def test_anchors_lie_where_their_reach_was_computed():
    """An object that is an anchor of some place is reached wholly: both files lay the grid alike."""
    sizes = np.array([[12.0, 20.0], [30.0, 10.0]])
    boxes = anchor_boxes(torch.tensor(sizes), stride=8, rows=5, columns=7).double().numpy()
    assert boxes.shape == (70, 4)
    assert reached(boxes, Anchors(sizes, 8), iou=0.999) == 1.0


def test_deltas_are_undone():
    """Boxes encoded by the published formulas, written out here, come back."""
    anchors, wanted = (torch.tensor(drawn(50, seed)) for seed in (0, 1))
    weights = (10.0, 10.0, 5.0, 5.0)
    rows = []
    for (al, at, ar, ab), (left, top, right, bottom) in zip(anchors.tolist(), wanted.tolist(), strict=True):
        width, height = ar - al, ab - at
        dx = ((left + right) / 2 - (al + ar) / 2) / width
        dy = ((top + bottom) / 2 - (at + ab) / 2) / height
        dw, dh = math.log((right - left) / width), math.log((bottom - top) / height)
        rows.append([weight * value for weight, value in zip(weights, (dx, dy, dw, dh), strict=True)])
    torch.testing.assert_close(
        decode(torch.tensor(rows), anchors.float(), weights=weights), wanted.float(), atol=1e-4, rtol=1e-5
    )


def test_no_box_grows_without_bound():
    """A network that has not learned yet gives finite boxes."""
    box = decode(torch.full((4,), 1e6), torch.tensor([0.0, 0.0, 10.0, 10.0]), weights=(1.0, 1.0, 1.0, 1.0))
    assert torch.isfinite(box).all()
    assert clip(box, height=20, width=30).tolist() == [30.0, 20.0, 30.0, 20.0]


def test_overlaps_are_those_of_the_metrics():
    """The same numbers as the ones boxes are measured by; a box without area overlaps nothing."""
    boxes = drawn(40, 2)
    boxes[3, 2:] = boxes[3, :2]
    found = overlaps(torch.tensor(boxes)[None])[0].numpy()
    np.testing.assert_allclose(found, iou_matrix(boxes, boxes), atol=1e-6)


def test_the_surest_of_its_neighbours_is_asked_first():
    """Place by place, as written out: each shape by itself, the border as good as any place; told by sureness."""
    logits = torch.randn((2, 3, 6, 9), generator=torch.Generator().manual_seed(8))
    places, asked_at = asked_first(logits, 40)
    for number in range(2):
        order, sure = [], []
        for row, column, shape in np.ndindex(6, 9, 3):
            around = logits[number, shape, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            value = float(logits[number, shape, row, column])
            sure.append(value)
            order.append(value - HANDICAP * (value < float(around.max())))
        asked = sorted(np.argsort(order)[::-1][:40], key=lambda at: -sure[at])
        assert places[number].tolist() == asked
        assert asked_at[number].tolist() == pytest.approx([order[at] for at in asked], abs=1e-5)


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_the_surest_stay_as_when_boxes_are_gone_through_one_by_one(seed, iou):
    """Asking all boxes at once, a few times, gives what ordinary suppression gives, image by image."""
    boxes = np.stack([drawn(200, 10 * seed + image) for image in range(2)])
    kept = surest(torch.tensor(boxes, dtype=torch.float32), iou=iou)
    for image in range(2):
        ranked = BoxSet(boxes[image], np.linspace(1.0, 0.1, 200), np.zeros(200, np.intp))
        assert np.flatnonzero(kept[image].numpy()).tolist() == suppress(ranked, iou=iou).tolist()


def test_regions_are_sampled_as_published():
    """RoIAlign point by point, with its own bilinear rule, on a map of several channels."""
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(1, 2, 6, 9)).astype(np.float32)
    boxes = np.array([[[0.0, 0.0, 72.0, 48.0], [10.0, 5.0, 31.0, 40.0], [60.0, 40.0, 72.0, 48.0]]], np.float32)
    found = take_regions(torch.tensor(maps), torch.tensor(boxes), stride=8, side=3)
    assert found.shape == (1, 3, 2, 3, 3)
    for number, (left, top, right, bottom) in enumerate(boxes[0] / 8.0 - 0.5):
        for row in range(3):
            for column in range(3):
                points = [
                    (
                        top + (bottom - top) * (row + (2 * a + 1) / 4) / 3,
                        left + (right - left) * (column + (2 * b + 1) / 4) / 3,
                    )
                    for a in range(2)
                    for b in range(2)
                ]
                wanted = np.mean([bilinear(maps[0], y, x) for y, x in points], axis=0)
                np.testing.assert_allclose(found[0, number, :, row, column].numpy(), wanted, atol=1e-5)


def bilinear(maps: np.ndarray, y: float, x: float) -> np.ndarray:
    """Between four values; the border goes on."""
    rows, columns = maps.shape[1:]
    y, x = min(max(y, 0.0), rows - 1.0), min(max(x, 0.0), columns - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
    down, across = y - top, x - left
    upper = (1 - across) * maps[:, top, left] + across * maps[:, top, right]
    lower = (1 - across) * maps[:, bottom, left] + across * maps[:, bottom, right]
    return (1 - down) * upper + down * lower


def test_regions_are_those_of_torchvision():
    """Learning samples regions with torchvision's own; the graph sees the same numbers."""
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed", exc_type=ImportError)
    generator = torch.Generator().manual_seed(4)
    maps = torch.randn((2, 5, 12, 16), generator=generator)
    boxes = clip(torch.tensor(np.stack([drawn(20, 5), drawn(20, 6)]), dtype=torch.float32), height=96, width=128)
    wanted = ops.roi_align(maps, list(boxes), 7, spatial_scale=1 / 8, sampling_ratio=2, aligned=True)
    found = take_regions(maps, boxes, stride=8, side=7)
    torch.testing.assert_close(found.flatten(0, 1), wanted, atol=1e-5, rtol=1e-4)
