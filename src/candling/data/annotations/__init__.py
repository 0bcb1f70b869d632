"""Marked objects of images, in six formats, with score, source and review state; names only."""

from candling.data.annotations.annotation import (
    PERSON,
    AnnotatedImage,
    Annotation,
    AnnotationSet,
    Point,
    Problem,
    Review,
    Trouble,
)
from candling.data.annotations.layouts import Layout, guess_layout, read_annotations, write_annotations
from candling.data.annotations.reviewing import Labour, accept_corrections, trainable

__all__ = [
    "PERSON",
    "AnnotatedImage",
    "Annotation",
    "AnnotationSet",
    "Labour",
    "Layout",
    "Point",
    "Problem",
    "Review",
    "Trouble",
    "accept_corrections",
    "guess_layout",
    "read_annotations",
    "trainable",
    "write_annotations",
]
