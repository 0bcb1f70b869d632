"""The tables of the counting page: histogram matching for a network, counts by a density, very large images."""

from __future__ import annotations

import statistics
from typing import Any

from cells_tables import T_95
from detector_tables import LATER, foot

Results = dict[str, Any]
Runs = list[Results]

WAYS = ("none", "global", "selective")
SETS = {"bbbc039_nuclei": "BBBC039", "dsb2018_nuclei": "DSB 2018"}
FIGURES = {"count_mae": 2, "count_bias": 2, "f1_50": 3, "map_50": 3, "area_dice": 3}


def histogram_matching(results: Results) -> str:
    """Figures of each way over the seeds, and its differences from none, seed by seed."""
    if "histogram_matching" not in results:
        return LATER
    lines = [
        "| images | matching | seeds | count MAE | bias | F1 at 0.5 | AP at 0.5 | area Dice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, float, int], dict[int, Results]] = {}
    for run in results["histogram_matching"]["figures"]["runs"]:
        group = groups.setdefault((run["set"], run["exposure"], run["asked"]), {})
        group.setdefault(run["seed"], {})[run["way"]] = run
    for (name, exposure, _), seeds in sorted(
        groups.items(), key=lambda item: (list(SETS).index(item[0][0]), -item[0][1])
    ):
        whole = [ways for _, ways in sorted(seeds.items()) if all(way in ways for way in WAYS)]
        if not whole:
            continue
        shown = SETS[name] + ("" if exposure else ", exposure not varied")
        for way in WAYS:
            cells = [_mean([ways[way][key]["value"] for ways in whole], digits) for key, digits in FIGURES.items()]
            lines.append(f"| {shown} | {way} | {len(whole)} | {' | '.join(cells)} |")
        for way in WAYS[1:]:
            cells = [
                _mean([ways[way][key]["value"] - ways["none"][key]["value"] for ways in whole], digits, sign=True)
                for key, digits in FIGURES.items()
            ]
            lines.append(f"| | {way} less none | {len(whole)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + foot(results["histogram_matching"])


def vgg_cells(results: Results) -> str:
    """The error of each draw, and of all, beside the published ones."""
    if "vgg_cells" not in results:
        return LATER
    runs: Runs = results["vgg_cells"]["figures"]["runs"]
    lines = [
        "| draw of 50 images | updates | count MAE | bias | true count inside its interval | MAE of cells told apart |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        error, bias, inside = (run[key] for key in ("count_mae", "count_bias", "interval_covers"))
        covered = "" if inside is None else f"{100 * inside['value']:.0f} %"
        lines.append(
            f"| {run['draw']} | {run['updates']:,} | {error['value']:.2f} ({error['low']:.2f} to {error['high']:.2f}) "
            f"| {bias['value']:+.2f} | {covered} | {run['count_mae_by_components']:.1f} |"
        )
    lines.append(f"| mean | | {_mean([run['count_mae']['value'] for run in runs], 2)} | | | |")
    lines.append("| published: Xie et al. 2016; Cohen et al. 2017 | | 2.9; 2.3 | | | |")
    return "\n".join(lines) + "\n\n" + foot(results["vgg_cells"])


def huge_image(results: Results) -> str:
    """Seconds and memory by the side of the image."""
    if "huge_image" not in results:
        return LATER
    lines = ["| side | file | cells | seconds | peak memory |", "|---|---|---|---|---|"]
    for run in sorted(results["huge_image"]["figures"]["runs"], key=lambda one: one["side"]):
        whole = run.get("cells_in_one_piece")
        beside = "" if whole is None else f" ({whole:,} in one piece)"
        lines.append(
            f"| {run['side']:,} px | {run['file_mb']:,.0f} MB | {run['cells']:,}{beside} | {run['seconds']:.0f} | "
            f"{run['peak_mb']:.0f} MB |"
        )
    return "\n".join(lines) + "\n\n" + foot(results["huge_image"])


def _mean(values: list[float], digits: int, *, sign: bool = False) -> str:
    """Write a mean with its 95 % t-interval."""
    mean = statistics.fmean(values)
    shown = f"{mean:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    if len(values) < 2:
        return shown
    half = T_95.get(len(values), 1.96) * statistics.stdev(values) / len(values) ** 0.5
    return f"{shown} ± {half:.{digits}f}"
