"""Patches drawn from masks: where to cut, what to call each, and a manifest of it; knows no network and no pixel value.

What a patch is called is decided by the share of its pixels that are defect, by rules that stand in :class:`Rules`.
Images of one product never come into two splits, and a manifest that mixes them is refused.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np

from candling.data.samples.table import read_rows
from candling.disk import write_atomic
from candling.errors import SamplesError, UsageError
from candling.pixels.read import inspect_file, read_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.data.samples.sample import Sample

__all__ = [
    "KINDS",
    "Patch",
    "Rules",
    "Spots",
    "balanced",
    "defect_shares",
    "draw_patches",
    "draw_spots",
    "read_patches",
    "refuse_leaks",
    "write_patches",
]

Kind = Literal["good", "defect", "mixed"]

KINDS: tuple[Kind, ...] = ("good", "defect", "mixed")
"""What a patch can be."""

_AT_ONCE = 64
"""So many places are taken between two clearings of the list of candidates."""


@dataclass(frozen=True)
class Rules:
    """How patches are drawn and called.

    Attributes:
        size: side of a patch in pixels.
        good_up_to: a patch with at most this share of defect pixels is good; 0 wants not one.
        defect_from: a patch with at least this share is a defect; 1 wants every pixel. What lies between is mixed.
        mixed: mixed patches are left out, or kept with their share as label.
        distance_px: corners of two patches of one image are at least so far apart, in rows or in columns.
        most: patches of each kind from one image.

    Raises:
        UsageError: a value is impossible.
    """

    size: int = 29
    good_up_to: float = 0.0
    defect_from: float = 1.0
    mixed: Literal["leave_out", "keep"] = "leave_out"
    distance_px: int = 5
    most: int = 200

    def __post_init__(self) -> None:
        if self.size < 1 or self.distance_px < 1 or self.most < 1:
            raise UsageError(
                "size, distance_px and most must be at least 1; "
                f"they are {self.size}, {self.distance_px} and {self.most}"
            )
        if not 0.0 <= self.good_up_to < self.defect_from <= 1.0:
            raise UsageError(
                f"good_up_to must lie below defect_from, both in [0, 1]; they are {self.good_up_to} and "
                f"{self.defect_from}"
            )

    def kind_of(self, share: float) -> Kind:
        """Call a patch by the share of its pixels that are defect.

        >>> [Rules(good_up_to=0.1, defect_from=0.6).kind_of(share) for share in (0.1, 0.3, 0.6)]
        ['good', 'mixed', 'defect']
        """
        return "good" if share <= self.good_up_to else "defect" if share >= self.defect_from else "mixed"


@dataclass(frozen=True)
class Spots:
    """Patches of one image, side by side.

    Attributes:
        tops: int64 (N,), the first row of each.
        lefts: int64 (N,), the first column of each.
        shares: float64 (N,) in [0, 1], how much of each is defect.
    """

    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    shares: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.tops)


@dataclass(frozen=True)
class Patch:
    """One row of a manifest.

    Attributes:
        image: path of the image below the data's folder.
        product: what the image shows; empty when nobody knows.
        split: of the image.
        top: first row in the image.
        left: first column.
        size: side in pixels.
        share: of its pixels that are defect, in [0, 1].
        kind: "good", "defect" or "mixed".
    """

    image: str
    product: str
    split: str
    top: int
    left: int
    size: int
    share: float
    kind: Kind


def defect_shares(mask: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """Give the share of defect pixels of every patch of an image.

    Args:
        mask: bool (H, W).
        size: side of a patch, at most H and W.

    Returns:
        float64 (H - size + 1, W - size + 1) by the patch's first row and column.

    Raises:
        SamplesError: the image is smaller than the patch.

    >>> defect_shares(np.array([[True, False, False], [True, True, False]]), 2).tolist()
    [[0.75, 0.25]]
    """
    height, width = mask.shape
    if min(height, width) < size:
        raise SamplesError(
            f"an image of {height} x {width} px is smaller than a patch of {size} px; take larger images or a smaller "
            "patch"
        )
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(0).cumsum(1)
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    shares: NDArray[np.float64] = inside / size**2
    return shares


def draw_spots(mask: NDArray[np.bool_], rules: Rules, *, rng: np.random.Generator) -> Spots:
    """Draw patches of one image: at most ``rules.most`` of each kind, at random, none too near to another.

    Defects are drawn first, since they are few, then mixed patches, then good ones.

    Args:
        mask: bool (H, W).
        rules: how.
        rng: where chance comes from.

    Raises:
        SamplesError: the image is smaller than a patch.

    >>> mask = np.zeros((40, 40), bool)
    >>> spots = draw_spots(mask, Rules(size=8, distance_px=8, most=5), rng=np.random.default_rng(0))
    >>> len(spots), spots.shares.max()
    (5, np.float64(0.0))
    """
    shares = defect_shares(mask, rules.size)
    good, defect = shares <= rules.good_up_to, shares >= rules.defect_from
    wanted = [defect, ~(good | defect), good] if rules.mixed == "keep" else [defect, good]
    free = np.ones(shares.shape, bool)
    tops: list[int] = []
    lefts: list[int] = []
    for candidates in wanted:
        for top, left in _spaced(candidates, free, rules, rng):
            tops.append(top)
            lefts.append(left)
    rows, columns = np.array(tops, np.int64), np.array(lefts, np.int64)
    return Spots(rows, columns, shares[rows, columns])


def _spaced(
    candidates: NDArray[np.bool_], free: NDArray[np.bool_], rules: Rules, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Take candidates in random order while they are free, and block what is too near; ``free`` is changed."""
    width, near = free.shape[1], rules.distance_px
    order = rng.permutation(np.flatnonzero(candidates))
    taken: list[tuple[int, int]] = []
    while order.size and len(taken) < rules.most:
        order = order[free.ravel()[order]]
        for place in order[:_AT_ONCE]:
            top, left = divmod(int(place), width)
            if len(taken) < rules.most and free[top, left]:
                taken.append((top, left))
                free[max(0, top - near + 1) : top + near, max(0, left - near + 1) : left + near] = False
    return taken


def draw_patches(
    samples: Iterable[Sample], rules: Rules, *, root: Path, seed: int, balance: bool = True
) -> tuple[Patch, ...]:
    """Draw patches of a whole data set: each image has the split it has, and chance of its own.

    Args:
        samples: good images, and defects with a mask.
        rules: how.
        root: the data's folder: images are named below it.
        seed: of everything random; the draw of one image does not depend on the others.
        balance: leave out patches at random until every split has as many good ones as defects.

    Raises:
        SamplesError: a product is in two splits, a defect has no mask, a mask has another size than its image, or an
            image is smaller than a patch; the sentence names the image.
        ImageError: an image or a mask cannot be read.
    """
    chosen = list(samples)
    patches: list[Patch] = []
    for sample in chosen:
        name = sample.path.relative_to(root).as_posix() if sample.path.is_relative_to(root) else sample.path.as_posix()
        rng = np.random.default_rng([seed, *name.encode()])
        try:
            spots = draw_spots(mask_of(sample), rules, rng=rng)
        except SamplesError as error:
            raise error if str(sample.path) in str(error) else SamplesError(f"{sample.path}: {error}") from error
        patches += [
            Patch(name, sample.product or "", sample.split, int(top), int(left), rules.size, float(share), kind)
            for top, left, share in zip(spots.tops, spots.lefts, spots.shares, strict=True)
            for kind in (rules.kind_of(share),)
        ]
    refuse_leaks(patches)
    return balanced(patches, rng=np.random.default_rng(seed)) if balance else tuple(patches)


def mask_of(sample: Sample) -> NDArray[np.bool_]:
    """Give the mask of an image, whatever its depth or palette: bool (H, W); of a good image without one all False.

    Raises:
        SamplesError: a defect has no mask, or one of another size than its image.
        ImageError: image or mask cannot be read.
    """
    facts = inspect_file(sample.path)
    if sample.mask is None:
        if not sample.is_good:
            raise SamplesError(
                f"{sample.path}: a defect without a mask teaches no place; draw its mask, or leave it out"
            )
        return np.zeros((facts.height, facts.width), bool)
    mask = read_mask(sample.mask)
    if mask.shape != (facts.height, facts.width):
        raise SamplesError(
            f"{sample.mask}: the mask has {mask.shape[0]} x {mask.shape[1]} px and its image {facts.height} x "
            f"{facts.width}; draw it on the image itself"
        )
    return mask


def balanced(patches: Sequence[Patch], *, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Leave out patches at random until each split has as many good ones as defects; mixed ones stay at most as many.

    A split without a patch of one of the two kinds is left as it is: it cannot be balanced.
    """
    places: Mapping[tuple[str, str], list[int]] = defaultdict(list)
    for at, patch in enumerate(patches):
        places[patch.split, patch.kind].append(at)
    kept: list[int] = []
    for split in dict.fromkeys(patch.split for patch in patches):
        least = min(len(places[split, "good"]), len(places[split, "defect"]))
        for kind in KINDS:
            own = np.array(places[split, kind], np.intp)
            kept += (rng.permutation(own)[:least] if least else own).tolist()
    return tuple(patches[at] for at in sorted(kept))


def refuse_leaks(patches: Iterable[Patch]) -> None:
    """Refuse a manifest in which one image, or one product, is in two splits.

    Raises:
        SamplesError: it is; the sentence names it.
    """
    seen: dict[tuple[str, str], str] = {}
    for patch in patches:
        for what, name in (("image", patch.image), ("product", patch.product)):
            first = seen.setdefault((what, name), patch.split) if name else patch.split
            if first != patch.split:
                raise SamplesError(
                    f"{what} {name} is in the splits {first!r} and {patch.split!r}, so patches tested on would be "
                    "learned from; split by image and product, never by patch"
                )


def write_patches(path: Path, patches: Iterable[Patch]) -> None:
    """Write a manifest: one CSV row a patch.

    Raises:
        DiskError: it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([field.name for field in fields(Patch)])
    rows.writerows([getattr(patch, field.name) for field in fields(Patch)] for patch in patches)
    write_atomic(path, text.getvalue())


def read_patches(path: Path) -> tuple[Patch, ...]:
    """Read a manifest that :func:`write_patches` wrote.

    Raises:
        SamplesError: it cannot be read, a column or a number is missing, or it leaks between splits.
    """
    columns, rows = read_rows(path)
    for field in fields(Patch):
        if field.name not in columns:
            raise SamplesError(f"{path}: no column {field.name!r}; draw the patches again")
    patches = []
    for number, row in enumerate(rows, start=1):
        kind = next((kind for kind in KINDS if kind == row["kind"]), None)
        try:
            corner = int(row["top"]), int(row["left"]), int(row["size"])
            share = float(row["share"])
        except ValueError as error:
            raise SamplesError(f"{path}, row {number}: {error}; draw the patches again") from error
        if kind is None:
            raise SamplesError(f"{path}, row {number}: no kind {row['kind']!r}; there are {', '.join(KINDS)}")
        patches.append(Patch(row["image"], row["product"], row["split"], *corner, share, kind))
    refuse_leaks(patches)
    return tuple(patches)
