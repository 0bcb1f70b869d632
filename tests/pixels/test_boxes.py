"""Every cell of a tiled frame is counted once, whatever the tiles make of it; overlapping boxes are suppressed."""

from __future__ import annotations

import numpy as np
import pytest

from candling.errors import UsageError
from candling.pixels.boxes import BoxSet, lay_tiles, merge_tiles, suppress
from candling.scenes.cells import draw_cells


def box_set(boxes, scores=None, labels=None):
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    count = len(boxes)
    return BoxSet(
        boxes,
        np.ones(count) if scores is None else np.asarray(scores, np.float64),
        np.zeros(count, np.intp) if labels is None else np.asarray(labels, np.intp),
    )


def seen(truth, tile, *, jitter=None):
    """What a detector gives of one tile: every cell that shows, cut at the tile's edge, each a little off."""
    boxes = truth.boxes - np.array([tile.box.left, tile.box.top] * 2)
    if jitter is not None:
        boxes = boxes + jitter.uniform(-1.0, 1.0, boxes.shape)
    inside = np.clip(boxes, 0, np.array([tile.box.width, tile.box.height] * 2))
    shown = (inside[:, 2:] - inside[:, :2]).min(axis=1) >= 1.0
    return box_set(inside[shown], truth.scores[shown], truth.labels[shown])


def in_order(found):
    return found.boxes[np.lexsort(found.boxes.T)]


@pytest.mark.parametrize("shape", [(300, 500), (64, 64), (40, 200), (129, 128)])
def test_cores_part_the_frame(shape):
    """Every pixel lies in one core, and a core ends half an overlap or more before its tile does."""
    owners = np.zeros(shape, int)
    for tile in lay_tiles(*shape, size=96, overlap=30):
        owners[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
        assert (tile.box.height, tile.box.width) == (min(96, shape[0]), min(96, shape[1]))
        assert tile.core.left - tile.box.left >= 15 or tile.box.left == 0 == tile.core.left
        assert tile.box.right - tile.core.right >= 15 or tile.box.right == shape[1] == tile.core.right
        assert tile.core.top - tile.box.top >= 15 or tile.box.top == 0 == tile.core.top
        assert tile.box.bottom - tile.core.bottom >= 15 or tile.box.bottom == shape[0] == tile.core.bottom
    assert (owners == 1).all()


def test_tiled_is_untiled():
    """On a drawn field the boxes of tiles put together are those of the whole, none twice, none missing."""
    field = draw_cells(np.random.default_rng(0), height=400, width=520, cells=260, touching=0.6)
    truth = box_set(field.boxes, np.random.default_rng(1).random(field.count))
    tiles = lay_tiles(400, 520, size=128, overlap=48)
    merged = merge_tiles(tiles, [seen(truth, tile) for tile in tiles])
    assert len(merged) == field.count
    np.testing.assert_allclose(in_order(merged), in_order(truth))
    naive = sum(len(seen(truth, tile)) for tile in tiles)
    assert naive > 1.5 * field.count  # without a rule cells at seams are counted again


@pytest.mark.parametrize("seed", range(5))
def test_disagreeing_tiles_count_once(seed):
    """Cells on a grid that lies on the seams, each tile off by up to a pixel: the count is exact."""
    rng = np.random.default_rng(seed)
    middles = np.stack(np.meshgrid(np.arange(12, 510, 25), np.arange(8, 390, 25)), axis=-1).reshape(-1, 2) + seed
    truth = box_set(np.hstack([middles - 8, middles + 8]))
    tiles = lay_tiles(400, 520, size=128, overlap=40)
    merged = merge_tiles(tiles, [seen(truth, tile, jitter=rng) for tile in tiles])
    assert len(merged) == len(truth)
    nearest = np.abs(merged.boxes[:, None] - truth.boxes[None]).max(axis=2).min(axis=0)
    assert nearest.max() <= 1.0


def test_what_both_tiles_disown_stays():
    """Each tile puts the centre into the other's core: the cell is counted all the same, by its surer box."""
    tiles = lay_tiles(64, 100, size=64, overlap=28)
    seam = tiles[0].core.right
    left = box_set([[seam - 4, 20, seam + 6, 30]], [0.4])  # centre one pixel right of the seam
    right = box_set([[seam - 6 - tiles[1].box.left, 20, seam + 4 - tiles[1].box.left, 30]], [0.9])  # one left
    merged = merge_tiles(tiles, [left, right])
    assert merged.scores.tolist() == [0.9]
    below = box_set([[seam - 4 - tiles[1].box.left, 35, seam + 6 - tiles[1].box.left, 45]])
    both = merge_tiles(tiles, [box_set([[seam - 6, 20, seam + 4, 30]], [0.4]), below])
    assert len(both) == 2  # two cells of two tiles stay two


def test_another_class_is_another_cell():
    """Boxes of two classes on one place are not one cell."""
    tiles = lay_tiles(64, 100, size=64, overlap=28)
    seam, left = tiles[0].core.right, tiles[1].box.left
    one = box_set([[seam - 6, 20, seam + 4, 30]], labels=[0])
    other = box_set([[seam - 4 - left, 20, seam + 6 - left, 30]], labels=[1])
    assert sorted(merge_tiles(tiles, [one, other]).labels.tolist()) == [0, 1]


def test_centres_on_a_seam_have_one_owner():
    """Exactly on the line between two cores, and where four meet."""
    tiles = lay_tiles(100, 100, size=64, overlap=28)
    seam = float(tiles[0].core.right)
    truth = box_set([[seam - 5, seam - 5, seam + 5, seam + 5], [seam - 5, 20, seam + 5, 30]])
    assert len(merge_tiles(tiles, [seen(truth, tile) for tile in tiles], slack_px=0.0)) == 2


def naive_suppress(found, iou):
    kept = []
    for at in sorted(range(len(found)), key=lambda k: -found.scores[k]):
        a = found.boxes[at]
        for other in kept:
            b = found.boxes[other]
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(width, 0) * max(height, 0)
            joined = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if found.labels[at] == found.labels[other] and shared > iou * joined:
                break
        else:
            kept.append(at)
    return kept


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.7, 1.0])
def test_suppression_is_the_usual_one(iou):
    """Against a loop over all pairs, with two classes and equal scores."""
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 60, (120, 2))
    boxes = np.hstack([corner, corner + rng.uniform(2, 20, (120, 2))])
    found = box_set(boxes, rng.random(120).round(1), rng.integers(0, 2, 120))
    assert suppress(found, iou=iou).tolist() == naive_suppress(found, iou)
    assert suppress(box_set([]), iou=0.5).tolist() == []


def test_impossible_calls_are_refused():
    """Tiles without step, sets that do not fit, overlaps beyond 1."""
    with pytest.raises(UsageError, match="let the overlap be smaller than the tile"):
        lay_tiles(50, 50, size=32, overlap=32)
    with pytest.raises(UsageError, match="1 sets of boxes for 4 tiles"):
        merge_tiles(lay_tiles(50, 50, size=32, overlap=8), [box_set([])])
    with pytest.raises(UsageError, match="an overlap of 2 is impossible"):
        suppress(box_set([]), iou=2)
    with pytest.raises(UsageError, match="do not belong together"):
        BoxSet(np.zeros((2, 4)), np.zeros(1), np.zeros(2, np.intp))
