"""Recipes for blood cells on patients never seen, every score of each beside the others; resumable.

    python benchmarks/cells.py                                            # cells: three splits, a minute each
    python benchmarks/cells.py --recipes cells_published --minutes 28
    python benchmarks/cells.py --table                                    # what is kept so far, as Markdown

Malaria cells are split by patient, a third for testing, another third for each seed, which is the training's too. All
scores of the graph are measured, so that one table compares mean, top-k, window and map scores of one network. A limit
for 5 % false rejects comes from held-out good cells of training patients; "judged" is the verdict of the recipe's own
limits, where it has several they were chosen together: histograms of the judged scores with their limits, some points
of two of them, and which limit rejected how many. Speed is that of files to verdicts, after a warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from quality import digest
from record import DATA, done_before, keep, runs

FALSE_REJECTS = 0.05
STATED = ("cells", "cells_published", "cells_adversarial")
BINS = 48
POINTS = 160
"""At most so many cells of a kind are kept one by one, evenly drawn."""


def measured(name: str, *, seed: int, minutes: float | None) -> dict[str, Any]:
    """Train on two thirds of the patients, and measure every score on the others."""
    from candling.data.samples import load_samples, split_test, test_samples
    from candling.recipe import load_recipe
    from candling.runtime.inspector import Inspector
    from candling.train.pipeline import train_bundle
    from candling.workflow.calibrate import calibration_samples
    from candling.workflow.scoring import score_samples, values_of

    split = split_test(load_samples(DATA / "malaria_cells_50px"), 0.33, seed=seed)
    with tempfile.TemporaryDirectory() as place:
        from candling.data.samples import table_of

        table = Path(place, "cells.csv")
        table.write_text(table_of(split.samples), encoding="utf-8")
        began = time.monotonic()
        bundle = train_bundle(load_recipe(name), table, Path(place, "x.bundle"), seed=seed, minutes=minutes)
        took = time.monotonic() - began
        samples = load_samples(table)
        tested = test_samples(samples)
        held = calibration_samples(samples, bundle.recipe)
        inspector = Inspector.load(bundle)
        calibrated, scored = score_samples(inspector, held), score_samples(inspector, tested)
        began = time.monotonic()
        verdicts = [
            one.verdict.value == "accept" for one in inspector.inspect_files([s.path for s in tested], maps=False)
        ]
        speed = len(tested) / (time.monotonic() - began)
        limits = {score: limit.high for (_, score), limit in inspector.limits.items()}
    keys = sorted({key for one in scored for key in one.scores})
    good = np.array([sample.is_good for sample in tested])
    accepted = np.array(verdicts)
    return {
        "patients_tested": len({s.product for s in tested}),
        "cells_tested": {"good": int(good.sum()), "anomalous": int((~good).sum())},
        "scores": {
            score: figures(
                values_of(scored, key := (region, score), good=True),
                values_of(scored, key, good=False),
                values_of(calibrated, key, good=True),
            )
            for region, score in keys
        },
        "judged": {
            "scores": list(bundle.recipe.limits.scores),
            "false_rejects": float(np.mean(~accepted[good])),
            "missed": float(np.mean(accepted[~good])),
            "limits": limits,
            **distributions(scored, good, limits),
        },
        "seconds": took,
        "updates": bundle.card.training["updates"],
        "cells_a_second": speed,
    }


def distributions(scored: list[Any], good: np.ndarray, limits: dict[str, float]) -> dict[str, Any]:
    """Give histograms of the judged scores, some cells one by one, and which limits rejected how many of which kind."""
    values = np.array([[one.scores["whole", score][0] for score in limits] for one in scored])
    beyond = values > np.array(list(limits.values()))
    kinds = {"good": good, "anomalous": ~good}
    histograms = {}
    for at, score in enumerate(limits):
        ends = np.quantile(values[:, at], [0.002, 0.998])
        edges = np.linspace(min(ends[0], limits[score]), max(ends[1], limits[score]), BINS + 1)
        inside = np.clip(values[:, at], edges[0], edges[-1])
        counts = {kind: _row(np.histogram(inside[chosen], edges)[0]) for kind, chosen in kinds.items()}
        histograms[score] = {"from": float(edges[0]), "to": float(edges[-1]), **counts}
    drawn = {kind: (at := np.flatnonzero(chosen))[:: -(-len(at) // POINTS)] for kind, chosen in kinds.items()}
    return {
        "histograms": histograms,
        "points": {kind: "; ".join(map(_row, values[at])) for kind, at in drawn.items()},
        "fired": {
            kind: {
                "+".join(score for score, fired in zip(limits, row, strict=True) if fired): int(count)
                for row, count in zip(*np.unique(beyond[chosen], axis=0, return_counts=True), strict=True)
                if row.any()
            }
            for kind, chosen in kinds.items()
        },
    }


def _row(numbers: np.ndarray) -> str:
    """Write numbers on one line of the stored file."""
    return " ".join(f"{number:.4g}" for number in numbers)


def figures(good: np.ndarray, anomalous: np.ndarray, held: np.ndarray) -> dict[str, float | None]:
    from candling.measure.anomaly import image_auroc

    limit, own = np.quantile(held, 1.0 - FALSE_REJECTS), np.quantile(good, 1.0 - FALSE_REJECTS)
    return {
        "image_auroc": image_auroc(good, anomalous),
        "missed_at_5_percent": float(np.mean(anomalous <= own)),
        "missed_at_held_out_limit": float(np.mean(anomalous <= limit)),
        "false_rejects_at_held_out_limit": float(np.mean(good > limit)),
    }


def table() -> None:
    """Print means and spreads over the splits."""
    print(
        "| recipe | score | image AUROC | missed at 5 % false rejects | at the held-out limit: missed, false rejects |"
    )
    print("|---|---|---|---|---|")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs("cells"):
        for score, found in run["scores"].items():
            groups.setdefault((run["recipe"], score), []).append(found)
    for (recipe, score), found in groups.items():
        cells = [spread([one[key] for one in found]) for key in found[0]]
        print(f"| {recipe} | {score} | {cells[0]} | {cells[1]} | {cells[2]}, {cells[3]} |")


def spread(values: list[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"


def main() -> None:
    from candling.recipe import load_recipe

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["cells"], help=f"such as {', '.join(STATED)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, help="instead of the recipe's")
    parser.add_argument("--table", action="store_true", help="print what is kept")
    chosen = parser.parse_args()
    if chosen.table:
        table()
        return
    for seed in chosen.seeds:
        for name in chosen.recipes:
            run = {
                "recipe": name,
                "seed": seed,
                "minutes_budget": chosen.minutes,
                "text": digest(load_recipe(name)),
            }
            if done_before("cells", run):
                continue
            found = measured(name, seed=seed, minutes=chosen.minutes)
            keep("cells", {**run, **found})
            best = {score: round(one["image_auroc"] or 0.0, 4) for score, one in found["scores"].items()}
            shares = {key: round(found["judged"][key], 4) for key in ("false_rejects", "missed")}
            print(name, seed, best, shares, f"{found['cells_a_second']:.0f} cells/s", flush=True)


if __name__ == "__main__":
    main()
