"""Train and evaluate recipes on the real image sets, several random starts each; hours, resumable.

    python benchmarks/quality.py --recipe capsules --sets mvtec_capsule --seeds 0
    python benchmarks/quality.py --recipe surface --sets mvtec_capsule mvtec_bottle --seeds 0 1 2 --minutes 5

Each run is one ``candling train`` and one ``candling evaluate`` in processes of their own. What is done already (same
recipe text, set, seed and minutes in the results file) is not done again. ``--recipe pca`` is the linear baseline: a
principal component reconstruction of the whole picture, same image score.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import RESULTS, record

DATA = Path(os.environ.get("CANDLING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
KEYS = ["image_auroc", "image_ap", "f1", "missed_defect_rate", "false_reject_rate", "pixel_auroc", "pixel_ap", "aupro"]


def candling(*words: str) -> str:
    code = "from candling.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    return done.stdout


def trained(recipe: str, name: str, seed: int, minutes: float | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "x.bundle")
        budget = [] if minutes is None else ["--minutes", str(minutes)]
        start = time.perf_counter()
        candling("train", recipe, "--data", str(DATA / name), "--out", bundle, "--seed", str(seed), "--json", *budget)
        spent = time.perf_counter() - start
        out = str(Path(folder) / "report")
        answer = json.loads(candling("evaluate", bundle, str(DATA / name), "--out", out, "--json"))
    figures = {key: answer.get(key) for key in KEYS}
    return {
        **figures,
        "per_class": answer["per_class"],
        "timings": answer.get("timings"),
        "minutes": round(spent / 60, 2),
    }


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
            if already(run):
                print("done before:", run, flush=True)
                continue
            figures = (
                linear(name, chosen.components)
                if chosen.recipe == "pca"
                else trained(chosen.recipe, name, seed, chosen.minutes)
            )
            keep({**run, **figures})
            print(
                json.dumps({**run, "image_auroc": figures["image_auroc"], "minutes": figures.get("minutes")}),
                flush=True,
            )


def digest(recipe: str) -> str:
    from candling.recipe import Story, dump_recipe, load_recipe

    if recipe == "pca":
        return ""
    text = dump_recipe(load_recipe(recipe).model_copy(update={"story": Story(product="any")}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def runs() -> list[dict[str, Any]]:
    path = RESULTS / "quality.json"
    return json.loads(path.read_text())["figures"]["runs"] if path.exists() else []


def already(run: dict[str, Any]) -> bool:
    return any(all(old.get(key) == value for key, value in run.items()) for old in runs())


def keep(run: dict[str, Any]) -> None:
    """Add one run to the file; several processes may measure side by side."""
    with Path(tempfile.gettempdir(), "candling-quality.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record("quality", {"runs": [*runs(), run]})


if __name__ == "__main__":
    main()
