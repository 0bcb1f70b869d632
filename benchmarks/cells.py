"""Recipes for blood cells on patients never seen, every score of each beside the others; resumable.

    python benchmarks/cells.py                                            # cells: three splits, a minute each
    python benchmarks/cells.py --recipes cells_published --minutes 28
    python benchmarks/cells.py --table                                    # what is kept so far, as Markdown

Malaria cells are split by patient, a third for testing, another third for each seed, which is the training's too. All
scores of the graph are measured, so that one table compares mean, top-k, window and map scores of one network. A limit
for 5 % false rejects comes from held-out good cells of training patients; "judged" is the verdict of the recipe's own
limits, where it has several they were chosen together.
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
        },
        "seconds": took,
        "updates": bundle.card.training["updates"],
        "cells_a_second": speed,
    }


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
            print(name, seed, best, found["judged"], f"{found['cells_a_second']:.0f} cells/s", flush=True)


if __name__ == "__main__":
    main()
