"""One marked object, the objects of one image, a set of images, and what was wrong with them; knows no file format.

Coordinates are edges in pixels of the original image, x to the right and y down: the first pixel covers 0 to 1. A box
from 3 to 5 holds the two pixels 3 and 4. Formats that count otherwise are translated in their own files.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["PERSON", "AnnotatedImage", "Annotation", "AnnotationSet", "Point", "Problem", "Review", "Trouble", "hull"]

PERSON = "person"
"""The source of what nobody marked otherwise; a model's name stands for what it predicted."""

Point = tuple[float, float]
"""x and y of one corner."""


class Review(StrEnum):
    """Whether a person has looked at an object."""

    REVIEWED = "reviewed"
    UNREVIEWED = "unreviewed"
    REJECTED = "rejected"


class Trouble(StrEnum):
    """What can be wrong with annotations; each names itself and stops nothing else."""

    UNREADABLE = "unreadable"
    FOREIGN_PATH = "foreign path"
    OUTSIDE = "outside the image"
    NO_AREA = "no area"
    UNKNOWN_CLASS = "unknown class"
    NO_ANNOTATION = "image without annotation"
    NO_IMAGE = "annotation without image"
    SAME_NAME = "two images of one name"
    NO_CLASS_LIST = "no class list"
    OTHER_SIZE = "another size"


@dataclass(frozen=True)
class Problem:
    """One thing that was wrong: what kind, and one sentence that says where and what was done about it."""

    trouble: Trouble
    text: str


@dataclass(frozen=True)
class Annotation:
    """One marked object.

    Attributes:
        label: its class.
        left: the box's left edge, in pixels.
        top: its upper edge.
        right: its right edge, just outside.
        bottom: its lower edge, just outside.
        polygon: the outline's corners in order, not closed; empty where only the box is known.
        score: how sure its source is, in [0, 1]; None where a person drew it.
        source: who marked it.
        review: whether a person has looked at it.
        difficult: marked as not to be counted (debris, cells cut off); training and metrics leave it out.

    >>> Annotation("N", 2.0, 1.0, 5.0, 3.0).area
    6.0
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float
    polygon: tuple[Point, ...] = ()
    score: float | None = None
    source: str = PERSON
    review: Review = Review.REVIEWED
    difficult: bool = False

    @property
    def area(self) -> float:
        """Square pixels of the box; 0 where an edge is not left of, or above, its opposite."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)

    @property
    def corners(self) -> tuple[Point, ...]:
        """The outline: the polygon where there is one, else the box's four corners, clockwise from the upper left."""
        left, top, right, bottom = self.left, self.top, self.right, self.bottom
        return self.polygon or ((left, top), (right, top), (right, bottom), (left, bottom))

    @property
    def finite(self) -> bool:
        """Tell whether every coordinate is a finite number."""
        flat = (value for corner in self.corners for value in corner)
        return all(map(math.isfinite, (self.left, self.top, self.right, self.bottom, *flat)))

    def clipped(self, width: int, height: int) -> Annotation:
        """Cut what lies outside an image of ``width`` x ``height`` px; a box wholly outside has no area left.

        >>> Annotation("N", -2.0, 1.0, 5.0, 9.0).clipped(10, 4)
        Annotation(label='N', left=0.0, top=1.0, right=5.0, bottom=4.0, polygon=(), score=None, source='person', \
review=<Review.REVIEWED: 'reviewed'>, difficult=False)
        """
        return replace(
            self,
            left=min(max(self.left, 0.0), float(width)),
            top=min(max(self.top, 0.0), float(height)),
            right=min(max(self.right, 0.0), float(width)),
            bottom=min(max(self.bottom, 0.0), float(height)),
            polygon=tuple((min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))) for x, y in self.polygon),
        )


@dataclass(frozen=True)
class AnnotatedImage:
    """The objects of one image; none is a statement too: the image is empty.

    Attributes:
        image: the file's name, without folders.
        objects: in the order of the file.
        width: of the image in pixels; None where nobody said.
        height: likewise.
    """

    image: str
    objects: tuple[Annotation, ...] = ()
    width: int | None = None
    height: int | None = None

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Left, top, right and bottom of each object: float64 (N, 4), edges in pixels."""
        edges = [(one.left, one.top, one.right, one.bottom) for one in self.objects]
        return np.array(edges, np.float64).reshape(-1, 4)

    @property
    def counts(self) -> dict[str, int]:
        """How many objects of each class there are, difficult and rejected ones left out."""
        return dict(Counter(one.label for one in self.objects if _counted(one)))


@dataclass(frozen=True)
class AnnotationSet:
    """What was read: images with their objects, and what was wrong on the way.

    Attributes:
        images: each name once, in the order of the files.
        problems: in the order they were met.
    """

    images: tuple[AnnotatedImage, ...]
    problems: tuple[Problem, ...] = field(default=())

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that occurs, in alphabetical order."""
        return tuple(sorted({one.label for image in self.images for one in image.objects}))

    @property
    def unreviewed(self) -> int:
        """How many objects no person has looked at."""
        return sum(one.review is Review.UNREVIEWED for image in self.images for one in image.objects)

    def troubles(self, trouble: Trouble) -> tuple[str, ...]:
        """Give the sentences of one kind of problem."""
        return tuple(problem.text for problem in self.problems if problem.trouble is trouble)


def hull(corners: Iterable[Point]) -> tuple[float, float, float, float]:
    """Give left, top, right and bottom of a polygon, at least one corner.

    >>> hull([(3.0, 1.0), (5.0, 4.0), (2.0, 2.0)])
    (2.0, 1.0, 5.0, 4.0)
    """
    columns, rows = zip(*corners, strict=True)
    return float(min(columns)), float(min(rows)), float(max(columns)), float(max(rows))


def _counted(one: Annotation) -> bool:
    return not one.difficult and one.review is not Review.REJECTED
