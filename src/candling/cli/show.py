"""Results of the commands as tables for people, and a bundle's facts for machines; decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from candling.cli.output import remark, say, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from candling.data.check import CheckReport
    from candling.runtime.bundle import Bundle
    from candling.workflow.benchmark import Timing
    from candling.workflow.evaluation import Evaluation, Figure
    from candling.workflow.results import Summary
    from candling.workflow.strip_benchmark import StripTiming

__all__ = [
    "bundle_facts",
    "show_bundle",
    "show_check",
    "show_evaluation",
    "show_inspections",
    "show_limits",
    "show_strip_timing",
    "show_timing",
]

MOST_PATHS = 3
"""Files listed beside one finding; the HTML list and ``--json`` have all."""

FIGURE_NAMES = {
    "image_auroc": "image AUROC",
    "image_ap": "image average precision",
    "f1": "F1 at the limits",
    "best_f1": "best F1",
    "missed_defect_rate": "missed defects",
    "false_reject_rate": "false rejects",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel average precision",
    "aupro": "AUPRO (to 0.3)",
}


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """Give what a machine wants to know of a bundle."""
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "card": bundle.card.model_dump(mode="json"),
        "limits": [entry.model_dump(mode="json") for entry in bundle.limits.entries],
        "changes": len(bundle.limits.history),
    }


def show_bundle(bundle: Bundle) -> None:
    """Show what was trained and where it lies."""
    training = bundle.card.training
    seconds = float(training.get("seconds") or 0.0)
    remark(f"trained {training.get('epochs')} epochs in {seconds / 60:.1f} minutes; ended by: {training.get('ended')}")
    show_limits(bundle)
    remark(f"bundle: {bundle.path}")


def show_limits(bundle: Bundle) -> None:
    """Show each limit with its goal and what was seen when it was chosen."""
    rows = []
    for entry in bundle.limits.entries:
        rate = entry.false_reject
        seen = "" if rate is None else f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f} %)"
        limit = entry.high if entry.high is not None else entry.low
        rows.append((f"{entry.region}: {entry.score}", f"{limit:.6g}", f"{entry.goal} {entry.value:g}", seen))
    if rows:
        show_table("", ["limit", "value", "goal", "false rejects among the good ones seen"], rows)
    for note in dict.fromkeys(entry.note for entry in bundle.limits.entries if entry.note):
        remark(note)


def show_check(report: CheckReport) -> None:
    """Show every finding with its first files and its remedy."""
    for finding in report.findings:
        paths = [report.shown(path) for path in finding.paths]
        more = f" and {len(paths) - MOST_PATHS} more" if len(paths) > MOST_PATHS else ""
        say(f"{finding.severity.value}: {finding.sentence}")
        if paths:
            say(f"    {', '.join(paths[:MOST_PATHS])}{more}")
        say(f"    remedy: {finding.remedy}")
    say(report.summary())


def show_evaluation(evaluation: Evaluation, report: Path) -> None:
    """Show the figures with their intervals, the classes, and where the report lies."""
    rows = [(FIGURE_NAMES[name], *_cells(figure)) for name, figure in evaluation.figures.items()]
    show_table("", ["figure", "value", "interval"], rows)
    classes = [(c.label, c.count, c.detected, *_cells(c.image_auroc)) for c in evaluation.classes]
    if classes:
        show_table("", ["defect", "pictures", "found", "image AUROC", "interval"], classes)
    for note in evaluation.notes:
        remark(note)
    remark(f"report: {report}")


def _cells(figure: Figure) -> tuple[str, str]:
    if figure.value is None:
        return "-", figure.reason
    bounds = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
    return f"{figure.value:.3f}", bounds


def show_inspections(summary: Summary) -> None:
    """Show how many pictures got which verdict and where the results lie."""
    rows = [("accepted", summary.accepted), ("rejected", summary.rejected)]
    rows += [("undecided", summary.undecided)] if summary.undecided else []
    rows += [("of these unreadable", summary.unreadable)] if summary.unreadable else []
    show_table("", ["verdict", "pictures"], [*rows, ("all", summary.images)])
    remark(f"results: {summary.folder}")


def show_timing(timing: Timing) -> None:
    """Show latency by step and throughput."""
    steps = {**timing.steps, "whole": timing.latency}
    rows = [(name, *(f"{value:.2f}" for value in (s.mean, s.p50, s.p95, s.p99, s.max))) for name, s in steps.items()]
    show_table("", ["milliseconds", "mean", "p50", "p95", "p99", "max"], rows)
    remark(
        f"{timing.images_per_second:.1f} images/s, {100 * timing.graph_share:.0f} % of the time inside the graph "
        f"({timing.engine}, {timing.precision})"
    )
    if timing.fits is not None:
        verdict = "fits" if timing.fits else "does not fit"
        remark(f"the 99th percentile {verdict} the slot of {timing.slot_ms:g} ms")


def show_strip_timing(timing: StripTiming) -> None:
    """Show the latency of strips by step, and whether they fit the slot."""
    steps = {**timing.steps, "in memory to verdict": timing.whole, "with decoding": timing.with_decode}
    rows = [(name, *(f"{value:.2f}" for value in (s.mean, s.p50, s.p95, s.p99, s.max))) for name, s in steps.items()]
    show_table("", ["milliseconds", "mean", "p50", "p95", "p99", "max"], rows)
    remark(
        f"{timing.strips} strips of {timing.patches} patches, {timing.heatmaps:.1f} heatmaps each; "
        f"{timing.graph_ms_per_patch:.3f} ms and {timing.flops_per_patch / 1e9:.3f} GFLOP a patch in the graph "
        f"({timing.engine}, {timing.precision}, {timing.threads} threads)"
    )
    verdict = "fits" if timing.fits else "does not fit"
    remark(f"the 99th percentile {verdict} the slot of {timing.slot_ms:g} ms")
