"""Frames move as scikit-image would move them, and maps come back to where the frame shows what they say."""

from __future__ import annotations

import numpy as np
import pytest

from candling.pixels.align import Movement, move, move_back

MOVED = Movement(turn=25.0, down=0.05, right=-0.08)


def centre_of(picture):
    """Where the weight of a picture lies: row and column."""
    rows, columns = np.indices(picture.shape)
    return np.array([(rows * picture).sum(), (columns * picture).sum()]) / picture.sum()


def blob(shape, row, column, *, sigma=3.0):
    rows, columns = np.indices(shape)
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2)).astype(np.float32)


def test_moving_undoes_what_scikit_image_did(scenes):
    """A picture laid by another implementation comes back to within its interpolation."""
    picture = scenes.capsule()
    frame = scenes.laid(picture, turn=25.0, down_px=0.05 * 192, right_px=-0.08 * 192)
    back = move(frame, MOVED).astype(float) / 255
    assert np.abs(back - picture)[24:-24, 24:-24].mean() < 0.005
    assert np.abs(frame / 255 - picture)[24:-24, 24:-24].mean() > 0.05


@pytest.mark.parametrize("size", [(192, 192), (96, 96), (48, 48)])
def test_a_map_comes_back_to_its_place_at_any_size(size):
    """What the moved frame shows at a place lies, in the map brought back, where the frame shows it."""
    frame = (blob((192, 192), 60, 110) * 255).astype(np.uint8)
    moved = move(frame, MOVED).astype(np.float32)
    step = 192 // size[0]
    seen = moved.reshape(size[0], step, size[1], step).mean(axis=(1, 3))  # a graph's map is smaller than its image
    place = centre_of(move_back(seen, MOVED, outside=0.0))
    assert np.abs((place + 0.5) * step - 0.5 - (60, 110)).max() < 0.3
    assert np.abs((centre_of(seen) + 0.5) * step - 0.5 - (60, 110)).max() > 10


@pytest.mark.parametrize("aspect", [1.0, 2.0, 0.5])
def test_there_and_back_is_the_same(aspect):
    """Whatever the proportions before, moving and moving back leaves a smooth picture as it was."""
    movement = Movement(turn=-35.0, down=0.04, right=0.06, aspect=aspect)
    frame = (blob((96, 128), 50, 60, sigma=6.0) * 65535).astype(np.uint16)
    back = move_back(move(frame, movement).astype(np.float32), movement, outside=0.0)
    assert np.abs(back / 65535 - frame / 65535).max() < 0.02


def test_what_was_not_seen_is_said_so():
    """Where the frame shows what the moved one does not, the map holds what it is told to."""
    values = np.ones((10, 20), np.float32)
    back = move_back(values, Movement(right=0.25), outside=-7.0)
    assert (back[:, :5] == -7.0).all()
    assert (back[:, 5:] == 1.0).all()


def test_channels_and_whole_numbers_are_moved():
    """A reconstruction of three channels moves as one; names of cells are moved, never mixed."""
    picture = np.stack([blob((40, 40), 20, 12, sigma=2.0)] * 3)
    back = move_back(picture, Movement(down=0.1), outside=0.0)
    assert np.abs(centre_of(back[2]) - (24, 12)).max() < 0.1
    cells = np.arange(64, dtype=np.int64).reshape(8, 8) + 10**9
    turned = move_back(cells, Movement(turn=10.0, right=0.125), outside=-1)
    assert turned.dtype == np.int64
    assert set(turned.ravel().tolist()) <= {-1, *cells.ravel().tolist()}
    assert np.array_equal(move_back(cells, Movement(right=0.125), outside=-1)[:, 1:], cells[:, :-1])


def test_whole_pixels_are_not_smoothed():
    """A shift by whole pixels keeps every grey value."""
    frame = np.random.default_rng(0).integers(0, 255, (32, 64, 3), dtype=np.uint8)
    moved = move(frame, Movement(down=4 / 32, right=-8 / 64))
    assert np.array_equal(moved[:-4, 8:], frame[4:, :-8])


def test_still_is_not_a_copy():
    """Nothing moves: nothing is copied."""
    frame, values = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32)
    assert move(frame, Movement(aspect=2.0)) is frame
    assert move_back(values, Movement(correlation=0.1), outside=1.0) is values
