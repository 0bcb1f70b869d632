"""Methods on one drawn vial line, equally long trained, qualified on one kit of 141 defects and 120 goods; resumable.

    python benchmarks/vials.py --work line_bench                              # hours
    python benchmarks/vials.py --work line_bench --methods drae --minutes 60
    python benchmarks/vials.py --work small --methods drae --minutes 8 --good 30 --defect 30 --runs 3
    python benchmarks/vials.py --work line_bench --methods autoencoder --minutes 8 --together
    python benchmarks/vials.py --work line_bench --methods drae --minutes 60 --score window_dissimilarity
    python benchmarks/vials.py --work line_bench --methods memory_unet --kit 3   # a kit that nobody has seen

The line is drawn once into ``WORK/line``, and for ``memory_unet`` with the frames of a run as one picture, the same
strips, into ``WORK/line_together``: training, limits and kit are three ranges of seeds that never meet, which
``candling check`` proves again from the table. Each method is one ``candling train`` (the same command goes on where it
was interrupted); its graph looks at every run of calibration and kit once. What is done already (same recipe text,
line, seed and minutes) is not done again.

``drae_wide`` is DRAE with networks twice as wide, to see what quality the width that fits the slot costs.
``autoencoder`` is the network, loss, score and training of ``recipes/capsules.toml`` on the patches of
``recipes/vials.toml``, ``grd_net`` those of ``recipes/grd_net.toml`` with the spoilings of ``vials_together``; with
``--together`` every method sees the three frames as one picture. From the scores limits are chosen three times, for
strips, for the rule of runs, and for runs that must reject the same patch, by ``decide.levels`` as ``candling
calibrate`` does; the figures stand side by side. With ``--kit`` the containers judged are those of a line of other
seeds, by the limits that the first line's strips chose.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality import candling, digest
from record import done_before, keep

if TYPE_CHECKING:
    from candling.recipe import Recipe

METHODS = ("drae", "drae_wide", "memory_unet", "grd_net", "autoencoder")
RECIPES = {"drae": "vials", "drae_wide": "vials", "memory_unet": "vials_together"}
WIDE = [32, 64, 128]
"""Channels of ``drae_wide``, twice those of the profile ``line``."""

ENDLESS = 1_000_000
"""Epochs of a run that ends by its minutes."""

TARGETS = {"strips": 0.01, "runs": 0.03}
"""Share of good strips, and of good products by their runs, that limits may reject: published were 0.0324 by runs."""

FACTORS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0)
"""The operating curve is drawn at these multiples of the limits."""

Row = dict[str, str]
Scores = dict[str, Any]
"""One run: its product, and the values of every region's patches."""

Severities = dict[str, list[float]]
"""Of each product, how bad each of its runs is: 1 is the limit."""


def recipe_for(method: str, *, together: bool = False) -> Recipe:
    """Give a method's recipe on the patches of the vial line, each frame by itself or the three as one picture."""
    from candling.recipe import MethodChoice, load_recipe

    vials = load_recipe("vials_together" if together else "vials")
    if RECIPES.get(method) == "vials_together":
        return load_recipe("vials_together")
    if method in RECIPES:
        own = load_recipe(RECIPES[method])
        if method == "drae_wide":
            own = own.model_copy(update={"method": own.method.model_copy(update={"widths": WIDE})})
        return vials.model_copy(update={"method": own.method, "training": own.training, "limits": own.limits})
    other = load_recipe("grd_net" if method == "grd_net" else "capsules")
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


def drawn(work: Path, line: dict[str, Any], *, together: bool, name: str = "line") -> Path:
    """Draw the line, or find it drawn with the same numbers; together or not, the strips are the same."""
    from candling.scenes.vials import write_line

    folder = work / (f"{name}_together" if together else name)
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


def bundle_of(
    method: str, recipe: Recipe, line: Path, work: Path, *, seed: int, minutes: float | None
) -> tuple[Path, float]:
    """Train, or go on, or find trained; give the bundle and the minutes that training took."""
    from candling.recipe import dump_recipe

    name = f"{method}-{digest(recipe)}-{seed}-{minutes or 0:g}"
    text, bundle = work / f"{name}.toml", work / f"{name}.bundle"
    text.write_text(dump_recipe(recipe), encoding="utf-8")
    if not (bundle / "card.json").is_file():
        budget = [] if minutes is None else ["--minutes", str(minutes)]
        candling("train", str(text), "--data", str(line), "--out", str(bundle), "--seed", str(seed), *budget)
    card = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    return bundle, card["training"]["seconds"] / 60


def qualified(bundle: Path, line: Path, kit_of: Path, *, runs: int, score: str | None) -> dict[str, Any]:
    """Qualify on the kit of ``kit_of`` by limits for strips and for the rule of runs, each picture seen once."""
    from candling.recipe import load_recipe

    score = score or load_recipe(bundle / "recipe.toml").limits.scores[0]
    goods, kit = scores_of(bundle, line, "calibration", score), scores_of(bundle, kit_of, "kit", score)
    facts = {row["product"]: row for row in _rows(kit_of / "samples.csv") if row["split"] == "kit"}
    agree = runs * 7 // 10 + (runs * 7 % 10 > 0)
    counted = {len(of) for of in by_product(goods).values()}
    figures: dict[str, Any] = {"by": score}
    figures |= judged([[one] for one in goods], kit, facts, agree=agree, together=1)
    if counted == {runs}:
        products = list(by_product(goods).values())
        figures["for_runs"] = judged(products, kit, facts, agree=agree, together=agree)
        figures["for_places"] = judged(products, kit, facts, agree=agree, together=agree, same_place=True)
    return {"for_runs": None, "for_places": None, **figures}


def scores_of(bundle: Path, line: Path, split: str, score: str) -> list[Scores]:
    """Give one score of every run of a split by a bundle, or read what was scored before: by product and run."""
    from candling.data.samples import group_acquisitions, load_samples
    from candling.runtime.inspector import Inspector
    from candling.workflow.scoring import score_acquisitions

    part = split if line.name.startswith("line") else f"{line.name}.{split}"
    told = bundle.with_suffix(f".{part}.json")
    if not told.is_file():
        inspector = Inspector.load(bundle)
        samples = [sample for sample in load_samples(line) if sample.split == split]
        acquisitions = group_acquisitions(samples, inspector.recipe.frames)
        scored = score_acquisitions(inspector, acquisitions)
        found = []
        for one, each in zip(acquisitions, scored, strict=True):
            named: defaultdict[str, dict[str, Any]] = defaultdict(dict)
            for (region, name), values in each.scores.items():
                named[name][region] = values
            found.append({"product": one.product, "scores": named})
        told.write_text(json.dumps(found), encoding="utf-8")
    read: list[Scores] = json.loads(told.read_text(encoding="utf-8"))
    return [{"product": run["product"], "scores": run["scores"][score]} for run in read]


def judged(
    goods: list[list[Scores]],
    kit: list[Scores],
    facts: dict[str, Row],
    *,
    agree: int,
    together: int,
    same_place: bool = False,
) -> dict[str, Any]:
    """Choose limits on good strips, ``together`` of whose runs must agree, and judge the kit by them.

    With ``same_place`` runs agree where they agree on a patch. Gives the rule of runs with its intervals, shares of
    single runs, what was found by kind and by contrast, and the rule's two shares for every factor on the severity, of
    which 1 is the limit.
    """
    from candling.decide.levels import Unit, at_one_place, choose_together, worst_severity

    keys = [(region, "score") for region in kit[0]["scores"]]
    value = TARGETS["strips" if together == 1 else "runs"]
    units = [Unit(good=True, runs=tuple(_keyed(run) for run in of)) for of in goods]
    if same_place:
        units, together = [at_one_place(unit, agree=agree) for unit in units], 1
    chosen = choose_together(units, keys, goal="false_reject", value=value, agree=together)
    limits = {(one.region, one.score): one.limit for one in chosen}
    severities = {
        product: (
            at_worst_place([_keyed(run) for run in of], limits)
            if same_place
            else [worst_severity(_keyed(run), limits) for run in of]
        )
        for product, of in by_product(kit).items()
    }
    groups = {"by_defect": lambda row: row["defect"], "by_contrast": lambda row: _contrast(row["contrast"])}
    return {
        **by_rule(severities, facts, factor=1.0, agree=agree),
        "strips": single_runs(severities, facts),
        **{name: by_group(severities, facts, agree=agree, key=key) for name, key in groups.items()},
        "limits": {region: limit.high for (region, _), limit in limits.items()},
        "curve": curve(severities, facts, agree=agree),
    }


def at_worst_place(runs: list[dict[tuple[str, str], list[float]]], limits: dict[tuple[str, str], Any]) -> list[float]:
    """Give severities of which as many exceed any factor as runs do at the patch where most do.

    The first is the largest of all patches, the second the largest of their second largest, and so on.
    """
    places = [(key, at) for key in limits for at in range(len(runs[0][key]))]
    ordered = [sorted((limits[key].severity(run[key][at]) for run in runs), reverse=True) for key, at in places]
    return [max(severities) for severities in zip(*ordered, strict=True)]


def by_rule(severities: Severities, facts: dict[str, Row], *, factor: float, agree: int) -> dict[str, Any]:
    """Classify every strip by its runs: the shares of good accepted and of defects rejected, with intervals."""
    from candling.intervals import clopper_pearson

    right: dict[str, list[bool]] = {"good_accepted": [], "defects_rejected": []}
    for product, of in severities.items():
        rejects = sum(severity > factor for severity in of)
        good = facts[product]["label"] == "good"
        right["good_accepted" if good else "defects_rejected"].append((len(of) - rejects if good else rejects) >= agree)
    shares = {name: clopper_pearson(sum(of), len(of)) for name, of in right.items()}
    return {
        name: {**asdict(share), "count": sum(right[name]), "total": len(right[name])} for name, share in shares.items()
    }


def single_runs(severities: Severities, facts: dict[str, Row]) -> dict[str, float]:
    """Give the shares of single runs: of good strips accepted, of defective ones rejected."""
    good = [one <= 1.0 for product, of in severities.items() if facts[product]["label"] == "good" for one in of]
    defect = [one > 1.0 for product, of in severities.items() if facts[product]["label"] != "good" for one in of]
    return {"good_accepted": sum(good) / len(good), "defects_rejected": sum(defect) / len(defect)}


def by_group(severities: Severities, facts: dict[str, Row], *, agree: int, key: Any) -> dict[str, list[int]]:
    """Count the defects of each group that the rule of runs rejects, and all of them."""
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for product, of in severities.items():
        if facts[product]["label"] != "good":
            found[key(facts[product])][0] += sum(severity > 1.0 for severity in of) >= agree
            found[key(facts[product])][1] += 1
    return dict(sorted(found.items()))


def curve(severities: Severities, facts: dict[str, Row], *, agree: int) -> list[list[float]]:
    """Give the operating curve: factor on the limits, share of good accepted, share of defects rejected by runs."""
    points = []
    for factor in FACTORS:
        shares = by_rule(severities, facts, factor=factor, agree=agree)
        points.append([factor, *(share["value"] for share in shares.values())])
    return points


def by_product(runs: list[Scores]) -> dict[str, list[Scores]]:
    """Bring the runs of each product together, in their order."""
    found: defaultdict[str, list[Scores]] = defaultdict(list)
    for run in runs:
        found[run["product"]].append(run)
    return dict(found)


def _keyed(run: Scores) -> dict[tuple[str, str], list[float]]:
    return {(region, "score"): values for region, values in run["scores"].items()}


def _contrast(text: str) -> str:
    value = float(text)
    if value == 1.0:
        return "1"
    low = int(value * 10 - 1e-9) / 10
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
    parser.add_argument("--line", type=int, default=2, help="seed of the drawn line: its strips, limits and kit")
    parser.add_argument("--kit", type=int, help="seed of another line whose kit is judged; None is the line's own")
    parser.add_argument("--train", type=int, default=782, help="good strips to learn from, as many as published")
    parser.add_argument("--calibration", type=int, default=120, help="good strips to choose limits by")
    parser.add_argument("--good", type=int, default=120)
    parser.add_argument("--defect", type=int, default=141)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--contrast", nargs=2, type=float, default=[1.0, 1.0])
    parser.add_argument("--together", action="store_true", help="every method sees three frames as one picture")
    parser.add_argument("--score", help="of the graph, to judge by instead of the recipe's")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    line = {
        "seed": chosen.line,
        "train_strips": chosen.train,
        "calibration_strips": chosen.calibration,
        "calibration_runs": chosen.runs,
        "kit_good": chosen.good,
        "kit_defect": chosen.defect,
        "runs": chosen.runs,
        "contrast": chosen.contrast,
    }
    for method in chosen.methods:
        recipe = recipe_for(method, together=chosen.together)
        run = {
            "method": method,
            "seed": chosen.seed,
            "minutes_budget": chosen.minutes,
            "line": line,
            "frames": recipe.frames,
            "text": digest(recipe),
            "score": chosen.score,
            "kit": chosen.kit,
        }
        if done_before("vials", run):
            print("done before:", run, flush=True)
            continue
        folder = drawn(chosen.work, line, together=recipe.frames == 1)
        bundle, minutes = bundle_of(method, recipe, folder, chosen.work, seed=chosen.seed, minutes=chosen.minutes)
        kit_of = folder
        if chosen.kit is not None:
            other = {**line, "seed": chosen.kit, "train_strips": 1, "calibration_strips": 1}
            kit_of = drawn(chosen.work, other, together=recipe.frames == 1, name=f"kit{chosen.kit}")
        figures = qualified(bundle, folder, kit_of, runs=chosen.runs, score=chosen.score)
        keep("vials", {**run, "minutes": minutes, **figures})
        print(json.dumps({"method": method, "minutes": minutes, **figures}, indent=1), flush=True)


if __name__ == "__main__":
    main()
