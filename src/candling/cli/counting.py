"""The commands of a counter: count, and what evaluate does with one; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from candling.cli.frame import ENGINES, BundlePath, EngineName, Json, Overwrite, Threads, app, known
from candling.errors import UsageError

if TYPE_CHECKING:
    from candling.runtime.bundle import Bundle
    from candling.workflow.box_figures import BoxEvaluation
    from candling.workflow.cell_figures import CellEvaluation

__all__ = ["count", "evaluate_counter"]

LAYOUTS = ("voc", "coco", "yolo", "csv", "qupath", "imagej")
"""The words of ``--layout``."""


@app.command()
def count(
    bundle: BundlePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders or quoted patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for counts.csv, cells.csv, annotations and overlays.")],
    pixel_size: Annotated[
        float | None, typer.Option("--pixel-size", help="Side of a pixel in micrometres; default as a TIFF says.")
    ] = None,
    layout: Annotated[str, typer.Option("--layout", help="Of the annotations: " + ", ".join(LAYOUTS) + ".")] = "voc",
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Draw every picture's cells.")] = True,
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Count the cells of pictures.

    Gives counts, densities and covered areas, one row a cell, the cells as annotations, and every picture with its
    cells drawn. A picture that cannot be read is named; the others are counted.

    Examples:

      candling count nuclei.bundle new/ --out counted

      candling count nuclei.bundle 'plate1/*.tif' --out counted --pixel-size 0.65 --layout qupath --json
    """
    from candling.cli.output import bar, remark, say, show_json
    from candling.cli.pictures import find_pictures
    from candling.runtime.bundle import load_bundle
    from candling.runtime.counters import load_counter
    from candling.workflow.cell_results import count_files

    known("engine", engine, ENGINES)
    known("layout", layout, LAYOUTS)
    if pixel_size is not None and not 0.0 < pixel_size < 1e6:
        raise UsageError(f"--pixel-size {pixel_size:g}: give the side of a pixel in micrometres, above 0")
    opened = load_bundle(bundle)
    counter = load_counter(opened, engine=engine, threads=threads)  # type: ignore[arg-type]
    pictures = find_pictures(paths)
    with bar("counting", quiet=json) as progress:
        summary = count_files(
            counter,
            pictures,
            out,
            source=f"{opened.card.name} {opened.sha256[:12]}",
            pixel_um=None if pixel_size is None else (pixel_size, pixel_size),
            layout=layout,  # type: ignore[arg-type]
            overlays=overlays,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        show_json(summary.as_json())
        return 0
    say(f"{summary.cells} cells in {len(summary.images)} pictures: {out / 'counts.csv'}, {out / 'cells.csv'}")
    for path, reason in summary.unread:
        remark(f"not counted: {reason if str(path) in reason else f'{path}: {reason}'}")
    warned = sum(bool(one.warnings) for one in summary.images)
    if warned:
        remark(f"{warned} pictures have warnings: see the last column of counts.csv")
    return 0


def evaluate_counter(
    bundle: Bundle,
    data: Path,
    out: Path,
    *,
    engine: str,
    threads: int | None,
    rounds: int,
    overwrite: bool,
    json: bool,
) -> int:
    """Measure a counter on pictures whose cells are numbered or marked; those it learned from are left out.

    Raises:
        SamplesError: there are no such pictures, or none is left.
    """
    from candling.cli.output import remark, say, show_json, show_table
    from candling.disk import new_folder
    from candling.runtime.boxes import DETECTING

    measure = _measure_boxes if DETECTING in bundle.manifest.files else _measure_cells
    new_folder(out, overwrite=overwrite)
    evaluation, pictures, notes = measure(bundle, data, out, engine=engine, threads=threads, rounds=rounds, quiet=json)
    if json:
        show_json(evaluation.as_json())
        return 0
    for note in notes:
        remark(note)
    show_table("", ["figure", "value", "from", "to"], evaluation.rows())
    say(f"{pictures} pictures: {out / 'evaluation.json'}, {out / 'images.csv'}")
    return 0


def _measure_cells(
    bundle: Bundle, data: Path, out: Path, *, engine: str, threads: int | None, rounds: int, quiet: bool
) -> tuple[CellEvaluation, int, tuple[str, ...]]:
    from candling.cli.output import bar
    from candling.data.samples import test_samples
    from candling.data.samples.numbered import load_cells
    from candling.runtime.cells import CellCounter
    from candling.runtime.learned import without_learned
    from candling.workflow.cell_figures import evaluate_cells, look_at, write_cell_evaluation

    found = load_cells(data)
    samples, notes = without_learned(test_samples(found.set) or found.set.samples, bundle)
    counter = CellCounter.load(bundle, engine=engine, threads=threads)  # type: ignore[arg-type]
    with bar("evaluating", quiet=quiet) as progress:
        looked = look_at(counter, samples, progress=progress)
    evaluation = evaluate_cells(counter, looked, rounds=rounds)
    write_cell_evaluation(evaluation, looked, counter, out, notes=(*notes, *found.problems))
    return evaluation, len(looked), (*notes, *found.problems)


def _measure_boxes(
    bundle: Bundle, data: Path, out: Path, *, engine: str, threads: int | None, rounds: int, quiet: bool
) -> tuple[BoxEvaluation, int, tuple[str, ...]]:
    from candling.cli.output import bar
    from candling.data.boxed import boxes_to_measure, load_boxed
    from candling.runtime.boxes import BoxCounter
    from candling.runtime.learned import without_learned
    from candling.workflow.box_figures import evaluate_boxes, look_at_boxes, write_box_evaluation

    counter = BoxCounter.load(bundle, engine=engine, threads=threads)  # type: ignore[arg-type]
    found = load_boxed(data, least_px=counter.counting.least_px, named=counter.only_class)
    samples, notes = without_learned(boxes_to_measure(found), bundle)
    with bar("evaluating", quiet=quiet) as progress:
        looked = look_at_boxes(counter, samples, found.objects, progress=progress)
    evaluation = evaluate_boxes(counter, looked, rounds=rounds)
    write_box_evaluation(evaluation, looked, counter, out, notes=(*notes, *found.problems))
    return evaluation, len(looked), (*notes, *found.problems)
