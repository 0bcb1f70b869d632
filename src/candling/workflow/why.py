"""Why the worst place of a picture is called a defect, drawn: what the network sees, and which part of it decides.

Each part of the surroundings is covered once, so an explanation takes some fifty runs of the graph: it is made of few
pictures. Knows no method, no file and no page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.errors import CandlingError
from candling.pixels.heatmap import overlay
from candling.workflow.occlusion import occlusion_map, surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.runtime.predictor import Predictor
    from candling.types import FloatArray, Frame, Prediction

__all__ = ["Why", "draw_why", "why_tiles", "why_worst"]

TILE: Final = 300
"""Side of a tile, in pixels."""

GAP: Final = 12
LINE: Final = 26
GROUND: Final = (24, 24, 24)
BOX: Final = (0, 255, 255)

_PARTS: Final = 4
"""A cover is about this part of the side, and the next one begins half a cover further."""

_SMOOTH: Final = 24
"""The worst place is where the mean over a square of this part of the shorter side is largest: one pixel is chance."""

_CONTEXT: Final = 1.6
"""So many times the side that decides is shown."""

_LEAST_SHOWN: Final = 96


@dataclass(frozen=True)
class Why:
    """The worst place of one patch and what decides it, in pixels of what the network sees.

    Attributes:
        region: where the patch is from.
        place: (row, column).
        value: of the map there.
        side: of the square in the middle that decides.
        seen: uint8 (S, S) grey or (S, S, 3) RGB, this and more around it.
        falls: float32 (S, S), by how much the value falls when a part is covered; above 0 speaks for a defect.
    """

    region: str
    place: tuple[int, int]
    value: float
    side: int
    seen: NDArray[np.uint8]
    falls: FloatArray


def why_worst(predictor: Predictor, frame: Frame, predictions: Sequence[Prediction]) -> Why | None:
    """Explain the worst place of one frame.

    Args:
        predictor: that made the predictions.
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        predictions: of this frame, with their maps.

    Returns:
        None where there is no map, the network sees more than this one frame, or the engine fails: an explanation
        that cannot be given takes nothing from a verdict.
    """
    try:
        images = predictor.prepared(frame)
        if len(images) != len(predictions) or not predictor.engine.has_map:
            return None
        worst = int(np.argmax([_peak(one.anomaly_map) for one in predictions]))
        return _explained(predictor, predictions[worst].region, images[worst])
    except CandlingError:
        return None


def why_tiles(why: Why) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give what the network sees, and over it what speaks for a defect: uint8 (TILE, TILE, 3) each, RGB."""
    seen = cv2.resize(why.seen, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    plain: NDArray[np.uint8] = cv2.cvtColor(seen, cv2.COLOR_GRAY2RGB) if seen.ndim == 2 else seen
    soft = cv2.GaussianBlur(why.falls, (0, 0), why.side / _PARTS / 4)  # covers have hard edges, reasons have not
    falls = cv2.resize(soft, (TILE, TILE), interpolation=cv2.INTER_LINEAR)
    coloured = overlay(plain, falls, low=0.0, high=max(float(falls.max()), 1e-12))
    half = round(why.side / why.seen.shape[0] * TILE / 2)
    first, last = (TILE // 2 - half, TILE // 2 - half), (TILE // 2 + half - 1, TILE // 2 + half - 1)
    for picture in (plain, coloured):
        cv2.rectangle(picture, first, last, (0, 0, 0), 3)
        cv2.rectangle(picture, first, last, BOX, 1)
    return plain, coloured


def draw_why(why: Why) -> NDArray[np.uint8]:
    """Draw both tiles side by side with a line of words below each: uint8 (H, W, 3), RGB."""
    words = (
        f"row {why.place[0]}, column {why.place[1]}; {why.side} px decide",
        f"what speaks for its value of {why.value:.3g}",
    )
    parts = []
    for tile, text in zip(why_tiles(why), words, strict=True):
        line = np.full((LINE, TILE, 3), GROUND, np.uint8)
        cv2.putText(line, text, (0, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
        parts.append(cv2.copyMakeBorder(np.vstack([tile, line]), GAP, 0, GAP, 0, cv2.BORDER_CONSTANT, value=GROUND))
    both: NDArray[np.uint8] = cv2.copyMakeBorder(np.hstack(parts), 0, 0, 0, GAP, cv2.BORDER_CONSTANT, value=GROUND)
    return both


def _peak(values: FloatArray | None) -> float:
    return -math.inf if values is None else float(np.fmax.reduce(values, None))


def _explained(predictor: Predictor, region: str, image: FloatArray) -> Why:
    engine = predictor.engine
    values = engine.run(image[None]).anomaly_map
    assert values is not None
    square = max(3, min(values.shape[1:]) // _SMOOTH)
    smooth = cv2.blur(np.nan_to_num(values[0]), (square, square))
    row, column = (int(at) for at in np.unravel_index(int(smooth.argmax()), smooth.shape))
    side = surroundings(engine, image, (row, column))
    cover = max(3, side // _PARTS)
    falls = occlusion_map(engine, image, (row, column), around=side, cover=cover, step=max(1, cover // 2))
    margin = (max(round(_CONTEXT * side), _LEAST_SHOWN) - side) // 2
    seen = _cut(image, (row, column), side + 2 * margin)
    return Why(region, (row, column), float(values[0, row, column]), side, seen, np.pad(falls, margin))


def _cut(image: FloatArray, place: tuple[int, int], side: int) -> NDArray[np.uint8]:
    """Cut the square around a place out of a prepared image; outside is black."""
    half = side // 2
    levels = np.rint(np.clip(np.moveaxis(image, 0, -1), 0.0, 1.0) * 255).astype(np.uint8)
    wide = np.pad(levels, ((half, side), (half, side), (0, 0)))
    cut: NDArray[np.uint8] = wide[place[0] : place[0] + side, place[1] : place[1] + side]
    return cut if cut.shape[2] == 3 else np.ascontiguousarray(cut[..., 0])
