"""Anomaly map to picture: colours, overlays, thumbnails, encoded bytes; knows no limit and no verdict.

The colours are *inferno* (matplotlib, CC0), as OpenCV carries it: lightness grows with the value over the whole scale,
so it reads in grey print and for the colour-blind. The scale is given by the caller and fixed, so that two heatmaps of
one inspector can be compared; it is never stretched to the one picture shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.types import FloatArray, Frame

__all__ = ["encode_jpeg", "encode_png", "heatmap", "overlay", "resize_map", "stretch", "thumbnail"]

OUTLINE = (0, 255, 255)
"""RGB of the outline: cyan, a colour that inferno does not hold."""


def resize_map(anomaly_map: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Bring an anomaly map to another size: averaged where it shrinks, linear where it grows.

    Args:
        anomaly_map: float (h, w).
        shape: (H, W) of the result.

    Returns:
        float32 (H, W); ``anomaly_map`` itself when it is that already.

    >>> import numpy as np
    >>> resize_map(np.float32([[0, 2], [4, 6]]), (1, 1)).tolist()
    [[3.0]]
    >>> resize_map(np.ones((4, 4), np.float32), (16, 8)).shape
    (16, 8)
    """
    values: FloatArray = np.asarray(anomaly_map, dtype=np.float32)
    rows, columns = values.shape
    smaller = min(rows, shape[0]), min(columns, shape[1])
    if smaller != (rows, columns):
        values = cv2.resize(values, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != tuple(shape):
        values = cv2.resize(values, tuple(shape)[::-1], interpolation=cv2.INTER_LINEAR)
    return values


def heatmap(anomaly_map: FloatArray, *, low: float, high: float) -> NDArray[np.uint8]:
    """Colour an anomaly map on a fixed scale, dark for ``low`` and below, bright for ``high`` and above.

    NaN is shown as the worst, since it is judged as the worst. Where ``high`` is not above ``low`` there is no scale:
    values up to ``low`` are dark, all others bright.

    Args:
        anomaly_map: float (H, W), larger is worse.
        low: the value of the darkest colour.
        high: the value of the brightest colour.

    Returns:
        uint8 (H, W, 3), RGB.

    >>> import numpy as np
    >>> picture = heatmap(np.float32([[0.0, 0.5, 1.0, np.nan]]), low=0.0, high=1.0)
    >>> [int(pixel.sum()) for pixel in picture[0]]
    [4, 327, 671, 671]
    """
    levels = np.rint(_share(anomaly_map, low=low, high=high) * 255).astype(np.uint8)
    bgr = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    picture: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return picture


def overlay(
    frame: Frame,
    anomaly_map: FloatArray,
    *,
    low: float,
    high: float,
    opacity: float = 0.8,
    outline_above: float | None = None,
) -> NDArray[np.uint8]:
    """Lay the heatmap over its frame, and outline where the map lies above a value.

    Where the map is low the frame stays as it is; the colours grow denser with the value.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3) RGB; 16-bit frames are stretched for display.
        anomaly_map: float (h, w); brought to the frame's size.
        low: the value of the darkest colour.
        high: the value of the brightest colour.
        opacity: of the brightest colour, in [0, 1]; darker ones are more transparent in proportion.
        outline_above: outline the areas whose value is larger than this (or NaN); None draws no outline.

    Returns:
        uint8 (H, W, 3), RGB.

    >>> import numpy as np
    >>> overlay(np.zeros((4, 6), np.uint16), np.zeros((2, 3), np.float32), low=0.0, high=1.0).shape
    (4, 6, 3)
    """
    background = stretch(frame)
    if background.ndim == 2:
        background = cv2.cvtColor(background, cv2.COLOR_GRAY2RGB)
    values = resize_map(anomaly_map, background.shape[:2])
    colours = heatmap(values, low=low, high=high)
    density = opacity * _share(values, low=low, high=high)[..., None]
    mixed = background + density * (colours.astype(np.float32) - background)
    picture: NDArray[np.uint8] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    if outline_above is not None:
        marked = (~(values <= outline_above)).astype(np.uint8)
        contours, _ = cv2.findContours(marked, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, OUTLINE, thickness=max(1, round(min(values.shape) / 256)))
    return picture


def stretch(frame: Frame) -> NDArray[np.uint8]:
    """Make an 8-bit picture for the eye of a 16-bit frame: its darkest 0.1 % black, its brightest 0.1 % white.

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3); 8-bit frames stay as they are.

    Returns:
        uint8 of the same shape.

    >>> import numpy as np
    >>> stretch(np.array([[100, 200, 300]], np.uint16)).tolist()
    [[0, 128, 255]]
    """
    if frame.dtype == np.uint8:
        return frame  # type: ignore[return-value]
    low, high = np.percentile(frame, (0.1, 99.9), method="nearest")
    return np.rint(_share(frame.astype(np.float32), low=float(low), high=float(high)) * 255).astype(np.uint8)


def thumbnail(frame: Frame, size: int) -> NDArray[np.uint8]:
    """Make a small picture of a frame whose longer side is ``size`` px at most; smaller frames are not enlarged.

    Returns:
        uint8 (h, w, 3), RGB.

    >>> import numpy as np
    >>> thumbnail(np.zeros((100, 50), np.uint16), 20).shape
    (20, 10, 3)
    """
    picture = stretch(frame)
    factor = min(1.0, size / max(picture.shape[:2]))
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    if factor < 1.0:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture


def encode_png(picture: Frame) -> bytes:
    r"""Encode a picture as PNG.

    Args:
        picture: uint8 or uint16, (H, W) grey or (H, W, 3) RGB.

    Raises:
        ImageError: it cannot be encoded.

    >>> import numpy as np
    >>> encode_png(np.zeros((2, 2, 3), np.uint8))[:4]
    b'\x89PNG'
    """
    return _encode(".png", picture, [], kinds=(np.uint8, np.uint16))


def encode_jpeg(picture: NDArray[np.uint8], quality: int = 90) -> bytes:
    r"""Encode a picture as JPEG.

    Args:
        picture: uint8, (H, W) grey or (H, W, 3) RGB.
        quality: 1 to 100.

    Raises:
        ImageError: it cannot be encoded.

    >>> import numpy as np
    >>> encode_jpeg(np.zeros((2, 2), np.uint8), 80)[:3]
    b'\xff\xd8\xff'
    """
    return _encode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality], kinds=(np.uint8,))


def _encode(suffix: str, picture: Frame, options: list[int], *, kinds: tuple[type, ...]) -> bytes:
    done = picture.dtype in kinds and picture.size > 0
    try:
        if done:  # OpenCV would turn other types silently into 8 bits
            ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
            done, data = cv2.imencode(suffix, ordered, options)
    except cv2.error:
        done = False
    if not done:
        raise ImageError(
            f"a picture of {picture.dtype} {picture.shape} cannot be encoded as {suffix}; "
            f"give {' or '.join(kind.__name__ for kind in kinds)} of shape (H, W) or (H, W, 3)"
        )
    return bytes(data)


def _share(values: NDArray[np.float32], *, low: float, high: float) -> NDArray[np.float32]:
    if high > low:
        share = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    else:
        share = np.where(values <= low, 0.0, 1.0)
    return np.where(np.isnan(values), 1.0, share).astype(np.float32)
