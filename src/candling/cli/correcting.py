"""The commands around a person's corrections: prelabel, import, what suggest does with a counter; the work is below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from candling.cli.counting import LAYOUTS
from candling.cli.frame import ENGINES, BundlePath, EngineName, Json, Overwrite, Threads, app, known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.runtime.bundle import Bundle

__all__ = ["import_reviewed", "prelabel", "suggest_counts"]


@app.command()
def prelabel(
    bundle: BundlePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders or quoted patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the annotations and 8-bit pictures.")],
    layout: Annotated[str, typer.Option("--layout", help="One of " + ", ".join(LAYOUTS) + ".")] = "voc",
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Draw the cells for a person to correct.

    Writes the cells a counter finds as annotations, each with its score, its source and "unreviewed", and beside them
    every picture in 8 bits: LabelImg, CVAT and Label Studio open both. Give what comes back to import.

    Examples:

      candling prelabel nuclei.bundle new/ --out to_correct

      candling prelabel nuclei.bundle new/ --out to_correct --layout coco
    """
    from candling.cli.output import bar, remark, say, show_json
    from candling.cli.pictures import find_pictures
    from candling.runtime.bundle import load_bundle
    from candling.runtime.counters import load_counter
    from candling.workflow.cell_results import annotations_path
    from candling.workflow.prelabelling import prelabel_files

    known("engine", engine, ENGINES)
    known("layout", layout, LAYOUTS)
    opened = load_bundle(bundle)
    counter = load_counter(opened, engine=engine, threads=threads)  # type: ignore[arg-type]
    with bar("drawing", quiet=json) as progress:
        counted, problems = prelabel_files(
            counter,
            find_pictures(paths),
            out,
            source=f"{opened.card.name} {opened.sha256[:12]}",
            layout=layout,  # type: ignore[arg-type]
            overwrite=overwrite,
            progress=progress,
        )
    cells, where = sum(len(one.found) for one in counted), annotations_path(out, layout)  # type: ignore[arg-type]
    if json:
        show_json({"images": len(counted), "cells": cells, "annotations": str(where), "problems": list(problems)})
        return 0
    for problem in problems:
        remark(f"left out: {problem}")
    say(f"{cells} cells in {len(counted)} pictures: {where}, {out / 'images'}")
    return 0


@app.command("import")
def import_reviewed(
    predicted: Annotated[Path, typer.Argument(metavar="PREDICTED", help="The annotations that prelabel wrote.")],
    corrected: Annotated[Path, typer.Argument(metavar="CORRECTED", help="What came back, any layout.")],
    out: Annotated[Path, typer.Option("--out", help="The annotations to write, a file or a folder.")],
    layout: Annotated[str, typer.Option("--layout", help="One of " + ", ".join(LAYOUTS) + ".")] = "csv",
    labour: Annotated[
        Path | None, typer.Option("--labour", help="Also write a table of the labour, a row a picture.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Take a person's corrections back.

    Holds what came back against what went out: boxes that stayed are reviewed, those that were moved or added are the
    person's, those that are gone are kept as rejected. Says how much labour was saved.

    Examples:

      candling import to_correct/voc corrected/ --out reviewed.csv

      candling import to_correct/voc corrected/ --out reviewed.csv --labour labour.csv
    """
    from candling.cli.output import remark, say, show_json
    from candling.workflow.prelabelling import import_corrections

    known("layout", layout, LAYOUTS)
    imported = import_corrections(
        predicted,
        corrected,
        out,
        layout=layout,  # type: ignore[arg-type]
        report=labour,
        overwrite=overwrite,
    )
    if json:
        show_json({"annotations": str(out), **imported.as_json()})
        return 0
    done = imported.labour
    for problem in imported.problems:
        remark(problem)
    saved = "" if done.saved is None else f"; {100 * done.saved:.0f} % of the true boxes needed no hand"
    say(
        f"{out}: {done.images} pictures came back, {done.kept} boxes kept, {done.moved} moved, {done.renamed} "
        f"renamed, {done.added} added, {done.removed} removed{saved}"
    )
    if imported.unreviewed:
        remark(f"{imported.unreviewed} boxes of pictures that did not come back are still unreviewed")
    return 0


def suggest_counts(
    bundle: Bundle,
    pictures: Sequence[Path],
    out: Path,
    *,
    count: int,
    engine: str,
    threads: int | None,
    overwrite: bool,
    json: bool,
) -> int:
    """Choose the pictures whose counts are most in doubt, and draw their cells for a person to correct.

    Raises:
        SamplesError: no picture can be read, or two have one name.
    """
    from candling.cli.output import bar, remark, say, show_json
    from candling.disk import new_folder
    from candling.runtime.counters import load_counter
    from candling.workflow.doubtful import most_doubtful, write_doubtful
    from candling.workflow.prelabelling import check_names, prelabel_files

    counter = load_counter(bundle, engine=engine, threads=threads)  # type: ignore[arg-type]
    check_names(pictures)
    new_folder(out, overwrite=overwrite)
    with bar("looking", quiet=json) as progress:
        chosen, problems = most_doubtful(counter, pictures, count=count, progress=progress)
    source = f"{bundle.card.name} {bundle.sha256[:12]}"
    where = out / "to_correct"
    prelabel_files(counter, [one.path for one in chosen], where, source=source, overwrite=overwrite)
    write_doubtful(chosen, counter, out, bundle=str(bundle.path), seen=len(pictures), annotations=str(where))
    if json:
        told = [{"path": str(one.path), "count": one.count, "doubt": one.doubt} for one in chosen]
        show_json(told)
        return 0
    for problem in problems:
        remark(f"left out: {problem}")
    say(f"{len(chosen)} of {len(pictures)} pictures to correct: {out / 'suggested.csv'}, {where}")
    return 0
