"""The tables of the nanofibres page: cross-validated figures, and the speed of a map of every pixel."""

from __future__ import annotations

from typing import Any

from detector_tables import LATER, foot

Results = dict[str, Any]

AIMS = {"nanofibres": ("0.97", "0.85"), "surface": ("0.95", "")}


def nanofibres(results: Results) -> str:
    """Pixel figures of every recipe, cross-validated by image, with intervals by image."""
    if "nanofibres" not in results:
        return LATER
    lines = [
        "| recipe | minutes a fold | pixel AUROC | pixel AP | AUPRO | defect covered at 5 % false alarms | aims |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in results["nanofibres"]["figures"]["runs"]:
        cells = [_shown(run[key]) for key in ("pixel_auroc", "pixel_ap", "aupro")]
        covered = _shown(run["defects"].get("coverage"))
        spent = run.get("minutes_a_fold") or []
        minutes = f"{sum(spent) / len(spent):.1f}" if spent else ""
        aims = " and ".join(aim for aim in AIMS.get(run["recipe"], ()) if aim)
        lines.append(f"| `{run['recipe']}` | {minutes} | {' | '.join(cells)} | {covered} | {aims} |")
    return "\n".join(lines) + "\n\n" + foot(results["nanofibres"])


def dense_map(results: Results) -> str:
    """Seconds of a map of every pixel, each way in each engine, beside the patches themselves."""
    if "dense_map" not in results:
        return LATER
    figures = results["dense_map"]["figures"]
    lines = ["| way | seconds | times faster than patch after patch |", "|---|---|---|"]
    loop = figures["patch_loop_seconds"]
    rows = {"patch after patch": loop, "patches in batches of 256": figures["patch_batches_seconds"]}
    for name, seconds in {**rows, **figures["seconds"]}.items():
        lines.append(f"| {name} | {seconds:.2f} | {loop / seconds:.0f} |")
    return "\n".join(lines) + "\n\n" + foot(results["dense_map"])


def _shown(interval: dict[str, float] | None) -> str:
    if not interval or interval.get("value") is None:
        return ""
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
