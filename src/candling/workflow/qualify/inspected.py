"""A kit inspected by a bundle: every run of every container judged, and what was decided as the tables of a kit.

Knows how containers become verdicts, and nothing of what passes. A run that cannot be judged is a reject, as on the
line; a run that is missing is not made up, so the kit is refused where it is qualified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.data.kit import read_manual_results, table_hash
from candling.data.samples import content_hash, group_acquisitions, load_samples
from candling.decide.qualification import DefectSeverity, KitEntry, MachineRun, Plan, Qualification, qualify
from candling.disk import write_atomic
from candling.errors import KitError
from candling.workflow.qualify.provenance import Provenance, versions
from candling.workflow.strips import inspect_all, outside
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from candling.data.samples import Sample
    from candling.runtime.inspector import Inspector
    from candling.types import Inspection

__all__ = ["InspectedKit", "inspect_kit", "qualify_bundle"]


@dataclass(frozen=True)
class InspectedKit:
    """What a machine decided about a kit.

    Attributes:
        kit: the containers, in the order of the table.
        runs: one a container and run.
        data: SHA-256 of the kit's images and labels.
    """

    kit: tuple[KitEntry, ...]
    runs: tuple[MachineRun, ...]
    data: str


def inspect_kit(
    inspector: Inspector,
    kit: Path,
    *,
    inspections: Iterable[Inspection] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> InspectedKit:
    """Judge every run of every container of a kit.

    Args:
        inspector: the bundle, loaded.
        kit: a folder that holds ``samples.csv``, or a table; its split ``kit``, or all but training where it has none.
        inspections: of every run, in the order of the table, where the same bundle judged them already; None judges.
        progress: called with (done, total) runs.

    Raises:
        KitError: there is no container, one has no name or two labels, or is in another split as well.
        SamplesError: the table cannot be used.
    """
    samples = load_samples(kit)
    chosen = [sample for sample in samples if sample.split == "kit"]
    chosen = chosen or [sample for sample in samples if sample.split != "train"]
    entries = _entries(kit, chosen)
    _refuse_shared(kit, samples, chosen)
    data = content_hash(chosen)
    acquisitions = group_acquisitions(chosen, inspector.recipe.frames)
    if inspections is None:
        inspections = inspect_all(inspector, acquisitions, maps=False)
    runs = []
    for acquisition, inspection in zip(acquisitions, inspections, strict=True):
        name, run = acquisition.product or "", acquisition.run or "1"
        places = outside(inspection, inspector.limits)
        runs.append(MachineRun(name, run, inspection.verdict, inspection.severity, places))
        if progress is not None:
            progress(len(runs), len(acquisitions))
    return InspectedKit(entries, tuple(runs), data)


def qualify_bundle(
    inspector: Inspector,
    kit: Path,
    out: Path,
    *,
    manual: Path | None = None,
    plan: Plan | None = None,
    product: str = "",
    date: str = "",
    inspections: Iterable[Inspection] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Qualification, Provenance]:
    """Inspect a kit, write what was decided as ``kit.csv`` and ``machine.csv``, and qualify.

    Args:
        inspector: the bundle, loaded.
        kit: as for :func:`inspect_kit`.
        out: a folder that is there.
        manual: CSV of the inspectors' results, or None to compare with nobody.
        plan: what was fixed before.
        product: what was inspected; empty takes it from the recipe.
        date: when the test was made, in words; empty leaves a line to fill in.
        inspections: as for :func:`inspect_kit`.
        progress: called with (done, total) runs.

    Raises:
        KitError: the kit or the manual results are incomplete or contradict each other.
        DiskError: a table cannot be written.
    """
    results = read_manual_results(manual) if manual is not None else None  # before the long work
    found = inspect_kit(inspector, kit, inspections=inspections, progress=progress)
    write_atomic(out / "kit.csv", "".join(_kit_lines(found.kit)))
    write_atomic(out / "machine.csv", "".join(_run_lines(found.runs)))
    bundle, engine = inspector.bundle, inspector.engine
    provenance = Provenance(
        product=product or bundle.recipe.story.product,
        kit=kit.name,
        kit_hash=found.data,
        machine="machine.csv",
        machine_hash=table_hash(out / "machine.csv"),
        manual=manual.name if manual is not None else "",
        manual_hash=table_hash(manual) if manual is not None else "",
        bundle=bundle.path.name,
        bundle_hash=bundle.sha256,
        date=date,
        versions=versions() | {engine.name: engine.version},
    )
    return qualify(found.kit, found.runs, results, plan=plan), provenance


def _entries(kit: Path, samples: Iterable[Sample]) -> tuple[KitEntry, ...]:
    """Name the containers; every image of one says the same about it."""
    found: dict[str, KitEntry] = {}
    for sample in samples:
        if sample.product is None:
            raise KitError(f"{kit}: {sample.path.name} names no product; fill in the column product")
        severity = (sample.severity or "").lower()
        if severity and severity not in list(DefectSeverity):
            raise KitError(f"{kit}: {sample.product}: no severity {severity!r}; write critical, major or minor")
        defect = None if sample.is_good else sample.label
        entry = KitEntry(sample.product, defect, DefectSeverity(severity) if severity else None)
        if found.setdefault(sample.product, entry) != entry:
            raise KitError(f"{kit}: container {sample.product!r} has two labels or severities; keep one")
    if not found:
        raise KitError(
            f"{kit}: no container to qualify on; give a folder with samples.csv, or a table with a split kit"
        )
    return tuple(found.values())


def _refuse_shared(kit: Path, samples: Iterable[Sample], chosen: Sequence[Sample]) -> None:
    """Refuse a container that something was learned or chosen from: it proves nothing."""
    names = {sample.product for sample in chosen}
    splits = {sample.split for sample in chosen}
    for sample in samples:
        if sample.product in names and sample.split not in splits:
            raise KitError(
                f"{kit}: container {sample.product!r} is in split {sample.split!r} as well; a kit never enters "
                "training or calibration, so take it out of one of them"
            )


def _kit_lines(kit: Iterable[KitEntry]) -> Iterator[str]:
    yield csv_line(["product", "label", "severity"])
    for entry in kit:
        yield csv_line([entry.product, entry.defect or "good", None if entry.severity is None else str(entry.severity)])


def _run_lines(runs: Iterable[MachineRun]) -> Iterator[str]:
    yield csv_line(["product", "run", "decision", "score", "places"])
    for run in runs:
        yield csv_line([run.product, run.run, str(run.verdict), run.score, " | ".join(run.places or ())])
