"""Give a frame the histogram of a template: of one for all, or of one for each contrast group; knows no file.

Matching is by cumulated histograms, level by level, so it is one lookup table a frame and exact for 8 and 16 bits. A
frame is always matched whole, before anything is cut out of it: a patch without cells would be stretched to look as if
it had some.

Two things go wrong where a frame holds fewer or fainter objects than the template. Noise is stretched until it looks
like objects, and the blurred light around a nucleus becomes a bright ring. Both are the same fault, a step of one grey
level that becomes a large step. So no difference of grey levels is enlarged by more than ``gain`` times; the frame's
median stays where matching put it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from candling.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from candling.types import Frame

__all__ = ["ALL", "GROUPS", "Contrast", "Group", "Histogram", "Matcher", "histogram_of", "learn_matcher", "lookup"]

Group = Literal["low", "medium", "high"]

GROUPS: Final[tuple[Group, ...]] = ("low", "medium", "high")
"""The contrast groups, faintest first."""

ALL: Final = "all"
"""The one group of a global matching."""

_FAINT, _BRIGHT = 0.01, 0.999
"""Contrast is the distance between these quantiles: few nuclei cover little, so the upper one is far up."""

_NAMES: Final[Mapping[int, tuple[Group, ...]]] = {1: ("medium",), 2: ("low", "high"), 3: GROUPS}

_SMALLEST: Final = 0.05
"""Share of the images that a group found automatically holds at least."""

_SAMPLED: Final = (np.arange(256) + 0.5) / 256
"""The probabilities at which two histograms are compared."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """How many pixels have each grey level that occurs.

    Attributes:
        levels: int64 (K,), rising.
        counts: int64 (K,), at least 1 each.
        white: the level that counts as 1.0; frames of other bit depth are brought to it.
    """

    levels: NDArray[np.int64]
    counts: NDArray[np.int64]
    white: int

    def __post_init__(self) -> None:
        rising = self.levels.ndim == 1 and self.levels.size > 0 and bool((np.diff(self.levels) > 0).all())
        if not rising or self.levels[0] < 0 or self.counts.shape != self.levels.shape or (self.counts < 1).any():
            raise UsageError("a histogram needs rising levels from 0 on, with at least one pixel each")
        if self.white < 1:
            raise UsageError(f"white must be at least 1; it is {self.white}")

    @property
    def shares(self) -> Numbers:
        """The cumulated share of the pixels up to each level: float64 (K,), the last is 1."""
        shares: Numbers = np.cumsum(self.counts) / self.counts.sum()
        return shares

    def quantiles(self, probabilities: Numbers | Sequence[float]) -> Numbers:
        """Give the lowest level that this share of the pixels does not exceed, in shares of white."""
        at = np.searchsorted(self.shares, np.asarray(probabilities) - 1e-12)
        return self.levels[np.minimum(at, self.levels.size - 1)] / self.white

    @property
    def contrast(self) -> float:
        """How far the bright end lies from the faint one, in doublings of one grey level."""
        faint, bright = self.quantiles([_FAINT, _BRIGHT])
        return float(np.log2(max((bright - faint) * self.white, 1.0) * 65535.0 / self.white))


@dataclass(frozen=True)
class Contrast:
    """Which group a frame belongs to.

    Attributes:
        group: of the frame.
        contrast: as :attr:`Histogram.contrast`.
        margin: how far the contrast lies from the next group's, in doublings; infinite where there is one group.
    """

    group: str
    contrast: float
    margin: float


def histogram_of(frame: Frame, *, white: int | None = None) -> Histogram:
    """Count the grey levels of a frame; colour counts as grey (ITU-R BT.601).

    Args:
        frame: uint8 or uint16, (H, W) or (H, W, 3), not empty.
        white: the level that counts as 1.0; None is the largest of the frame's type.

    >>> found = histogram_of(np.array([[3, 3], [3, 9]], np.uint16))
    >>> found.levels.tolist(), found.counts.tolist(), found.white
    ([3, 9], [3, 1], 65535)
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
    counts = np.bincount(grey.ravel())
    levels = np.flatnonzero(counts)
    return Histogram(
        levels.astype(np.int64),
        counts[levels].astype(np.int64),
        int(np.iinfo(frame.dtype).max) if white is None else white,
    )


def lookup(source: Histogram, template: Histogram, *, gain: float | None = None) -> Numbers:
    """Say what each level of a frame becomes so that its histogram is the template's.

    Args:
        source: of the frame.
        template: what it is to look like.
        gain: by how much a difference of levels may be enlarged at most; None is any.

    Returns:
        float64 (K,), one a level of ``source``, rising, in the frame's own levels.

    Raises:
        UsageError: ``gain`` is not above 0.

    Source: new = interp(c, c_t, levels) of cumulated histograms (Gonzalez and Woods; Tare 2020, section 3).

    >>> frame, template = np.array([[0, 1], [2, 3]], np.uint8), np.array([[10, 20], [30, 40]], np.uint8)
    >>> lookup(histogram_of(frame), histogram_of(template)).tolist()
    [10.0, 20.0, 30.0, 40.0]
    >>> lookup(histogram_of(frame), histogram_of(template), gain=2.0).tolist()
    [18.0, 20.0, 22.0, 24.0]
    """
    values: Numbers = np.interp(source.shares, template.shares, template.levels.astype(np.float64))
    values *= source.white / template.white
    if gain is None:
        return values
    if not gain > 0.0:
        raise UsageError(f"a gain of {gain!r} is impossible; give one above 0")
    steps = np.minimum(np.diff(values), gain * np.diff(source.levels))
    guarded: Numbers = np.concatenate([[0.0], np.cumsum(steps)])
    middle = int(np.searchsorted(source.shares, 0.5 - 1e-12))
    guarded += values[middle] - guarded[middle]
    return guarded


@dataclass(frozen=True)
class Matcher:
    """What frames are matched to; learned once, it belongs to the bundle.

    Attributes:
        templates: by group, faintest first; :data:`ALL` alone for a global matching.
        boundaries: contrasts that part neighbouring groups, rising; one less than there are templates.
        gain: as in :func:`lookup`; None leaves matching unguarded.
        white: the value that counts as white; None is the largest of the frame's type.
        facts: what was learned from, for the card.
    """

    templates: Mapping[str, Histogram]
    boundaries: tuple[float, ...] = ()
    gain: float | None = None
    white: int | None = None
    facts: Mapping[str, float | int | str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.templates or len(self.boundaries) != len(self.templates) - 1:
            raise UsageError(f"{len(self.templates)} templates need one boundary less, not {len(self.boundaries)}")

    def group(self, frame: Frame) -> Contrast:
        """Say which group a frame belongs to by its contrast."""
        return self._group(histogram_of(frame, white=self.white))

    def match(self, frame: Frame, *, group: str | None = None) -> Frame:
        """Give a frame the histogram of its group's template; the frame itself is never changed.

        Args:
            frame: uint8 or uint16, (H, W) grey or (H, W, 3) RGB, whole. Of colour the grey levels are matched, and
                every channel goes through the one table.
            group: instead of the one found by contrast, where a person knows better.

        Returns:
            A new array of the frame's type and shape.

        Raises:
            UsageError: there is no such group.
        """
        source = histogram_of(frame, white=self.white)
        name = self._group(source).group if group is None else group
        if name not in self.templates:
            raise UsageError(f"no contrast group {name!r}; there are: {', '.join(self.templates)}")
        values = lookup(source, self.templates[name], gain=self.gain)
        most = np.iinfo(frame.dtype).max
        levels = np.arange(most + 1)
        table = np.interp(levels, source.levels, np.rint(np.clip(values, 0, most)))
        if frame.dtype == np.uint8:
            return np.rint(table).astype(np.uint8)[frame]
        return np.rint(table).astype(np.uint16)[frame]

    def _group(self, source: Histogram) -> Contrast:
        contrast = source.contrast
        at = int(np.searchsorted(self.boundaries, contrast, side="right"))
        margin = min((abs(contrast - boundary) for boundary in self.boundaries), default=np.inf)
        return Contrast(list(self.templates)[at], contrast, float(margin))


def learn_matcher(
    frames: Sequence[Frame],
    way: Literal["global", "selective"],
    *,
    gain: float | None = None,
    white: int | None = None,
    groups: Sequence[Group | None] | None = None,
) -> Matcher:
    """Learn templates, and for ``selective`` the contrast groups, from the frames that are trained on.

    A template is the medoid: the frame whose histogram is nearest to those of all others of its group. Groups part the
    frames by contrast so that contrasts inside a group differ least (Fisher 1958, exact), each with at least 5 % of
    them; of few or equal frames there are fewer groups.

    Args:
        frames: uint8 or uint16, whole, at least one.
        way: one template, or one a contrast group.
        gain: of the matcher.
        white: likewise.
        groups: of each frame, as a person said; None where nobody did.

    Raises:
        UsageError: there is no frame, or another number of groups than of frames.
    """
    if not frames or (groups is not None and len(groups) != len(frames)):
        raise UsageError(f"{len(frames)} frames with {0 if groups is None else len(groups)} groups teach nothing")
    histograms = [histogram_of(frame, white=white) for frame in frames]
    contrasts = np.array([histogram.contrast for histogram in histograms])
    facts: dict[str, float | int | str] = {"histogram": way, "histogram_images": len(frames)}
    if way == "global":
        return Matcher({ALL: histograms[_medoid(histograms)]}, (), gain, white, facts)
    named = _parted(contrasts)
    names = [said or found for said, found in zip(groups or [None] * len(frames), named, strict=True)]
    members = {name: [at for at, other in enumerate(names) if other == name] for name in GROUPS if name in names}
    centres = [float(contrasts[places].mean()) for places in members.values()]
    templates: dict[str, Histogram] = {}
    for name, places in members.items():
        templates[name] = histograms[places[_medoid([histograms[at] for at in places])]]
        facts[f"histogram_{name}"] = len(places)
    boundaries = tuple((low + high) / 2.0 for low, high in pairwise(centres))
    return Matcher(templates, tuple(sorted(boundaries)), gain, white, facts)


def _medoid(histograms: Sequence[Histogram]) -> int:
    """Give the histogram with the least mean distance (between quantiles) to the others."""
    curves = np.stack([histogram.quantiles(_SAMPLED) for histogram in histograms])
    return int(np.argmin([np.abs(curves - curve).mean() for curve in curves]))


def _parted(contrasts: Numbers) -> list[Group]:
    """Name the group of each contrast, by the partition into neighbours of least squared differences."""
    order = np.argsort(contrasts, kind="stable")
    ranked = contrasts[order]
    count = ranked.size
    number = max(1, min(3, count // 2, np.unique(ranked).size))
    least = max(1, int(np.ceil(_SMALLEST * count)))
    sums, squares = (np.concatenate([[0.0], np.cumsum(ranked**power)]) for power in (1, 2))

    def cost(first: int, last: int) -> float:
        total = sums[last] - sums[first]
        return float(squares[last] - squares[first] - total * total / (last - first))

    # best[k][n]: least cost of the first n contrasts in k groups, and where the last of them begins
    best = [{0: (0.0, 0)}]
    for _ in range(number):
        before = best[-1]
        best.append(
            {
                last: min((before[at][0] + cost(at, last), at) for at in before if at <= last - least)
                for last in range(least, count + 1)
                if any(at <= last - least for at in before)
            }
        )
    ends, last = [count], count
    for step in range(number, 0, -1):
        last = best[step][last][1]
        ends.append(last)
    names: list[Group] = ["medium"] * count
    for name, (first, end) in zip(_NAMES[number], pairwise(ends[::-1]), strict=True):
        for at in order[first:end]:
            names[at] = name
    return names
