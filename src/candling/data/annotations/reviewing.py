"""What a person made of a model's boxes: provenance kept, labour counted, unreviewed boxes kept out of training.

A labelling tool gives back boxes and little else. So what came back is held against what went out: a box that stayed is
the model's, now reviewed; one that was moved or renamed or added is the person's; one that is gone was rejected, and is
kept as such, because it shows what the model takes for a cell. Knows no format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.data.annotations.annotation import PERSON, AnnotatedImage, Annotation, AnnotationSet, Review
from candling.errors import SamplesError
from candling.measure.matching import iou_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Labour", "accept_corrections", "trainable"]

SAME_PX: Final = 1.0
"""A box whose edges all lie within so many pixels of where they were was not moved: tools round to whole pixels."""

LEAST_IOU: Final = 0.3
"""Boxes that overlap less are different objects, not one that was moved."""


@dataclass(frozen=True)
class Labour:
    """What a person did, in boxes.

    Attributes:
        images: that came back.
        kept: left as they were.
        moved: with other edges or another outline.
        renamed: of another class.
        added: that the model had missed.
        removed: that were no objects.
    """

    images: int = 0
    kept: int = 0
    moved: int = 0
    renamed: int = 0
    added: int = 0
    removed: int = 0

    @property
    def corrections(self) -> int:
        """How many boxes a hand had to touch."""
        return self.moved + self.renamed + self.added + self.removed

    @property
    def saved(self) -> float | None:
        """Share of the true boxes that nobody had to draw, move or rename; None where there is none.

        >>> Labour(images=1, kept=8, moved=1, added=1, removed=3).saved
        0.8
        """
        true = self.kept + self.moved + self.renamed + self.added
        return self.kept / true if true else None


def accept_corrections(predicted: AnnotationSet, corrected: AnnotationSet) -> tuple[AnnotationSet, Labour]:
    """Turn predictions and what came back from a labelling tool into reviewed annotations.

    Args:
        predicted: what went out; its unreviewed boxes are the model's.
        corrected: what came back. Images that did not come back stay as they were, unreviewed.

    Returns:
        All images of both, in the order of ``predicted`` and then of ``corrected``; and the labour.
    """
    back = {image.image: image for image in corrected.images}
    images: list[AnnotatedImage] = []
    totals = [0, 0, 0, 0, 0]
    for before in predicted.images:
        after = back.pop(before.image, None)
        if after is None:
            images.append(before)
            continue
        objects, counts = _compare(before.objects, after.objects)
        images.append(replace(before, objects=objects))
        totals = [one + other for one, other in zip(totals, counts, strict=True)]
    for after in back.values():
        images.append(replace(after, objects=tuple(map(_by_hand, after.objects))))
        totals[3] += len(after.objects)
    return AnnotationSet(tuple(images), (*predicted.problems, *corrected.problems)), Labour(
        len(corrected.images), *totals
    )


def trainable(annotations: AnnotationSet, *, allow_unreviewed: bool = False) -> AnnotationSet:
    """Give what may be trained on: rejected boxes are left out, unreviewed ones are refused unless allowed.

    Raises:
        SamplesError: a box was never reviewed, and ``allow_unreviewed`` is False.
    """
    if annotations.unreviewed and not allow_unreviewed:
        names = [image.image for image in annotations.images if any(map(_unreviewed, image.objects))]
        raise SamplesError(
            f"{annotations.unreviewed} boxes in {len(names)} images (the first is {names[0]}) were predicted and never "
            "reviewed; correct and import them, or allow unreviewed boxes"
        )
    images = (
        replace(image, objects=tuple(one for one in image.objects if one.review is not Review.REJECTED))
        for image in annotations.images
    )
    return replace(annotations, images=tuple(images))


def _unreviewed(one: Annotation) -> bool:
    return one.review is Review.UNREVIEWED


def _compare(
    before: Sequence[Annotation], after: Sequence[Annotation]
) -> tuple[tuple[Annotation, ...], tuple[int, int, int, int, int]]:
    """Pair the boxes of one image, best overlap first, and give them reviewed, with kept, moved, renamed, added, gone.

    Of equal overlaps the pair of one class comes first. What was rejected before and did not come back stays rejected.
    """
    pairs = _pairs(before, after)
    kept = moved = renamed = added = 0
    objects = []
    for number, one in enumerate(after):
        if one.review is Review.REJECTED:
            continue
        old = before[pairs[number]] if number in pairs else None
        if old is None:
            added += 1
            objects.append(_by_hand(one))
        elif old.label != one.label:
            renamed += 1
            objects.append(_by_hand(one))
        elif _same_place(old, one):
            kept += 1
            objects.append(replace(old, review=Review.REVIEWED, difficult=one.difficult))
        else:
            moved += 1
            objects.append(_by_hand(one))
    stayed = {pairs[number] for number, one in enumerate(after) if number in pairs and one.review != Review.REJECTED}
    gone = [one for at, one in enumerate(before) if at not in stayed]
    removed = sum(one.review is not Review.REJECTED for one in gone)
    objects += [replace(one, review=Review.REJECTED) for one in gone]
    return tuple(objects), (kept, moved, renamed, added, removed)


def _pairs(before: Sequence[Annotation], after: Sequence[Annotation]) -> dict[int, int]:
    """Give the number of the old box for each new one that has one."""
    if not before or not after:
        return {}
    old, new = (AnnotatedImage("", tuple(some)).boxes for some in (before, after))
    overlap = iou_matrix(new, old)
    same = np.array([[one.label == other.label for other in before] for one in after])
    order = np.argsort(-(overlap + 1e-6 * same), axis=None, kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for number, at in zip(*map(np.ndarray.tolist, np.unravel_index(order, overlap.shape)), strict=True):
        if overlap[number, at] < LEAST_IOU:
            break
        if number not in pairs and at not in taken:
            pairs[number] = at
            taken.add(at)
    return pairs


def _same_place(old: Annotation, new: Annotation) -> bool:
    edges = [(one.left, one.top, one.right, one.bottom) for one in (old, new)]
    near = all(abs(a - b) <= SAME_PX for a, b in zip(*edges, strict=True))
    return near and (not new.polygon or len(new.polygon) == len(old.polygon))


def _by_hand(one: Annotation) -> Annotation:
    return replace(one, source=PERSON, score=None, review=Review.REVIEWED)
