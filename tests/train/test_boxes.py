"""What is decided when marked images are read: classes, anchors and regions; and what cannot be learned is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.annotations import AnnotatedImage, Annotation, AnnotationSet, Review, write_annotations
from candling.errors import DataError, RecipeError, SamplesError
from candling.recipe import Recipe
from candling.train.anchors import Anchors, reached
from candling.train.boxes import load_box_images
from candling.train.method import check_method
from candling.train.progress import Silent


class Heard(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, sentence: str) -> None:
        self.said.append(sentence)


def recipe(prepare: dict | None = None, **method: object) -> Recipe:
    """A recipe for tiles of 64 x 64 px."""
    return Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": 64, "width": 64, **(prepare or {})},
            "method": {"name": "faster_rcnn", **method},
            "training": {"hold_out": 0.25},
            "limits": {"scores": ["largest_confidence"]},
        }
    )


def write_set(root: Path, *, objects: int = 6, review: Review = Review.REVIEWED, label: str = "b") -> Path:
    """Images of 64 x 64 px with some boxes of 8 x 12 px of class "a", and one of 24 x 20 of another."""
    (root / "images").mkdir(parents=True)
    rng, images = np.random.default_rng(0), []
    for number in range(9):
        cv2.imwrite(str(root / "images" / f"{number}.png"), rng.integers(0, 255, (64, 64), dtype=np.uint8))
        some = [Annotation(label, 40, 40, 60, 64, review=review)]
        for _ in range(objects):
            left, top = rng.integers(0, 40, 2).tolist()
            some.append(Annotation("a", left, top, left + 8, top + 12))
        images.append(AnnotatedImage(f"{number}.png", tuple(some), 64, 64))
    write_annotations(AnnotationSet(tuple(images)), root / "annotations", layout="voc")
    return root


def test_classes_anchors_and_regions_are_decided_from_the_boxes(tmp_path):
    """They stand in the recipe that training and the bundle get; how many boxes anchors reach is said."""
    heard = Heard()
    read = load_box_images(recipe(anchor_count=2, stride=4), write_set(tmp_path), progress=heard)
    options = check_method("faster_rcnn", read.recipe.method.options)
    assert options.classes == ("a", "b")
    assert options.proposals == 100
    np.testing.assert_allclose(sorted(options.anchor_sizes), [(12.0, 8.0), (24.0, 20.0)], atol=0.5)
    edges = np.vstack([one.boxes for one in read.objects.values()])
    assert read.choices["anchors overlap by 0.5"] > 0.9
    assert reached(edges, Anchors(np.array(options.anchor_sizes), 4), iou=0.5) > 0.9
    assert read.choices["objects in the fullest tile"] == 7
    assert [text for text in heard.said if text.startswith("2 anchors overlap the boxes to learn: ")]
    assert len(read.good) == 4
    assert len(read.held_out) == len(read.held) == 2


def test_anchors_that_miss_the_boxes_are_a_warning(tmp_path):
    """The thesis' anchors are far too large for these boxes: it is said before training, with a remedy."""
    heard = Heard()
    read = load_box_images(recipe(anchors="published", stride=16), write_set(tmp_path), progress=heard)
    assert read.choices["anchors overlap by 0.5"] < 0.5
    assert [text for text in heard.said if "method.stride" in text]
    assert len(check_method("faster_rcnn", read.recipe.method.options).anchor_sizes) == 9


def test_regions_follow_the_fullest_tile(tmp_path):
    """Three for each object; fewer than two were given: a warning."""
    folder = write_set(tmp_path, objects=50)
    assert load_box_images(recipe(), folder, progress=Silent()).recipe.method.options["proposals"] == 153
    heard = Heard()
    load_box_images(recipe(proposals=60), folder, progress=heard)
    assert [text for text in heard.said if text.startswith("method.proposals: 60 regions")]


def test_what_changes_the_boxes_changes_the_hash(tmp_path):
    """A checkpoint of other boxes is another training's, though the images are the same."""
    one = load_box_images(recipe(), write_set(tmp_path / "one"), progress=Silent())
    same = load_box_images(recipe(), write_set(tmp_path / "same"), progress=Silent())
    other = load_box_images(recipe(), write_set(tmp_path / "other", label="c"), progress=Silent())
    assert one.hash == same.hash != other.hash


def test_histograms_are_matched_before_boxes_are_learned(tmp_path):
    """The matcher learned from the images travels with them, and the tiles are those of matched frames."""
    folder = write_set(tmp_path)
    plain = load_box_images(recipe(), folder, progress=Silent())
    matched = load_box_images(recipe({"histogram": "global"}), folder, progress=Silent())
    assert plain.matching.matcher is None
    assert matched.matching.matcher is not None
    assert plain.good.frames.shape == matched.good.frames.shape
    assert not np.array_equal(plain.good.frames, matched.good.frames)
    np.testing.assert_array_equal(plain.good.boxes, matched.good.boxes)


def test_a_class_that_no_image_shows_is_named(tmp_path):
    """With those that they show."""
    with pytest.raises(RecipeError, match=r"method\.classes: no image to learn from shows 'WBC'; they show: a, b"):
        load_box_images(recipe(classes=["a", "WBC"]), write_set(tmp_path), progress=Silent())


def test_a_class_that_is_left_out_teaches_nothing(tmp_path):
    """Only the classes of the recipe are learned, in its order."""
    read = load_box_images(recipe(classes=["b"]), write_set(tmp_path), progress=Silent())
    assert (read.good.boxes[:, :, 4] >= 0).sum(axis=1).tolist() == [1, 1, 1, 1]


def test_images_without_any_object_cannot_be_learned_from(tmp_path):
    """Some may be empty, not all."""
    (tmp_path / "images").mkdir()
    for number in range(6):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.zeros((64, 64), np.uint8))
    images = tuple(AnnotatedImage(f"{number}.png", (), 64, 64) for number in range(6))
    write_annotations(AnnotationSet(images), tmp_path / "annotations", layout="voc")
    with pytest.raises(DataError, match="no object is marked"):
        load_box_images(recipe(), tmp_path, progress=Silent())


def test_unreviewed_boxes_are_refused_unless_told(tmp_path):
    """What a model drew and nobody looked at teaches only where the recipe says so."""
    folder = write_set(tmp_path, review=Review.UNREVIEWED)
    with pytest.raises(SamplesError, match="never reviewed"):
        load_box_images(recipe(), folder, progress=Silent())
    assert load_box_images(recipe(unreviewed=True), folder, progress=Silent()).good.boxes is not None


def test_regions_of_a_recipe_are_refused(tmp_path):
    """Boxes are looked for in whole frames."""
    with pytest.raises(RecipeError, match=r"prepare\.align"):
        load_box_images(recipe({"align": "shift"}), write_set(tmp_path), progress=Silent())
