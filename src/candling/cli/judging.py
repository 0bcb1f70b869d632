"""The commands with a bundle in hand: evaluate, inspect, bench; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.cli.frame import BundlePath, DataPath, EngineName, Json, Overwrite, Threads, app, known, open_inspector
from candling.errors import UsageError

__all__ = ["bench", "evaluate", "inspect"]


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
    from candling.cli.counting import evaluate_counter
    from candling.cli.output import bar, show_json
    from candling.cli.show import show_evaluation
    from candling.data.samples import load_samples
    from candling.disk import new_folder
    from candling.runtime.bundle import load_bundle
    from candling.runtime.counters import is_counter
    from candling.workflow.evaluate import evaluate as measure
    from candling.workflow.report import write_evaluation

    opened = load_bundle(bundle)
    if is_counter(opened):
        return evaluate_counter(
            opened, data, out, engine=engine, threads=threads, rounds=rounds, overwrite=overwrite, json=json
        )
    samples = load_samples(data)
    inspector = open_inspector(bundle, engine=engine, threads=threads)
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
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw what decides the worst place; some fifty runs of the graph each.")
    ] = False,
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Judge pictures: verdicts and heatmaps.

    Each gets its verdict, scores beside limits, and a heatmap. An unreadable picture is a recorded reject. Strips of
    several frames are given as a table that names product, run and frame of each.

    Examples:

      candling inspect cup.bundle new/ --out results

      candling inspect cup.bundle 'line/*.png' extra.tif --out results --overlays all --json

      candling inspect cup.bundle strange.png --out results --overlays all --explain
    """
    from candling.cli.output import bar, show_json
    from candling.cli.pictures import find_pictures
    from candling.cli.show import show_inspections
    from candling.cli.strips import StripFiles
    from candling.runtime.references import References
    from candling.workflow.maps import map_scale
    from candling.workflow.results import write_results
    from candling.workflow.why import why_worst

    known("overlays", overlays, ("rejected", "all", "none"))
    if explain and overlays == "none":
        raise UsageError("--explain: explanations lie beside overlays, and --overlays none draws none; leave one out")
    inspector = open_inspector(bundle, engine=engine, threads=threads)
    strips = StripFiles.find(paths, inspector.recipe.frames) if inspector.recipe.frames > 1 else None
    pictures = find_pictures(paths) if strips is None else []
    count = len(pictures) if strips is None else len(strips.named)
    remembers = inspector.engine.has_nearest
    wants_maps = maps or overlays != "none" or remembers
    with bar("inspecting", quiet=json) as progress:
        summary = write_results(
            inspector.inspect_files(pictures, maps=wants_maps, nearest=remembers)
            if strips is None
            else inspector.inspect_acquisitions(strips.named, maps=wants_maps, nearest=remembers),
            out,
            limits=inspector.limits,
            scale=map_scale(inspector.bundle),
            overlays=overlays,  # type: ignore[arg-type]
            raw_maps=maps,
            references=References.load(inspector.bundle) if remembers else None,
            overwrite=overwrite,
            frame_of=None if strips is None else strips.frame_of,
            why=(lambda frame, shown: why_worst(inspector.predictor, frame, shown.predictions)) if explain else None,
            progress=lambda done: progress(done, count),
        )
    if json:
        show_json(summary.to_json())
    else:
        show_inspections(summary)
    return 0


@app.command()
def bench(
    bundle: BundlePath,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS...]", help="Pictures, folders or quoted patterns.")
    ] = None,
    strip: Annotated[
        bool, typer.Option("--strip", help="Time whole strips, of a table or drawn; the slot is 500 ms if not given.")
    ] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="How long to measure.")] = 10.0,
    slot_ms: Annotated[float | None, typer.Option("--slot-ms", help="Fail when the 99th percentile is longer.")] = None,
    engine: EngineName = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Time a bundle on this machine.

    Latency of one picture, file to verdict, and throughput of many; or of whole strips, frames in memory to verdict and
    heatmaps. Returns 1 when the 99th percentile is longer than the slot.

    Examples:

      candling bench cup.bundle new/

      candling bench cup.bundle new/ --slot-ms 500 --json

      candling bench vials.bundle --strip --slot-ms 500
    """
    from candling.cli.output import bar, show_json
    from candling.cli.pictures import find_pictures
    from candling.cli.show import show_strip_timing, show_timing
    from candling.cli.strips import time_strips
    from candling.workflow.benchmark import measure

    if strip:
        inspector = open_inspector(bundle, engine=engine, threads=threads)
        with bar("timing", quiet=json) as progress:
            timed = time_strips(inspector, paths or [], seconds=seconds, slot_ms=slot_ms, progress=progress)
        if json:
            show_json(timed.to_json())
        else:
            show_strip_timing(timed)
        return 0 if timed.fits else 1
    if not paths:
        raise UsageError("bench: no picture to time; give files or a folder, or --strip")
    pictures = find_pictures(paths)
    inspector = open_inspector(bundle, engine=engine, threads=threads)
    with bar("timing", quiet=json) as progress:
        timing = measure(inspector, pictures, seconds=seconds, slot_ms=slot_ms, progress=progress)
    if json:
        show_json(timing.to_json())
    else:
        show_timing(timing)
    return 1 if timing.fits is False else 0
