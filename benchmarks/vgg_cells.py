"""Count the VGG cells by a density, learned from 50 images, measured on the other 50; several draws, resumable.

    python benchmarks/vgg_cells.py                       # five draws, what is not stored yet
    python benchmarks/vgg_cells.py --draws 0 --minutes 1

As in the literature: N images are drawn to learn from, a fifth of which is held out (what scales the sum and gives the
intervals), and the error is the mean absolute difference of counted and true cells. The set here holds 100 of the 200
images, so 50 are left to measure on, where others had 100.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from quality import digest
from record import DATA, done_before, keep

NAME, SET, RECIPE = "vgg_cells", "vgg_cells", "vgg_cells"


def measured(draw: int, *, images: int, minutes: float | None) -> dict[str, Any]:
    """Train on some images and measure on the others."""
    from candling.data.samples.numbered import load_cells
    from candling.recipe import load_recipe
    from candling.runtime.cells import CellCounter
    from candling.train.pipeline import train_bundle
    from candling.workflow.cell_figures import evaluate_cells, look_at

    samples = load_cells(DATA / SET).set.samples
    order = np.random.default_rng(draw).permutation(len(samples))
    learned = {int(at) for at in order[:images]}
    with tempfile.TemporaryDirectory() as folder:
        lines = ["path,label,split,mask"]
        for at, one in enumerate(samples):
            lines.append(f"{one.path},good,{'train' if at in learned else 'test'},{one.mask}")
        table = Path(folder, "samples.csv")
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        began = time.monotonic()
        bundle = train_bundle(load_recipe(RECIPE), table, Path(folder, "x.bundle"), minutes=minutes, seed=draw)
        took = time.monotonic() - began
        counter = CellCounter.load(bundle)
        left = [one for at, one in enumerate(samples) if at not in learned]
        looked = look_at(counter, left)
        figures = evaluate_cells(counter, looked, rounds=300).as_json()
    least = min(counter.counting.scores.values())
    parts = [abs(int((one.found.scores >= least).sum()) - one.true) for one in looked]
    unscaled = [abs(round((one.expected or 0.0) / counter.counting.density_factor) - one.true) for one in looked]
    kept = ("count_mae", "count_bias", "f1_50", "interval_covers", "interval_width", "milliseconds")
    return {
        **{key: figures[key] for key in kept},
        "count_mae_by_components": float(np.mean(parts)),
        "count_mae_unscaled": float(np.mean(unscaled)),
        "density_factor": counter.counting.density_factor,
        "images": len(left),
        "objects_an_image": float(np.mean([one.true for one in looked])),
        "updates": bundle.card.training["updates"],
        "train_seconds": took,
    }


def main() -> None:
    from candling.recipe import load_recipe

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--minutes", type=float, help="instead of the recipe's")
    chosen = parser.parse_args()
    for draw in chosen.draws:
        run = {"draw": draw, "learned": chosen.images, "minutes_budget": chosen.minutes}
        run["text"] = digest(load_recipe(RECIPE))
        if done_before(NAME, run):
            continue
        found = measured(draw, images=chosen.images, minutes=chosen.minutes)
        keep(NAME, {**run, **found})
        print(draw, {key: value for key, value in found.items() if key != "milliseconds"}, flush=True)


if __name__ == "__main__":
    main()
