"""A variant's boxes lie round the objects of the variant, whatever was done to the picture."""

from __future__ import annotations

import pytest
import torch

from candling.train.vary_boxes import VaryBoxesOptions, vary_boxes

STILL = {"brightness": 0.0, "gamma": 0.0, "tint": 0.0, "noise": 0.0}


def pictures(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One bright rectangle a picture, somewhere."""
    images = torch.zeros((count, 1, height, width))
    boxes = torch.zeros((count, 3, 5))
    boxes[:, :, 4] = -1.0
    for number in range(count):
        left, top = 12 + 3 * number, 10 + 2 * number
        images[number, :, top : top + 14, left : left + 20] = 1.0
        boxes[number, 1] = torch.tensor([left, top, left + 20.0, top + 14.0, 2.0])
    return images, boxes


def extent(image: torch.Tensor) -> list[float]:
    """Where a picture is brighter than half way."""
    rows, columns = torch.nonzero(image[0] > image.min() + 0.5, as_tuple=True)
    return [float(columns.min()), float(rows.min()), float(columns.max()) + 1.0, float(rows.max()) + 1.0]


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_boxes_follow_the_picture(size):
    """Mirrored, turned, nearer or farther: each box lies round its object to a pixel, and keeps its class."""
    images, boxes = pictures(12, *size)
    options = VaryBoxesOptions(zoom=1.4, **STILL)
    seen = 0
    for seed in range(5):
        moved, found = vary_boxes(images, boxes, torch.Generator().manual_seed(seed), options)
        assert moved.shape == images.shape
        assert found.shape == boxes.shape
        for image, some in zip(moved, found, strict=True):
            real = some[some[:, 4] >= 0]
            if not len(real):
                continue
            seen += 1
            assert real[:, 4].tolist() == [2.0]
            assert real[0, :4].tolist() == pytest.approx(extent(image), abs=1.1)
    assert seen > 40


def test_a_square_picture_is_turned_and_another_is_not():
    """A quarter turn would change the shape of a picture that is no square: only half turns are left."""
    turn = VaryBoxesOptions(zoom=1.0, flip_left_right=False, flip_up_down=False, **STILL)
    for height, width, shapes in ((64, 64, {(20, 14), (14, 20)}), (64, 96, {(20, 14)})):
        images, boxes = pictures(8, height, width)
        _, found = vary_boxes(images, boxes, torch.Generator().manual_seed(0), turn)
        sides = (found[:, 1, 2:4] - found[:, 1, :2]).round().int().tolist()
        assert {tuple(each) for each in sides} == shapes


def test_turns_are_no_mirrors():
    """Without mirrors a picture is one of its four turns."""
    image = torch.arange(16.0).view(1, 1, 4, 4) / 16.0
    turn = VaryBoxesOptions(zoom=1.0, flip_left_right=False, flip_up_down=False, **STILL)
    turned = [image.rot90(times, (2, 3)) for times in range(4)]
    seen = set()
    for seed in range(20):
        moved, _ = vary_boxes(image, torch.zeros((1, 0, 5)), torch.Generator().manual_seed(seed), turn)
        (which,) = [times for times, one in enumerate(turned) if torch.allclose(moved, one, atol=1e-5)]
        seen.add(which)
    assert seen == {0, 1, 2, 3}


def test_what_is_hardly_left_is_no_object():
    """A box cut at the edge stays while enough is left of it, and ends at the edge."""
    images, boxes = pictures(40, 128, 160)
    moved, found = vary_boxes(images, boxes, torch.Generator().manual_seed(2), VaryBoxesOptions(zoom=3.0, **STILL))
    real = found[found[:, :, 4] >= 0]
    assert 0 < len(real) < 40
    assert real[:, :4].min() >= 0.0
    assert real[:, 2].max() <= 160.0
    assert real[:, 3].max() <= 128.0
    assert torch.isfinite(moved).all()


def test_other_light_moves_no_box():
    """Brightness, tint and noise change pixels alone, within [0, 1], and repeat for a seed."""
    images, boxes = pictures(4, 32, 64)
    colour = images.expand(-1, 3, -1, -1) * 0.6 + 0.2
    light = VaryBoxesOptions(zoom=1.0, flip_left_right=False, flip_up_down=False, quarter_turns=False)
    first, found = vary_boxes(colour, boxes, torch.Generator().manual_seed(3), light)
    again, _ = vary_boxes(colour, boxes, torch.Generator().manual_seed(3), light)
    assert torch.equal(first, again)
    assert not torch.allclose(first, colour, atol=1e-3)
    assert 0.0 <= first.min() <= first.max() <= 1.0
    torch.testing.assert_close(found, boxes)
