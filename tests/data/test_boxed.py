"""Which images are learned from and measured on, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from candling.data.annotations import AnnotatedImage, Annotation, AnnotationSet, Review, write_annotations
from candling.data.boxed import boxes_to_learn, boxes_to_measure, load_boxed
from candling.errors import SamplesError
from candling.scenes.cells import write_dataset


def write_set(root: Path, count: int = 6, *, review: Review = Review.REVIEWED, lists: bool = True) -> Path:
    """A data set as the VOC kit has it: one object of each of two classes an image."""
    (root / "JPEGImages").mkdir(parents=True)
    images = []
    for number in range(count):
        cv2.imwrite(str(root / "JPEGImages" / f"I{number}.png"), np.full((40, 60), 10 * number, np.uint8))
        objects = (
            Annotation("RBC", 2, 3, 12, 13, review=review),
            Annotation("WBC", 20, 3, 40, 23),
            Annotation("RBC", 50, 30, 58, 38, difficult=True),
        )
        images.append(AnnotatedImage(f"I{number}.png", objects, 60, 40))
    write_annotations(AnnotationSet(tuple(images)), root / "Annotations", layout="voc")
    if lists:
        (root / "ImageSets" / "Main").mkdir(parents=True)
        (root / "ImageSets" / "Main" / "train.txt").write_text("I0\nI1\nI2 1\n\n")
        (root / "ImageSets" / "Main" / "val.txt").write_text("I3\nI4\n")
    return root


def test_the_lists_say_what_is_learned_and_measured(tmp_path):
    """Images of "train" are learned from, those of "val" measured on; one in no list is named and left out."""
    found = load_boxed(write_set(tmp_path))
    assert [one.path.stem for one in boxes_to_learn(found, seed=0)] == ["I0", "I1", "I2"]
    assert [one.path.stem for one in boxes_to_measure(found)] == ["I3", "I4"]
    assert found.classes == ("RBC", "WBC")
    assert [text for text in found.problems if "I5.png" in text and "no list" in text]
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("I5\n")
    assert [one.path.stem for one in boxes_to_measure(load_boxed(tmp_path))] == ["I5"]


def test_without_lists_a_third_is_left(tmp_path):
    """Two thirds of a folder are learned from, the same ones for a seed, and all may be measured."""
    found = load_boxed(write_set(tmp_path, lists=False))
    learned = boxes_to_learn(found, seed=1)
    assert len(learned) == 4
    assert learned == boxes_to_learn(load_boxed(tmp_path), seed=1)
    assert len(boxes_to_measure(found)) == 6


def test_numbered_masks_are_boxes_of_the_class_that_is_named(tmp_path):
    """Masks name no class, so the recipe does; debris counts for nothing."""
    root = write_dataset(tmp_path / "fields", seed=5, images=4, height=96, width=128, cells=(5, 10))
    found = load_boxed(root, named="nucleus", least_px=60)
    assert found.classes == ("nucleus",)
    objects = [one for image in found.objects.values() for one in image.objects]
    assert {one.label for one in objects} == {"nucleus"}
    assert any(not one.difficult for one in objects)


def test_boxes_that_nobody_reviewed_are_refused(tmp_path):
    """Unless told: a model must not learn its own mistakes."""
    write_set(tmp_path, review=Review.UNREVIEWED)
    assert load_boxed(tmp_path).unreviewed == 6
    with pytest.raises(SamplesError, match="never reviewed"):
        load_boxed(tmp_path, unreviewed=False)


def test_a_box_without_area_and_an_image_without_annotation_are_named(tmp_path):
    """They are dropped by name; the rest is used."""
    write_set(tmp_path)
    path = tmp_path / "Annotations" / "I1.xml"
    path.write_text(path.read_text().replace("<xmax>12</xmax>", "<xmax>2</xmax>"))
    (tmp_path / "Annotations" / "I2.xml").unlink()
    found = load_boxed(tmp_path)
    assert [text for text in found.problems if "I1.png, object 1 (RBC)" in text and "no area" in text]
    assert [text for text in found.problems if "I2.png" in text and "no annotation" in text]
    assert len(found.objects) == 5


def test_bad_folders_are_named(tmp_path):
    """No folder, no images or annotations, one image in two lists, too few to learn from: each in one sentence."""
    with pytest.raises(SamplesError, match="no such folder"):
        load_boxed(tmp_path / "gone")
    (tmp_path / "images").mkdir()
    with pytest.raises(SamplesError, match="'annotations'"):
        load_boxed(tmp_path)
    (tmp_path / "annotations").mkdir()
    write_annotations(
        AnnotationSet((AnnotatedImage("other.png", (), 4, 4),)), tmp_path / "annotations" / "voc", layout="voc"
    )
    with pytest.raises(SamplesError, match="none of the images"):
        load_boxed(tmp_path)
    root = write_set(tmp_path / "voc")
    (root / "ImageSets" / "Main" / "test.txt").write_text("I3\n")
    with pytest.raises(SamplesError, match=r"I3 is also in the list 'validation'"):
        load_boxed(root)
    (root / "ImageSets" / "Main" / "test.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SamplesError, match=r"test\.txt"):
        load_boxed(root)
    (root / "ImageSets" / "Main" / "test.txt").unlink()
    (root / "ImageSets" / "Main" / "train.txt").write_text("I0\n")
    with pytest.raises(SamplesError, match="at least 2"):
        boxes_to_learn(load_boxed(root), seed=0)


def test_bccd_has_its_lists_and_its_two_boxes_without_area(real_data):
    """205 images to learn from and 87 to measure on, three classes, and two boxes dropped by name."""
    found = load_boxed(real_data("bccd"))
    assert len(boxes_to_learn(found, seed=0)) == 205
    assert len(boxes_to_measure(found)) == 87
    assert found.classes == ("Platelets", "RBC", "WBC")
    dropped = [text for text in found.problems if "no area" in text]
    assert [name for name in ("00338", "00343") if any(name in text for text in dropped)] == ["00338", "00343"]
    assert len(dropped) == 2


def test_masks_go_before_boxes(tmp_path):
    """Where both are there the boxes of the masks are taken: they are exact."""
    root = write_dataset(tmp_path / "fields", seed=5, images=3, height=96, width=128, cells=(5, 10))
    from_masks = load_boxed(root, named="nucleus")
    name = next(iter(from_masks.objects)).name
    write_annotations(AnnotationSet((AnnotatedImage(name, (), 128, 96),)), root / "annotations", layout="voc")
    assert len(load_boxed(root, named="nucleus").objects) == 3
