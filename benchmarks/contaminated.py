"""What defects among the good training images do to a memory: 0, 1 and 5 % of them, on capsules and bottles; resumable.

    python benchmarks/contaminated.py                                         # memory alone: some minutes
    python benchmarks/contaminated.py --methods memory_unet --minutes 5       # 18 runs

For each random start, defects worth the largest share are drawn and kept out of every test, whichever the share; of
these so many as the share says take the place of good training images, with the label good. So all shares of one start
are tested on the same images, and what is tested was never learned; but its kinds were.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from detector import measured, recipe_for, write_table
from quality import digest
from record import DATA, done_before, keep

if TYPE_CHECKING:
    from candling.data.samples import Sample

SHARES = (0.0, 0.01, 0.05)


def contaminated(name: str, share: float, *, most: float, seed: int) -> tuple[list[tuple[Sample, str, str]], int]:
    """Give rows of sample, label and split, and how many training images are defects."""
    from candling.data.samples import load_samples

    samples = load_samples(DATA / name).samples
    good = [sample for sample in samples if sample.split == "train"]
    defects = [sample for sample in samples if not sample.is_good]
    rng = np.random.default_rng(seed)
    reserved = [defects[at] for at in rng.permutation(len(defects))[: round(most * len(good))]]
    replaced = rng.permutation(len(good))[: len(reserved)]
    count = round(share * len(good))
    gone = set(replaced[:count].tolist())
    train = [sample for at, sample in enumerate(good) if at not in gone] + reserved[:count]
    tested = [sample for sample in samples if sample.split == "test" and sample not in reserved]
    return [(s, "good", "train") for s in train] + [(s, s.label, "test") for s in tested], count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=["memory", "memory_unet"], default=["memory"])
    parser.add_argument("--sets", nargs="+", default=["mvtec_capsule", "mvtec_bottle"])
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=5.0, help="training budget of memory_unet")
    chosen = parser.parse_args()
    for method in chosen.methods:
        recipe, minutes = recipe_for(method), None if method == "memory" else chosen.minutes
        for name in chosen.sets:
            for seed in chosen.seeds:
                for share in chosen.shares:
                    run = {
                        "method": method,
                        "set": name,
                        "share": share,
                        "most": max(SHARES),
                        "seed": seed,
                        "minutes_budget": minutes,
                        "text": digest(recipe),
                    }
                    if done_before("contaminated", run):
                        print("done before:", run, flush=True)
                        continue
                    rows, count = contaminated(name, share, most=max(SHARES), seed=seed)
                    with tempfile.TemporaryDirectory() as folder:
                        data = write_table(Path(folder, f"{name}.csv"), rows)
                        figures = measured(recipe, data, seed=seed, minutes=minutes, seconds=0.0)
                    keep("contaminated", {**run, "contaminated": count, **figures})
                    print(json.dumps({**run, "image_auroc": figures["image_auroc"]["value"]}), flush=True)


if __name__ == "__main__":
    main()
