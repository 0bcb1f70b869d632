"""Frames to boxes: a graph that gives boxes, run over a frame of any size, and every object once; judges nothing.

A frame is brought to the graph's scale and cut into overlapping tiles as large as its input; a smaller one is continued
in black. Of boxes of one class that overlap the surest stays, in each tile, and across tiles the seam rule of
``pixels.boxes`` counts each object once. Knows no method.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

import cv2
import numpy as np

from candling.errors import BundleError
from candling.pixels.boxes import BoxSet, lay_tiles, merge_tiles, suppress
from candling.pixels.prepare import scale, shape_frame
from candling.runtime.cells import SeenCells
from candling.runtime.counting import MISREAD, decode_classes
from candling.runtime.frames import check_frame
from candling.runtime.matching import load_matcher
from candling.runtime.opening import check_input, open_counting_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.measure.count_spread import CountSpread
    from candling.pixels.histogram import Matcher
    from candling.recipe import Recipe
    from candling.runtime.bundle import Bundle
    from candling.runtime.engine import Engine, EngineName, Outputs
    from candling.types import Frame

__all__ = ["DETECTING", "BoxCounter", "Detecting", "decode_detecting", "encode_detecting", "filled", "scaled_size"]

DETECTING: Final = "detecting.json"
"""What the file is called in a bundle."""

LEAST: Final = 0.01
"""A box of less confidence is none, whatever is counted."""

OVERLAP_SHARE: Final = 0.4
"""Of its shorter side a tile shares so much with the next."""

FULL_SHARE: Final = 0.5
"""A tile that holds so many objects as a share of its proposals may hold more than were found."""


@dataclass(frozen=True)
class Detecting:
    """How boxes of a graph become objects, and which of them count.

    Attributes:
        scores: the least score of a counted object, by class; the graph's labels number these, in order.
        iou: of two boxes of one class that overlap by more the surer one stays.
        scale: pixels of the graph for one of the frame.
        proposals: how many regions of a tile the graph looks at.
        least_px: smaller objects of numbered masks are debris, which counts for nothing.
        spreads: how far a count may lie from the truth, by class; none where too few images were held out.
    """

    scores: Mapping[str, float]
    iou: float
    scale: float
    proposals: int
    least_px: int = 0
    spreads: Mapping[str, CountSpread] = field(default_factory=dict)


def encode_detecting(detecting: Detecting) -> bytes:
    """Pack; the same facts give the same bytes."""
    return (json.dumps(asdict(detecting), indent=2) + "\n").encode()


def decode_detecting(data: bytes, *, where: str) -> Detecting:
    """Unpack what :func:`encode_detecting` packed.

    Raises:
        BundleError: it was not packed so.
    """
    try:
        facts = json.loads(data)
        scores, spreads = decode_classes(facts)
        counts = {name: int(facts[name]) for name in ("proposals", "least_px")}
        found = Detecting(scores, float(facts["iou"]), float(facts["scale"]), **counts, spreads=spreads)
    except MISREAD as error:
        raise BundleError(f"{where}: does not say how objects are found ({error}); train again") from error
    usable = scores and all(0.0 <= score <= 1.0 for score in (found.iou, *scores.values()))
    if not usable or not 0.0 < found.scale <= 8.0 or found.proposals < 1 or found.least_px < 0:
        raise BundleError(f"{where}: holds an impossible scale, overlap or score; train again")
    return found


class BoxCounter:
    """Finds the objects of frames.

    Attributes:
        recipe: resolved; says how pixels are prepared.
        engine: the graph, opened.
        counting: how its boxes become objects.
    """

    def __init__(self, recipe: Recipe, engine: Engine, counting: Detecting, matcher: Matcher | None = None) -> None:
        if not engine.has_boxes:
            raise BundleError("the graph gives no boxes, so no object can be found; train again")
        check_input(engine, recipe)
        self.recipe: Final = recipe
        self.engine: Final = engine
        self.counting: Final = counting
        self._matcher: Final = matcher

    @classmethod
    def load(cls, path: Path | str | Bundle, *, engine: EngineName = "auto", threads: int | None = None) -> Self:
        """Open a bundle for finding objects.

        Raises:
            BundleError: the bundle is damaged, or finds no objects.
            EngineError: the engine does not run its graph, or contradicts its witness.
        """
        bundle, opened, data = open_counting_bundle(
            path,
            DETECTING,
            refusal=f"finds no boxes (there is no {DETECTING}); give one trained with a recipe for boxes, "
            "such as blood_cells",
            engine=engine,
            threads=threads,
        )
        counting = decode_detecting(data, where=str(bundle.path / DETECTING))
        return cls(bundle.recipe, opened, counting, load_matcher(bundle))

    @property
    def only_class(self) -> str | None:
        """The name of its class where it has a single one."""
        return next(iter(self.counting.scores)) if len(self.counting.scores) == 1 else None

    def look(self, frame: Frame, *, progress: Callable[[int, int], None] | None = None) -> SeenCells:
        """Find the objects of one frame.

        Args:
            frame: uint8 or uint16, (H, W) or (H, W, 3), any size.
            progress: called with (done, total) tiles.

        Returns:
            boxes in pixels of the frame; their areas are not known, only what boxes cover.

        Raises:
            ImageError: it is no frame.
            EngineError: the engine failed.
        """
        whole, contrast = check_frame(frame), None
        if self._matcher is not None:
            contrast = self._matcher.group(whole)
            whole = self._matcher.match(whole)
        channels, height, width = self.engine.input_shape
        rows, columns = scaled_size(whole.shape[:2], self.counting.scale)
        shaped = shape_frame(whole, channels=channels, height=rows, width=columns)
        wide = filled(shaped, max(rows, height), max(columns, width))
        tiles = lay_tiles(*wide.shape[:2], size=(height, width), overlap=round(OVERLAP_SHARE * min(height, width)))
        parts, fullest = [], 0
        beside = max(1, self.engine.requests)
        for at in range(0, len(tiles), beside):
            some = [tile.box for tile in tiles[at : at + beside]]
            pieces = np.stack([wide[box.top : box.bottom, box.left : box.right] for box in some])
            answers = self.engine.run(scale(cast("Frame", pieces), white=self.recipe.prepare.white))
            for number in range(len(some)):
                parts.append(self._of(answers, number, rows=rows, columns=columns))
                fullest = max(fullest, self._counted(parts[-1]))
            if progress is not None:
                progress(min(at + beside, len(tiles)), len(tiles))
        found = parts[0] if len(tiles) == 1 else merge_tiles(tiles, parts)
        found = _resized(found, (rows, columns), whole.shape[:2])
        return SeenCells(found, None, self._covered(found, whole.shape[:2]), contrast, doubts=self._doubts(fullest))

    def _of(self, answers: Outputs, number: int, *, rows: int, columns: int) -> BoxSet:
        """Give the boxes of one tile, of those that overlap the surest."""
        assert answers.boxes is not None  # the constructor has seen to it
        assert answers.labels is not None
        assert answers.confidences is not None
        boxes = answers.boxes[number].astype(np.float64)
        sure = answers.confidences[number].astype(np.float64)
        inside = (boxes[:, :2] < np.array([columns, rows])).all(axis=1)  # beyond a small frame there is nothing
        kept = (sure >= LEAST) & inside & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= 1.0)
        found = BoxSet(boxes[kept], sure[kept], answers.labels[number][kept].astype(np.intp))
        return found.take(suppress(found, iou=self.counting.iou))

    def _counted(self, found: BoxSet) -> int:
        least = np.array(list(self.counting.scores.values()))
        return int((found.scores >= least[found.labels]).sum())

    def _covered(self, found: BoxSet, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        covered = np.zeros(shape, np.uint8)
        least = np.array(list(self.counting.scores.values()))
        for left, top, right, bottom in np.rint(found.boxes[found.scores >= least[found.labels]]).astype(int):
            covered[top:bottom, left:right] = 255
        return covered

    def _doubts(self, fullest: int) -> tuple[str, ...]:
        if fullest < FULL_SHARE * self.counting.proposals:
            return ()
        told = f"{fullest} objects in one tile, where the graph looks at {self.counting.proposals} regions"
        return (f"{told}: more may be there; train with a larger method.proposals",)


def scaled_size(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Give the rows and columns of a frame at another scale.

    >>> scaled_size((480, 641), 0.5)
    (240, 320)
    """
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def filled(frame: Frame, rows: int, columns: int) -> Frame:
    """Continue a frame in black to so many rows and columns: nothing that could be taken for an object."""
    short = rows - frame.shape[0], columns - frame.shape[1]
    if not any(short):
        return frame
    wide: Frame = cv2.copyMakeBorder(frame, 0, short[0], 0, short[1], cv2.BORDER_CONSTANT, value=0)
    return wide


def _resized(found: BoxSet, before: tuple[int, ...], after: tuple[int, ...]) -> BoxSet:
    factor = np.array([after[1] / before[1], after[0] / before[0]] * 2)
    edges = np.array([after[1], after[0]] * 2, np.float64)
    return BoxSet(np.clip(found.boxes * factor, 0.0, edges), found.scores, found.labels)
