"""Drawn mats of nanofibres as an electron microscope shows them, with beads, films and dust; knows no network.

A mat is many long fibres over one another, the deeper the darker. Defects are what the fibre reports name: a *bead*, a
drop that thickens a fibre; a *film*, a flat skin between fibres; *dust*, angular crumbs on top. Beside each defect
comes its mask. For tests and demonstrations: a real mat is richer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from candling.disk import replaced_folder
from candling.errors import DiskError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["DEFECTS", "draw_mat", "write_dataset"]

DEFECTS: Final = ("bead", "film", "dust")
"""The kinds of defect that can be drawn."""

_LEAST: Final = 48
_LAYERS: Final = 5
_FIBRES_A_PIXEL: Final = 1 / 500
_POINTS: Final = 24


def draw_mat(
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (696, 1024),
    fibre_px: float = 8.0,
    defects: tuple[str, ...] = (),
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw one picture of a mat, and what on it is defect.

    Args:
        rng: where chance comes from.
        size: (H, W) in pixels, at least 48 each.
        fibre_px: usual thickness of a fibre; defects are sized by it.
        defects: kinds to draw, each once per mention.

    Returns:
        uint8 (H, W) grey, and bool (H, W).

    Raises:
        UsageError: the picture is too small, or there is no such kind of defect.

    >>> frame, mask = draw_mat(np.random.default_rng(0), size=(64, 96), defects=("bead",))
    >>> frame.shape, frame.dtype, bool(mask.any())
    ((64, 96), dtype('uint8'), True)
    """
    if min(size) < _LEAST or not 1.0 <= fibre_px <= min(size) / 4:
        raise UsageError(
            f"a mat is drawn from {_LEAST} x {_LEAST} px on, with fibres of 1 px to a quarter of it; it was asked for "
            f"{size[0]} x {size[1]} px and fibres of {fibre_px} px"
        )
    for kind in defects:
        if kind not in DEFECTS:
            raise UsageError(f"no defect {kind!r} of a mat; there are {', '.join(DEFECTS)}")
    canvas = np.full(size, 12.0, np.float32)
    each = max(2, round(size[0] * size[1] * _FIBRES_A_PIXEL * 8.0 / fibre_px / _LAYERS / 8.0))
    mask = np.zeros(size, bool)
    for layer in range(_LAYERS):
        light = 60.0 + 160.0 * (layer + 1) / _LAYERS
        for _ in range(each):
            _draw_fibre(canvas, rng, light * rng.uniform(0.85, 1.1), fibre_px * rng.uniform(0.7, 1.3))
        if layer == _LAYERS // 2:  # a film lies between fibres
            for _ in range(defects.count("film")):
                mask |= _draw_film(canvas, rng, fibre_px)
    for kind in defects:
        if kind == "bead":
            mask |= _draw_bead(canvas, rng, fibre_px)
        elif kind == "dust":
            mask |= _draw_dust(canvas, rng, fibre_px)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.8) + rng.normal(0.0, 6.0, size).astype(np.float32)
    return canvas.round().clip(0, 255).astype(np.uint8), mask


def write_dataset(
    folder: Path,
    *,
    seed: int,
    size: tuple[int, int] = (696, 1024),
    fibre_px: float = 8.0,
    normal: int = 4,
    anomalous: int = 6,
    overwrite: bool = False,
) -> Path:
    """Draw a data set: ``normal/*.png``, ``anomalous/*.png`` and ``gt/<stem>_gt.png``; returns the folder.

    Raises:
        UsageError: a count is impossible, or as :func:`draw_mat`.
        OutputExistsError: the folder exists, is not empty, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    if normal < 1 or anomalous < 0:
        raise UsageError(f"a data set needs a normal picture, and no negative number; asked were {normal}, {anomalous}")
    with replaced_folder(folder, overwrite=overwrite) as fresh:
        for number in range(normal + anomalous):
            rng = np.random.default_rng([seed, number])
            flawed = number >= normal
            kinds = tuple(rng.permutation(DEFECTS)) if flawed else ()
            frame, mask = draw_mat(rng, size=size, fibre_px=fibre_px, defects=kinds)
            stem = f"MAT{number:03d}"
            _write(fresh / ("anomalous" if flawed else "normal") / f"{stem}.png", frame)
            if flawed:
                _write(fresh / "gt" / f"{stem}_gt.png", mask.astype(np.uint8) * 255)
    return folder


def _draw_fibre(canvas: NDArray[np.float32], rng: np.random.Generator, light: float, width: float) -> None:
    """Draw one long fibre that bends slowly: dark at its edges, light along its middle."""
    height, columns = canvas.shape
    angle = rng.uniform(0.0, 2.0 * np.pi)
    bends = angle + np.cumsum(rng.normal(0.0, 0.05, 2 * _POINTS))
    step = 1.5 * max(height, columns) / _POINTS
    path = np.cumsum(np.stack([np.cos(bends), np.sin(bends)], axis=1) * step, axis=0)
    path += rng.uniform((0.0, 0.0), (columns, height)) - path[_POINTS]
    points = [np.round(path * 16).astype(np.int32).reshape(-1, 1, 2)]
    for share, shade in ((1.0, 0.35), (0.75, 0.75), (0.4, 1.0)):
        cv2.polylines(
            canvas, points, isClosed=False, color=light * shade, thickness=max(1, round(width * share)),
            lineType=cv2.LINE_AA, shift=4,
        )  # fmt: skip


def _draw_bead(canvas: NDArray[np.float32], rng: np.random.Generator, fibre_px: float) -> NDArray[np.bool_]:
    """Draw a drop, round and lit from above."""
    long, across = fibre_px * rng.uniform(2.0, 3.5), fibre_px * rng.uniform(1.5, 2.2)
    along, over = _turned(canvas.shape, rng, margin=long)
    inside = np.clip(1.0 - (along / long) ** 2 - (over / across) ** 2, 0.0, 1.0)
    shade = (110.0 + 120.0 * np.sqrt(inside)).astype(np.float32)
    mask: NDArray[np.bool_] = inside > 0.0
    canvas[mask] = shade[mask]
    return mask


def _draw_film(canvas: NDArray[np.float32], rng: np.random.Generator, fibre_px: float) -> NDArray[np.bool_]:
    """Draw a flat skin of irregular outline."""
    reach = fibre_px * rng.uniform(3.0, 5.0)
    along, over = _turned(canvas.shape, rng, margin=reach)
    angles, radius = np.arctan2(over, along), np.hypot(along, over)
    outline = reach * (
        1.0 + sum(rng.uniform(0.0, 0.12) * np.sin(n * angles + rng.uniform(0.0, 6.3)) for n in (2, 3, 5))
    )
    mask: NDArray[np.bool_] = radius < outline
    canvas[mask] = (0.25 * canvas + 0.75 * rng.uniform(90.0, 130.0))[mask]
    return mask


def _draw_dust(canvas: NDArray[np.float32], rng: np.random.Generator, fibre_px: float) -> NDArray[np.bool_]:
    """Draw a few angular crumbs close together."""
    drawn = np.zeros(canvas.shape, np.uint8)
    reach = 2.0 * fibre_px
    middle = rng.uniform((reach, reach), (canvas.shape[1] - reach, canvas.shape[0] - reach))
    for _ in range(rng.integers(2, 5)):
        angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, 6))
        radii = fibre_px * rng.uniform(0.8, 1.6, 6)
        corners = middle + rng.normal(0.0, fibre_px, 2) + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        one = np.zeros_like(drawn)
        cv2.fillPoly(one, [corners.round().astype(np.int32)], 1)
        canvas[one > 0] = rng.uniform(190.0, 245.0)
        drawn |= one
    return drawn > 0


def _turned(
    shape: tuple[int, ...], rng: np.random.Generator, *, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each pixel's place along and across an axis at a random point and angle, inside by ``margin``."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    across, down = (rng.uniform(min(margin, side / 2), max(side - margin, side / 2)) for side in (shape[1], shape[0]))
    angle = rng.uniform(0.0, np.pi)
    x, y = columns - across, rows - down
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:  # pragma: no cover
        raise DiskError(f"{path}: the picture could not be encoded as PNG")
    path.write_bytes(data.tobytes())
