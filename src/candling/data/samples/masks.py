"""Which mask belongs to which image, by folder and file name; opens no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.data.samples.sample import natural_key
from candling.pixels.read import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from candling.data.samples.sample import Sample

__all__ = ["MASK_FOLDERS", "find_masks"]

MASK_FOLDERS = frozenset({"ground_truth", "gt", "mask", "masks"})
"""Names of folders that hold masks, in lower case."""

_ENDINGS = ("_mask", "_gt", "_label")


def find_masks(root: Path, folders: Iterable[Path], samples: Sequence[Sample]) -> dict[Path, Path]:
    """Give the mask of each image that has one.

    For ``<split>/<class>/<stem>.png`` and ``<class>/<stem>.png`` a mask may lie in ``<masks>/<split>/<class>``, in
    ``<masks>/<class>`` (for test images only: training images may have the same names) or, where its name can mean one
    defect image only, directly in ``<masks>``. It is called ``<stem>_mask``, ``<stem>_gt``, ``<stem>_label`` or
    ``<stem>``, with any image suffix.
    """
    known: dict[tuple[str, ...], Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*"), key=natural_key, reverse=True):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                known[(*path.relative_to(folder).parts[:-1], _stem(path))] = path
    alone = _unique_stems(samples)
    found: dict[Path, Path] = {}
    for sample in samples if known else ():
        parts = (*sample.path.relative_to(root).parts[:-1], sample.path.stem)
        mask = next((known[key] for key in _keys(sample, parts, alone=sample.path.stem in alone) if key in known), None)
        if mask is not None:
            found[sample.path] = mask
    return found


def _keys(sample: Sample, parts: tuple[str, ...], *, alone: bool) -> Iterator[tuple[str, ...]]:
    """Give the places where a mask may lie, the most exact first; ``alone`` when no other defect has its name."""
    yield parts
    if len(parts) > 2 and sample.split != "test":
        return
    for start in range(1, len(parts) - 1):
        yield parts[start:]
    if alone and not sample.is_good:
        yield parts[-1:]


def _stem(path: Path) -> str:
    stem = path.stem
    return next((stem[: -len(ending)] for ending in _ENDINGS if stem.lower().endswith(ending)), stem)


def _unique_stems(samples: Iterable[Sample]) -> set[str]:
    counts: dict[str, int] = {}
    for sample in samples:
        if not sample.is_good:
            counts[sample.path.stem] = counts.get(sample.path.stem, 0) + 1
    return {stem for stem, count in counts.items() if count == 1}
