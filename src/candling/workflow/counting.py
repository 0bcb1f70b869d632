"""From the boxes of an image to what a microscopist wants: counts, densities, areas, tables, annotations, a picture.

Knows no network and no engine: boxes come with their scores, from wherever. A count has an interval only where it is
known how far counts of held-out images lay from the truth, or how likely each box is; raw scores say neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.data.annotations import AnnotatedImage, Annotation, AnnotationSet, Review
from candling.errors import UsageError
from candling.measure.counting import count_interval, covered_by_boxes, density_per_1000_px, density_per_mm2
from candling.pixels.heatmap import thumbnail
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from candling.measure.count_spread import CountSpread
    from candling.pixels.boxes import BoxSet
    from candling.pixels.histogram import Contrast
    from candling.types import Frame, Interval
    from candling.workflow.tables import Cell

__all__ = [
    "CELLS_COLUMNS",
    "COUNTS_COLUMNS",
    "CountedClass",
    "CountedImage",
    "annotations_of",
    "cells_csv",
    "count_image",
    "counts_csv",
    "draw_boxes",
    "frame_warnings",
]

COUNTS_COLUMNS: Final = (
    "image",
    "class",
    "count",
    "count_low",
    "count_high",
    "per_1000_px",
    "per_mm2",
    "covered_px",
    "covered_share",
    "covered_um2",
    "mean_score",
    "contrast_group",
    "warnings",
)
"""Columns of counts.csv: one row an image and class, also where the count is 0."""

CELLS_COLUMNS: Final = (
    "image",
    "cell",
    "class",
    "x",
    "y",
    "left",
    "top",
    "right",
    "bottom",
    "area_px",
    "area_um2",
    "score",
    "at_edge",
)
"""Columns of cells.csv: one row a cell; x and y are the box's centre, lengths are in pixels of the original image."""

COLOURS: Final = ((0, 158, 115), (230, 159, 0), (86, 180, 233), (204, 121, 167), (213, 94, 0), (240, 228, 66))
"""RGB of the classes, in turn; told apart by every kind of colour vision (Okabe and Ito 2008)."""

_EDGE_PX: Final = 1.0
_SATURATED: Final = 0.01
_CLOSE: Final = 0.25  # doublings of contrast
_MANY_AT_EDGE: Final = 0.25


@dataclass(frozen=True)
class CountedClass:
    """One class in one image.

    Attributes:
        label: its name.
        count: objects; those of a density where one was given, else the counted boxes.
        interval: of the count; None where nobody knows how sure it is.
        covered_px: pixels inside a box, or of the mask where one was given.
        mean_score: of the counted boxes; None where there is none.
    """

    label: str
    count: int
    interval: Interval | None
    covered_px: int
    mean_score: float | None


@dataclass(frozen=True)
class CountedImage:
    """What was counted in one image.

    Attributes:
        image: its name.
        shape: (H, W) in pixels.
        found: the counted boxes, in pixels of the original image.
        areas_px: int64 (N,), pixels of each object where masks are known, else of its box.
        names: the classes; ``found.labels`` are places in it.
        classes: one a name, in the same order.
        pixel_um: height and width of a pixel in micrometres; None where unknown.
        contrast: the group it was matched with; None where nothing was matched.
        warnings: sentences about what may be wrong with the count.
    """

    image: str
    shape: tuple[int, int]
    found: BoxSet
    areas_px: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[CountedClass, ...]
    pixel_um: tuple[float, float] | None = None
    contrast: Contrast | None = None
    warnings: tuple[str, ...] = ()

    @property
    def at_edge(self) -> NDArray[np.bool_]:
        """Which boxes reach the image's edge, so that the cell may go on beyond it: bool (N,)."""
        boxes, (height, width) = self.found.boxes, self.shape
        low, high = boxes[:, :2] < _EDGE_PX, boxes[:, 2:] > np.array([width, height]) - _EDGE_PX
        touching: NDArray[np.bool_] = np.logical_or.reduce(np.hstack([low, high]), axis=1)
        return touching


def count_image(
    image: str,
    frame: Frame,
    candidates: BoxSet,
    *,
    names: Sequence[str],
    scores: Mapping[str, float],
    spreads: Mapping[str, CountSpread] | None = None,
    expected: Mapping[str, float] | None = None,
    probabilities: NDArray[np.float64] | None = None,
    labels: NDArray[np.uint16] | None = None,
    areas_px: NDArray[np.int64] | None = None,
    pixel_um: tuple[float, float] | None = None,
    contrast: Contrast | None = None,
    white: int | None = None,
    shape: tuple[int, int] | None = None,
) -> CountedImage:
    """Count the boxes of one image.

    Args:
        image: its name.
        frame: uint8 or uint16 (H, W) or (H, W, 3), as read.
        candidates: every box the network gave, in pixels of the frame.
        names: the classes.
        scores: the least score a box of each class needs to be counted.
        spreads: how far counts lie from the truth, by class; gives each count its interval.
        expected: how many objects there are by a density, by class; instead of the number of boxes.
        probabilities: float64 (N,), how likely each candidate is real; gives the count its interval where no spread
            does.
        labels: uint16 (H, W), a mask that numbers the counted boxes from 1 in their order; gives areas.
        areas_px: int64 (N,), the pixels of each candidate, where no two share one; gives areas without a mask.
        pixel_um: height and width of a pixel in micrometres.
        contrast: the group the frame was matched with.
        white: the level that counts as white.
        shape: (H, W) of the image, where ``frame`` holds only every so many-th pixel of it.

    Raises:
        UsageError: a class has no score, a label is beyond the classes, or arrays do not fit.
    """
    missing = [name for name in names if name not in scores]
    if missing:
        raise UsageError(f"no least score for class {missing[0]!r}; choose one on validation images")
    if len(candidates) and not 0 <= candidates.labels.min() <= candidates.labels.max() < len(names):
        raise UsageError(f"a box is of class {candidates.labels.max()} and there are {len(names)}; name every class")
    if probabilities is not None and probabilities.shape != candidates.scores.shape:
        raise UsageError(f"{probabilities.shape} probabilities for {len(candidates)} boxes; give one a box")
    if areas_px is not None and areas_px.shape != candidates.scores.shape:
        raise UsageError(f"{areas_px.shape} areas for {len(candidates)} boxes; give one a box")
    shape = (frame.shape[0], frame.shape[1]) if shape is None else shape
    if labels is not None and labels.shape != shape:
        raise UsageError(f"the mask is {labels.shape} and the image {shape}; give one size")
    least = np.array([scores[name] for name in names] or [0.0])
    kept = candidates.scores >= least[candidates.labels]
    counted = candidates.take(kept)
    areas = _areas(counted, labels) if areas_px is None else areas_px[kept]
    classes = []
    for number, name in enumerate(names):
        mine = counted.labels == number
        chances = None if probabilities is None else probabilities[candidates.labels == number]
        if labels is not None:
            covered = int(np.isin(labels, np.flatnonzero(mine) + 1).sum())
        elif areas_px is not None:
            covered = int(areas[mine].sum())
        else:
            covered = covered_by_boxes(counted.boxes[mine], shape)
        classes.append(
            CountedClass(
                name,
                count := int(mine.sum()) if name not in (expected or {}) else round((expected or {})[name]),
                _interval(count, name, spreads, chances),
                covered,
                float(counted.scores[mine].mean()) if mine.any() else None,
            )
        )
    done = CountedImage(image, shape, counted, areas, tuple(names), tuple(classes), pixel_um, contrast)
    warnings = (*frame_warnings(frame, white=white), *_count_warnings(done))
    return CountedImage(image, shape, counted, areas, tuple(names), tuple(classes), pixel_um, contrast, warnings)


def _interval(
    count: int, name: str, spreads: Mapping[str, CountSpread] | None, chances: NDArray[np.float64] | None
) -> Interval | None:
    if spreads is not None and name in spreads:
        return spreads[name].interval(count)
    return None if chances is None else count_interval(chances)


def frame_warnings(frame: Frame, *, white: int | None = None) -> tuple[str, ...]:
    """Say what a frame's levels give away: saturation, a single level, 8-bit data in a file of 16.

    >>> frame_warnings(np.arange(200, dtype=np.uint16).reshape(10, 20))
    ('16-bit file with no value above 255: was it saved from 8 bits?',)
    """
    found = []
    top = int(np.iinfo(frame.dtype).max) if white is None else white
    if frame.min() == frame.max():
        return ("every pixel has the same value: is the lamp on?",)
    if frame.dtype == np.uint16 and frame.max() <= 255:
        found.append("16-bit file with no value above 255: was it saved from 8 bits?")
    share = float(np.mean(frame >= top))
    if share > _SATURATED:
        found.append(f"{100 * share:.0f} % of the pixels are saturated: areas and touching cells are unsure")
    return tuple(found)


def _count_warnings(image: CountedImage) -> list[str]:
    found = []
    count, edge = len(image.found), int(image.at_edge.sum())
    if edge > _MANY_AT_EDGE * count and edge > 2:
        found.append(f"{edge} of {count} cells reach the image's edge")
    if image.contrast is not None and image.contrast.margin < _CLOSE:
        found.append(f"contrast lies close to another group's ({image.contrast.margin:.2f} doublings)")
    return found


def _areas(counted: BoxSet, labels: NDArray[np.uint16] | None) -> NDArray[np.int64]:
    if labels is None:
        sides = np.clip(counted.boxes[:, 2:] - counted.boxes[:, :2], 0.0, None)
        boxed: NDArray[np.int64] = np.rint(sides.prod(axis=1)).astype(np.int64)
        return boxed
    sizes = np.bincount(labels.ravel(), minlength=len(counted) + 1)
    areas: NDArray[np.int64] = sizes[1 : len(counted) + 1].astype(np.int64)
    return areas


def counts_csv(images: Iterable[CountedImage]) -> str:
    """Write counts.csv."""
    lines = [csv_line(COUNTS_COLUMNS)]
    for one in images:
        pixel = _pixel_um2(one)
        group = None if one.contrast is None else one.contrast.group
        for found in one.classes:
            cells: list[Cell] = [one.image, found.label, found.count]
            cells += [None, None] if found.interval is None else [int(found.interval.low), int(found.interval.high)]
            cells += [
                round(density_per_1000_px(found.count, one.shape), 6),
                None
                if one.pixel_um is None
                else round(density_per_mm2(found.count, one.shape, pixel_um=one.pixel_um), 3),
                found.covered_px,
                round(found.covered_px / (one.shape[0] * one.shape[1]), 6),
                None if pixel is None else round(found.covered_px * pixel, 3),
                None if found.mean_score is None else round(found.mean_score, 4),
                group,
                "; ".join(one.warnings) or None,
            ]
            lines.append(csv_line(cells))
    return "".join(lines)


def cells_csv(images: Iterable[CountedImage]) -> str:
    """Write cells.csv; cells are numbered from 1 in each image."""
    lines = [csv_line(CELLS_COLUMNS)]
    for one in images:
        pixel, edge = _pixel_um2(one), one.at_edge
        for at, box in enumerate(one.found.boxes):
            left, top, right, bottom = (round(float(value), 2) for value in box)
            lines.append(
                csv_line(
                    [
                        one.image,
                        at + 1,
                        one.names[one.found.labels[at]],
                        round((left + right) / 2, 2),
                        round((top + bottom) / 2, 2),
                        left,
                        top,
                        right,
                        bottom,
                        int(one.areas_px[at]),
                        None if pixel is None else round(int(one.areas_px[at]) * pixel, 3),
                        round(float(one.found.scores[at]), 4),
                        bool(edge[at]),
                    ]
                )
            )
    return "".join(lines)


def annotations_of(images: Iterable[CountedImage], *, source: str) -> AnnotationSet:
    """Give the counted boxes as annotations that no person has looked at yet.

    Args:
        images: what was counted.
        source: the model's name and hash, kept on every box.
    """
    return AnnotationSet(
        tuple(
            AnnotatedImage(
                one.image,
                tuple(
                    Annotation(
                        one.names[label],
                        left,
                        top,
                        right,
                        bottom,
                        score=float(np.clip(score, 0.0, 1.0)),
                        source=source,
                        review=Review.UNREVIEWED,
                    )
                    for (left, top, right, bottom), score, label in zip(
                        one.found.boxes.tolist(), one.found.scores, one.found.labels, strict=True
                    )
                ),
                one.shape[1],
                one.shape[0],
            )
            for one in images
        )
    )


def draw_boxes(frame: Frame, image: CountedImage, *, longest: int = 1280) -> NDArray[np.uint8]:
    """Draw every counted box over its image, a colour a class; the image is stretched for the eye and may be shrunk.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        image: what was counted in it.
        longest: of the picture's sides at most, in pixels.

    Returns:
        uint8 (h, w, 3), RGB.
    """
    picture = thumbnail(frame, longest).copy()
    down, across = picture.shape[0] / image.shape[0], picture.shape[1] / image.shape[1]
    for box, label in zip(image.found.boxes, image.found.labels, strict=True):
        first = (round(float(box[0]) * across), round(float(box[1]) * down))
        last = (round(float(box[2]) * across) - 1, round(float(box[3]) * down) - 1)
        cv2.rectangle(picture, first, last, COLOURS[int(label) % len(COLOURS)], 1)
    return picture


def _pixel_um2(image: CountedImage) -> float | None:
    return None if image.pixel_um is None else image.pixel_um[0] * image.pixel_um[1]
