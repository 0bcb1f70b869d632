"""Does a training set that cleans itself help? Autoencoder, adversarial autoencoder, and with refinement; resumable.

    python benchmarks/contamination.py --sets digits --seeds 0                # a minute on one core
    python benchmarks/contamination.py                                        # two sets, three shares, five seeds
    python benchmarks/contamination.py --sets digits --shares 0.05 --epochs 2000     # ten times as long: 10 minutes
    python benchmarks/contamination.py --table                                # what is kept so far, as Markdown

The study of Beggel, Pfeiffer and Bischl 2019 (arXiv 1901.06355), on malaria cells and on scikit-learn's digits. So many
training images as the share says are anomalies that nobody knows of. "Observed" anomalies are of the kind that is
among them, "unobserved" ones of kinds that are not: on digits 0 is normal, 2 observed and the rest unobserved; on cells
parasites are observed, and cells with a scratch or a pasted rectangle unobserved. Cells are split by patient.

A limit is the 90th percentile of errors, and of rarities where there is a prior; an image is anomalous beyond either.
``published`` takes them from the training images, as the authors did; ``held_out`` from a fifth of the images, with its
share of the contamination, that was not learned from. Given are balanced accuracies and, without any limit, AUROCs, on
as many anomalous as normal test images (observed), and on all (unobserved). ``contaminated.py`` asks the same of the
detector, on MVTec sets.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from record import DATA, done_before, keep, runs

if TYPE_CHECKING:
    import torch

SHARES = (0.001, 0.01, 0.05)
REFINE = {"rounds": 10, "outside": 0.02, "pretraining": 0.2, "retraining": 0.4, "percentile": 0.8}
METHODS: dict[str, dict[str, Any]] = {
    "AE": {"adversarial": False, "latent": 32},
    "AAE": {"latent": 2},
    "AAE refined": {"latent": 2, "refine": REFINE},
}
PERCENTILE = 0.9
SOURCES, KINDS = ("published", "held_out"), ("observed", "unobserved")
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def digits(share: float, rng: np.random.Generator, size: int) -> dict[str, Any]:
    """Zeros with some twos among them; 8 x 8 pixels."""
    del size
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images / 16.0).astype(np.float32)
    zeros, twos = (rng.permutation(np.flatnonzero(found.target == kind)) for kind in (0, 2))
    rest = np.flatnonzero((found.target != 0) & (found.target != 2))
    train, tested = zeros[: len(zeros) * 2 // 3], zeros[len(zeros) * 2 // 3 :]
    count = round(share * len(train))
    return {
        "train": np.concatenate([images[train[count:]], images[twos[:count]]]),
        "normal": images[tested],
        "observed": images[twos[-len(tested) :]],
        "unobserved": images[rng.permutation(rest)[: 8 * len(tested)]],
        "count": count,
    }


def malaria(share: float, rng: np.random.Generator, size: int) -> dict[str, Any]:
    """Cells at 32 x 32 pixels, parasites among them; a third of the patients for testing."""
    import torch

    from candling.data.samples import load_samples, split_hold_out
    from candling.pixels.prepare import PixelSpec, prepare
    from candling.pixels.read import read_image
    from candling.train.spoil import spoil

    samples = load_samples(DATA / "malaria_cells_50px").samples
    fit, tested = split_hold_out(samples, 0.33, seed=int(rng.integers(2**31)))

    def some(chosen: list, most: int) -> np.ndarray:
        picked = [chosen[at] for at in rng.permutation(len(chosen))[:most]]
        frames = [prepare(read_image(sample.path), PixelSpec(1, 32, 32))[0] for sample in picked]
        return np.stack(frames) if frames else np.empty((0, 32, 32), np.float32)

    count = round(share * size)
    normal = some([s for s in tested if s.is_good], 300)
    clean = torch.from_numpy(normal)[:, None]
    spoiled, _ = spoil(
        clean,
        torch.Generator().manual_seed(int(rng.integers(2**31))),
        kinds=("scratch", "cutpaste"),
        probability=1.0,
    )
    good, bad = ([s for s in fit if s.is_good is kind] for kind in (True, False))
    return {
        "train": np.concatenate([some(good, size - count), some(bad, count)]),
        "normal": normal,
        "observed": some([s for s in tested if not s.is_good], len(normal)),
        "unobserved": spoiled[:, 0].numpy(),
        "count": count,
    }


SETS = {"digits": (digits, 64, 200), "malaria": (malaria, 256, 40)}
"""Maker, hidden units, epochs."""


def scores_of(graph: torch.nn.Module, images: np.ndarray) -> dict[str, np.ndarray]:
    import torch

    with torch.no_grad():
        out = graph(torch.from_numpy(images)[:, None])
    return {name: out[name].numpy() for name in ("mean_squared_error", "rarity")}


def trained(train: np.ndarray, name: str, *, hidden: int, epochs: int, seed: int) -> Any:
    """Train one method on images float32 (N, H, W) in [0, 1]."""
    import torch
    from lightning_fabric import Fabric

    from candling.recipe import Training
    from candling.train.method import Batch, Plan, build_method
    from candling.train.progress import Silent

    torch.manual_seed(seed)
    images = torch.from_numpy(train)[:, None]
    options = {"hidden": hidden, "score": {"names": ["mean_squared_error"]}, **METHODS[name]}
    plan = Plan(
        (1, *train.shape[1:]), Training(epochs=epochs, learning_rate=1e-3), Fabric(accelerator="cpu", devices=1)
    )
    method = build_method("adversarial_autoencoder", options, plan)
    generator = torch.Generator().manual_seed(seed)
    every = Batch(images, torch.arange(len(images)), generator)
    method.begin([every], [], Silent())
    batches = math.ceil(len(images) / 64)
    for _ in range(epochs):
        for share in torch.randperm(len(images), generator=generator).chunk(batches):
            method.step(Batch(images[share], share, generator))
    method.finish([every])
    return method


def study(name: str, share: float, method: str, *, seed: int, size: int, epochs: int | None) -> dict[str, Any]:
    from candling.measure.anomaly import image_auroc

    make, hidden, usual = SETS[name]
    rng = np.random.default_rng([seed, round(1e6 * share)])
    data = make(share, rng, size)
    strange = np.arange(len(data["train"])) >= len(data["train"]) - data["count"]
    held, fit = np.split(rng.permutation(len(strange)), [len(strange) // 5])
    data |= {"published": data["train"][fit], "held_out": data["train"][held]}
    began = time.monotonic()
    learned = trained(data["published"], method, hidden=hidden, epochs=epochs or usual, seed=seed)
    graph = learned.graph()
    of = {part: scores_of(graph, data[part]) for part in (*SOURCES, "normal", *KINDS)}
    rule = ("mean_squared_error",) if method == "AE" else ("mean_squared_error", "rarity")
    found: dict[str, dict[str, float]] = {}
    for source in SOURCES:
        limits = {score: np.quantile(of[source][score], PERCENTILE) for score in rule}
        beyond = {
            part: float(np.mean(np.any([of[part][score] > limits[score] for score in rule], axis=0)))
            for part in ("normal", *KINDS)
        }
        found[source] = {kind: 0.5 * (1.0 - beyond["normal"] + beyond[kind]) for kind in KINDS}
        found[source]["false_rejects"] = beyond["normal"]
    auroc = {score: {kind: image_auroc(of["normal"][score], of[kind][score]) for kind in KINDS} for score in rule}
    rejected = learned.rejected()
    return {
        "contaminated": int(strange[fit].sum()),
        "trained_on": len(fit),
        "balanced_accuracy": found,
        "auroc": auroc,
        "rejected": len(rejected),
        "rejected_contamination": int(strange[fit][rejected].sum()),
        "seconds": time.monotonic() - began,
    }


def table() -> None:
    """Print mean and 95 % t-interval over seeds, of balanced accuracies and of the AUROC of errors."""
    heads = [f"{kind}, {source}".replace("_", " ") for source in SOURCES for kind in KINDS]
    print("| set | share | method | " + " | ".join(heads) + " | AUROC of errors, observed | rejected | seeds |")
    print("|---" * (len(heads) + 6) + "|")
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for run in runs("contamination"):
        name = f"{run['set']}, {run['epochs']} epochs"
        groups.setdefault((name, run["share"], run["method"]), []).append(run)
    order = list(METHODS)
    for (name, share, method), found in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1], order.index(g[0][2]))):
        cells = [interval([run["balanced_accuracy"][s][kind] for run in found]) for s in SOURCES for kind in KINDS]
        cells.append(interval([run["auroc"]["mean_squared_error"]["observed"] for run in found]))
        caught, there = (sum(run[key] for run in found) for key in ("rejected_contamination", "contaminated"))
        said = f"{caught} of {there} anomalies" if method == "AAE refined" else ""
        print(f"| {name} | {share:.1%} | {method} | " + " | ".join(cells) + f" | {said} | {len(found)} |")


def interval(values: list[float]) -> str:
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = T_95.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--size", type=int, default=600, help="training cells")
    parser.add_argument("--epochs", type=int, help="instead of 200 (digits) and 40 (cells)")
    parser.add_argument("--table", action="store_true", help="print what is kept")
    chosen = parser.parse_args()
    if chosen.table:
        table()
        return
    for seed in chosen.seeds:
        for name in chosen.sets:
            for share in chosen.shares:
                for method in chosen.methods:  # of few digits a small share is none: that is the clean set
                    run = {
                        "set": name,
                        "share": share,
                        "method": method,
                        "seed": seed,
                        "size": None if name == "digits" else chosen.size,
                        "epochs": chosen.epochs or SETS[name][2],
                    }
                    if done_before("contamination", run):
                        continue
                    found = study(name, share, method, seed=seed, size=chosen.size, epochs=chosen.epochs)
                    keep("contamination", {**run, **found})
                    shown = {kind: round(value, 3) for kind, value in found["balanced_accuracy"]["held_out"].items()}
                    print(name, share, method, seed, shown, f"{found['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
