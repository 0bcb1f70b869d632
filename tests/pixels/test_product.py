"""The facts of product.py: a product in front of a quiet background has a box, everything else has none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from candling.pixels.product import find_product
from candling.types import Box, Frame


def pictures(count: int = 12, *, wander: int = 0, dtype: type = np.uint8, channels: int = 1) -> list[Frame]:
    """A dark pill on a bright, slightly noisy ground, which wanders by up to so many pixels."""
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        frame = np.full((300, 400), 190.0)
        down, right = random.integers(-wander, wander + 1, 2)
        cv2.ellipse(frame, (int(200 + right), int(150 + down)), (120, 40), 0, 0, 360, 60.0, -1)
        frame += random.normal(0, 2, frame.shape)
        if random.random() < 0.5:  # dirt beside it, elsewhere in each picture
            row, column = random.integers(10, 290), random.integers(10, 60)
            frame[row : row + 3, column : column + 3] = 20
        whole = np.clip(frame, 0, 255).astype(dtype) * (257 if dtype is np.uint16 else 1)
        drawn.append(np.repeat(whole[..., None], 3, axis=2) if channels == 3 else whole)
    return drawn


def holds(box: Box, top: int, left: int, bottom: int, right: int) -> bool:
    return box.top <= top and box.left <= left and box.bottom >= bottom and box.right >= right


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_product_on_a_quiet_ground_is_found_with_room(dtype: type, channels: int):
    """Rows 110 to 190 and columns 80 to 320 are inside, with room of about 16 px, and dirt beside it is not."""
    box = find_product(pictures(dtype=dtype, channels=channels))
    assert box is not None
    assert holds(box, 110 - 8, 80 - 8, 190 + 8, 320 + 8)
    assert not holds(box, 110 - 40, 80, 190, 320)
    assert not holds(box, 110, 80 - 40, 190, 320)
    assert not holds(box, 110, 80, 190, 320 + 40)


def test_a_product_that_wanders_is_held_wherever_it_lies():
    """The box grows with the way the product takes."""
    box = find_product(pictures(40, wander=15))
    assert box is not None
    assert holds(box, 110 - 13, 80 - 13, 190 + 13, 320 + 13)


def test_textures_full_frames_and_empty_ones_have_no_box():
    """No rim is quiet, too little would be saved, or nothing is there at all."""
    random = np.random.default_rng(0)
    texture = [random.integers(0, 255, (128, 128), dtype=np.uint8) for _ in range(4)]
    full = np.full((128, 128), 200, np.uint8)
    full[8:120, 8:120] = 50
    empty = np.full((128, 128), 80, np.uint8)
    for frames in (texture, [full] * 4, [empty] * 4):
        assert find_product(frames) is None
