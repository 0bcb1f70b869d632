"""Folder layouts: MVTec, one folder per class, and a plain folder of good images; opens no image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from candling.data.samples.masks import MASK_FOLDERS, find_masks
from candling.data.samples.sample import GOOD, GOOD_NAMES, Sample, natural_key, product_of
from candling.data.samples.table import read_manifest
from candling.errors import SamplesError
from candling.pixels.read import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SPLIT_FOLDERS", "files_below", "find_in_folder", "is_image"]

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
"""Names of folders that are a split, in lower case, and the split they are."""


def find_in_folder(root: Path) -> tuple[str, list[Sample]]:
    """Recognise the layout of a folder and give the layout's name and the samples in natural order, training first.

    Raises:
        SamplesError: the folder cannot be listed, holds no image, or has no layout that is understood.
    """
    folders, images = _list(root)
    names = {folder.name.lower() for folder in folders}
    classes = [folder for folder in folders if folder.name.lower() not in MASK_FOLDERS]
    if names & SPLIT_FOLDERS.keys():
        layout = "mvtec"
        order = list(SPLIT_FOLDERS)
        splits = [folder for folder in folders if folder.name.lower() in SPLIT_FOLDERS]
        splits.sort(key=lambda folder: order.index(folder.name.lower()))
        found = [sample for folder in splits for sample in _split(folder, SPLIT_FOLDERS[folder.name.lower()])]
    elif names & GOOD_NAMES:
        layout = "folders"
        found = [sample for folder in classes for sample in _class(folder, None)]
    elif images and not any(_has_image(folder) for folder in classes):
        layout = "plain"
        found = [Sample(path, GOOD, "train") for path in images]
    else:
        raise SamplesError(_no_layout(root, classes, beside=len(images)))
    if not found:
        raise SamplesError(_no_image(root))
    products = read_manifest(root)
    masks = find_masks(root, [folder for folder in folders if folder.name.lower() in MASK_FOLDERS], found)
    return layout, [
        replace(
            sample,
            product=products.get(_manifest_key(sample, root, products)) or product_of(sample.path.name),
            mask=masks.get(sample.path),
        )
        for sample in found
    ]


def files_below(folder: Path) -> Iterator[Path]:
    """Give every file below a folder in natural order, hidden ones left out.

    Raises:
        SamplesError: a folder cannot be listed.
    """
    try:
        entries = sorted(
            (entry for entry in folder.iterdir() if not _is_hidden(entry)), key=lambda e: natural_key(e.name)
        )
    except OSError as error:
        raise SamplesError(f"{folder}: cannot be listed: {error.strerror or error}; check its permissions") from error
    for entry in entries:
        if entry.is_dir():
            yield from files_below(entry)
        else:
            yield entry


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is of a format that is read."""
    return path.suffix.lower() in SUFFIXES


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"  # the latter is what archives from a Mac bring along


def _list(root: Path) -> tuple[list[Path], list[Path]]:
    """Give the folders and the images that lie directly in a folder, each in natural order."""
    try:
        entries = sorted(
            (entry for entry in root.iterdir() if not _is_hidden(entry)), key=lambda e: natural_key(e.name)
        )
    except OSError as error:
        raise SamplesError(f"{root}: cannot be listed: {error.strerror or error}; check its permissions") from error
    return [e for e in entries if e.is_dir()], [e for e in entries if is_image(e) and e.is_file()]


def _images_below(folder: Path) -> Iterator[Path]:
    return (path for path in files_below(folder) if is_image(path))


def _has_image(folder: Path) -> bool:
    return next(_images_below(folder), None) is not None


def _split(folder: Path, split: str) -> list[Sample]:
    """Read ``<split>/<class>``; images directly in ``train`` are good, directly in ``test`` they have no label."""
    folders, images = _list(folder)
    found = [sample for each in folders for sample in _class(each, split)]
    if images and (found or split == "test"):
        raise SamplesError(
            f"{folder}: {len(images)} images lie beside the class folders, so their label is unknown; "
            f"move them into {folder / GOOD} or {folder / '<defect class>'}"
        )
    return found or [Sample(path, GOOD, split) for path in images]


def _class(folder: Path, split: str | None) -> list[Sample]:
    """Read all images of one class; without a split, good images are for training and defects for testing."""
    label = GOOD if folder.name.lower() in GOOD_NAMES else folder.name
    chosen = split or ("train" if label == GOOD else "test")
    return [Sample(path, label, chosen) for path in _images_below(folder)]


def _manifest_key(sample: Sample, root: Path, products: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """Find the manifest's entry for a sample: by path from the root, by class folder and name, or by name alone."""
    parts = sample.path.relative_to(root).parts
    return next((parts[start:] for start in range(len(parts)) if parts[start:] in products), ())


def _no_layout(root: Path, classes: list[Path], *, beside: int) -> str:
    filled = [folder for folder in classes if _has_image(folder)]
    if not filled and not beside:
        return _no_image(root)
    names = ", ".join(folder.name for folder in filled[:5]) + (", ..." if len(filled) > 5 else "")
    inside = [
        f for f in filled if any(e.name.lower() in SPLIT_FOLDERS | dict.fromkeys(GOOD_NAMES) for e in _list(f)[0])
    ]
    if inside:
        return f"{root}: holds several data sets ({names}); give one of them, for example {inside[0]}"
    if beside:
        return (
            f"{root}: {beside} images lie beside folders with images ({names}), so their label is unknown; "
            f"move the good ones into {root / GOOD}"
        )
    return f"{root}: no folder is called good or normal (found: {names}); rename the folder of good images to good"


def _no_image(root: Path) -> str:
    others: dict[str, int] = {}
    for path in files_below(root):
        if not is_image(path):
            others[path.suffix.lower()] = others.get(path.suffix.lower(), 0) + 1
    known = ", ".join(sorted(SUFFIXES))
    if not any(True for _ in files_below(root)):
        return f"{root}: the folder is empty; put images ({known}) into it"
    shown = ", ".join(f"{count} x {suffix or 'no suffix'}" for suffix, count in sorted(others.items())[:5])
    return (
        f"{root}: no image of a format that is read ({known}); it holds {shown or 'masks only'}: convert or add images"
    )
