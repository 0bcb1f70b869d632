"""Seven methods on seven sets of real images: the same pixels, the same time, the same held-out share; resumable.

    python benchmarks/detector.py                                        # all of it, at 5 minutes a run: half a day
    python benchmarks/detector.py --methods memory memory_unet --sets mvtec_capsule --seeds 0 1 2 --minutes 10

Each run is one ``candling train``, one ``candling evaluate`` and a few seconds of the engine alone, in processes of
their own. What is done already (same recipe text, set, seed and minutes) is not done again; a run that fails is told
and left out. No method sees a defect before its evaluation.

Pixels, held-out share and limit goal are those of ``recipes/surface.toml`` for all. The autoencoder has the network and
training of ``recipes/capsules.toml``, the variational one its default network on the training of ``recipes/drae.toml``,
DRAE and GRD-Net those of their recipes, all without a bound on epochs. ``unet`` is ``memory_unet`` that neither sees
nor trusts its memory; its graph still asks it, so its time in the engine is not that of a plain U-Net. ``memory`` has
no budget: it ends by itself.

Sets without a test split get one: of the nanofibres the four good images train and no good one is left to test, so
there are figures of pixels only; of the cells every third patient is for testing, and parasites of the others are not
used.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory_speed import engine_times
from quality import digest, trained
from record import DATA, done_before, keep

if TYPE_CHECKING:
    from candling.data.samples import Sample
    from candling.recipe import Recipe

RECIPES = {"autoencoder": "capsules", "variational_autoencoder": "drae", "drae": "drae", "grd_net": "grd_net"}
METHODS = [*RECIPES, "unet", "memory", "memory_unet"]
SETS = [
    "mvtec_capsule",
    "mvtec_bottle",
    "mvtec_grid",
    "kolektor_sdd",
    "aws_cookie",
    "nanofibre_sem",
    "malaria_cells_50px",
]
ENDLESS = 1_000_000
"""Epochs of a run that ends by its minutes."""


def recipe_for(method: str, short_side: int | None = None) -> Recipe:
    """Give a method's recipe on the pixels of ``surface``, or on images of another shorter side."""
    from candling.recipe import MethodChoice, load_recipe

    surface = load_recipe("surface")
    recipe = load_recipe(RECIPES.get(method, "surface"))
    ours = surface.method.options if surface.method.name == "memory_unet" else {}
    choices: dict[str, dict[str, Any]] = {
        "variational_autoencoder": {"name": method},
        "memory": {"name": method, **{key: value for key, value in ours.items() if key == "memory"}},
        "memory_unet": {"name": method, **ours},
        "unet": {"name": "memory_unet", **ours, "evidence": False, "trust": 0.0},
    }
    scores = {"variational_autoencoder": ["mean_squared_error"], "unet": ["anomaly"], "memory": ["anomaly"]}
    training = {"hold_out": surface.training.hold_out, "minutes": None}
    training["epochs"] = ENDLESS if method in RECIPES else surface.training.epochs
    if method == "variational_autoencoder":
        training["keep"] = "validation"  # its weights are no moving average
    return recipe.model_copy(
        update={
            "prepare": surface.prepare.model_copy(update={} if short_side is None else {"short_side": short_side}),
            "method": MethodChoice.model_validate(choices.get(method, recipe.method.model_dump())),
            "training": recipe.training.model_copy(update=training),
            "limits": surface.limits.model_copy(update={"scores": tuple(scores.get(method, recipe.limits.scores))}),
        }
    )


def data_for(name: str, folder: Path) -> Path:
    """Give what ``--data`` takes: the set itself where it has a test split, or a table written into ``folder``."""
    from candling.data.samples import load_samples, natural_key

    root = DATA / name
    if (root / "test").is_dir():
        return root
    samples = load_samples(root).samples
    if name == "malaria_cells_50px":
        patients = sorted({sample.product for sample in samples if sample.product}, key=natural_key)
        tested = set(patients[::3])
        rows = [(s, "test" if s.product in tested else "train") for s in samples]
        rows = [(sample, split) for sample, split in rows if sample.is_good or split == "test"]
    else:
        rows = [(sample, sample.split) for sample in samples]
    return write_table(folder / f"{name}.csv", [(sample, sample.label, split) for sample, split in rows])


def write_table(path: Path, rows: list[tuple[Sample, str, str]]) -> Path:
    """Write samples with the label and split they are to have."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split", "product", "mask"])
        for sample, label, split in rows:
            mask = "" if sample.mask is None or label == "good" else sample.mask.resolve()
            table.writerow([sample.path.resolve(), label, split, sample.product or "", mask])
    return path


def some_pictures(data: Path, *, most: int = 12) -> list[str]:
    """Give some pictures that are tested, to time the engine on."""
    from candling.data.samples import load_samples, test_samples

    chosen = test_samples(load_samples(data))
    return [str(sample.path) for sample in chosen[:: max(1, len(chosen) // most)][:most]]


def measured(recipe: Recipe, data: Path, *, seed: int, minutes: float | None, seconds: float) -> dict[str, Any]:
    """Train, evaluate, and time the engine."""
    from candling.recipe import dump_recipe

    with tempfile.TemporaryDirectory() as place:
        text, bundle = Path(place, "recipe.toml"), Path(place, "x.bundle")
        text.write_text(dump_recipe(recipe), encoding="utf-8")
        found = trained(str(text), data, bundle, seed=seed, minutes=minutes)
        engine = engine_times(bundle, some_pictures(data), seconds=seconds) if seconds else None
        card = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    return {**found, "engine": engine, "choices": card.get("choices"), "updates": card["training"]["updates"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=5.0, help="training budget of each run")
    parser.add_argument("--short-side", type=int, help="pixels, instead of what the recipe aims at")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long the engine is timed")
    chosen = parser.parse_args()
    failed = []
    for seed in chosen.seeds:  # a whole table of one start first
        for name in chosen.sets:
            for method in chosen.methods:
                recipe = recipe_for(method, chosen.short_side)
                minutes = None if method == "memory" else chosen.minutes
                run = {
                    "method": method,
                    "set": name,
                    "seed": seed,
                    "minutes_budget": minutes,
                    "short_side": chosen.short_side,
                    "text": digest(recipe),
                }
                if done_before("detector", run):
                    print("done before:", run, flush=True)
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        figures = measured(
                            recipe, data_for(name, Path(folder)), seed=seed, minutes=minutes, seconds=chosen.seconds
                        )
                    except subprocess.CalledProcessError:
                        failed.append(run)
                        print("failed:", run, flush=True)
                        continue
                keep("detector", {**run, **figures})
                shown = {key: (figures[key] or {}).get("value") for key in ("image_auroc", "pixel_ap", "aupro")}
                print(json.dumps({**run, **shown, "minutes": figures["minutes"], **figures["engine"]}), flush=True)
    if failed:
        sys.exit(f"{len(failed)} runs failed: {failed}")


if __name__ == "__main__":
    main()
