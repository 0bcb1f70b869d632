"""What histogram matching does for a network that counts nuclei: none, global, selective, over five seeds; resumable.

    python benchmarks/histogram_matching.py                        # both sets, five seeds, what is not stored yet
    python benchmarks/histogram_matching.py --sets bbbc039_nuclei --exposure 0   # without exposures as augmentation
    python benchmarks/histogram_matching.py --table                # what is kept so far, as Markdown

The question of the counting thesis (Tare 2020), whose four models differed in more than the matching. Here runs of one
seed share everything else: the split by well or image, the held-out images, the first weights, the order of the pieces
and the number of updates. So differences are taken seed by seed. Templates and groups come from the images that are
learned from. Five splits of one set overlap, so an interval over seeds speaks of this set.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from record import DATA, done_before, keep, runs

NAME = "histogram_matching"
WAYS = ("none", "global", "selective")
SETS: dict[str, dict[str, Any]] = {
    "bbbc039_nuclei": {"side": 384, "white": 4095, "least_px": 30},
    "dsb2018_nuclei": {"side": 256, "white": 255, "least_px": 15},
}
CROP, BATCH, UPDATES = 128, 8, 300
PRECISION = "bfloat16"
FIGURES = ("count_mae", "count_bias", "f1_50", "map_50", "area_dice")


def measured(name: str, way: str, *, seed: int, exposure: float, updates: int) -> dict[str, Any]:
    """Train on two thirds of a set and measure on the others."""
    from candling.data.samples.numbered import load_cells
    from candling.recipe import Recipe, load_recipe
    from candling.runtime.bundle import load_bundle
    from candling.runtime.cells import CellCounter
    from candling.runtime.learned import without_learned
    from candling.train.pipeline import train_bundle
    from candling.workflow.cell_figures import evaluate_cells, look_at

    facts = load_recipe("nuclei").model_dump()
    facts["prepare"] |= {
        "height": SETS[name]["side"],
        "width": SETS[name]["side"],
        "white": SETS[name]["white"],
        "histogram": way,
    }
    facts["method"] |= {"crop": CROP, "least_px": SETS[name]["least_px"], "exposure": exposure}
    # a budget of epochs, not of minutes: as many updates for every run, however busy the machine is
    facts["training"] |= {"minutes": None, "batch_size": BATCH, "seed": seed, "precision": PRECISION}
    recipe = Recipe.model_validate(facts)
    tiles = tiles_of(recipe, name)
    facts["training"]["epochs"] = max(1, round(updates / math.ceil(tiles / BATCH)))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        bundle = load_bundle(train_bundle(Recipe.model_validate(facts), DATA / name, Path(folder, "x.bundle")).path)
        took = time.monotonic() - began
        counter = CellCounter.load(bundle)
        samples, _ = without_learned(load_cells(DATA / name).set.samples, bundle)
        looked = look_at(counter, samples)
        figures = evaluate_cells(counter, looked, rounds=25).as_json()
    true = sum(len(one.truth.labels) - int(one.truth.ignored.sum()) for one in looked)
    return {
        **{key: figures[key] for key in FIGURES},
        "growth": figures["per_class"]["nucleus"]["count_growth"],
        "empty_wrong": [figures["empty_wrong"], figures["empty_images"]],
        "images": figures["images"],
        "objects_an_image": true / len(looked),
        "updates": bundle.card.training["updates"],
        "train_seconds": took,
        "choices": dict(bundle.card.choices),
    }


def tiles_of(recipe: Any, name: str) -> int:
    """Count the tiles that a recipe learns from."""
    from candling.train.cells import load_cell_images
    from candling.train.progress import Silent

    plain = recipe.model_copy(update={"prepare": recipe.prepare.model_copy(update={"histogram": "none"})})
    return len(load_cell_images(plain, DATA / name, progress=Silent()).good)


def table() -> None:
    """Print what is kept, in lines of (set, exposure, way)."""
    for run in runs(NAME):
        told = "  ".join(f"{key} {run[key]['value']:.3f}" for key in FIGURES)
        print(run["set"], run["exposure"], run["seed"], f"{run['way']:9}", told, f"{run['train_seconds']:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--exposure", type=float, default=1.0, help="doublings up or down as augmentation; 0 is none")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    parser.add_argument("--table", action="store_true", help="print what is kept")
    chosen = parser.parse_args()
    if chosen.table:
        table()
        return
    end = time.monotonic() + 60.0 * chosen.minutes
    for seed in chosen.seeds:
        for name in chosen.sets:
            for way in WAYS:
                run = {"set": name, "seed": seed, "way": way, "exposure": chosen.exposure, "asked": chosen.updates}
                if done_before(NAME, run) or time.monotonic() > end:
                    continue
                found = measured(name, way, seed=seed, exposure=chosen.exposure, updates=chosen.updates)
                keep(NAME, {**run, **found})
                print(name, seed, way, {key: round(found[key]["value"], 3) for key in FIGURES}, flush=True)


if __name__ == "__main__":
    main()
