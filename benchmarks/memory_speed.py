"""How long a memory takes to fit and to ask, and that neither grows with the good images; drawn capsules, 256 x 256.

    python benchmarks/memory_speed.py [--few 200] [--many 5000] [--seconds 8] [--rounds 3]

``memory`` is fitted on ``--few`` good images and on ``--many``, ``memory_unet`` on the few with one epoch, since speed
does not depend on weights; settings are those of ``recipes/surface.toml``. Seconds of fitting are those between the
last image read and the memory made, choice of its settings included, by the clock and in processor time (on a busy
machine only the latter means anything, with OMP_NUM_THREADS=1); the whole of ``train`` stands beside. The engine
is timed in two ways: all cores on one image after the other, and several images side by side, as ``candling inspect``
works. Each fit and each timing is a process of its own, so its peak memory is its own. Many images are a few drawn
ones, shifted by up to 3 px, lighter or darker by up to 4 %, and with noise of their own.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import record

HELD_OUT = 50
SIZE = 256
DRAWN = 250
"""So many capsules are drawn; further images are varied from them."""

ENGINES = ("openvino", "onnxruntime")


@functools.cache
def drawn(number: int) -> np.ndarray:
    """Draw one capsule; both sets begin with the same ones."""
    from candling.scenes.capsules import draw_capsule

    return draw_capsule(np.random.default_rng([1, number]), size=SIZE, difficulty=0.3, background="light")


def draw_images(folder: Path, count: int) -> Path:
    """Write ``count`` good images in a plain folder."""
    import cv2

    folder.mkdir()
    for number in range(count):
        image = drawn(number % DRAWN)
        if number >= DRAWN:
            rng = np.random.default_rng([2, number])
            moved = np.roll(image, rng.integers(-3, 4, size=2), axis=(0, 1))
            noisy = moved * rng.uniform(0.96, 1.04) + rng.normal(0.0, 2.0, moved.shape)
            image = noisy.round().clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:05d}.png"), image)
    return folder


def recipe_text(method: str, images: int) -> str:
    """Give the recipe of ``surface`` for whole frames, with a fixed number of images held out, for one epoch."""
    from detector import recipe_for

    from candling.recipe import dump_recipe

    recipe = recipe_for(method)
    training = recipe.training.model_copy(update={"hold_out": HELD_OUT / images, "epochs": 1})
    prepare = recipe.prepare.model_copy(update={"crop": "none"})
    return dump_recipe(recipe.model_copy(update={"training": training, "prepare": prepare}))


def fit_side(recipe: str, data: str, bundle: str) -> dict[str, Any]:
    """Train in this process."""
    import torch

    from candling.recipe import load_recipe
    from candling.train.pipeline import train_bundle

    class Watch:
        """Notes when each stage began, and when the last image was read."""

        def __init__(self) -> None:
            self.began: dict[str, tuple[float, float]] = {}  # clock and processor time
            self.read = (0.0, 0.0)

        def stage(self, sentence: str) -> None:
            self.began[sentence.split(maxsplit=1)[0]] = (time.perf_counter(), time.process_time())

        def count(self, _done: int, _total: int) -> None:
            if list(self.began) == ["reading"]:
                self.read = (time.perf_counter(), time.process_time())

        def stand(self, standing: object) -> None:
            """Nothing of the loop is timed."""

    watch, start = Watch(), time.perf_counter()
    made = train_bundle(load_recipe(recipe), Path(data), Path(bundle), progress=watch)
    end = time.perf_counter()
    return {
        "fit_s": watch.began["finishing"][0] - watch.read[0],
        "fit_cpu_s": watch.began["finishing"][1] - watch.read[1],
        "train_s": end - start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "good_images": made.card.data.counts["fit"],
        "threads": torch.get_num_threads(),
        "bundle_mb": sum(path.stat().st_size for path in Path(bundle).rglob("*") if path.is_file()) / 2**20,
        "choices": dict(made.card.choices),
    }


def inspect_side(bundle: str, pictures: list[str], engine: str, seconds: float) -> dict[str, Any]:
    """Ask in this process: one image at a time on all cores, then side by side."""
    from candling.runtime.inspector import Inspector
    from candling.workflow.benchmark import measure

    files = [Path(name) for name in pictures]
    alone = measure(Inspector.load(bundle, engine=engine, requests=1), files, seconds=seconds)  # type: ignore[arg-type]
    beside = measure(Inspector.load(bundle, engine=engine), files, seconds=seconds)  # type: ignore[arg-type]
    return {
        "engine": alone.engine,
        "precision": alone.precision,
        "one_ms": alone.steps["predict"].p50,
        "beside_ms": 1e3 * beside.graph_share / beside.images_per_second,
        "images_per_second": beside.images_per_second,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def engine_times(bundle: Path, pictures: list[str], *, engine: str = "auto", seconds: float = 6.0) -> dict[str, Any]:
    """Time a bundle's graph in a process of its own.

    Returns:
        ``one_ms``, the median of one image after the other on all cores; ``beside_ms``, time of the engine over images
        when several run side by side; ``images_per_second`` from file to verdict; the engine; the peak memory.
    """
    words = ["--side", "inspect", "--bundle", str(bundle), "--engine", engine, "--seconds", str(seconds)]
    return child(*words, "--files", *pictures)


def child(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *words], check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr, flush=True)
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the median of each number over the rounds; words are those of the last."""
    last = rows[-1]
    return {
        key: statistics.median(row[key] for row in rows) if isinstance(value, float) else value
        for key, value in last.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["fit", "inspect"], help=argparse.SUPPRESS)
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--bundle", help=argparse.SUPPRESS)
    parser.add_argument("--engine", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--files", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side == "fit":
        print(json.dumps(fit_side(chosen.recipe, chosen.data, chosen.bundle)))
        return
    if chosen.side == "inspect":
        print(json.dumps(inspect_side(chosen.bundle, chosen.files, chosen.engine, chosen.seconds)))
        return
    jobs = [("memory", chosen.few), ("memory", chosen.many), ("memory_unet", chosen.few)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = {count: draw_images(folder / str(count), count + HELD_OUT) for count in (chosen.few, chosen.many)}
        fits: dict[str, list[dict[str, Any]]] = {}
        asked: dict[str, list[dict[str, Any]]] = {}
        for turn in range(chosen.rounds):
            for method, count in jobs:
                name, bundle = f"{method}, {count}", folder / f"{method}-{count}-{turn}.bundle"
                recipe = folder / f"{method}-{count}.toml"
                recipe.write_text(recipe_text(method, count + HELD_OUT), encoding="utf-8")
                words = ["--recipe", str(recipe), "--data", str(images[count]), "--bundle", str(bundle)]
                fits.setdefault(name, []).append(child("--side", "fit", *words))
                pictures = [str(path) for path in sorted(images[chosen.few].iterdir())[:16]]
                for engine in ENGINES:
                    times = engine_times(bundle, pictures, engine=engine, seconds=chosen.seconds)
                    asked.setdefault(f"{name}, {engine}", []).append(times)
    record(
        "memory_speed",
        {
            "fit": {name: middle(rows) for name, rows in fits.items()},
            "inspect": {name: middle(rows) for name, rows in asked.items()},
            "few": chosen.few,
            "many": chosen.many,
            "rounds": chosen.rounds,
            "threads_asked_for": os.environ.get("OMP_NUM_THREADS", "all"),
        },
    )


if __name__ == "__main__":
    main()
