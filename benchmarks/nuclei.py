"""Count nuclei by the U-Net: train on two thirds of the wells of BBBC039, measure on the others.

    python benchmarks/nuclei.py                          # trains for the recipe's minutes
    python benchmarks/nuclei.py --bundle nuclei.bundle   # measures one that was trained before

What the bundle learned from, or was fitted on, is left out by the hash of the file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from record import DATA, record

from candling.data.samples.numbered import load_cells
from candling.recipe import load_recipe
from candling.runtime.bundle import load_bundle
from candling.runtime.cells import CellCounter
from candling.runtime.learned import without_learned
from candling.workflow.cell_figures import evaluate_cells, look_at

SET = "bbbc039_nuclei"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=None, help="measure this one; nothing is trained")
    parser.add_argument("--recipe", default="nuclei")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.bundle
        if path is None:
            from candling.train.pipeline import train_bundle

            path = Path(folder) / "nuclei.bundle"
            train_bundle(load_recipe(args.recipe), DATA / SET, path, minutes=args.minutes)
        bundle = load_bundle(path)
        counter = CellCounter.load(bundle)
        samples, _ = without_learned(load_cells(DATA / SET).set.samples, bundle)
        looked = look_at(counter, samples)
        figures = evaluate_cells(counter, looked, rounds=args.rounds).as_json()
    training = bundle.card.training
    facts = {name: training.get(name) for name in ("epochs", "updates", "seconds", "ended")}
    options = bundle.recipe.method.options | {"learning_rate": bundle.recipe.training.learning_rate}
    record("nuclei", {"set": SET, "training": facts, "method": options, "chosen": vars(counter.counting), **figures})


if __name__ == "__main__":
    main()
