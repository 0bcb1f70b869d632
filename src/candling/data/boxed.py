"""Images with marked objects: whose annotations are whose, which images are learned from, what classes there are.

A folder holds ``images`` (or ``JPEGImages``) and beside it ``labels`` (``masks``, ``annotations``, ``Annotations``) of
any layout that ``data.annotations`` reads, or one file ``annotations.json`` or ``annotations.csv``. The lists of the
VOC kit, ``ImageSets/Main/train.txt`` and so on, say which images are learned from. Decodes no pixel of an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from candling.data.annotations import Review, guess_layout, read_annotations, trainable
from candling.data.samples import GOOD, Sample, SampleSet, split_hold_out
from candling.data.samples.labelled import LEFT_SHARE
from candling.data.samples.numbered import well_of
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.data.annotations import AnnotatedImage, AnnotationSet

__all__ = ["BoxedSet", "boxes_to_learn", "boxes_to_measure", "load_boxed"]

PICTURES: Final = ("images", "JPEGImages")
"""Folders of images, the first that is there."""

MARKS: Final = ("labels", "masks", "annotations", "Annotations", "annotations.json", "annotations.csv")
"""Folders or files of annotations, the first that is there: boxes of masks are exact."""

_LISTS: Final = {"train": "train", "val": "validation", "test": "test"}
"""The lists of the VOC kit, and what their images are for."""

_UNLISTED: Final = "unlisted"


@dataclass(frozen=True)
class BoxedSet:
    """Images with their objects.

    Attributes:
        set: the images, in the order of their annotations.
        objects: the objects of each image, by its path.
        problems: sentences about what could not be used; nothing of it stops the rest.
        unreviewed: boxes that a model drew and nobody has looked at.
    """

    set: SampleSet
    objects: Mapping[Path, AnnotatedImage]
    problems: tuple[str, ...]
    unreviewed: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class, in alphabetical order; rejected and difficult objects name none."""
        return tuple(sorted({label for image in self.objects.values() for label in image.counts}))


def load_boxed(root: Path, *, least_px: int = 0, unreviewed: bool = True, named: str | None = None) -> BoxedSet:
    """Find the images of a data set and read their annotations.

    Args:
        root: the folder.
        least_px: numbered masks only: smaller objects are debris, which counts for nothing.
        unreviewed: take boxes that nobody has looked at.
        named: what the objects of numbered masks are called, which name none themselves.

    Raises:
        SamplesError: there is no such folder, no images or no annotations in it, no image has any, or boxes were never
            reviewed and ``unreviewed`` is False.
    """
    if not root.is_dir():
        raise SamplesError(f"{root}: no such folder; check the path")
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), None)
    marks = next((root / name for name in MARKS if (root / name).exists()), None)
    if pictures is None or marks is None:
        raise SamplesError(
            f"{root}: a method that learns boxes wants a folder {PICTURES[0]!r} and beside it 'annotations', boxes of "
            "these images in any layout (voc, coco, yolo, csv, qupath, imagej, or numbered masks)"
        )
    read = read_annotations(marks, images=pictures, least_px=least_px)
    found = trainable(read, allow_unreviewed=unreviewed)
    paths = {path.name: path for path in sorted(pictures.rglob("*")) if path.is_file()}
    images = found.images
    if named is not None and guess_layout(marks) == "instances":
        images = tuple(_renamed(image, named) for image in images)
    objects = {paths[image.image]: image for image in images if image.image in paths}
    if not objects:
        raise SamplesError(
            f"{root}: none of the images in {pictures.name} has annotations in {marks.name}; rename them"
        )
    splits, problems = _splits(root), [problem.text for problem in found.problems]
    samples = []
    for path in objects:
        split = splits.get(path.stem, _UNLISTED) if splits else "train"
        if split == _UNLISTED:
            problems.append(f"{path}: is in no list of ImageSets; it is left out")
            continue
        samples.append(Sample(path, GOOD, split, product=well_of(path.name)))
    layout = "table" if splits else "folders"
    return BoxedSet(SampleSet(root, layout, tuple(samples)), objects, tuple(problems), _unreviewed(found))


def boxes_to_learn(found: BoxedSet, *, seed: int) -> tuple[Sample, ...]:
    """Choose the images to learn from: those of the list ``train``, or two thirds of a folder, by well.

    Raises:
        SamplesError: there are fewer than two.
    """
    root = found.set.root
    if found.set.layout != "folders":
        chosen = tuple(sample for sample in found.set if sample.split == "train")
        if len(chosen) < 2:
            raise SamplesError(f"{root}: {len(chosen)} images are in the list 'train'; at least 2 are needed")
        return chosen
    if len(found.set) < 3:
        raise SamplesError(f"{root}: {len(found.set)} images with annotations cannot be split in three; give 3 or more")
    return split_hold_out(found.set.samples, LEFT_SHARE, seed=seed)[0]


def boxes_to_measure(found: BoxedSet) -> tuple[Sample, ...]:
    """Choose the images to measure on: of the list ``test``, else of ``val``, else all, also those learned from."""
    for split in ("test", "validation"):
        chosen = tuple(sample for sample in found.set if sample.split == split)
        if chosen:
            return chosen
    return found.set.samples


def _splits(root: Path) -> dict[str, str]:
    """Read the lists of the VOC kit: the split of each image, by its name without suffix."""
    found: dict[str, str] = {}
    for name, split in _LISTS.items():
        for place in (root / "ImageSets" / "Main", root / "ImageSets"):
            path = place / f"{name}.txt"
            if not path.is_file():
                continue
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SamplesError(
                    f"{path}: cannot be read as a list of images ({error}); write one name a line"
                ) from error
            for line in filter(None, map(str.strip, text.splitlines())):
                stem = line.split()[0]
                if found.setdefault(stem, split) != split:
                    raise SamplesError(f"{path}: {stem} is also in the list {found[stem]!r}; keep it in one of them")
            break
    return found


def _renamed(image: AnnotatedImage, name: str) -> AnnotatedImage:
    return replace(image, objects=tuple(replace(one, label=name) for one in image.objects))


def _unreviewed(found: AnnotationSet) -> int:
    return sum(one.review is Review.UNREVIEWED for image in found.images for one in image.objects)
