"""Which mask belongs to which image, by folder and file name; opens no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.data.samples.sample import natural_key
from candling.pixels.read import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from candling.data.samples.sample import Sample

__all__ = ["MASK_FOLDERS", "find_masks"]

MASK_FOLDERS = frozenset({"ground_truth", "gt", "mask", "masks"})
"""Names of folders that hold masks, in lower case."""

_ENDINGS = ("_mask", "_gt", "_label")


def find_masks(root: Path, folders: Iterable[Path], samples: Sequence[Sample]) -> dict[Path, Path]:
    """Give the mask of each image that has one.

    For ``<split>/<class>/<stem>.png`` and ``<class>/<stem>.png`` a mask may lie in ``<masks>/<split>/<class>``, in
    ``<masks>/<class>`` or, where its name can mean one defect image only, directly in ``<masks>``; it is called
    ``<stem>_mask``, ``<stem>_gt``, ``<stem>_label`` or ``<stem>``, with any image suffix.
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
        starts = range(len(parts) - (0 if sample.path.stem in alone and not sample.is_good else 1))
        mask = next((known[parts[start:]] for start in starts if parts[start:] in known), None)
        if mask is not None:
            found[sample.path] = mask
    return found


def _stem(path: Path) -> str:
    stem = path.stem
    return next((stem.removesuffix(ending) for ending in _ENDINGS if stem.lower().endswith(ending)), stem)


def _unique_stems(samples: Iterable[Sample]) -> set[str]:
    counts: dict[str, int] = {}
    for sample in samples:
        if not sample.is_good:
            counts[sample.path.stem] = counts.get(sample.path.stem, 0) + 1
    return {stem for stem, count in counts.items() if count == 1}
