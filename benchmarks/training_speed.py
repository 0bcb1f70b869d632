"""Images a second while training the capsule autoencoder, candling's loop against plain PyTorch, and their loss curves.

    python benchmarks/training_speed.py [--data FOLDER] [--steps N] [--rounds N] [--threads N]

Both sides train the network of recipes/capsules.toml (512 x 512 grey, batch 16) on the same images in the same order,
from the same initial weights and with the same seeds. Plain is PyTorch as it comes: float32, images and weights NCHW,
Adam, the system's allocator. candling is what ``candling train`` does, measured precision included. Each side runs in a
process of its own, and the sides take turns, so that other work on the machine meets both. Without --data the images
are drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np

SEED = 0
WARM = 3  # updates before the clock counts: the first ones prepare oneDNN's kernels


def main() -> None:
    arguments = parse()
    if arguments.side:
        side(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npy"
        np.save(frames, load_frames(arguments.data))
        runs: dict[str, list[dict]] = {"plain": [], "candling": []}
        for number in range(arguments.rounds):
            for name in sorted(runs, reverse=bool(number % 2)):
                runs[name].append(run_side(name, frames, arguments))
                print(f"round {number + 1}: {name} {runs[name][-1]['images_per_second']:.1f} images/s", file=sys.stderr)
    from record import record

    record("training_speed", figures(runs, arguments))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder of good images, as candling train takes it; drawn ones without"
    )
    parser.add_argument("--steps", type=int, default=30, help="updates of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of each run")
    parser.add_argument("--side", choices=("plain", "candling"), help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def load_frames(data: Path | None) -> np.ndarray:
    """Prepare 208 images, (N, 512, 512) uint8: 13 batches of 16."""
    from candling.pixels.prepare import shape_frame

    if data is None:
        rng = np.random.default_rng(SEED)
        rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
        drawn = [
            ((columns / 0.8) ** 2 + ((rows - rng.uniform(-0.1, 0.1)) / 0.35) ** 2 < 1) * 120
            + rng.normal(90, 5, (512, 512))
            for _ in range(208)
        ]
        return np.stack(drawn).clip(0, 255).astype(np.uint8)
    from candling.data.samples import load_samples, training_samples
    from candling.pixels.read import read_image

    samples = training_samples(load_samples(data))[:208]
    return np.stack([shape_frame(read_image(s.path), channels=1, height=512, width=512) for s in samples])


def run_side(name: str, frames: Path, arguments: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--side", name, "--frames", str(frames)]
    command += ["--steps", str(arguments.steps), "--threads", str(arguments.threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def side(arguments: argparse.Namespace) -> None:
    """Train in this process and print one line of JSON."""
    import torch

    torch.set_num_threads(arguments.threads)
    frames = np.load(arguments.frames)
    train = train_candling if arguments.side == "candling" else train_plain
    print(json.dumps(train(frames, arguments.steps)))


def recipe(precision: str):
    from candling.recipe import load_recipe

    chosen = load_recipe("capsules")
    return chosen.model_copy(update={"training": chosen.training.model_copy(update={"precision": precision})})


def train_plain(frames: np.ndarray, steps: int) -> dict:
    """Train as a tutorial would: the same network, plain Adam, nothing set."""
    import torch

    from candling.train.data import PreparedSet
    from candling.train.devices import open_fabric
    from candling.train.method import Plan, build_method
    from candling.train.seeds import START, STEP, generator_for

    chosen = recipe("float32")
    generator_for(SEED, START)
    plan = Plan((1, 512, 512), chosen.training, open_fabric("float32", accelerator="cpu"))
    method = build_method(chosen.method.name, chosen.method.options, plan)
    network = method.networks["network"].module
    network.to(memory_format=torch.contiguous_format).train()
    adam = torch.optim.Adam(
        network.parameters(), lr=chosen.training.learning_rate, weight_decay=chosen.training.weight_decay
    )
    images = PreparedSet(frames)
    seconds, processor, losses = [], [], []
    while len(losses) < steps:
        for scaled, _ in images.batches(len(losses) // 13, seed=SEED, batch_size=16):
            generator_for(SEED, STEP, len(losses))
            began, used = time.perf_counter(), time.process_time()
            batch = scaled.contiguous()
            loss = (network(batch) - batch).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - used)
            if len(losses) == steps:
                break
    return answer(seconds, processor, losses, size=len(batch), precision="float32")


def train_candling(frames: np.ndarray, steps: int) -> dict:
    """Train as ``candling train`` does, through its own loop."""
    from candling.train.allocator import keep_large_buffers

    keep_large_buffers()
    from candling.train.data import PreparedSet
    from candling.train.fit import fit
    from candling.train.method import build_method
    from candling.train.precision import choose_precision
    from candling.train.progress import Silent

    seconds, processor, losses, sums = [], [], [], [0.0]

    class EnoughError(Exception):
        pass

    class Watch(Silent):
        last = used = 0.0

        def stand(self, standing):
            now = standing.seconds
            seconds.append(now - self.last)
            self.last = now
            processor.append(time.process_time() - self.used)
            self.used = time.process_time()
            if standing.epoch_step == 1:
                sums[0] = 0.0
            total = standing.losses["loss"] * standing.epoch_step
            losses.append(total - sums[0])
            sums[0] = total
            if len(losses) == steps:
                raise EnoughError

    images = PreparedSet(frames)
    choice = choose_precision(recipe("auto"), images, build=build_method, progress=Silent(), accelerator="cpu")
    chosen = recipe(choice.chosen)
    with tempfile.TemporaryDirectory() as work, suppress(EnoughError):
        fit(chosen, images, PreparedSet(frames[:16]), work=Path(work), data="-", progress=Watch(), accelerator="cpu")
    return {**answer(seconds, processor, losses, size=16, precision=choice.chosen), "measured": choice.as_numbers()}


def answer(seconds: list[float], processor: list[float], losses: list[float], *, size: int, precision: str) -> dict:
    import resource

    return {
        "images_per_second": size / median(seconds[WARM:]),
        "processor_seconds_per_image": median(processor[WARM:]) / size,
        "losses": losses,
        "precision": precision,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def figures(runs: dict[str, list[dict]], arguments: argparse.Namespace) -> dict:
    speed = {name: [run["images_per_second"] for run in some] for name, some in runs.items()}
    work = {name: median(run["processor_seconds_per_image"] for run in some) for name, some in runs.items()}
    plain, ours = (np.array(runs[name][0]["losses"]) for name in ("plain", "candling"))
    tail = slice(len(plain) // 2, None)
    return {
        "network": "recipes/capsules.toml, 512 x 512 grey, batch 16",
        "data": "drawn" if arguments.data is None else arguments.data.name,
        "threads": arguments.threads,
        "images_per_second": {name: median(some) for name, some in speed.items()},
        "images_per_second_runs": speed,
        "processor_seconds_per_image": work,
        "processor_ratio": work["plain"] / work["candling"],
        "ratio": median(speed["candling"]) / median(speed["plain"]),
        "ratio_by_round": [ours / plain for ours, plain in zip(speed["candling"], speed["plain"], strict=True)],
        "precision": {name: sorted({run["precision"] for run in some}) for name, some in runs.items()},
        "precision_measurement": runs["candling"][0]["measured"],
        "peak_memory_mb": {name: median(run["peak_memory_mb"] for run in some) for name, some in runs.items()},
        "loss_relative_difference": {
            "median": float(np.median(np.abs(ours - plain) / plain)),
            "second_half": float(np.abs(ours[tail].mean() - plain[tail].mean()) / plain[tail].mean()),
        },
        "losses": {"plain": plain.tolist(), "candling": ours.tolist()},
    }


if __name__ == "__main__":
    main()
