"""Where a product lies in its frames: the box outside of which good frames show a quiet background; no network.

A product with a background around it wastes pixels on what nobody asked about, and dirt beside it looks like a defect.
Textures and products that reach the frame's edge have no such box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.types import FloatArray, Frame

__all__ = ["find_product"]

LOOKED_AT_PX = 256
"""Frames are looked at with this longer side."""

SMOOTHED = 1.5
"""Standard deviation of the smoothing before slopes are taken, in pixels of the small frame: grain has no edges."""

OFTEN = 0.9
"""Of the good frames' slopes at a place, this quantile counts: a product may lie a little elsewhere in some."""

STEEP = 0.2
"""An edge is steeper than this share of the steep ones (the 98th percentile)."""

QUIET = 0.95
"""This share of the frame's rim is without an edge where there is a background."""

RIM = 0.03
"""Width of the rim, as a share of the longer side."""

SPECK = 0.002
"""Edges of a smaller share of the frame are dirt."""

MARGIN = 0.04
"""Room around the edges, as a share of the longer side: a defect may stick out, a product may have moved a little."""

WORTHWHILE = 0.7
"""A box of more than this share of the frame is not worth cutting."""


def find_product(frames: Sequence[Frame]) -> Box | None:
    """Find the box of a product that lies at about one place of its frames, in front of a quiet background.

    Args:
        frames: good ones of one shape, uint8 or uint16, (H, W) or (H, W, 3).

    Returns:
        the box in pixels of the frames, with some room; None where there is no background, or too little of it.

    >>> frame = np.full((200, 400), 90, np.uint8)
    >>> frame[80:120, 100:300] = 200
    >>> find_product([frame, frame])
    Box(top=59, left=79, height=82, width=242)
    """
    slopes = np.stack([_slopes(frame) for frame in frames])
    often = np.quantile(slopes, OFTEN, axis=0)
    steep = STEEP * float(np.quantile(often, 0.98))
    height, width = often.shape
    rim = np.ones((height, width), dtype=bool)
    edge = max(2, round(RIM * max(height, width)))
    rim[edge:-edge, edge:-edge] = False
    if steep <= 0.0 or np.mean(often[rim] < steep) < QUIET:
        return None
    count, _, stats, _ = cv2.connectedComponentsWithStats((often > steep).astype(np.uint8), connectivity=8)
    large = [stats[at] for at in range(1, count) if stats[at, cv2.CC_STAT_AREA] >= SPECK * often.size]
    if not large:
        return None
    left, top = (min(int(part[at]) for part in large) for at in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP))
    right = max(int(part[cv2.CC_STAT_LEFT] + part[cv2.CC_STAT_WIDTH]) for part in large)
    bottom = max(int(part[cv2.CC_STAT_TOP] + part[cv2.CC_STAT_HEIGHT]) for part in large)
    rows, columns = frames[0].shape[:2]
    room = MARGIN * max(height, width)
    box = _scaled((top - room, left - room, bottom + room, right + room), (rows / height, columns / width), frames[0])
    return box if box.height * box.width <= WORTHWHILE * rows * columns else None


def _slopes(frame: Frame) -> FloatArray:
    """Give the steepness at each place of the shrunk grey frame, float32."""
    grey = frame if frame.ndim == 2 else frame.mean(axis=2)
    shrink = min(1.0, LOOKED_AT_PX / max(grey.shape))
    size = (max(8, round(grey.shape[1] * shrink)), max(8, round(grey.shape[0] * shrink)))
    small = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), SMOOTHED)
    down, across = cv2.Sobel(smooth, cv2.CV_32F, 0, 1), cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    steepness: FloatArray = np.hypot(down, across)
    return steepness


def _scaled(sides: tuple[float, float, float, float], scale: tuple[float, float], frame: Frame) -> Box:
    """Bring (top, left, bottom, right) of the small frame to the frame, and keep it inside."""
    rows, columns = frame.shape[:2]
    top, bottom = (round(min(max(side * scale[0], 0), rows)) for side in (sides[0], sides[2]))
    left, right = (round(min(max(side * scale[1], 0), columns)) for side in (sides[1], sides[3]))
    return Box(top, left, bottom - top, right - left)
