"""One picture that explains one verdict: heatmap over the image under a banner in words; knows no file."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tifffile

from candling.pixels.heatmap import overlay, thumbnail
from candling.types import Verdict
from candling.workflow.beside import worst_score
from candling.workflow.maps import frame_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from candling.types import FloatArray, Frame, Inspection, Limit
    from candling.workflow.maps import MapScale

__all__ = ["draw_overlay", "encode_map"]

LONGEST = 1280
"""Longest side of the picture under the banner, in pixels; larger frames are shrunk."""

NARROWEST = 480
"""Narrower frames get a banner of this width, so that its words can be read."""

COLOURS = {Verdict.ACCEPT: (42, 111, 176), Verdict.REJECT: (176, 70, 6), Verdict.UNDECIDED: (90, 90, 90)}
"""RGB of the banner: blue, orange, grey, told apart by every kind of colour vision."""


def draw_overlay(
    frame: Frame, inspection: Inspection, *, limits: Mapping[tuple[str, str], Limit], scale: MapScale, title: str
) -> NDArray[np.uint8]:
    """Draw the heatmap over its image, under a banner with the verdict and the worst score beside its limit.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3).
        inspection: what was found in it; without maps the image is shown as it is.
        limits: by (region, score).
        scale: the bundle's colours; what no good image reaches is outlined.
        title: the image's name, written small; letters beyond ASCII become question marks.

    Returns:
        uint8 (H', W', 3), RGB.
    """
    small = thumbnail(frame, LONGEST)
    size = (small.shape[0], small.shape[1])
    values = frame_map(inspection.predictions, (frame.shape[0], frame.shape[1]), size=size)
    picture = (
        small if values is None else overlay(small, values, low=scale.low, high=scale.high, outline_above=scale.edge)
    )
    _frame_rejected(picture, inspection, limits, down=size[0] / frame.shape[0], across=size[1] / frame.shape[1])
    width = max(size[1], NARROWEST)
    room = width - size[1]
    padded = cv2.copyMakeBorder(picture, 0, 0, room // 2, room - room // 2, cv2.BORDER_CONSTANT, value=(24, 24, 24))
    return np.vstack([_banner(inspection, limits, title, width), padded])


def _frame_rejected(
    picture: NDArray[np.uint8],
    inspection: Inspection,
    limits: Mapping[tuple[str, str], Limit],
    *,
    down: float,
    across: float,
) -> None:
    """Draw a line around each patch of a strip that was not accepted."""
    for patch in inspection.predictions:
        broken = (
            not limit.admits(patch.scores[score])
            for (region, score), limit in limits.items()
            if region == patch.region and score in patch.scores
        )
        if patch.vial is not None and any(broken):
            box = patch.box
            first = (round(box.left * across) + 1, round(box.top * down) + 1)
            last = (round(box.right * across) - 2, round(box.bottom * down) - 2)
            cv2.rectangle(picture, first, last, COLOURS[Verdict.REJECT], 2)


def encode_map(inspection: Inspection, shape: tuple[int, int] | None = None) -> bytes | None:
    """Encode the raw anomaly map as a float32 TIFF; None when the graph gave none.

    One patch keeps the graph's own resolution; several are put back into a frame of ``shape``, or of their extent.
    """
    maps = [patch.anomaly_map for patch in inspection.predictions if patch.anomaly_map is not None]
    if not maps:
        return None
    values: FloatArray | None = maps[0]
    if len(inspection.predictions) > 1:
        boxes = [patch.box for patch in inspection.predictions]
        extent = (max(box.bottom for box in boxes), max(box.right for box in boxes))
        values = frame_map(inspection.predictions, shape or extent)
    file = io.BytesIO()
    tifffile.imwrite(file, np.asarray(values, dtype=np.float32), compression=None, metadata=None)
    return file.getvalue()


def _banner(
    inspection: Inspection, limits: Mapping[tuple[str, str], Limit], title: str, width: int
) -> NDArray[np.uint8]:
    size = min(max(width / 900, 0.5), 1.1)
    line = round(34 * size)
    banner = np.full((2 * line + round(14 * size), width, 3), COLOURS[inspection.verdict], dtype=np.uint8)
    _write(banner, f"{str(inspection.verdict).upper()}   {_finding(inspection, limits)}", line, size, width)
    _write(banner, title, 2 * line, size * 0.75, width)
    return banner


def _finding(inspection: Inspection, limits: Mapping[tuple[str, str], Limit]) -> str:
    """Say the worst score beside its limit, or the first reason where there is none."""
    worst = worst_score(inspection, limits)
    if worst is None:
        return inspection.reasons[0].text if inspection.reasons else "nothing was judged"
    where = "" if worst.region == "whole" else f"{worst.region}: "
    severity = f" (severity {inspection.severity:.2f})" if math.isfinite(inspection.severity) else ""
    reason = inspection.reasons[0] if inspection.reasons else None
    if reason is not None and reason.vial is not None and reason.score is not None:  # of a strip: which vial, and frame
        where = f"vial {reason.vial}, {reason.region}: "
    return f"{where}{worst.score} {worst.value:.4g}, limit {worst.limit:.4g}{severity}"


def _write(banner: NDArray[np.uint8], text: str, baseline: int, size: float, width: int) -> None:
    """Write one line of text, cut with dots where it does not fit; OpenCV's letters are ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    shown = plain
    while len(shown) > 4 and cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] > width - 24:
        plain = plain[:-1]
        shown = f"{plain}..."
    place = (12, baseline)
    cv2.putText(banner, shown, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1 + round(size), cv2.LINE_AA)
