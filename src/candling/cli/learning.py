"""The commands before the line: check, train, calibrate; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.cli.frame import ENGINES, BundlePath, DataPath, EngineName, Json, Overwrite, app, known, training_room
from candling.errors import DataError

__all__ = ["calibrate", "check", "train"]


@app.command()
def check(
    data: DataPath,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the list with thumbnails here.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Examine pictures before training.

    Exit code 3 when something must be mended first.

    Found are unreadable files, odd sizes and bit depths, duplicates within and across splits, the same product in two
    splits, blank or over-exposed pictures, and masks that do not fit.

    Examples:

      candling check pictures/

      candling check table.csv --html findings.html
    """
    from candling.cli.output import bar, show_json
    from candling.cli.show import show_check
    from candling.data.check import check as examine
    from candling.data.check import write_html
    from candling.disk import refuse_existing

    if html is not None:
        refuse_existing(html, overwrite=overwrite)
    with bar("checking", quiet=json) as progress:
        report = examine(data, progress=progress)
    if html is not None:
        write_html(report, html)
    if json:
        show_json(report.to_json())
    else:
        show_check(report)
    return 0 if report.ok else DataError.exit_code


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or the name of a shipped recipe.")],
    data: Annotated[Path, typer.Option("--data", help="A folder of good pictures, any layout, or a table.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle to make, a folder.")],
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time budget instead of the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Random start instead of the recipe's.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew where an interrupted training lies.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Learn from good pictures; make a bundle.

    Trains, exports, proves the graph equal to the network, chooses limits from held-out good pictures, and saves.

    Ctrl-C stops cleanly; the same command goes on exactly where it was.

    Examples:

      candling train surface --data pictures/ --out cup.bundle

      candling train recipes/capsules.toml --data mvtec_capsule --out capsule.bundle --minutes 10
    """
    from candling.cli.output import show_json
    from candling.cli.show import bundle_facts, show_bundle
    from candling.cli.training import watched
    from candling.recipe import load_recipe

    chosen = load_recipe(recipe)
    pipeline = training_room()
    try:
        with watched(quiet=json) as progress:
            bundle = pipeline.train_bundle(
                chosen,
                data,
                out,
                minutes=minutes,
                epochs=epochs,
                seed=seed,
                resume=not restart,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt as stopped:
        said = str(stopped) or "stopped between the steps of training; the same command goes on from what is on disk"
        typer.echo(f"candling: {said}", err=True)
        raise typer.Exit(130) from None
    if json:
        show_json(bundle_facts(bundle))
    else:
        show_bundle(bundle)
    return 0


@app.command()
def calibrate(
    bundle: BundlePath,
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="Pictures the network did not learn from.")
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option("--goal", help="quantile, false_reject, youden, f1, recall or cost; default the recipe's."),
    ] = None,
    value: Annotated[float | None, typer.Option("--value", help="The goal's number, such as a rate.")] = None,
    confidence: Annotated[float | None, typer.Option("--confidence", help="Of the stated intervals.")] = None,
    grey: Annotated[float | None, typer.Option("--grey", help="Width of the grey zone, as a share.")] = None,
    level: Annotated[
        str | None, typer.Option("--level", help="Of a strip: patch, strip or run; default the recipe's.")
    ] = None,
    by_hand: Annotated[str | None, typer.Option("--set", help="SCORE=LIMIT or REGION.SCORE=LIMIT, by hand.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is logged.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who is responsible; default the user's name.")] = "",
    engine: EngineName = "auto",
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32 or bfloat16; default as before.")
    ] = None,
    json: Json = False,
) -> int:
    """Choose limits anew, without training.

    From good or labelled pictures, or by hand; the change is logged in the bundle.

    Examples:

      candling calibrate cup.bundle held_out/ --goal false_reject --value 0.01 --reason "line trial of May"

      candling calibrate cup.bundle labelled/ --goal recall --value 0.99

      candling calibrate vials.bundle samples.csv --level run --value 0.01

      candling calibrate cup.bundle --set window_error=0.042 --reason "agreed with quality"
    """
    from candling.cli.limits import choose_limits
    from candling.cli.output import show_json
    from candling.cli.show import bundle_facts, show_limits
    from candling.decide.limits import GOALS

    known("goal", goal, GOALS)
    known("level", level, ("patch", "strip", "run"))
    known("engine", engine, ENGINES)
    known("precision", precision, ("float32", "bfloat16"))
    changed = choose_limits(
        bundle,
        data,
        goal=goal,
        value=value,
        confidence=confidence,
        grey=grey,
        level=level,
        by_hand=by_hand,
        reason=reason,
        by=by,
        engine=engine,
        precision=precision,
        quiet=json,
    )
    if json:
        show_json(bundle_facts(changed))
    else:
        show_limits(changed)
    return 0
