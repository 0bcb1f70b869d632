"""The tables of the cells page: recipes and scores, the contamination study, the cost of a density."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from detector_tables import LATER, foot

if TYPE_CHECKING:
    from collections.abc import Iterable

Results = dict[str, Any]

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t, two-sided, by the number of values."""

METHODS = ("AE", "AAE", "AAE refined")
EPOCHS = {"digits": 200, "malaria": 40}
"""Of the contamination study, where nothing else is said."""


def cells(results: Results) -> str:
    """Every score of every recipe: mean and spread over the splits by patient."""
    if "cells" not in results:
        return LATER
    lines = [
        "| recipe | score | splits | image AUROC | missed at 5 % | missed; false rejects at the held-out limit |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Results]] = {}
    for run in newest_text(results["cells"]["figures"]["runs"]):
        for score, found in run["scores"].items():
            groups.setdefault((named(run), score), []).append(found)
    for (recipe, score), found in groups.items():
        shown = {key: _spread([one[key] for one in found]) for key in found[0]}
        lines.append(
            f"| `{recipe}` | `{score}` | {len(found)} | {shown['image_auroc']} | {shown['missed_at_5_percent']} | "
            f"{shown['missed_at_held_out_limit']}; {shown['false_rejects_at_held_out_limit']} |"
        )
    return "\n".join(lines) + "\n\n" + foot(results["cells"])


def named(run: Results) -> str:
    """Name what was trained: the recipe, and its minutes where they are not the recipe's own."""
    return str(run["recipe"]) + (f" --minutes {run['minutes_budget']:g}" if run.get("minutes_budget") else "")


def studied(run: Results) -> str:
    """Name the images of a contamination run, and its epochs where they are not the usual ones."""
    return str(run["set"]) + ("" if run["epochs"] == EPOCHS[run["set"]] else f", {run['epochs']:,} epochs")


def newest_text(runs: Iterable[Results]) -> list[Results]:
    """Keep the runs of each recipe's text that was measured last; sets of other texts do not belong beside them."""
    kept = list(runs)
    last = {run["recipe"]: run["text"] for run in kept}
    return [run for run in kept if run["text"] == last[run["recipe"]]]


def cells_fired(results: Results) -> str:
    """Which of two limits rejected how many good and how many anomalous cells."""
    runs = newest_text(results["cells"]["figures"]["runs"]) if "cells" in results else []
    double = [run for run in runs if len(run["judged"].get("limits", ())) == 2]
    if not double:
        return LATER
    lines = [
        "| recipe | cells | by the first alone | by the second alone | by both | rejected |",
        "|---|---|---|---|---|---|",
    ]
    for run in double:
        first, second = run["judged"]["limits"]
        for kind in ("good", "anomalous"):
            fired, count = run["judged"]["fired"][kind], run["cells_tested"][kind]
            counts = [fired.get(key, 0) for key in (first, second, f"{first}+{second}")]
            shown = " | ".join(str(one) for one in counts)
            named_limits = f"`{named(run)}`: `{first}`, `{second}`"
            lines.append(f"| {named_limits} | {count:,} {kind} | {shown} | {100 * sum(counts) / count:.1f} % |")
    return "\n".join(lines) + "\n\n" + foot(results["cells"])


def contamination(results: Results) -> str:
    """Balanced accuracies of the contamination study, with 95 % t-intervals over random starts."""
    if "contamination" not in results:
        return LATER
    lines = [
        (
            "| images | share | method | starts | observed, published limits | unobserved | "
            "observed, held-out limits | unobserved | AUROC of errors, observed | anomalies rejected |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, float, str], list[Results]] = {}
    for run in results["contamination"]["figures"]["runs"]:
        groups.setdefault((studied(run), run["share"], run["method"]), []).append(run)
    for (name, share, method), found in sorted(groups.items(), key=_order):
        shown = [
            _interval([run["balanced_accuracy"][source][kind] for run in found])
            for source in ("published", "held_out")
            for kind in ("observed", "unobserved")
        ]
        shown.append(_interval([run["auroc"]["mean_squared_error"]["observed"] for run in found]))
        caught, there = (sum(run[key] for run in found) for key in ("rejected_contamination", "contaminated"))
        said = f"{caught} of {there}" if method == "AAE refined" and there else ""
        row = " | ".join(shown)
        lines.append(f"| {name} | {100 * share:g} % | {method} | {len(found)} | {row} | {said} |")
    return "\n".join(lines) + "\n\n" + foot(results["contamination"])


def density_speed(results: Results) -> str:
    """Milliseconds of a density's graph against the number of remembered latents."""
    if "density_speed" not in results:
        return LATER
    lines = [
        (
            "| latent numbers | remembered | compared in full | engine | ms, one image | ms an image, batches of 8 | "
            "graph | largest difference from scikit-learn |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run['dimensions']} | {run['latents']:,} | {run.get('in_full', run['latents']):,} | {run['engine']} | "
        f"{run['ms_an_image_of_1']:.2f} | {run['ms_an_image_of_8']:.2f} | "
        f"{run['graph_mb']:.1f} MB | {run['largest_difference_share']:.1e} |"
        for run in results["density_speed"]["figures"]["runs"]
    ]
    return "\n".join(lines) + "\n\n" + foot(results["density_speed"])


def _order(item: tuple[tuple[str, float, str], Any]) -> tuple[str, float, int]:
    (name, share, method), _ = item
    return name, -share, METHODS.index(method)


def cells_speed(results: Results) -> str:
    """Cells a second from file to verdict, by recipe."""
    if "cells" not in results:
        return LATER
    rates: dict[str, list[float]] = {}
    for run in newest_text(results["cells"]["figures"]["runs"]):
        rates.setdefault(run["recipe"], []).append(run["cells_a_second"])
    shown = ", ".join(f"`{recipe}` {statistics.fmean(found):,.0f}" for recipe, found in rates.items())
    return f"Cells a second from file to verdict: {shown}.\n\n" + foot(results["cells"])


def _spread(values: list[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"


def _interval(values: list[float]) -> str:
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = T_95.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"
