"""Methods on one drawn vial line, equally long trained, qualified on one kit of 141 defects and 120 goods; resumable.

    python benchmarks/vials.py --work line_bench                              # hours
    python benchmarks/vials.py --work line_bench --methods drae --minutes 60
    python benchmarks/vials.py --work small --methods drae --minutes 8 --good 30 --defect 30 --runs 3

The line is drawn once into ``WORK/line``, and for ``memory_unet`` with the frames of a run as one picture, the same
strips, into ``WORK/line_together``: training, limits and kit are three ranges of seeds that never meet, which
``candling check`` proves again from the table. Each method is one ``candling train`` (the same command goes on where it
was interrupted), limits for strips, and one ``candling qualify`` of every run of the kit. What is done already (same
recipe text, line, seed and minutes) is not done again.

``autoencoder`` is the network, loss, score and training of ``recipes/capsules.toml`` on the patches of
``recipes/vials.toml``, ``grd_net`` those of ``recipes/grd_net.toml`` with the spoilings of ``vials_together``. Limits
are moved together once more for the rule of runs: that is one factor on all severities, so the kit needs no second
look, and both figures stand side by side.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality import candling, digest
from record import done_before, keep

if TYPE_CHECKING:
    from candling.recipe import Recipe

METHODS = ("drae", "memory_unet", "grd_net", "autoencoder")
RECIPES = {"drae": "vials", "memory_unet": "vials_together"}
ENDLESS = 1_000_000
"""Epochs of a run that ends by its minutes."""

Row = dict[str, str]


def recipe_for(method: str) -> Recipe:
    """Give a method's recipe on the patches of the vial line."""
    from candling.recipe import MethodChoice, load_recipe

    if method in RECIPES:
        return load_recipe(RECIPES[method])
    vials, other = load_recipe("vials"), load_recipe("grd_net" if method == "grd_net" else "capsules")
    training = {"hold_out": vials.training.hold_out, "epochs": ENDLESS, "minutes": None, "batch_size": 16}
    chosen = other.method.model_dump()
    if method == "grd_net":
        chosen["spoil"] = load_recipe("vials_together").method.options["spoil"]
    return vials.model_copy(
        update={
            "method": MethodChoice.model_validate(chosen),
            "training": other.training.model_copy(update=training),
            "limits": vials.limits.model_copy(update={"scores": other.limits.scores}),
        }
    )


def drawn(work: Path, line: dict[str, Any], *, together: bool) -> Path:
    """Draw the line, or find it drawn with the same numbers; together or not, the strips are the same."""
    from candling.scenes.vials import write_line

    folder = work / ("line_together" if together else "line")
    told = folder.with_suffix(".json")
    if told.is_file() and json.loads(told.read_text(encoding="utf-8")) == json.loads(json.dumps(line)):
        return folder
    start = time.perf_counter()
    contrast = tuple(line["contrast"])
    write_line(folder, **{**line, "contrast": contrast}, together=together, workers=2, overwrite=True)
    told.write_text(json.dumps(line), encoding="utf-8")
    print(f"drawn in {time.perf_counter() - start:.0f} s", flush=True)
    answer = json.loads(candling("check", str(folder / "samples.csv"), "--json"))
    shared = [finding for finding in answer["findings"] if finding["kind"].endswith("across_splits")]
    if shared:
        sys.exit(f"the splits of the line share something: {shared}")
    return folder


def bundle_of(method: str, line: Path, work: Path, *, seed: int, minutes: float | None) -> tuple[Path, float]:
    """Train, or go on, or find trained; give the bundle and the minutes that training took."""
    from candling.recipe import dump_recipe

    recipe = recipe_for(method)
    name = f"{method}-{digest(recipe)}-{seed}-{minutes or 0:g}"
    text, bundle = work / f"{name}.toml", work / f"{name}.bundle"
    text.write_text(dump_recipe(recipe), encoding="utf-8")
    if not (bundle / "card.json").is_file():
        budget = [] if minutes is None else ["--minutes", str(minutes)]
        candling("train", str(text), "--data", str(line), "--out", str(bundle), "--seed", str(seed), *budget)
    card = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    return bundle, card["training"]["seconds"] / 60


def qualified(bundle: Path, line: Path, *, runs: int) -> dict[str, Any]:
    """Qualify on the kit by the bundle's limits for strips, and by the same limits moved for the rule of runs."""
    out = bundle.with_suffix(".qualification")
    agree = runs * 7 // 10 + (runs * 7 % 10 > 0)
    if not (out / "qualification.json").is_file():
        words = ["--out", str(out), "--policy", f"{agree}/{runs}", "--overwrite", "--json"]
        candling("qualify", str(bundle), str(line), *words)
    answer = json.loads((out / "qualification.json").read_text(encoding="utf-8"))
    table = _rows(out / "machine.csv")
    facts = {row["product"]: row for row in _rows(line / "samples.csv") if row["split"] == "kit"}
    policy = answer["run_policy"]
    return {
        "good_accepted": policy["good_accepted"],
        "defects_rejected": policy["defects_rejected"],
        "strips": single_runs(table, facts, limit=1.0),
        "for_runs": by_runs(table, facts, limit=limit_for_runs(bundle, line), agree=agree),
        "by_defect": by_group(table, facts, agree=agree, key=lambda row: row["defect"]),
        "by_contrast": by_group(table, facts, agree=agree, key=lambda row: _contrast(row["contrast"])),
    }


def limit_for_runs(bundle: Path, line: Path) -> float | None:
    """Give the severity at which the rule of runs keeps its target on the strips that limits are chosen on.

    None where a product of that split has not as many runs as the rule counts.
    """
    from candling.data.samples import load_samples
    from candling.errors import LimitError
    from candling.runtime.inspector import Inspector
    from candling.workflow.calibrate import calibrate, calibration_samples

    inspector = Inspector.load(bundle)
    samples = calibration_samples(load_samples(line), inspector.recipe)
    try:
        moved = calibrate(inspector, samples, level="run")
    except LimitError:
        return None
    old = {(entry.region, entry.score): entry for entry in inspector.bundle.limits.entries}
    entry = moved.entries[0]
    before = old[entry.region, entry.score]
    assert entry.high is not None
    assert before.high is not None
    return (entry.high - before.typical) / (before.high - before.typical)


def single_runs(table: list[Row], facts: dict[str, Row], *, limit: float) -> dict[str, float]:
    """Give the shares of single runs: of good strips accepted, of defective ones rejected."""
    counted = Counter((facts[row["product"]]["label"] == "good", _severity(row) > limit) for row in table)
    good, defect = (counted[of, True] + counted[of, False] for of in (True, False))
    return {"good_accepted": counted[True, False] / good, "defects_rejected": counted[False, True] / defect}


def by_runs(table: list[Row], facts: dict[str, Row], *, limit: float | None, agree: int) -> dict[str, Any] | None:
    """Classify every strip by its runs at another limit of severity."""
    if limit is None:
        return None
    right: defaultdict[bool, list[bool]] = defaultdict(list)
    for product, rejects, runs in _counted(table, limit):
        good = facts[product]["label"] == "good"
        right[good].append((runs - rejects if good else rejects) >= agree)
    shares = {name: sum(right[good]) / len(right[good]) for name, good in NAMES.items() if right[good]}
    return {"severity": limit, **shares, "strips": single_runs(table, facts, limit=limit)}


NAMES = {"good_accepted": True, "defects_rejected": False}


def by_group(table: list[Row], facts: dict[str, Row], *, agree: int, key: Any) -> dict[str, list[int]]:
    """Count the defects of each group that the rule of runs rejects, and all of them."""
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for product, rejects, _ in _counted(table, 1.0):
        if facts[product]["label"] != "good":
            found[key(facts[product])][0] += rejects >= agree
            found[key(facts[product])][1] += 1
    return dict(sorted(found.items()))


def _counted(table: list[Row], limit: float) -> list[tuple[str, int, int]]:
    rejects: defaultdict[str, list[bool]] = defaultdict(list)
    for row in table:
        rejects[row["product"]].append(_severity(row) > limit)
    return [(product, sum(of), len(of)) for product, of in rejects.items()]


def _severity(row: Row) -> float:
    return float(row["score"] or "inf")


def _contrast(text: str) -> str:
    low = int(float(text) * 10 - 1e-9) / 10
    return f"{low:.1f} to {low + 0.1:.1f}"


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the line, bundles and qualifications")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=60.0, help="training budget of each method")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--train", type=int, default=160, help="good strips to learn from")
    parser.add_argument("--calibration", type=int, default=60, help="good strips to choose limits by")
    parser.add_argument("--good", type=int, default=120)
    parser.add_argument("--defect", type=int, default=141)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--contrast", nargs=2, type=float, default=[0.5, 1.0])
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    line = {
        "seed": 1,
        "train_strips": chosen.train,
        "calibration_strips": chosen.calibration,
        "calibration_runs": chosen.runs,
        "kit_good": chosen.good,
        "kit_defect": chosen.defect,
        "runs": chosen.runs,
        "contrast": chosen.contrast,
    }
    for method in chosen.methods:
        run = {
            "method": method,
            "seed": chosen.seed,
            "minutes_budget": chosen.minutes,
            "line": line,
            "text": digest(recipe_for(method)),
        }
        if done_before("vials", run):
            print("done before:", run, flush=True)
            continue
        folder = drawn(chosen.work, line, together=recipe_for(method).frames == 1)
        bundle, minutes = bundle_of(method, folder, chosen.work, seed=chosen.seed, minutes=chosen.minutes)
        figures = qualified(bundle, folder, runs=chosen.runs)
        keep("vials", {**run, "minutes": minutes, **figures})
        print(json.dumps({"method": method, "minutes": minutes, **figures}, indent=1), flush=True)


if __name__ == "__main__":
    main()
