"""What a tile holds: the frame at the network's scale, and of its objects those of which enough lies in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.annotations import AnnotatedImage, Annotation
from candling.data.samples import GOOD, Sample
from candling.errors import DataError
from candling.recipe import Recipe
from candling.train.boxed import boxes_of, prepare_boxed
from candling.train.progress import Silent


def recipe(height: int, width: int) -> Recipe:
    """A recipe whose graph sees tiles of that size."""
    return Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": height, "width": width},
            "method": {"name": "faster_rcnn"},
            "limits": {"scores": ["largest_confidence"]},
        }
    )


def prepared(folder: Path, frame: np.ndarray, objects: tuple[Annotation, ...], size: tuple[int, int], scale: float):
    """Write one image and prepare it."""
    path = folder / "one.png"
    cv2.imwrite(str(path), frame)
    found = {path: AnnotatedImage("one.png", objects, frame.shape[1], frame.shape[0])}
    return prepare_boxed(
        [Sample(path, GOOD, "train")],
        found,
        recipe(*size),
        classes=("a", "b"),
        scale=scale,
        matcher=None,
        progress=Silent(),
    )


def real(boxes: np.ndarray) -> list[list[float]]:
    """The boxes that are some."""
    return boxes[boxes[:, 4] >= 0].tolist()


def test_boxes_are_scaled_with_the_frame(tmp_path):
    """Halved with the image; difficult objects and other classes teach nothing."""
    objects = (
        Annotation("b", 4, 8, 20, 24),
        Annotation("a", 40, 40, 60, 60, difficult=True),
        Annotation("other", 4, 8, 20, 24),
    )
    frame = np.arange(64 * 80, dtype=np.uint8).reshape(64, 80)
    done = prepared(tmp_path, frame, objects, (32, 40), 0.5)
    assert done.frames.shape == (1, 32, 40)
    assert real(done.boxes[0]) == [[2.0, 4.0, 10.0, 12.0, 1.0]]
    assert boxes_of(AnnotatedImage("x", ()), ("a",), scale=1.0).shape == (0, 5)


def test_tiles_keep_what_lies_in_them(tmp_path):
    """A large frame is cut into tiles that overlap by half; every object is whole in some, and no sliver teaches."""
    objects = (Annotation("a", 30, 4, 42, 16), Annotation("b", 1, 20, 9, 28))
    frame = np.zeros((32, 64), np.uint8)
    frame[4:16, 30:42] = 200
    done = prepared(tmp_path, frame, objects, (32, 32), 1.0)
    assert len(done.frames) == 3
    assert [len(real(boxes)) for boxes in done.boxes] == [1, 1, 1]
    assert real(done.boxes[0]) == [[1.0, 20.0, 9.0, 28.0, 1.0]]
    assert real(done.boxes[1]) == [[14.0, 4.0, 26.0, 16.0, 0.0]]
    assert real(done.boxes[2]) == [[0.0, 4.0, 10.0, 16.0, 0.0]]
    for tile, boxes in zip(done.frames[1:], done.boxes[1:], strict=True):
        left, top, right, bottom, _ = map(int, real(boxes)[0])
        assert tile[top:bottom, left:right].min() == 200
        assert int(tile.sum()) == 200 * (right - left) * (bottom - top)


def test_a_small_frame_is_continued_in_black_and_an_empty_one_teaches(tmp_path):
    """An image without an object is one: it has no box, and is not left out."""
    done = prepared(tmp_path, np.full((20, 24), 90, np.uint16), (), (32, 32), 1.0)
    assert done.frames.shape == (1, 32, 32)
    assert done.frames.dtype == np.uint16
    assert int((done.frames > 0).sum()) == 20 * 24
    assert real(done.boxes[0]) == []


def test_an_unreadable_image_is_named(tmp_path):
    """The sentence holds its path."""
    path = tmp_path / "torn.png"
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"torn\.png"):
        prepare_boxed(
            [Sample(path, GOOD, "train")],
            {path: AnnotatedImage("torn.png")},
            recipe(32, 32),
            classes=("a",),
            scale=1.0,
            matcher=None,
            progress=Silent(),
        )
