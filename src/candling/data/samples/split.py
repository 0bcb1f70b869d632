"""Which samples are trained on, held out or tested, and one hash of their content; never splits a product in two."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from candling.data.samples.sample import SampleSet, natural_key
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from candling.data.samples.sample import Sample

__all__ = ["RESERVED", "TESTED", "content_hash", "split_hold_out", "split_test", "test_samples", "training_samples"]


TESTED: Final = frozenset({"test", "kit"})
"""Splits that are measured on: nothing is learned or chosen from them. A kit is the test of a qualification."""

RESERVED: Final = frozenset({"validation", "calibration"})
"""Splits that limits are chosen on."""


def training_samples(samples: SampleSet) -> tuple[Sample, ...]:
    """Give the good images to learn from: those of split ``train``.

    Raises:
        SamplesError: there is none.
    """
    chosen = tuple(sample for sample in samples if sample.is_good and sample.split == "train")
    if not chosen:
        raise SamplesError(f"{samples.root}: no good image in split 'train'; put good images into train/good or good")
    return chosen


def test_samples(samples: SampleSet) -> tuple[Sample, ...]:
    """Give the images of split ``test`` or ``kit``, good and defect; empty when the set has none."""
    return tuple(sample for sample in samples if sample.split in TESTED)


# pytest would take a function of this name, imported into a test file, for a test
test_samples.__test__ = False  # type: ignore[attr-defined]


def split_hold_out(
    samples: Sequence[Sample], share: float, *, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split samples into (fit, held out): all images of one product on one side, about ``share`` of the images held.

    At least one image is held out and at least one left. The same samples, in whatever order, and the same seed give
    the same split; both parts come in natural order.

    Raises:
        SamplesError: fewer than two images, or all of one product; ``share`` not between 0 and 1.
    """
    if not 0.0 < share < 1.0:
        raise SamplesError(f"the share held out must lie between 0 and 1; it is {share}")
    ordered = sorted(samples, key=lambda sample: (natural_key(sample.path), sample.region or ""))
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(ordered):
        name = f"file {sample.path.as_posix()}" if sample.product is None else f"product {sample.product}"
        groups.setdefault(name, []).append(index)
    if len(groups) < 2:
        raise SamplesError(_too_few(ordered))
    # natural order of the names, then a seeded shuffle: independent of how the samples were listed
    members = [groups[name] for name in sorted(groups, key=natural_key)]
    shuffled = [members[index] for index in np.random.default_rng(seed).permutation(len(members))]
    held = set(_fill(shuffled, target=max(1, round(share * len(ordered))), total=len(ordered)))
    fit = tuple(sample for index, sample in enumerate(ordered) if index not in held)
    return fit, tuple(sample for index, sample in enumerate(ordered) if index in held)


def split_test(samples: SampleSet, share: float, *, seed: int) -> SampleSet:
    """Split a set into training and test: all images of one product on one side, whatever the set said of splits.

    Good images of products for training are in split ``train``, all images of products for testing in ``test``;
    defects of products for training are left out.

    Raises:
        SamplesError: as :func:`split_hold_out`, or no good image is left to train on.
    """
    fit, tested = split_hold_out(samples.samples, share, seed=seed)
    train = [replace(sample, split="train") for sample in fit if sample.is_good]
    if not train:
        raise SamplesError(f"{samples.root}: no good image is left to train on; lower the share to test on")
    test = [replace(sample, split="test") for sample in tested]
    return SampleSet(samples.root, samples.layout, (*train, *test))


def _fill(groups: list[list[int]], *, target: int, total: int) -> list[int]:
    """Take groups while each brings the count nearer to the target; the smallest one when all are too large."""
    held: list[int] = []
    for group in groups:
        count = len(held) + len(group)
        if abs(count - target) < abs(len(held) - target) and count < total:
            held.extend(group)
    return held or min(groups, key=len)


def _too_few(samples: list[Sample]) -> str:
    if samples and samples[0].product is not None:
        return (
            f"all {len(samples)} good images show one product ({samples[0].product}), so none can be held out; "
            "at least 2 products are needed, or no product named at all"
        )
    return f"{len(samples)} good image{'s' * (len(samples) != 1)} cannot be split; at least 2 good images are needed"


def content_hash(samples: Iterable[Sample]) -> str:
    """Hash what a set contains: the bytes of its images and masks with their labels, splits, regions and acquisitions.

    Neither the folder's place nor the order of the samples matters. Returns the SHA-256 as 64 hexadecimal digits.

    Raises:
        SamplesError: a file cannot be read.
    """
    chosen = list(samples)
    paths = {path for sample in chosen for path in (sample.path, sample.mask) if path is not None}
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = dict(zip(paths, pool.map(_file_hash, paths), strict=True))
    lines = sorted(
        json.dumps(
            [digests[s.path], s.label, s.split, s.region, None if s.mask is None else digests[s.mask], *_acquired(s)]
        )
        for s in chosen
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _acquired(sample: Sample) -> list[str | None]:
    """Give what makes an image one of several of its product; nothing where it stands alone."""
    return [] if sample.run is None and sample.frame is None else [sample.product, sample.run, sample.frame]


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SamplesError(f"{path}: cannot be read: {error.strerror or error}; check the file") from error
