"""A strip of sixty patches within its slot: ``candling bench --strip`` on bundles of both vial recipes.

    python benchmarks/strip_speed.py [--minutes 0.5] [--seconds 20]
    python benchmarks/strip_speed.py --bundles vials_together=vials.bundle  # one that learned enough to reject

Each recipe is trained for a moment on a few drawn strips: time does not depend on weights, only the number of heatmaps
does, and every second strip that is timed holds a defect. The gate's own exit status is recorded as ``fits``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from quality import candling
from record import record

RECIPES = ("vials", "vials_together")
KEPT = ("p50_ms", "p95_ms", "p99_ms", "mean_ms", "max_ms", "patches", "strips", "slot_ms", "flops_per_patch", "fits")


def trained(recipe: str, work: Path, *, minutes: float) -> Path:
    """Train a recipe on a few drawn strips."""
    from candling.recipe import load_recipe
    from candling.scenes.vials import INSPECTED, write_line

    line, bundle = work / f"{recipe}.line", work / f"{recipe}.bundle"
    together = load_recipe(recipe).frames == 1
    write_line(
        line,
        seed=7,
        train_strips=12,
        calibration_strips=12,
        kit_good=0,
        kit_defect=0,
        train_runs=1,
        calibration_runs=1,
        frames=INSPECTED,
        ranks=False,
        together=together,
        workers=2,
    )
    candling("train", recipe, "--data", str(line), "--out", str(bundle), "--minutes", str(minutes))
    return bundle


def timed(bundle: Path, *, seconds: float) -> dict[str, Any]:
    """Time strips with a bundle."""
    code = "from candling.cli import main; main()"
    words = ["bench", str(bundle), "--strip", "--slot-ms", "500", "--seconds", str(seconds), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # 1 is a slot that is too short
        sys.exit(done.stderr[-2000:])
    told = json.loads(done.stdout)
    steps = {name: step["p50"] for name, step in told["steps"].items()}
    engine = {name: told[name] for name in ("engine", "precision", "threads", "rejected", "heatmaps")}
    return {name: told[name] for name in KEPT} | {"steps_p50_ms": steps, "exit": done.returncode, **engine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.5, help="training of each recipe")
    parser.add_argument("--seconds", type=float, default=20.0, help="timing of each")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--bundles", nargs="+", default=[], metavar="RECIPE=BUNDLE", help="instead of training")
    chosen = parser.parse_args()
    given = dict(each.partition("=")[::2] for each in chosen.bundles)
    for recipe, bundle in given.items():
        if recipe not in chosen.recipes or not Path(bundle).is_dir():
            parser.error(f"--bundles {recipe}={bundle}: give one of the recipes that are timed, and its bundle")
    with tempfile.TemporaryDirectory() as work:
        figures = {}
        for recipe in chosen.recipes:
            if recipe in given:
                bundle, learned = Path(given[recipe]), {"bundle": Path(given[recipe]).name}
            else:
                bundle, learned = trained(recipe, Path(work), minutes=chosen.minutes), {"minutes": chosen.minutes}
            figures[recipe] = timed(bundle, seconds=chosen.seconds) | learned
    record("strip_speed", figures)


if __name__ == "__main__":
    main()
