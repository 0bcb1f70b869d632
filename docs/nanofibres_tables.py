"""The tables of the nanofibres page: cross-validated figures, and the speed of a map of every pixel."""

from __future__ import annotations

from typing import Any

from detector_tables import LATER, foot

Results = dict[str, Any]

AIMS = {"nanofibres": ("0.97", "0.85"), "nanofibres_good": ("0.95", ""), "surface": ("0.95", "")}


def nanofibres(results: Results) -> str:
    """Pixel figures of every recipe, cross-validated by image, with intervals by image."""
    if "nanofibres" not in results:
        return LATER
    lines = [
        "| recipe | minutes a fold | pixel AUROC | pixel AP | AUPRO | defect covered at 5 % false alarms | aims |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for run in results["nanofibres"]["figures"]["runs"]:
        notes += [run["note"]] if run.get("note") else []
        cells = [_shown(run[key]) for key in ("pixel_auroc", "pixel_ap", "aupro")]
        covered = _shown(run["defects"].get("coverage"))
        spent = run.get("minutes_a_fold") or []
        minutes = f"{sum(spent) / len(spent):.1f}" if spent else ""
        aims = " and ".join(aim for aim in AIMS.get(run["recipe"], ()) if aim)
        kind = ", one-class" if run.get("folds") == 1 else ""
        lines.append(f"| `{run['recipe']}`{kind} | {minutes} | {' | '.join(cells)} | {covered} | {aims} |")
    beside = "".join(f"{note} " for note in notes)
    return "\n".join(lines) + "\n\n" + beside + foot(results["nanofibres"])


def dense_map(results: Results) -> str:
    """Seconds of a map of every pixel, each way in each engine, beside the patches themselves."""
    if "dense_map" not in results:
        return LATER
    figures = results["dense_map"]["figures"]
    lines = ["| way | seconds | times faster than the first |", "|---|---|---|"]
    loop = figures.get("report_loop_seconds", figures["patch_loop_seconds"])
    rows = {"patch after patch, cut and scaled before, one channel": figures["patch_loop_seconds"]}
    if "report_loop_seconds" in figures:
        rows = {"patch after patch, as reported: cut, scaled, three channels": loop, **rows}
    rows["the same in batches of 256"] = figures["patch_batches_seconds"]
    for name, seconds in {**rows, **figures["seconds"]}.items():
        lines.append(f"| {name} | {seconds:.2f} | {loop / seconds:.0f} |")
    return "\n".join(lines) + "\n\n" + foot(results["dense_map"])


def huge_map(results: Results) -> str:
    """Seconds and memory of the map of a very large image."""
    if "huge_map" not in results:
        return LATER
    found = results["huge_map"]["figures"]
    sentence = (
        f"{found['side_px']:,} x {found['side_px']:,} px with the graph of `nanofibres_published` at stride 1 in "
        f"{found['engine']}: {found['seconds']:.0f} s, {found['megapixels_per_second']:.1f} megapixels a second, "
        f"{found['memory_mib']:.0f} MiB of memory beside the mapped files (a single tile: "
        f"{found['memory_mib_with_one_tile']:.0f}). The "
        f"largest difference to surroundings run by themselves is {found['largest_difference']:.0e}."
    )
    note = f" {found['note'].capitalize()}." if found["note"] else ""
    return sentence + note + "\n\n" + foot(results["huge_map"])


def _shown(interval: dict[str, float] | None) -> str:
    if not interval or interval.get("value") is None:
        return ""
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
