"""The check itself: look at every file once, several at a time, then ask every rule; judges nothing of its own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from candling.data.check.findings import CheckReport, Severity
from candling.data.check.image_rules import find_blank, judge_exposure, judge_kinds, judge_readable, judge_sizes
from candling.data.check.look import ImageLook, MaskLook, look_at_image, look_at_mask, small_side
from candling.data.check.mask_rules import judge_masks
from candling.data.check.repeats import exact_groups, near_groups
from candling.data.check.set_rules import judge_balance, judge_copies, judge_products, judge_unused
from candling.data.samples import load_samples
from candling.data.samples.folders import files_below, is_image
from candling.data.samples.masks import MASK_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from candling.data.check.findings import Finding
    from candling.data.samples import SampleSet

__all__ = ["check"]

_FOREIGN = frozenset(
    {".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".raw", ".dng", ".dcm", ".ppm", ".pgm", ".exr"}
)
"""Suffixes of pictures that are not read, in lower case."""


def check(root: Path, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Check a data set: each image is decoded once, nothing is changed.

    Args:
        root: a folder or table, as :func:`candling.data.samples.load_samples` takes it.
        workers: files looked at at once; default one a processor, at most eight.
        progress: told (files done, files in all) from the calling thread.

    Raises:
        SamplesError: there is no data set here.
        MissingExtraError: a Parquet table, and pyarrow is not installed.
    """
    samples = load_samples(root)
    threads = workers or min(8, os.cpu_count() or 1)
    looks, masks = _look(samples, threads, progress)
    found = [
        *judge_readable(looks),
        *judge_sizes(looks),
        *judge_kinds(looks),
        *judge_exposure(looks),
        *_judge_copies(looks, threads),
        *judge_products(samples),
        *judge_masks(looks, masks),
        *judge_balance(samples),
        *_judge_unused(samples),
    ]
    order = list(Severity)
    found.sort(key=lambda finding: order.index(finding.severity))
    return CheckReport(root, samples.layout, len(looks), len(masks), samples.counts(), tuple(found))


def _look(
    samples: SampleSet, threads: int, progress: Callable[[int, int], None] | None
) -> tuple[list[ImageLook], list[MaskLook]]:
    side = small_side(samples.samples)
    with_mask = [(sample, sample.mask) for sample in samples if sample.mask is not None]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        looks = [pool.submit(look_at_image, sample, side) for sample in samples]
        masks = [pool.submit(look_at_mask, sample, mask) for sample, mask in with_mask]
        waiting: list[Future[ImageLook] | Future[MaskLook]] = [*looks, *masks]
        try:
            for done, future in enumerate(waiting, start=1):
                future.result()
                if progress is not None:
                    progress(done, len(waiting))
        except BaseException:  # Ctrl-C: what has not begun shall not begin
            pool.shutdown(cancel_futures=True)
            raise
    return [look.result() for look in looks], [mask.result() for mask in masks]


def _judge_copies(looks: Sequence[ImageLook], threads: int) -> Iterator[Finding]:
    """Find copies by bytes; among one of each kind of bytes, find those that show nearly the same."""
    exact = exact_groups([look.sha256 for look in looks])
    yield from judge_copies(([looks[index] for index in group] for group in exact), exact=True)
    spare = {index for group in exact for index in group[1:]}
    blank = {id(look) for look in find_blank(looks)}
    rest = [look for index, look in enumerate(looks) if index not in spare and id(look) not in blank]
    pictures = [(look, look.small) for look in rest if look.small is not None]
    near = near_groups([small for _, small in pictures], workers=threads)
    yield from judge_copies(([pictures[index][0] for index in group] for group in near), exact=False)


def _judge_unused(samples: SampleSet) -> Iterator[Finding]:
    if not samples.root.is_dir():
        return
    used = {path for sample in samples for path in (sample.path, sample.mask)}
    images: list[Path] = []
    masks: list[Path] = []
    foreign: list[Path] = []
    for path in files_below(samples.root):
        if path.suffix.lower() in _FOREIGN:
            foreign.append(path)
        elif is_image(path) and path not in used:
            in_masks = MASK_FOLDERS & {part.lower() for part in path.relative_to(samples.root).parts[:-1]}
            (masks if in_masks else images).append(path)
    yield from judge_unused(images, masks, foreign)
