"""The tables of the vial line: methods side by side on one kit, what each finds; made from results alone."""

from __future__ import annotations

from typing import Any

from detector_tables import LATER, foot, newest

__all__ = ["strip_speed", "vials", "vials_by_contrast", "vials_by_defect"]

Results = dict[str, Any]
Runs = list[dict[str, Any]]

SHOWN = {
    "memory_unet": "memory and U-Net (recipe `vials_together`)",
    "drae": "DRAE (network of `vials`)",
    "drae_wide": "DRAE twice as wide",
    "grd_net": "GRD-Net",
    "autoencoder": "plain autoencoder (recipe `capsules`)",
}
PUBLISHED = ("0.9467 or 0.9694", "0.9694 or 0.9467", "0.9599 or 0.9676", "0.9676 or 0.9599")
"""Ferrari et al. 2024, tables 2 and 3; which class they call by which name is not clear, so both readings stand."""


def vials(results: Results) -> str:
    """Every method on the kit: single runs by limits for strips, and the rule of runs by limits for it."""
    found = _newest(results)
    if not found:
        return LATER
    columns = ("good accepted, a run", "defects rejected, a run", "good accepted by runs", "defects rejected by runs")
    lines = [f"| method | minutes x cores | limits for | {' | '.join(columns)} |", "|---|---|---|---|---|---|---|"]
    singles = _newest(results, frames=3)
    for run in [one for own in [*found, *singles] for one in (own, *_elsewhere(results, own))]:
        shown = f"{SHOWN[run['method']]}, {_patches(run)}{_judged(run)}"
        minutes = f"{run['minutes']:.0f} x {run['measured']['cores']}"
        cells = [*_both(run["strips"]), *_both(run)]
        lines.append(f"| {shown} | {minutes} | strips | {' | '.join(cells)} |")
        if run.get("for_runs"):
            cells = [*_both(run["for_runs"]["strips"]), *_both(run["for_runs"])]
            lines.append(f"| {shown} | | runs | {' | '.join(cells)} |")
        if run.get("for_places"):
            cells = ["", "", *_both(run["for_places"])]
            lines.append(f"| {shown} | | runs, same place | {' | '.join(cells)} |")
    lines.append(f"| *published, on real vials* | | | {' | '.join(PUBLISHED)} |")
    return "\n".join(lines) + "\n\n" + _kits([*found, *singles]) + _foot(results["vials"])


def vials_by_defect(results: Results) -> str:
    """Count the defects of each kind that the rule of runs rejects, by limits for runs where there are such."""
    return _grouped(results, "by_defect", "defect")


def vials_by_contrast(results: Results) -> str:
    """Count the defects of each contrast that the rule of runs rejects, likewise."""
    return _grouped(results, "by_contrast", "contrast")


def strip_speed(results: Results) -> str:
    """Milliseconds of a whole strip by recipe, and the operations on a patch."""
    if "strip_speed" not in results:
        return LATER
    titles = (
        "recipe",
        "patches",
        "median, ms",
        "99th percentile, ms",
        "largest, ms",
        "the graph, ms",
        "heatmaps",
        "GFLOP a patch",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for recipe, run in results["strip_speed"]["figures"].items():
        times = [f"{run[name]:.0f}" for name in ("p50_ms", "p99_ms", "max_ms")]
        graph = f"{run['steps_p50_ms']['predict']:.0f}"
        drawn = f"{run['heatmaps']:.1f}"
        cells = [f"`{recipe}`", str(run["patches"]), *times, graph, drawn, f"{run['flops_per_patch'] / 1e9:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + foot(results["strip_speed"])


def _grouped(results: Results, key: str, head: str) -> str:
    found = [_by_recipe(results, run) for run in _newest(results)]
    if not found:
        return LATER
    groups = [(run.get("for_runs") or run)[key] for run in found]
    names = sorted({name for group in groups for name in group})
    shown = " | ".join(SHOWN[run["method"]] + _judged(run) for run in found)
    lines = [f"| {head} | {shown} |", "|---|" + "---|" * len(found)]
    for name in names:
        cells = [" of ".join(map(str, group[name])) if name in group else "" for group in groups]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _patches(run: dict[str, Any]) -> str:
    """Say what one patch shows."""
    return "three frames as one picture" if run.get("frames") == 1 else "single frames"


def _foot(result: Results) -> str:
    """Say when and on what it was measured; the cores are each row's own."""
    return f"Measured until {result['date'][:10]} on {result['hardware']['processor']}.\n"


def _judged(run: dict[str, Any]) -> str:
    """Say by what a graph of several scores was judged, and on which kit where it is not the line's own."""
    score = f", by `{run['by']}`" if run["method"].startswith("drae") and "by" in run else ""
    return score + ("" if run.get("kit") is None else f", on kit {run['kit']}")


def _as_it_is(run: dict[str, Any]) -> bool:
    """Tell whether a run was judged by its recipe's score on the line's own kit."""
    return run.get("score") is None and run.get("kit") is None


def _newest(results: Results, *, frames: int = 1) -> Runs:
    """Give one run a method on pictures of so many frames, the last of the longest training."""
    if "vials" not in results:
        return []
    runs = [run for run in results["vials"]["figures"]["runs"] if _as_it_is(run) and run["frames"] == frames]
    groups = newest(runs, ("method",))
    chosen = {key[0]: max(of, key=lambda run: run["minutes_budget"]) for key, of in groups.items()}
    return [chosen[name] for name in SHOWN if name in chosen]


def _elsewhere(results: Results, own: dict[str, Any]) -> Runs:
    """Give the same training judged by another score, or on kits of other seeds."""
    same = ("method", "seed", "minutes_budget", "line", "text")
    runs = results["vials"]["figures"]["runs"]
    return [run for run in runs if not _as_it_is(run) and all(run[name] == own[name] for name in same)]


def _by_recipe(results: Results, own: dict[str, Any]) -> dict[str, Any]:
    """Of a graph of several scores, give the same training judged by the one that the recipe judges by now."""
    from candling.recipe import load_recipe

    if not own["method"].startswith("drae"):
        return own
    score = load_recipe("vials").limits.scores[0]
    same = (run for run in (own, *_elsewhere(results, own)) if run.get("kit") is None and run.get("by") == score)
    return next(same, own)


def _both(figures: dict[str, Any]) -> list[str]:
    values = (figures[name] for name in ("good_accepted", "defects_rejected"))
    return [f"{value['value'] if isinstance(value, dict) else value:.4f}" for value in values]


def _kits(found: Runs) -> str:
    """Say what was learned from and qualified on; of each line that was drawn, by which methods."""
    said: dict[str, list[str]] = {}
    for run in found:
        said.setdefault(_kit(run["line"]), []).append(SHOWN[run["method"]])
    if len(said) == 1:
        return "".join(said)
    return "\n".join(f"{', '.join(methods)}: {kit}" for kit, methods in said.items())


def _kit(line: dict[str, Any]) -> str:
    low, high = line["contrast"]
    contrast = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return (
        f"Kit {line['seed']}: {line['kit_good']} good and {line['kit_defect']} defective strips, {line['runs']} runs "
        f"each, contrast {contrast}; {line['train_strips']} strips to learn from, "
        f"{line['calibration_strips']} for limits.\n"
    )
