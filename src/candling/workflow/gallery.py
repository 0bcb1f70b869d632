"""The images behind the numbers: which ones to show, and the panels drawn of each; knows no page and no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from candling.pixels.heatmap import encode_jpeg, heatmap, overlay, thumbnail
from candling.workflow.evaluation import Panel
from candling.workflow.filters import first_filters
from candling.workflow.maps import draw_outline, frame_map, frame_reconstruction
from candling.workflow.unlike import draw_places, tiles
from candling.workflow.why import why_tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from candling.types import Frame, Prediction
    from candling.workflow.evaluation import ImageResult
    from candling.workflow.explanation import Pair
    from candling.workflow.maps import MapScale
    from candling.workflow.why import Why

__all__ = [
    "EXPLAINED",
    "choose_examples",
    "draw_filter_panels",
    "draw_pair",
    "draw_panels",
    "draw_reason",
    "draw_scale",
]

MISSED, REJECTED, FOUND, ACCEPTED = "Missed defects", "False rejects", "Defects found", "Good images accepted"
EXPLAINED = FOUND, REJECTED, MISSED
"""Groups whose first image is explained, until two are: an explanation takes some fifty runs of the graph."""

SIDE = 400
"""Longest side of a panel, in pixels."""
QUALITY = 80


def choose_examples(images: Sequence[ImageResult], *, most: int = 24) -> list[tuple[str, int]]:
    """Choose what is worth looking at: up to two thirds misjudged, worst first, the rest judged rightly.

    Missed defects come by rising severity, false rejects by falling; when both are many they share the room. Found
    defects are the middling ones of each class in turn, accepted good images those nearest to the limit. Images that
    could not be read have nothing to show.

    Returns:
        (group, index into ``images``) in the order to be shown.
    """
    readable = [index for index, image in enumerate(images) if image.readable]
    missed = _by_severity(images, (i for i in readable if images[i].mistake == "missed defect"), falling=False)
    rejected = _by_severity(images, (i for i in readable if images[i].mistake == "false reject"), falling=True)
    room = most * 2 // 3
    kept_missed = missed[: max(room - len(rejected), room - room // 3)]
    kept_rejected = rejected[: room - len(kept_missed)]
    left = most - len(kept_missed) - len(kept_rejected)
    accepted = _by_severity(images, (i for i in readable if images[i].is_good and images[i].accepted), falling=True)
    kept_accepted = accepted[: max(left // 3, 0)]
    found = _middling_in_turn(images, [i for i in readable if not images[i].is_good and not images[i].accepted])
    groups = (
        (MISSED, kept_missed),
        (REJECTED, kept_rejected),
        (FOUND, found[: min(left - len(kept_accepted), 8)]),
        (ACCEPTED, kept_accepted[:4]),
    )
    return [(group, index) for group, chosen in groups for index in chosen]


def draw_panels(
    frame: Frame,
    predictions: Sequence[Prediction],
    mask: NDArray[np.bool_] | None,
    scale: MapScale,
    *,
    pairs: Sequence[Pair] = (),
) -> tuple[Panel, ...]:
    """Draw original, reconstruction, map and overlay of one image; panels the graph gives nothing for are left out.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        predictions: its patches.
        mask: bool (H, W), the marked defect; None without one.
        scale: the colours, fixed for the bundle.
        pairs: places that are shown beside the nearest good: boxes in the overlay.
    """
    shape = (frame.shape[0], frame.shape[1])
    small = thumbnail(frame, SIDE)
    size = (small.shape[0], small.shape[1])
    pictures: list[tuple[str, NDArray[np.uint8]]] = [("original", small)]
    reconstruction = frame_reconstruction(predictions, shape, size)
    if reconstruction is not None:
        pictures.append(("reconstruction", reconstruction))
    values = frame_map(predictions, shape, size=size)
    if values is not None:
        pictures.append(("anomaly map", heatmap(values, low=scale.low, high=scale.high)))
        laid = overlay(small, values, low=scale.low, high=scale.high)
        if mask is not None and mask.any():
            draw_outline(laid, mask)
        draw_places(laid, [pair.place for pair in pairs], shape)
        pictures.append(("overlay", laid))
    return tuple(_panel(caption, picture) for caption, picture in pictures)


def draw_pair(pair: Pair) -> tuple[Panel, Panel]:
    """Draw a place and the nearest good one at the same scale."""
    here, good = tiles(pair)
    return _panel("here", here), _panel("nearest good", good)


def draw_reason(why: Why) -> tuple[Panel, Panel]:
    """Draw the worst place as the network sees it, and what of it decides."""
    seen, decides = why_tiles(why)
    words = f"worst place as the network sees it; the {why.side} px in the box decide"
    return _panel(words, seen), _panel("what speaks for a defect", decides)


def draw_filter_panels(graph: bytes) -> tuple[Panel, ...]:
    """Draw the filters of a graph's first convolutions."""
    return tuple(_panel(one.caption, one.picture) for one in first_filters(graph))


def draw_scale(scale: MapScale) -> Panel:
    """Draw the colours from low to high as a bar, with the values in words."""
    ramp = np.tile(np.linspace(scale.low, scale.high, 160, dtype=np.float32), (14, 1))
    words = f"from {scale.low:.3g} (typical good) over {scale.edge:.3g} (highest good) to {scale.high:.3g} and more"
    return _panel(words, heatmap(ramp, low=scale.low, high=scale.high))


def _panel(caption: str, picture: NDArray[np.uint8]) -> Panel:
    return Panel(caption, encode_jpeg(picture, QUALITY), picture.shape[1], picture.shape[0])


def _by_severity(images: Sequence[ImageResult], chosen: Iterable[int], *, falling: bool) -> list[int]:
    sign = -1 if falling else 1
    return sorted(chosen, key=lambda index: (sign * images[index].severity, images[index].name))


def _middling_in_turn(images: Sequence[ImageResult], chosen: list[int]) -> list[int]:
    """Order images so that classes take turns, each starting with its median severity and going outwards."""
    turns: dict[str, list[int]] = {}
    for index in _by_severity(images, chosen, falling=False):
        turns.setdefault(images[index].label, []).append(index)
    outwards = []
    for label in sorted(turns):
        ordered = turns[label]
        middle = (len(ordered) - 1) / 2
        nearest = sorted(range(len(ordered)), key=lambda place: abs(place - middle))
        outwards.append([ordered[place] for place in nearest])
    longest = max((len(ordered) for ordered in outwards), default=0)
    return [ordered[turn] for turn in range(longest) for ordered in outwards if turn < len(ordered)]
