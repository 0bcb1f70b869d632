"""Find blood cells by Faster R-CNN: train on the list "train" of BCCD, measure on the list "val".

    python benchmarks/blood_cells.py                              # trains for the recipe's minutes; needs torchvision
    python benchmarks/blood_cells.py --minutes 10 --work DIR      # a training that was stopped goes on from there
    python benchmarks/blood_cells.py --bundle blood.bundle        # measures one that was trained before
    python benchmarks/blood_cells.py --recipe cell_counting --set bbbc039_nuclei

What the bundle learned from, or was fitted on, is left out by the hash of the file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from record import DATA, record

from candling.data.boxed import boxes_to_measure, load_boxed
from candling.recipe import load_recipe
from candling.runtime.boxes import BoxCounter
from candling.runtime.bundle import load_bundle
from candling.runtime.learned import without_learned
from candling.workflow.box_figures import evaluate_boxes, look_at_boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=None, help="measure this one; nothing is trained")
    parser.add_argument("--recipe", default="blood_cells")
    parser.add_argument("--set", default="bccd")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--work", type=Path, default=None, help="where the bundle and its training lie")
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.bundle
        if path is None:
            from candling.train.pipeline import train_bundle

            path = (args.work or Path(folder)) / f"{args.recipe}.bundle"
            path.parent.mkdir(parents=True, exist_ok=True)
            recipe = load_recipe(args.recipe)
            train_bundle(recipe, DATA / args.set, path, minutes=args.minutes, seed=args.seed, overwrite=True)
        bundle = load_bundle(path)
        counter = BoxCounter.load(bundle)
        found = load_boxed(DATA / args.set, least_px=counter.counting.least_px, named=counter.only_class)
        samples, _ = without_learned(boxes_to_measure(found), bundle)
        looked = look_at_boxes(counter, samples, found.objects)
        figures = evaluate_boxes(counter, looked, rounds=args.rounds).as_json()
    training = bundle.card.training
    facts = {name: training.get(name) for name in ("epochs", "updates", "seconds", "ended", "precision_chosen")}
    choices = {name: value for name, value in bundle.card.choices.items() if "anchors" in name or "regions" in name}
    options = bundle.recipe.method.options | {"learning_rate": bundle.recipe.training.learning_rate}
    record(
        args.recipe,
        {"set": args.set, "training": facts, "choices": choices, "method": options, "engine": counter.engine.name}
        | {"chosen": dict(counter.counting.scores), **figures},
    )


if __name__ == "__main__":
    main()
