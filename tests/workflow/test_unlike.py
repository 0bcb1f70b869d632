"""Places drawn beside the nearest good: tiles of one size, boxes where the places are."""

from __future__ import annotations

import numpy as np
import pytest

from candling.types import Box
from candling.workflow.explanation import Cell, Pair, Place
from candling.workflow.unlike import BOX, GAP, LINE, TILE, draw_places, draw_unlike, tiles

PLACE = Box(20, 30, 60, 60)


def pair(*, here=(60, 60), good=(12, 12), box=PLACE):
    """A bright place beside a dark good one."""
    place = Place("whole", box, 2.0, Cell(3, 1, 1, Box(0, 0, *good[:2])))
    return Pair(place, np.full(here, 200, np.uint8), np.full(good, 50, np.uint8))


@pytest.mark.parametrize("here", [(60, 60), (500, 500, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("good", [(12, 12, 3), (300, 300), (9, 13)], ids=str)
def test_both_tiles_have_one_size(here, good):
    """Grey or colour, enlarged or shrunk, square or not quite: the levels stay."""
    left, right = tiles(pair(here=here, good=good))
    assert left.shape == right.shape == (TILE, TILE, 3)
    assert (left == 200).all()
    assert (right == 50).all()


def test_boxes_lie_where_the_places_are():
    """In a picture of half the size the box has half its numbers; nothing but its line changes."""
    picture = np.full((100, 200, 3), 77, np.uint8)
    draw_places(picture, [pair().place], (200, 400))
    assert picture[10, 15].tolist() == list(BOX)
    assert picture[39, 44].tolist() == list(BOX)
    assert (picture[15:35, 20:40] == 77).all()
    assert (picture[50:] == 77).all()


def test_several_boxes_are_numbered():
    """Two places: something is written inside each; one place needs no number."""
    inside = np.s_[14:30, 18:30]
    changed = {}
    for count in (1, 2):
        picture = np.full((200, 400, 3), 77, np.uint8)
        draw_places(picture, [pair(box=Box(5, 10 + 100 * at, 60, 60)).place for at in range(count)], (200, 400))
        changed[count] = bool((picture[inside] != 77).any())
    assert changed == {1: False, 2: True}


@pytest.mark.parametrize("shape", [(40, 60), (3000, 400, 3), (300, 4000)], ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_the_picture_is_bounded_and_shows_every_pair(shape, count):
    """Whatever the frame, a row a place: bright tile, dark tile."""
    frame = np.full(shape, 90, np.uint16)
    picture = draw_unlike(frame, [pair(box=Box(5, 5, 20, 20))] * count)
    assert picture.dtype == np.uint8
    assert picture.shape[0] < 1000
    assert picture.shape[1] < 1200
    for row in range(count):
        beside = picture[GAP + row * (TILE + LINE) :][:TILE, -GAP - 2 * TILE - GAP : -GAP]
        assert (beside[:, :TILE] == 200).all()
        assert (beside[:, -TILE:] == 50).all()
    assert (frame == 90).all()  # looked at, never changed


def test_an_8_bit_colour_frame_is_not_drawn_into():
    """The caller's frame has no boxes afterwards."""
    frame = np.full((100, 100, 3), 90, np.uint8)
    draw_unlike(frame, [pair()])
    assert (frame == 90).all()
