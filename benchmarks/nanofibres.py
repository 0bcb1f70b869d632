"""Nanofibres, cross-validated by image: each of 29 real images is judged by a network that never saw it; resumable.

    python benchmarks/nanofibres.py --recipe nanofibres                 # 5 folds of 10 minutes
    python benchmarks/nanofibres.py --recipe nanofibres_published
    python benchmarks/nanofibres.py --recipe nanofibres_good --folds 1  # one-class: all good images, all defects
    python benchmarks/nanofibres.py --recipe surface --minutes 5        # one-class: the good images of each fold
    python benchmarks/nanofibres.py --recipe local_mean                 # nothing learned: the grey value's mean

A fold leaves out every fifth image, with and without defects in turn, since their numbers fall with the area of the
defects. The maps of the images left out are kept in ``--work``; figures are of all 29 maps together, one limit for all,
with intervals by image. What is done already (same recipe text, folds, seed and minutes) is not done again. A recipe
whose method needs good images only learns from those of the fold. ``--folds 1`` is the published one-class protocol:
one training on all good images, judged on all with defects; figures of every second of these, from the first and from
the second on, stand beside it, since settings were looked at on the former alone.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from detector import write_table
from quality import candling, digest
from record import DATA, done_before, keep

if TYPE_CHECKING:
    from candling.data.samples import Sample

SET = "nanofibre_sem"
BASELINE = "local_mean"
BOX = 15
"""Side of the baseline's square in pixels."""


def fold_of(samples: list[Sample]) -> list[int]:
    """Number the images with and without defects in turn, so that each fold has its share of both."""
    counts = {True: 0, False: 0}
    folds = []
    for sample in samples:
        folds.append(counts[sample.is_good])
        counts[sample.is_good] += 1
    return folds


def judged(recipe_text: Path, samples: list[Sample], out: Path, *, folds: int, number: int, seed: int, minutes: Any):
    """Train on all folds but one, and give maps and scores of the images of that one."""
    from candling.runtime.predictor import Predictor
    from candling.workflow.maps import frame_map

    places = fold_of(samples)
    tested = [at % folds == number if folds > 1 else not one.is_good for one, at in zip(samples, places, strict=True)]
    rows = [(one, one.label, "test" if test else "train") for one, test in zip(samples, tested, strict=True)]
    table = write_table(out / f"fold{number}.csv", rows)
    budget = [] if minutes is None else ["--minutes", str(minutes)]
    bundle = out / f"fold{number}.bundle"
    start = time.perf_counter()
    if not bundle.is_dir():
        candling("train", str(recipe_text), "--data", str(table), "--out", str(bundle), "--seed", str(seed), *budget)
    spent = time.perf_counter() - start
    predictor = Predictor.load(bundle)
    found = {}
    for sample, _, split in rows:
        if split == "test":
            predictions = predictor.predict_file(sample.path)
            box = predictions[0].box
            values = frame_map(predictions, (box.bottom, box.right))
            score = max(predictions[0].scores[name] for name in predictor.recipe.limits.scores)
            found[sample.path.stem] = values, score
    return found, spent


def baseline(samples: list[Sample]) -> dict[str, tuple[np.ndarray, float]]:
    """Give the mean grey value around each pixel."""
    from candling.pixels.read import read_image

    found = {}
    for sample in samples:
        values = cv2.blur(read_image(sample.path).astype(np.float32), (BOX, BOX), borderType=cv2.BORDER_REFLECT)
        found[sample.path.stem] = values, float(values.max())
    return found


def figures_of(samples: list[Sample], found: dict[str, Any], *, probabilities: bool, rounds: int) -> dict[str, Any]:
    """Measure all maps together."""
    from candling.measure.anomaly import PixelScores, bootstrap, image_auroc
    from candling.pixels.read import read_mask
    from candling.workflow.defect_figures import PatchCounts, defect_figures
    from candling.workflow.figures import Resampling

    counts = PatchCounts(wanted=probabilities)
    scores: dict[bool, list[float]] = {True: [], False: []}

    def pairs():
        for sample in samples:
            values, score = found[sample.path.stem]
            mask = None if sample.mask is None else read_mask(sample.mask)[: values.shape[0]]
            counts.see(values, mask)
            scores[sample.is_good].append(score)
            yield values, mask

    pixels = PixelScores.gather(pairs())
    rng = np.random.default_rng(0)
    estimates = pixels.estimate(rng=rng, rounds=rounds)
    both = bool(scores[True]) and bool(scores[False])
    image = bootstrap(image_auroc, scores[True], scores[False], rng=rng, rounds=rounds) if both else None
    each = {"pixel_auroc": estimates.auroc, "pixel_ap": estimates.average_precision, "aupro": estimates.aupro}
    return {
        **{name: vars(one) if one else None for name, one in {**each, "image_auroc": image}.items()},
        "defects": defect_figures(pixels, counts, resampling=Resampling(rng, rounds, 0.95)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="nanofibres")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="training budget of each fold, instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="of each fold, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), f"candling-nanofibres-{os.getuid()}"))
    chosen = parser.parse_args()
    from candling.data.samples import load_samples
    from candling.recipe import dump_recipe, load_recipe

    samples = list(load_samples(DATA / SET).samples)
    run: dict[str, Any] = {"recipe": chosen.recipe, "folds": chosen.folds, "seed": chosen.seed}
    found: dict[str, Any] = {}
    probabilities, spent = False, []
    if chosen.recipe == BASELINE:
        run = {"recipe": BASELINE, "box_px": BOX}
        found = baseline(samples)
    else:
        recipe = load_recipe(chosen.recipe)
        if chosen.epochs is not None:
            training = recipe.training.model_copy(update={"epochs": chosen.epochs})
            recipe = recipe.model_copy(update={"training": training})
        run |= {"minutes_budget": chosen.minutes, "epochs": chosen.epochs, "text": digest(recipe)}
        if done_before("nanofibres", run):
            print("done before:", run)
            return
        probabilities = "defect_probability" in recipe.limits.scores
        name = "-".join(str(run[key]) for key in ("recipe", "folds", "seed", "minutes_budget", "epochs"))
        out = chosen.work / f"{Path(name).name}-{run['text'][:8]}"
        out.mkdir(parents=True, exist_ok=True)
        text = out / "recipe.toml"
        text.write_text(dump_recipe(recipe), encoding="utf-8")
        for number in range(chosen.folds):
            maps = out / f"fold{number}.npz"
            if not maps.is_file():
                given, seconds = judged(
                    text, samples, out, folds=chosen.folds, number=number, seed=chosen.seed, minutes=chosen.minutes
                )
                arrays = {f"map {stem}": values for stem, (values, _) in given.items()}
                singles = {f"score {stem}": score for stem, (_, score) in given.items()}
                part = maps.with_suffix(".part.npz")
                np.savez_compressed(part, seconds=seconds, **arrays, **singles)
                part.replace(maps)
            with np.load(maps) as kept:
                spent.append(float(kept["seconds"]) / 60)
                for key in kept.files:
                    if key.startswith("map "):
                        found[key[4:]] = kept[key], float(kept[f"score {key[4:]}"])
            print(f"fold {number + 1} of {chosen.folds}: {spent[-1]:.1f} minutes", flush=True)
    tested = [one for one in samples if one.path.stem in found]
    figures = figures_of(tested, found, probabilities=probabilities, rounds=chosen.rounds)
    if chosen.folds == 1:
        halves = {"looked_at": tested[::2], "not_looked_at": tested[1::2]}
        for name, some in halves.items():
            part = figures_of(some, found, probabilities=False, rounds=chosen.rounds)
            figures[name] = {"pixel_auroc": part["pixel_auroc"], "images": len(some)}
    keep("nanofibres", {**run, **figures, "minutes_a_fold": [round(one, 2) for one in spent]})
    print(json.dumps({**run, **figures}, indent=1))


if __name__ == "__main__":
    main()
