"""The commands around a set of pictures: split and suggest; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.cli.frame import (
    ENGINES,
    BundlePath,
    DataPath,
    EngineName,
    Json,
    Overwrite,
    Threads,
    app,
    known,
    open_inspector,
)

__all__ = ["split", "suggest"]


@app.command()
def split(
    data: DataPath,
    out: Annotated[Path, typer.Option("--out", help="The table to write, .csv.")],
    test: Annotated[float, typer.Option("--test", help="Share of the pictures to test on.")] = 0.33,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, another choice of products.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Split pictures into training and test.

    Writes a table that train and evaluate take. All pictures of one product, patient or strip come to one side, as a
    manifest.csv or a table names them. Defects of products for training are left out.

    Examples:

      candling split malaria_cells --out cells.csv

      candling split pictures/ --out table.csv --test 0.5 --seed 3
    """
    from candling.cli.output import say, show_json
    from candling.data.samples import load_samples, split_test, table_of
    from candling.disk import refuse_existing, write_atomic

    refuse_existing(out, overwrite=overwrite)
    chosen = split_test(load_samples(data), test, seed=seed)
    write_atomic(out, table_of(chosen.samples))
    counts = {f"{part} {label}": count for (part, label), count in chosen.counts().items()}
    if json:
        show_json({"table": str(out), "counts": counts})
    else:
        say(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 0


@app.command()
def suggest(
    bundle: BundlePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders or quoted patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for suggested.csv and suggested.html.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many at most.")] = 50,
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Name the pictures a person should label.

    They lie nearest to the limit. Fill in the column label of suggested.csv, look at suggested.html beside it, and give
    the table to calibrate with a goal for labelled pictures. Of a bundle that counts, those whose count is most in
    doubt, with their cells drawn for correction, as prelabel does.

    Examples:

      candling suggest cells.bundle new/ --out to_label

      candling calibrate cells.bundle to_label/suggested.csv --goal youden

      candling suggest nuclei.bundle new/ --out to_correct --count 10
    """
    from candling.cli.correcting import suggest_counts
    from candling.cli.output import bar, say, show_json
    from candling.cli.pictures import find_pictures
    from candling.disk import new_folder
    from candling.runtime.bundle import load_bundle
    from candling.runtime.counters import is_counter
    from candling.workflow.labelling import nearest_to_limit, write_labelling

    pictures = find_pictures(paths)
    known("engine", engine, ENGINES)
    opened = load_bundle(bundle)
    if is_counter(opened):
        return suggest_counts(
            opened, pictures, out, count=count, engine=engine, threads=threads, overwrite=overwrite, json=json
        )
    inspector = open_inspector(bundle, engine=engine, threads=threads)
    new_folder(out, overwrite=overwrite)
    with bar("looking", quiet=json) as progress:
        found = nearest_to_limit(inspector, pictures, count=count, progress=progress)
    write_labelling(found, out, bundle=str(bundle), seen=len(pictures), inspector=inspector)
    if json:
        show_json([{"path": str(one.path), "severity": one.severity, "verdict": one.verdict} for one in found])
    else:
        say(f"{len(found)} of {len(pictures)} pictures to label: {out / 'suggested.csv'}, {out / 'suggested.html'}")
    return 0
