"""Time a cold start: a new process imports candling, loads a bundle and gives its first verdict on one picture.

    python benchmarks/cold_start.py [--bundle BUNDLE --image IMAGE] [--rounds 9]

Without a bundle one is made: an autoencoder of the published capsule network's size (1-32-64-128 strided convolutions,
512 x 512 grey) with drawn weights, and a drawn picture. Wall time is that of the whole process, Python's own start
included; engines take turns, so that a busy moment meets all of them. The goal: below 0.9 s and 180 MB, without torch.

The peer (anomalib 2.7.0, its light inferencer) needs 5.8 s and 1 GB before it loads anything (quoted).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import record

GOAL = {"wall_s": 0.9, "peak_mb": 180.0}
PEER = {"anomalib light inferencer, import only, s": 5.8, "MB": 1000, "source": "anomalib 2.7.0, same kind of machine"}

CHILD = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from candling.runtime.inspector import Inspector
imported = time.perf_counter()
inspector = Inspector.load(Path(sys.argv[1]), engine=sys.argv[2])
loaded = time.perf_counter()
inspection = inspector.inspect_file(Path(sys.argv[3]))
done = time.perf_counter()
import json, resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "import_s": imported - began, "load_s": loaded - imported, "first_verdict_s": done - loaded,
    "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024,
    "torch": "torch" in sys.modules, "verdict": inspection.verdict.value, "engine": inspector.engine.name,
}))
"""


def start(bundle: Path, engine: str, image: Path) -> dict[str, float | bool | str]:
    began = time.perf_counter()
    words = [sys.executable, "-c", CHILD, str(bundle), engine, str(image)]
    run = subprocess.run(words, check=True, capture_output=True, text=True)
    return {"wall_s": time.perf_counter() - began, **json.loads(run.stdout)}


def drawn(folder: Path) -> tuple[Path, Path]:
    """Make the bundle and the picture that are timed when none are given."""
    path = Path(__file__).parents[1] / "tests" / "runtime" / "building.py"
    spec = importlib.util.spec_from_file_location("building", path)
    building = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(building)
    shape = (1, 512, 512)
    limits = building.LimitsFile(entries=(building.entry(score="mean_error"),))
    recipe = building.recipe(shape=shape, scores=("mean_error",))
    graph = building.autoencoder(shape=shape, widths=(32, 64, 128))
    bundle = building.bundle(folder / "drawn.bundle", graph=graph, recipe_=recipe, limits=limits).path
    rows, columns = np.mgrid[:512, :512]
    picture = (110 + 60 * np.exp(-(((rows - 256) / 90) ** 2) - ((columns - 256) / 200) ** 2)).astype(np.uint8)
    return bundle, building.picture(
        folder / "drawn.png", picture + np.random.default_rng(0).integers(0, 9, (512, 512), np.uint8)
    )


def summary(runs: list[dict]) -> dict[str, object]:
    keys = [key for key, value in runs[0].items() if isinstance(value, float)]
    figures: dict[str, object] = {f"{key}, median": statistics.median(run[key] for run in runs) for key in keys}
    figures["wall_s, min"] = min(run["wall_s"] for run in runs)
    figures["wall_s, max"] = max(run["wall_s"] for run in runs)
    figures["torch imported"] = any(run["torch"] for run in runs)
    figures["within the goal"] = bool(
        figures["wall_s, median"] < GOAL["wall_s"]
        and max(run["peak_mb"] for run in runs) < GOAL["peak_mb"]
        and not figures["torch imported"]
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    if (given.bundle is None) != (given.image is None):
        parser.error("give --bundle and --image, or neither")
    engines = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    with tempfile.TemporaryDirectory() as folder:
        bundle, image = (given.bundle, given.image) if given.bundle else drawn(Path(folder))
        runs: dict[str, list[dict]] = {engine: [] for engine in engines}
        for turn in range(given.rounds + 1):
            for engine in engines:
                result = start(bundle, engine, image)
                if turn:  # the first turn warms the disk's cache
                    runs[engine].append(result)
    figures = {
        "rounds": given.rounds,
        "bundle": given.bundle.name if given.bundle else "drawn, capsule network 512 x 512",
        "auto takes": engines[-1],
        "goal": GOAL,
        **{engine: summary(results) for engine, results in runs.items()},
    }
    record("cold_start", figures, peer=PEER)


if __name__ == "__main__":
    main()
