"""The commands and their options: what each takes, with examples; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.errors import DataError, UsageError

__all__ = ["app"]

app = typer.Typer(
    name="candling",
    help="Learn what good looks like from a folder of pictures; then find, show and decide.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, onnxruntime or openvino.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default all.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder that train made.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of pictures, or a CSV or Parquet table.")]


@app.callback(invoke_without_command=True)
def candling(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Learn what good looks like from a folder of pictures; then find, show and decide.

    Begin with: candling check PICTURES, then candling train surface --data PICTURES --out NAME.bundle
    """
    if version:
        import candling as package

        typer.echo(package.__version__)


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
    pipeline = _training_room()
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
        typer.echo(f"candling: {stopped or 'stopped; the same command goes on from the last checkpoint'}", err=True)
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

      candling calibrate cup.bundle --set window_error=0.042 --reason "agreed with quality"
    """
    from candling.cli.limits import choose_limits
    from candling.cli.output import show_json
    from candling.cli.show import bundle_facts, show_limits

    _known("goal", goal, ("quantile", "false_reject", "youden", "f1", "recall", "cost"))
    _known("engine", engine, ("auto", "onnxruntime", "openvino"))
    _known("precision", precision, ("float32", "bfloat16"))
    changed = choose_limits(
        bundle,
        data,
        goal=goal,
        value=value,
        confidence=confidence,
        grey=grey,
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


@app.command()
def evaluate(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html, evaluation.json and images.csv.")],
    engine: EngineName = "auto",
    threads: Threads = None,
    rounds: Annotated[int, typer.Option("--rounds", min=100, help="Resamplings behind the intervals.")] = 1000,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Measure a bundle on labelled pictures.

    Gives figures with intervals, and one HTML report that opens offline.

    Examples:

      candling evaluate capsule.bundle mvtec_capsule --out report

      candling evaluate capsule.bundle table.csv --out report --json
    """
    from candling.cli.output import bar, show_json
    from candling.cli.show import show_evaluation
    from candling.data.samples import load_samples
    from candling.disk import new_folder
    from candling.workflow.evaluate import evaluate as measure
    from candling.workflow.report import write_evaluation

    samples = load_samples(data)
    inspector = _inspector(bundle, engine=engine, threads=threads)
    new_folder(out, overwrite=overwrite)
    with bar("evaluating", quiet=json) as progress:
        evaluation = measure(inspector, samples, progress=progress, rounds=rounds)
    write_evaluation(evaluation, out)
    if json:
        show_json(evaluation.to_json())
    else:
        show_evaluation(evaluation, out / "report.html")
    return 0


@app.command()
def inspect(
    bundle: BundlePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders or quoted patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for results.csv, results.jsonl and overlays.")],
    overlays: Annotated[str, typer.Option("--overlays", help="Of which pictures: rejected, all or none.")] = "rejected",
    maps: Annotated[bool, typer.Option("--maps", help="Also write every anomaly map as float32 TIFF.")] = False,
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Judge pictures: verdicts and heatmaps.

    Each gets its verdict, scores beside limits, and a heatmap. An unreadable picture is a recorded reject.

    Examples:

      candling inspect cup.bundle new/ --out results

      candling inspect cup.bundle 'line/*.png' extra.tif --out results --overlays all --json
    """
    from candling.cli.output import bar, show_json
    from candling.cli.pictures import find_pictures
    from candling.cli.show import show_inspections
    from candling.workflow.maps import map_scale
    from candling.workflow.results import write_results

    _known("overlays", overlays, ("rejected", "all", "none"))
    pictures = find_pictures(paths)
    inspector = _inspector(bundle, engine=engine, threads=threads)
    with bar("inspecting", quiet=json) as progress:
        summary = write_results(
            inspector.inspect_files(pictures, maps=maps or overlays != "none"),
            out,
            limits=inspector.limits,
            scale=map_scale(inspector.bundle),
            overlays=overlays,  # type: ignore[arg-type]
            raw_maps=maps,
            overwrite=overwrite,
            progress=lambda done: progress(done, len(pictures)),
        )
    if json:
        show_json(summary.to_json())
    else:
        show_inspections(summary)
    return 0


@app.command()
def bench(
    bundle: BundlePath,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders or quoted patterns.")],
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="How long to measure.")] = 10.0,
    slot_ms: Annotated[float | None, typer.Option("--slot-ms", help="Fail when the 99th percentile is longer.")] = None,
    engine: EngineName = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Time a bundle on this machine.

    Latency of one picture, file to verdict, and throughput of many.

    Examples:

      candling bench cup.bundle new/

      candling bench cup.bundle new/ --slot-ms 500 --json
    """
    from candling.cli.output import bar, show_json
    from candling.cli.pictures import find_pictures
    from candling.cli.show import show_timing
    from candling.workflow.benchmark import measure

    pictures = find_pictures(paths)
    inspector = _inspector(bundle, engine=engine, threads=threads)
    with bar("timing", quiet=json) as progress:
        timing = measure(inspector, pictures, seconds=seconds, slot_ms=slot_ms, progress=progress)
    if json:
        show_json(timing.to_json())
    else:
        show_timing(timing)
    return 1 if timing.fits is False else 0


@app.command()
def methods(json: Json = False) -> int:
    """List the methods that can learn.

    With --json each with its options.

    Examples:

      candling methods

      candling methods --json
    """
    from candling.cli.output import show_json, show_table

    method = _training_room(file="method")
    found = {name: method.method_summary(name) for name in method.method_names()}
    if json:
        options = {name: method.method_options(name) for name in found}
        show_json([{"name": name, "summary": line, "options": options[name]} for name, line in found.items()])
    else:
        show_table("", ["method", ""], list(found.items()))
    return 0


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this recipe's text.")] = None,
    json: Json = False,
) -> int:
    """List the shipped recipes, or print one.

    Examples:

      candling recipes

      candling recipes surface > my_product.toml
    """
    from candling.cli.output import show_json, show_table
    from candling.recipe import load_recipe, shipped_recipes

    shipped = shipped_recipes()
    if name is not None:
        load_recipe(name)
        if name not in shipped:
            raise UsageError(f"no shipped recipe {name!r}; there are: {', '.join(shipped)}")
        typer.echo(shipped[name].read_text(encoding="utf-8"), nl=False)
        return 0
    stories = {key: load_recipe(key) for key in shipped}
    if json:
        show_json(
            [
                {"name": key, **recipe.story.model_dump(), "method": recipe.method.name}
                for key, recipe in stories.items()
            ]
        )
    else:
        show_table(
            "", ["recipe", "product", "method"], [(k, r.story.product, r.method.name) for k, r in stories.items()]
        )
    return 0


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures, bundle and report.")] = Path("demo"),
    minutes: Annotated[float, typer.Option("--minutes", help="Training time.")] = 2.0,
    recipe: Annotated[str, typer.Option("--recipe", help="The recipe to train.")] = "surface",
    seed: Annotated[int, typer.Option("--seed", help="Of the drawn pictures and of training.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Draw capsules, learn, judge, and report.

    Draws good and defective capsules, trains on good ones, calibrates, evaluates, and names the report.

    Examples:

      candling demo

      candling demo --out /tmp/look --minutes 0.5
    """
    from candling.cli.demo import run_demo

    return run_demo(out, minutes=minutes, recipe=recipe, seed=seed, overwrite=overwrite, json=json)


def _inspector(bundle: Path, *, engine: str, threads: int | None):  # type: ignore[no-untyped-def]  # noqa: ANN202 - its room stays closed until here
    from candling.runtime.inspector import Inspector

    _known("engine", engine, ("auto", "onnxruntime", "openvino"))
    return Inspector.load(bundle, engine=engine, threads=threads)  # type: ignore[arg-type]


def _known(option: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"--{option} {value}: there are {', '.join(known[:-1])} and {known[-1]}")


def _training_room(file: str = "pipeline"):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Open the room where torch lives, or say how to install it."""
    import importlib

    from candling.errors import MissingExtraError

    try:
        return importlib.import_module(f"candling.train.{file}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("candling"):
            raise
        raise MissingExtraError(f"training needs {error.name}; run: pip install 'candling[train]'") from error
