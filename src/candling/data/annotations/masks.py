"""Masks to boxes: pictures whose pixels number the objects, and pictures with a dot on each; knows no annotation file.

Data sets of nuclei come this way. They are read, never written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from candling.data.annotations.annotation import AnnotatedImage, Annotation
from candling.data.annotations.parsing import Found, files_of
from candling.errors import ImageError
from candling.pixels.instances import boxes_of_instances
from candling.pixels.read import SUFFIXES, read_image

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_dots", "read_instances"]


def read_instances(path: Path, *, label: str = "N", least_px: int = 0) -> Found:
    """Read numbered masks, named as their images: one box an object.

    Args:
        path: of a mask or of a folder of them.
        label: the class of every object.
        least_px: an object of fewer pixels is debris: it is marked difficult.

    Raises:
        SamplesError: there is no such file or folder.
    """
    found = Found()
    for file in files_of(path, SUFFIXES):
        try:
            labels = read_image(file)
        except ImageError as error:
            found.unreadable(file, str(error).removeprefix(f"{file}: "))
            continue
        if labels.ndim != 2:
            found.unreadable(file, "is in colour; a mask that numbers its objects is grey")
            continue
        boxes, sizes = boxes_of_instances(labels)
        objects = tuple(
            Annotation(label, left, top, right, bottom, difficult=size < least_px)
            for (left, top, right, bottom), size in zip(boxes.astype(float).tolist(), sizes.tolist(), strict=True)
        )
        found.images.append(AnnotatedImage(file.name, objects, labels.shape[1], labels.shape[0]))
    return found


def read_dots(path: Path, *, size_px: float, label: str = "N", naming: tuple[str, str] = ("dots", "cell")) -> Found:
    """Read pictures with a bright pixel on each object: a square box around every dot.

    The boxes only say where the objects are, not how large: fit for counting, not for measuring.

    Args:
        path: of a picture of dots or of a folder of them.
        size_px: the side of the boxes.
        label: the class of every object.
        naming: what the first becomes in the file's name to give the image's.

    Raises:
        SamplesError: there is no such file or folder.
    """
    found = Found()
    for file in files_of(path, SUFFIXES):
        try:
            frame = read_image(file)
        except ImageError as error:
            found.unreadable(file, str(error).removeprefix(f"{file}: "))
            continue
        marked = frame.max(axis=2) if frame.ndim == 3 else frame
        height, width = marked.shape
        half = size_px / 2.0
        objects = tuple(
            Annotation(label, x + 0.5 - half, y + 0.5 - half, x + 0.5 + half, y + 0.5 + half).clipped(width, height)
            for y, x in zip(*map(np.ndarray.tolist, np.nonzero(marked)), strict=True)
        )
        found.images.append(AnnotatedImage(file.name.replace(*naming), objects, width, height))
    return found
