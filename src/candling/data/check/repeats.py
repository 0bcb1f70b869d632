"""The same picture twice: exactly, by its bytes, and nearly, by what it shows; judges nothing else.

Products in a fixture look alike, so likeness of the whole picture says nothing. Two pictures count as nearly the same
only when, after removing slow brightness and a small shift, their fine structure agrees everywhere: the correlation is
almost 1 and no place differs by more than a fraction of the picture's own contrast. On photographs of capsules,
bottles, grids, cookies, commutators and cells, re-encoded (JPEG quality 50 up), brightened, noisy, resized or shifted
copies stay below 0.35 of that contrast, and different products lie above 0.8.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from candling.types import FloatArray

__all__ = ["exact_groups", "is_near", "likeness", "near_groups"]

_CORRELATION, _PEAK = 0.98, 0.65
"""Nearly the same: at least this correlation, at most this 99.9 % quantile of the difference over the contrast."""

_FIRST_CORRELATION, _FIRST_PEAK = 0.95, 1.0
"""The same at half the resolution, with room for copies that are resampled badly there."""

_NEIGHBOURS = 3
_FIRST_GLANCE = 0.80
"""Each picture is compared with so many others: those it is most like at a glance, of at least this correlation."""

_MANY = 3000
"""Above so many pictures the glance is taken at a quarter of the pixels."""

_STEPS = 4
_FAR_PX = 5.0
"""Larger shifts, in pixels of the small picture, are not looked for."""


def exact_groups(hashes: Sequence[str]) -> list[list[int]]:
    """Group the positions of equal hashes; empty hashes and single ones are left out."""
    groups: dict[str, list[int]] = {}
    for index, digest in enumerate(hashes):
        if digest:
            groups.setdefault(digest, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_groups(pictures: Sequence[NDArray[np.uint8]], *, workers: int) -> list[list[int]]:
    """Group the positions of pictures, uint8 (S, S) each, that show nearly the same."""
    if len(pictures) < 2:
        return []
    pairs = sorted(_candidates(pictures))
    with ThreadPoolExecutor(max_workers=workers) as pool:
        alike = pool.map(lambda pair: is_near(pictures[pair[0]], pictures[pair[1]]), pairs)
        return _joined((pair for pair, same in zip(pairs, alike, strict=True) if same), len(pictures))


def is_near(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Tell whether two pictures, uint8 (S, S), show nearly the same."""
    half = len(one) // 2
    if half >= 64:  # most pairs differ so much that a quarter of the pixels tells
        correlation, peak = likeness(
            *(cv2.resize(picture, (half, half), interpolation=cv2.INTER_AREA) for picture in (one, other))
        )
        if correlation < _FIRST_CORRELATION or peak > _FIRST_PEAK:
            return False
    correlation, peak = likeness(one, other)
    return correlation >= _CORRELATION and peak <= _PEAK


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """Compare the fine structure of two pictures, uint8 (S, S), after aligning them.

    Returns the correlation, in [-1, 1], and the 99.9 % quantile of the absolute difference in units of the contrast;
    gain and offset between the pictures do not matter. Pictures that are clearly different are not compared to the end.
    """
    first, second = _band(one), _band(other)
    inner = slice(max(2, len(first) // 32), -max(2, len(first) // 32))
    right, down = _coarse_shift(first, second)
    for step in range(_STEPS):
        moved = _moved(second, right, down)
        if step == 2 and _correlation(first[inner, inner], moved[inner, inner]) < 0.9:
            break
        more_right, more_down = _fine_shift(first[inner, inner], moved, inner)
        right, down = right + more_right, down + more_down
        if max(abs(right), abs(down)) > _FAR_PX:
            right = down = 0.0
            break
    return _agreement(first[inner, inner], _moved(second, right, down)[inner, inner])


def _band(picture: NDArray[np.uint8]) -> FloatArray:
    """Keep structure of a few pixels: finer is noise and resampling, coarser is lighting."""
    values = picture.astype(np.float32)
    side = len(values) / 192
    fine, coarse = max(0.6, side), 4.0 * max(0.5, side)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), fine) - cv2.GaussianBlur(values, (0, 0), coarse))


def _coarse_shift(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F)
    # copies: OpenCV multiplies the window into its arguments when their size needs no padding
    (right, down), _ = cv2.phaseCorrelate(first.copy(), second.copy(), window)
    return (right, down) if max(abs(right), abs(down)) <= _FAR_PX else (0.0, 0.0)


def _fine_shift(first: FloatArray, moved: FloatArray, inner: slice) -> tuple[float, float]:
    """One step of least squares (Lucas and Kanade, 1981) on the shift."""
    slope_right = cv2.Sobel(moved, cv2.CV_32F, 1, 0, scale=0.125)[inner, inner].ravel()
    slope_down = cv2.Sobel(moved, cv2.CV_32F, 0, 1, scale=0.125)[inner, inner].ravel()
    rest = (first - moved[inner, inner]).ravel()
    cross = float(slope_right @ slope_down)
    normal = np.array([[float(slope_right @ slope_right), cross], [cross, float(slope_down @ slope_down)]])
    normal += 1e-3 * np.eye(2)
    right, down = np.linalg.solve(normal, [float(slope_right @ rest), float(slope_down @ rest)])
    return float(right), float(down)


def _moved(picture: FloatArray, right: float, down: float) -> FloatArray:
    shift = np.array([[1.0, 0.0, right], [0.0, 1.0, down]], np.float32)
    size = picture.shape[::-1]
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, shift, size, flags=how, borderMode=cv2.BORDER_REPLICATE))


def _correlation(first: FloatArray, second: FloatArray) -> float:
    one, other = (first - first.mean()).ravel(), (second - second.mean()).ravel()
    return float(one @ other / np.sqrt(max(float(one @ one) * float(other @ other), 1e-12)))


def _agreement(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    one, other = first - first.mean(), second - second.mean()
    gain = float(np.vdot(one, other)) / max(float(np.vdot(other, other)), 1e-6)
    difference = np.abs(one - gain * other)
    at = int(0.999 * (difference.size - 1))
    peak = float(np.partition(difference.ravel(), at)[at])
    return _correlation(first, second), peak / (float(one.std()) + 0.3)


def _candidates(pictures: Sequence[NDArray[np.uint8]]) -> set[tuple[int, int]]:
    """Pair each picture with the few that are most like it at a glance."""
    glances = _glances(pictures, side=min(32 if len(pictures) > _MANY else 64, pictures[0].shape[0]))
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(glances), 512):
        alike = glances[start : start + 512] @ glances.T
        rows = np.arange(len(alike))
        alike[rows, rows + start] = -1.0
        nearest = np.argpartition(-alike, min(_NEIGHBOURS, len(glances) - 1) - 1, axis=1)[:, :_NEIGHBOURS]
        for row, columns in enumerate(nearest):
            pairs.update(_ordered(start + row, int(c)) for c in columns if alike[row, c] >= _FIRST_GLANCE)
    return pairs


def _glances(pictures: Sequence[NDArray[np.uint8]], *, side: int) -> FloatArray:
    """Give each picture as a vector of length 1, float32 (N, side * side); dot products are correlations.

    All are moved onto their mean first: in a fixture, a copy shifted by a pixel would otherwise look less like its
    original than other products do.
    """
    small = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) for picture in pictures]
    bands = [values - cv2.GaussianBlur(values, (0, 0), side / 8) for values in small]
    mean = np.asarray(np.mean(bands[:: max(1, len(bands) // 256)], axis=0), dtype=np.float32)
    vectors = np.empty((len(bands), side * side), np.float32)
    for row, band in enumerate(bands):
        flat = _onto(mean, band).ravel()
        flat = flat - flat.mean()
        vectors[row] = flat / max(float(np.linalg.norm(flat)), 1e-6)
    return vectors


def _onto(mean: FloatArray, band: FloatArray) -> FloatArray:
    inner = slice(2, -2)
    right = down = 0.0
    for _ in range(2):
        more_right, more_down = _fine_shift(mean[inner, inner], _moved(band, right, down), inner)
        right, down = right + more_right, down + more_down
    return _moved(band, right, down) if max(abs(right), abs(down)) <= 2.0 else band


def _ordered(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _joined(pairs: Iterable[tuple[int, int]], count: int) -> list[list[int]]:
    """Join pairs that share a member into groups."""
    leader = list(range(count))

    def follow(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for one, other in pairs:
        low, high = _ordered(follow(one), follow(other))
        leader[high] = low
    groups: dict[int, list[int]] = {}
    for index in range(count):
        groups.setdefault(follow(index), []).append(index)
    return [group for group in groups.values() if len(group) > 1]
