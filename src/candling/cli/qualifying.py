"""The command that qualifies: a kit, the machine's runs and the inspectors' results in, a report to sign out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from candling.cli.frame import EngineName, Json, Overwrite, Threads, app, open_inspector
from candling.errors import UsageError

if TYPE_CHECKING:
    from candling.decide.qualification import Qualification
    from candling.runtime.inspector import Inspector
    from candling.types import Interval

__all__ = ["policy_of", "qualify", "show_qualification", "usual_place"]


@app.command()
def qualify(
    out: Annotated[Path, typer.Option("--out", help="Folder for qualification.html, .json and containers.csv.")],
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="The bundle that judges the kit.")] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[KIT]", help="Folder with samples.csv, or a table of the kit's pictures.")
    ] = None,
    kit: Annotated[Path | None, typer.Option("--kit", help="CSV: product, label, severity.")] = None,
    machine: Annotated[Path | None, typer.Option("--machine", help="CSV: product, run, decision, score.")] = None,
    manual: Annotated[
        Path | None,
        typer.Option("--manual", help="CSV: container, inspector, round, reject."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Runs that must agree, of how many; default the recipe's, or 7/10.")
    ] = None,
    same_place: Annotated[
        bool | None,
        typer.Option("--same-place/--any-place", help="Whether runs must reject the same patch; default the recipe's."),
    ] = None,
    margin: Annotated[float, typer.Option("--margin", help="How far below the inspectors still passes.")] = 0.0,
    with_confidence: Annotated[
        bool, typer.Option("--with-confidence", help="The whole interval must keep the margin, not its middle alone.")
    ] = False,
    good_accepted: Annotated[
        float | None, typer.Option("--good-accepted", help="Least share of good containers to be accepted.")
    ] = None,
    defects_rejected: Annotated[
        float | None, typer.Option("--defects-rejected", help="Least share of defects to be rejected.")
    ] = None,
    prevalence: Annotated[float, typer.Option("--prevalence", help="Share of defects on the line.")] = 0.005,
    product: Annotated[str, typer.Option("--product", help="What was inspected, for the title.")] = "",
    date: Annotated[str, typer.Option("--date", help="When it was tested; else a line to fill in by hand.")] = "",
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Qualify a machine on a kit, beside inspectors.

    Compares rejection probabilities (Knapp and Kushner), classifies by k of n runs, and writes a report to sign. The
    same tables give the same bytes. With a bundle and the pictures of a kit, every run is inspected first. Returns 1
    when a criterion is missed.

    Examples:

      candling qualify vials.bundle line --manual manual.csv --out report

      candling qualify --kit kit.csv --machine machine.csv --manual manual.csv --out report

      candling qualify --kit kit.csv --machine machine.csv --out report --defects-rejected 0.95 --good-accepted 0.95
    """
    from candling.cli.output import bar, show_json
    from candling.decide.qualification import Plan
    from candling.disk import new_folder
    from candling.workflow.qualify import qualify_bundle, qualify_tables, to_json, write_qualification

    inspector = _judge(bundle, folder, kit, machine, engine=engine, threads=threads)
    k, n = policy_of(policy) if policy is not None else usual_policy(inspector)
    plan = Plan(
        k=k,
        n=n,
        same_place=usual_place(inspector) if same_place is None else same_place,
        margin=margin,
        with_confidence=with_confidence,
        least_good_accepted=good_accepted,
        least_defects_rejected=defects_rejected,
        prevalence=prevalence,
    )
    if inspector is not None:
        assert folder is not None
        new_folder(out, overwrite=overwrite)  # before the long work
        with bar("inspecting", quiet=json) as progress:
            qualification, provenance = qualify_bundle(
                inspector, folder, out, manual=manual, plan=plan, product=product, date=date, progress=progress
            )
    else:
        assert kit is not None
        assert machine is not None
        qualification, provenance = qualify_tables(kit, machine, manual, plan=plan, product=product, date=date)
        new_folder(out, overwrite=overwrite)
    report = write_qualification(qualification, provenance, out)
    if json:
        show_json(to_json(qualification, provenance))
    else:
        show_qualification(qualification, report)
    return 1 if qualification.passed is False else 0


def _judge(
    bundle: Path | None,
    folder: Path | None,
    kit: Path | None,
    machine: Path | None,
    *,
    engine: str,
    threads: int | None,
) -> Inspector | None:
    """Open the bundle that judges; None when the tables are given.

    Raises:
        UsageError: neither is complete, or both are given.
    """
    if bundle is None and kit is not None and machine is not None:
        return None
    if bundle is None or folder is None or kit is not None or machine is not None:
        raise UsageError("qualify needs either BUNDLE and KIT, or the tables --kit and --machine")
    return open_inspector(bundle, engine=engine, threads=threads)


def usual_policy(inspector: Inspector | None) -> tuple[int, int]:
    """Give the recipe's run policy, or 7 of 10 where it says nothing."""
    strip = inspector.recipe.strip if inspector is not None else None
    return (7, 10) if strip is None else (strip.agree, strip.runs)


def usual_place(inspector: Inspector | None) -> bool:
    """Say whether the recipe's runs must reject the same place; of tables alone, no."""
    strip = inspector.recipe.strip if inspector is not None else None
    return strip is not None and strip.same_place


def policy_of(text: str) -> tuple[int, int]:
    """Read a run policy such as ``7/10``.

    Raises:
        UsageError: it is not two whole numbers.

    >>> policy_of("7/10")
    (7, 10)
    """
    found = re.fullmatch(r"\s*(\d{1,4})\s*/\s*(\d{1,4})\s*", text)
    if found is None:
        raise UsageError(f"--policy {text}: write how many runs must agree and of how many, such as 7/10")
    return int(found[1]), int(found[2])


def show_qualification(qualification: Qualification, report: Path) -> None:
    """Show the figures with their intervals, whether it passed, and where the report lies."""
    from candling.cli.output import remark, say, show_table

    knapp, policy = qualification.knapp, qualification.run_policy
    figures: list[tuple[str, Interval]] = []
    if knapp is not None:
        figures.append(("reject-zone efficiency, inspectors", knapp.manual))
        figures.append(("reject-zone efficiency, machine", knapp.machine))
    if policy.good is not None:
        figures.append(("good accepted", policy.good.right))
    if policy.defects is not None:
        figures.append(("defects rejected", policy.defects.right))
    rows = [(name, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}") for name, found in figures]
    show_table("", ["figure", "value", "interval"], rows)
    for note in qualification.notes:
        remark(note)
    for criterion in qualification.criteria:
        say(f"{'met' if criterion.met else 'missed'}: {criterion.asked}")
    outcome = {True: "passed", False: "not passed", None: "not judged: no criterion was stated"}
    say(outcome[qualification.passed])
    remark(f"report: {report}")
