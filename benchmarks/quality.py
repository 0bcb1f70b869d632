"""Train and evaluate recipes on the real image sets, several random starts each; hours, resumable.

    python benchmarks/quality.py --recipe capsules --sets mvtec_capsule --seeds 0
    python benchmarks/quality.py --recipe surface --sets mvtec_capsule mvtec_bottle --seeds 0 1 2 --minutes 5

Each run is one ``candling train`` and one ``candling evaluate`` in processes of their own. What is done already (same
recipe text, set, seed and minutes in the results file) is not done again. ``--recipe pca`` is the linear baseline: a
principal component reconstruction of the whole picture, same image score. All methods on the same pixels, for the same
time: ``detector.py``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import DATA, done_before, keep

if TYPE_CHECKING:
    from candling.recipe import Recipe

KEYS = ["image_auroc", "image_ap", "f1", "missed_defect_rate", "false_reject_rate", "pixel_auroc", "pixel_ap", "aupro"]


def candling(*words: str) -> str:
    """Run the command line in a process of its own; what it says when it fails is shown."""
    code = "from candling.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr, flush=True)
    done.check_returncode()
    return done.stdout


def trained(recipe: str, data: Path, bundle: Path, *, seed: int, minutes: float | None) -> dict[str, Any]:
    """Train and evaluate; the bundle stays."""
    budget = [] if minutes is None else ["--minutes", str(minutes)]
    start = time.perf_counter()
    candling("train", recipe, "--data", str(data), "--out", str(bundle), "--seed", str(seed), "--json", *budget)
    spent = time.perf_counter() - start
    out = bundle.with_name("report")
    answer = json.loads(candling("evaluate", str(bundle), str(data), "--out", str(out), "--json"))
    figures = {key: answer.get(key) for key in KEYS}
    return {
        **figures,
        "recall_at_no_false_reject": recall_at_no_false_reject(out / "images.csv"),
        "per_class": answer["per_class"],
        "timings": answer.get("timings"),
        "minutes": round(spent / 60, 2),
    }


def recall_at_no_false_reject(table: Path) -> float | None:
    """Give the share of defects that are worse than every good test image; None without both."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = [(row["label"] == "good", float(row["severity"] or "inf")) for row in csv.DictReader(lines)]
    good, defect = ([severity for is_good, severity in rows if is_good is wanted] for wanted in (True, False))
    return sum(severity > max(good) for severity in defect) / len(defect) if good and defect else None


def linear(name: str, components: int) -> dict[str, Any]:
    """Reconstruct from the first principal components of the good images; score the mean squared error."""
    import numpy as np

    from candling.data.samples import load_samples
    from candling.measure.anomaly import image_auroc
    from candling.pixels.prepare import PixelSpec, prepare
    from candling.pixels.read import read_image

    spec = PixelSpec(1, 256, 256, None)
    samples = load_samples(DATA / name).samples
    pictures = {split: [s for s in samples if s.split == split] for split in ("train", "test")}
    rows = {split: np.stack([prepare(read_image(s.path), spec).ravel() for s in of]) for split, of in pictures.items()}
    mean = rows["train"].mean(axis=0)
    _, _, basis = np.linalg.svd(rows["train"] - mean, full_matrices=False)
    basis = basis[:components]
    centred = rows["test"] - mean
    error = ((centred - centred @ basis.T @ basis) ** 2).mean(axis=1)
    good = np.array([s.is_good for s in pictures["test"]])
    value = image_auroc(error[good], error[~good])
    return {"image_auroc": {"value": float(value), "low": None, "high": None}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--components", type=int, default=30)
    chosen = parser.parse_args()
    for name in chosen.sets:
        for seed in chosen.seeds if chosen.recipe != "pca" else [0]:
            run = {
                "recipe": chosen.recipe,
                "set": name,
                "seed": seed,
                "minutes_budget": chosen.minutes,
                "text": digest(chosen.recipe),
            }
            if done_before("quality", run):
                print("done before:", run, flush=True)
                continue
            with tempfile.TemporaryDirectory() as folder:
                figures = (
                    linear(name, chosen.components)
                    if chosen.recipe == "pca"
                    else trained(
                        chosen.recipe, DATA / name, Path(folder, "x.bundle"), seed=seed, minutes=chosen.minutes
                    )
                )
            keep("quality", {**run, **figures})
            print(
                json.dumps({**run, "image_auroc": figures["image_auroc"], "minutes": figures.get("minutes")}),
                flush=True,
            )


def digest(recipe: str | Recipe) -> str:
    """Shorten a recipe's text, story aside, to what tells it from another."""
    from candling.recipe import Story, dump_recipe, load_recipe

    if recipe == "pca":
        return ""
    given = load_recipe(recipe) if isinstance(recipe, str) else recipe
    text = dump_recipe(given.model_copy(update={"story": Story(product="any")}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
