"""What a network learns of numbered masks leads back to them, also where objects touch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import regionprops

from candling.errors import UsageError
from candling.pixels.instances import (
    BACKGROUND,
    BORDER,
    INSIDE,
    boxes_of_instances,
    centres_of_instances,
    discs_around,
    inside_and_border,
    number_instances,
)
from candling.pixels.read import read_image
from candling.scenes.cells import draw_cells


def said(kinds):
    return np.stack([kinds == kind for kind in range(3)]).astype(np.float32)


def shared(labels, others):
    """The overlap of each object with the one that shares most with it."""
    found = []
    for number in range(1, int(labels.max()) + 1):
        mine = labels == number
        best = np.bincount(others[mine].astype(int)).argmax()
        theirs = others == best if best else np.zeros_like(mine)
        found.append((mine & theirs).sum() / (mine | theirs).sum())
    return np.array(found)


def test_boxes_are_scikit_images():
    """On drawn cells with any numbering; no object, no box."""
    labels = draw_cells(np.random.default_rng(0), cells=60).labels * 37
    boxes, sizes = boxes_of_instances(labels)
    wanted = [(one.bbox[1], one.bbox[0], one.bbox[3], one.bbox[2]) for one in regionprops(labels.astype(int))]
    assert boxes.tolist() == [list(box) for box in wanted]
    assert sizes.tolist() == [one.area for one in regionprops(labels.astype(int))]
    assert boxes_of_instances(np.zeros((4, 4), np.uint8))[0].shape == (0, 4)


@pytest.mark.parametrize("seed", range(4))
def test_touching_cells_come_back_one_by_one(seed):
    """From mask to inside and border and back: every cell, where plain components would merge many."""
    labels = draw_cells(np.random.default_rng(seed), cells=90, touching=0.7).labels
    plain = cv2.connectedComponents((labels > 0).astype(np.uint8))[0] - 1
    back = number_instances(said(inside_and_border(labels)))
    assert plain < 0.7 * labels.max()
    assert back.max() == labels.max()
    assert np.median(shared(labels, back)) > 0.97
    assert shared(labels, back).min() > 0.4
    assert (back > 0).sum() == pytest.approx((labels > 0).sum(), rel=0.01)


def test_the_rim_is_as_wide_as_asked():
    """Pixels within the border's width of anything else; the image's edge is nothing else."""
    labels = np.zeros((40, 60), np.uint16)
    labels[10:30, 0:20], labels[10:30, 20:40] = 5, 9
    told = inside_and_border(labels, border_px=2)
    assert np.unique(told[12:28, :18]).tolist() == [INSIDE]  # reaches the image's edge
    assert np.unique(told[12:28, 18:22]).tolist() == [BORDER]
    assert np.unique(told[10:12, :40]).tolist() == [BORDER]
    assert np.unique(told[labels == 0]).tolist() == [BACKGROUND]


def test_thin_objects_keep_their_middle():
    """A line of one pixel and a single pixel are still one object each."""
    labels = np.zeros((9, 20), np.uint8)
    labels[4, 2:12], labels[4, 16] = 1, 2
    assert number_instances(said(inside_and_border(labels))).max() == 2
    assert inside_and_border(np.full((5, 5), 3, np.uint8)).tolist() == [[INSIDE] * 5] * 5


def test_small_objects_are_dropped_and_numbers_have_no_gaps():
    """As asked."""
    labels = np.zeros((30, 60), np.uint8)
    labels[2:22, 2:22], labels[5:9, 30:34], labels[2:22, 38:58] = 1, 2, 3
    back = number_instances(said(inside_and_border(labels)), least_px=30)
    assert np.unique(back).tolist() == [0, 1, 2]
    assert number_instances(said(np.zeros((5, 5)))).max() == 0


def test_real_nuclei_come_back(real_data):
    """BBBC039: counts from inside and border are those of the masks, area to 1 %."""
    folder = real_data("bbbc039_nuclei") / "labels"
    counts, areas = [], []
    for file in sorted(folder.iterdir())[:6]:
        labels = read_image(file)
        boxes, sizes = boxes_of_instances(labels)
        back = number_instances(said(inside_and_border(labels)))
        counts.append((len(boxes), int(back.max())))
        areas.append(((labels > 0).sum(), (back > 0).sum()))
        assert len(sizes) == len(boxes)
    true, found = np.array(counts).sum(axis=0)
    assert found == true
    real, covered = np.array(areas).sum(axis=0)
    assert covered == pytest.approx(real, rel=0.01)


def test_other_shapes_are_refused():
    """A border of nothing, two channels."""
    with pytest.raises(UsageError, match="a border of 0 px"):
        inside_and_border(np.zeros((4, 4), np.uint8), border_px=0)
    with pytest.raises(UsageError, match=r"give \(3, H, W\)"):
        number_instances(np.zeros((2, 4, 4), np.float32))


def test_a_surer_inside_parts_objects_that_a_weak_bridge_joins():
    """Two insides joined by a bridge of 0.6 are one object, and two where 0.8 is asked for; no pixel is lost."""
    inside = np.full((7, 15), 0.05, np.float32)
    inside[2:5, 1:6] = inside[2:5, 9:14] = 0.95
    inside[3, 6:9] = 0.6
    probabilities = np.stack([1.0 - inside, inside, np.zeros_like(inside)])
    assert number_instances(probabilities).max() == 1
    parted = number_instances(probabilities, least_inside=0.8)
    assert parted.max() == 2
    assert np.array_equal(parted > 0, inside > 0.5)
    assert number_instances(probabilities, least_inside=0.99).max() == 0


def test_the_middle_pixel_of_an_object_is_its_own_and_the_nearest_to_its_mean():
    """One pixel an object, in the order of the numbers, also of a ring whose mean lies in its hole."""
    field = draw_cells(np.random.default_rng(8), height=120, width=140, cells=20, radius_px=7.0)
    ring = np.zeros((40, 40), np.uint16)
    ring[5:30, 5:30] = 9
    ring[8:27, 8:27] = 0
    for labels in (field.labels, ring):
        centres = centres_of_instances(labels)
        numbers = np.unique(labels)[1:]
        assert labels[tuple(centres.T)].tolist() == numbers.tolist()
        for number, centre in zip(numbers, centres, strict=True):
            mine = np.argwhere(labels == number)
            away = np.square(mine - mine.mean(axis=0)).sum(axis=1)
            assert np.square(centre - mine.mean(axis=0)).sum() == pytest.approx(away.min())
    assert centres_of_instances(np.zeros((4, 4), np.uint8)).shape == (0, 2)


def test_discs_part_where_the_other_dot_is_nearer():
    """Every pixel within the radius belongs to its nearest dot, by an exact search."""
    dots = np.random.default_rng(2).random((50, 60)) < 0.02
    labels = discs_around(dots, radius_px=4.0)
    places = np.argwhere(dots)
    grid = np.stack(np.meshgrid(np.arange(50), np.arange(60), indexing="ij"), axis=-1)
    away = np.sqrt(np.square(grid[:, :, None, :] - places).sum(axis=3))
    assert np.mean((labels > 0) == (away.min(axis=2) <= 4.0)) > 0.99  # OpenCV measures to within a few percent
    assert labels[dots].tolist() == list(range(1, len(places) + 1))
    nearest = np.take_along_axis(away, np.maximum(labels.astype(int) - 1, 0)[:, :, None], axis=2)[:, :, 0]
    assert (nearest[labels > 0] <= away.min(axis=2)[labels > 0] * 1.1 + 0.1).all()


def test_impossible_discs_are_refused():
    """A radius below a pixel marks nothing."""
    with pytest.raises(UsageError, match="at least 1"):
        discs_around(np.ones((3, 3), bool), radius_px=0.5)
    assert not discs_around(np.zeros((3, 3), bool), radius_px=2.0).any()
