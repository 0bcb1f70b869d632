"""A counter's boxes for a person to correct, and what came back: files out, files in; knows no labelling tool.

    OUT/voc/*.xml     (or another layout) every box with its score, its source and "unreviewed"
    OUT/images/*.png  every image in 8 bits, stretched for the eye: labelling tools open few others

Originals are only read. What a model drew is no truth until somebody has reviewed it: `trainable` refuses the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from candling.data.annotations import AnnotationSet, accept_corrections, read_annotations, write_annotations
from candling.disk import new_folder, refuse_existing, write_atomic
from candling.errors import ImageError, SamplesError
from candling.pixels.heatmap import encode_png, stretch
from candling.workflow.cell_results import annotations_path, count_file
from candling.workflow.counting import annotations_of
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from candling.data.annotations import AnnotatedImage, Labour, Layout
    from candling.runtime.counters import Counter
    from candling.workflow.counting import CountedImage

__all__ = ["Imported", "check_names", "import_corrections", "prelabel_files"]


@dataclass(frozen=True)
class Imported:
    """What came back from a person.

    Attributes:
        labour: what they did.
        unreviewed: boxes of images that did not come back.
        problems: sentences about what could not be used.
    """

    labour: Labour
    unreviewed: int
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give plain values: what ``candling import --json`` prints."""
        labour = self.labour
        return {
            "images": labour.images,
            "kept": labour.kept,
            "moved": labour.moved,
            "renamed": labour.renamed,
            "added": labour.added,
            "removed": labour.removed,
            "saved": labour.saved,
            "unreviewed": self.unreviewed,
            "problems": list(self.problems),
        }


def prelabel_files(
    counter: Counter,
    paths: Sequence[Path],
    out: Path,
    *,
    source: str,
    layout: Layout = "voc",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[CountedImage, ...], tuple[str, ...]]:
    """Write a counter's boxes as annotations, with an 8-bit picture of every image.

    Args:
        counter: the bundle, opened.
        paths: the images.
        out: the folder; new, or empty.
        source: the model's name and hash, kept on every box.
        layout: of the annotations.
        overwrite: replace what is in ``out``.
        progress: called with (done, total) images.

    Returns:
        what was found, and a sentence for every image that could not be read.

    Raises:
        SamplesError: two images have one name, which their annotations could not tell apart.
        OutputExistsError: the folder holds something and ``overwrite`` is False.
        EngineError: the engine failed.
        DiskError: writing failed.
    """
    check_names(paths)
    new_folder(out, overwrite=overwrite)
    pictures = new_folder(out / "images", overwrite=overwrite)
    counted: list[CountedImage] = []
    problems: list[str] = []
    for done, path in enumerate(paths, start=1):
        try:
            frame, one = count_file(counter, path)
        except ImageError as error:
            problems.append(str(error))
        else:
            if frame.shape[:2] != one.shape:  # a sample of what does not fit into memory
                problems.append(f"{path}: is too large for a labelling tool; cut it into smaller images")
                continue
            counted.append(one)
            write_atomic(pictures / f"{path.stem}.png", encode_png(stretch(frame)))
        if progress is not None:
            progress(done, len(paths))
    found = annotations_of(counted, source=source)
    write_annotations(found, annotations_path(out, layout), layout=layout, overwrite=overwrite)
    return tuple(counted), tuple(problems)


def check_names(paths: Sequence[Path]) -> None:
    """Refuse images that their annotations could not tell apart.

    Raises:
        SamplesError: two have one name.
    """
    stems: dict[str, Path] = {}
    for path in paths:
        if stems.setdefault(path.stem, path) != path:
            raise SamplesError(f"{stems[path.stem]} and {path}: two images of one name; rename one of them")


def import_corrections(
    predicted: Path,
    corrected: Path,
    out: Path,
    *,
    layout: Layout = "csv",
    report: Path | None = None,
    overwrite: bool = False,
) -> Imported:
    """Hold what came back against what went out, and write reviewed annotations.

    Args:
        predicted: the annotations of :func:`prelabel_files`, any layout.
        corrected: what a labelling tool gave back, any layout; images that are missing there stay unreviewed.
        out: the file or folder to write.
        layout: of it; CSV keeps everything.
        report: a table to write of what was done in each image that came back; None writes none.
        overwrite: replace what is at ``out`` and ``report``.

    Raises:
        SamplesError: one of them cannot be read at all, or they share no image.
        OutputExistsError: ``out`` exists and ``overwrite`` is False.
        DiskError: writing failed.
    """
    before, after = read_annotations(predicted), read_annotations(corrected)
    names = {image.image for image in before.images}
    if not any(image.image in names for image in after.images):
        raise SamplesError(f"{corrected}: shares no image with {predicted}; give what came back of these annotations")
    merged, labour = accept_corrections(before, after)
    if report is not None:
        refuse_existing(report, overwrite=overwrite)
    write_annotations(merged, out, layout=layout, overwrite=overwrite)
    if report is not None:
        write_atomic(report, _labour_csv(before, after, labour))
    return Imported(labour, merged.unreviewed, tuple(problem.text for problem in merged.problems))


def _labour_csv(before: AnnotationSet, after: AnnotationSet, whole: Labour) -> str:
    """Write what was done in each image that came back, and in all."""
    predicted = {image.image: image for image in before.images}
    lines = [csv_line(["image", "kept", "moved", "renamed", "added", "removed", "saved"])]
    rows = [(image.image, accept_corrections(_of(predicted.get(image.image)), _of(image))[1]) for image in after.images]
    for name, one in (*rows, ("all", whole)):
        saved = None if one.saved is None else round(one.saved, 4)
        lines.append(csv_line([name, one.kept, one.moved, one.renamed, one.added, one.removed, saved]))
    return "".join(lines)


def _of(image: AnnotatedImage | None) -> AnnotationSet:
    return AnnotationSet(() if image is None else (image,))
