"""Corrections keep their provenance through a labelling tool, labour is counted, unreviewed boxes stay out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from candling.data.annotations import (
    AnnotatedImage,
    Annotation,
    AnnotationSet,
    Labour,
    Review,
    accept_corrections,
    read_annotations,
    trainable,
    write_annotations,
)
from candling.errors import SamplesError


def guess(left, top, label="N", side=20.0, score=0.8):
    return Annotation(
        label, left, top, left + side, top + side, score=score, source="cells 1a2b", review=Review.UNREVIEWED
    )


PREDICTED = AnnotationSet(
    (
        AnnotatedImage("a.png", (guess(0, 0), guess(40.3, 0.4), guess(80, 0), guess(0, 40), guess(40, 40)), 200, 100),
        AnnotatedImage("b.png", (guess(0, 0), guess(50, 50)), 200, 100),
    )
)


def corrected():
    """One box moved by 6 px, one renamed, one taken away, one added; two stay."""
    first, second, third, fourth, _ = PREDICTED.images[0].objects
    kept = (first, second, replace(third, left=86.0, right=106.0), replace(fourth, label="RBC"))
    return AnnotationSet((AnnotatedImage("a.png", (*kept, Annotation("N", 150.0, 50.0, 170.0, 70.0)), 200, 100),))


@pytest.mark.parametrize("layout", ["voc", "coco", "csv", "qupath", "imagej"])
@pytest.mark.parametrize("stripped", [False, True])
def test_a_correction_comes_back_through_a_file(tmp_path, layout, stripped):
    """Whatever the tool dropped: what stayed is the model's and reviewed, the rest by hand."""
    sent = corrected()
    if stripped:  # as LabelImg does
        plain = tuple(
            replace(one, score=None, source="person", review=Review.REVIEWED) for one in sent.images[0].objects
        )
        sent = AnnotationSet((replace(sent.images[0], objects=plain),))
    path = tmp_path / {"coco": "a.json", "csv": "a.csv"}.get(layout, "folder")
    found, labour = accept_corrections(PREDICTED, read_annotations(write_annotations(sent, path, layout=layout)))
    assert labour == Labour(images=1, kept=2, moved=1, renamed=1, added=1, removed=1)
    assert labour.corrections == 4
    assert labour.saved == pytest.approx(2 / 5)
    *seen, gone = found.images[0].objects
    assert [(one.source, one.score, one.review.value) for one in seen] == [
        ("cells 1a2b", 0.8, "reviewed"),
        ("cells 1a2b", 0.8, "reviewed"),
        ("person", None, "reviewed"),
        ("person", None, "reviewed"),
        ("person", None, "reviewed"),
    ]
    assert seen[1] == replace(PREDICTED.images[0].objects[1], review=Review.REVIEWED)  # not rounded by VOC
    assert (gone.review, gone.left, gone.top) == (Review.REJECTED, 40.0, 40.0)
    assert found.images[1] == PREDICTED.images[1]  # did not come back: still unreviewed


def test_training_refuses_what_nobody_looked_at():
    """Unreviewed boxes are named and refused unless allowed; rejected ones are never trained on."""
    found, _ = accept_corrections(PREDICTED, corrected())
    with pytest.raises(SamplesError, match=r"2 boxes in 1 images \(the first is b\.png\) were predicted and never"):
        trainable(found)
    allowed = trainable(found, allow_unreviewed=True)
    assert [len(image.objects) for image in allowed.images] == [5, 2]
    reviewed = AnnotationSet(found.images[:1])
    assert [one.review for one in trainable(reviewed).images[0].objects] == [Review.REVIEWED] * 5


def test_images_nobody_predicted_are_by_hand():
    """An image that only came back counts as drawn from nothing; one that came back empty rejects all."""
    new = AnnotatedImage("c.png", (Annotation("N", 0.0, 0.0, 5.0, 5.0),), 9, 9)
    empty = AnnotatedImage("a.png", (), 200, 100)
    found, labour = accept_corrections(PREDICTED, AnnotationSet((empty, new)))
    assert [image.image for image in found.images] == ["a.png", "b.png", "c.png"]
    assert labour == Labour(images=2, added=1, removed=5)
    assert labour.saved == 0.0
    assert found.images[0].counts == {}
    assert Labour().saved is None


def test_a_second_round_rejects_nothing_twice():
    """Boxes rejected before stay rejected and are no labour; the reviewed ones are kept."""
    first, _ = accept_corrections(PREDICTED, corrected())
    back = trainable(AnnotationSet(first.images[:1]))
    again, labour = accept_corrections(AnnotationSet(first.images[:1]), back)
    assert labour == Labour(images=1, kept=5)
    assert again.images == first.images[:1]


def test_boxes_are_paired_by_overlap():
    """Two boxes that change places in the file are not moved boxes; of equal overlaps the same class wins."""
    image = PREDICTED.images[0]
    shuffled = AnnotationSet((replace(image, objects=image.objects[::-1]),))
    assert accept_corrections(PREDICTED, shuffled)[1] == Labour(images=1, kept=5)
    both = AnnotationSet((AnnotatedImage("a", (guess(0, 0), guess(0, 0, "RBC")), 99, 99),))
    swapped = AnnotationSet((AnnotatedImage("a", (guess(0, 0, "RBC"), guess(0, 0)), 99, 99),))
    assert accept_corrections(both, swapped)[1] == Labour(images=1, kept=2)
