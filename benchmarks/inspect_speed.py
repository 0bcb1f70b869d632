"""Images per second from file to verdict on 512 x 512 capsules: candling against the same network in eager PyTorch.

    python benchmarks/inspect_speed.py [--bundle capsule.bundle] [--seconds 12] [--rounds 3]

Both sides read the same PNG files, run the same architecture and weigh the same comparison (squared error and SSIM
with its map), each in processes of its own, in turn, with the same allocator setting. The eager side decodes with
OpenCV, runs batches of 1 or 8 (the faster one counts) in float32, and takes SSIM from scikit-image (Gaussian window).
Without ``--bundle`` the published capsule recipe is trained for a few seconds first: speed does not depend on weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

DATA = Path(os.environ.get("CANDLING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ALLOCATOR = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592"


def ours(bundle: str, pictures: list[str], seconds: float, engine: str) -> dict[str, float]:
    from candling.runtime.inspector import Inspector

    inspector = Inspector.load(Path(bundle), engine=engine)
    files = [Path(name) for name in pictures]
    for _ in inspector.inspect_files(files[:8], maps=False):
        pass
    done, inside, start = 0, 0.0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for inspection in inspector.inspect_files(files, maps=False):
            done += 1
            inside += inspection.milliseconds["predict"] / 1e3
    wall = time.perf_counter() - start
    return {"images_per_second": done / wall, "graph_share": inside / (wall * inspector.engine.requests)}


def eager(pictures: list[str], seconds: float, batch: int) -> dict[str, float]:
    import cv2
    import numpy as np
    import torch
    from skimage.metrics import structural_similarity

    from candling.train.methods.autoencoder import Network, Options

    network = Network((1, 512, 512), Options(widths=(32, 64, 128), kernel=3, dropout=0.2)).eval()
    done, start = -1, time.perf_counter()
    with torch.inference_mode():
        while done < 0 or time.perf_counter() - start < seconds:
            if done < 0:
                done, start, chunk = 0, time.perf_counter(), pictures[:8]
                warm = True
            else:
                chunk, warm = pictures, False
            for first in range(0, len(chunk), batch):
                frames = [cv2.imread(name, cv2.IMREAD_GRAYSCALE) for name in chunk[first : first + batch]]
                images = torch.from_numpy(np.stack(frames)[:, None].astype(np.float32) / 255.0)
                redrawn = network(images).numpy()[:, 0]
                for image, other in zip(images.numpy()[:, 0], redrawn, strict=True):
                    float(((image - other) ** 2).mean())
                    structural_similarity(
                        image,
                        other,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                        data_range=1.0,
                        full=True,
                    )
                    done += not warm
            if warm:
                start = time.perf_counter()
    return {"images_per_second": done / (time.perf_counter() - start)}


def child(*words: str) -> dict[str, float]:
    environment = {**os.environ, "GLIBC_TUNABLES": ALLOCATOR}
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "eager"])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    chosen = parser.parse_args()
    pictures = [str(path) for path in sorted((DATA / "mvtec_capsule" / "test").rglob("*.png"))]
    if chosen.side == "ours":
        print(json.dumps(ours(chosen.bundle, pictures, chosen.seconds, chosen.engine)))
        return
    if chosen.side == "eager":
        print(json.dumps(eager(pictures, chosen.seconds, chosen.batch)))
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle = chosen.bundle or str(Path(folder) / "capsule.bundle")
        if chosen.bundle is None:
            code = "from candling.cli import main; main()"
            words = ["train", "capsules", "--data", str(DATA / "mvtec_capsule"), "--out", bundle, "--minutes", "0.2"]
            subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
        sides = {
            "openvino": ["--side", "ours", "--bundle", bundle, "--engine", "openvino"],
            "onnxruntime": ["--side", "ours", "--bundle", bundle, "--engine", "onnxruntime"],
            "eager, batch 1": ["--side", "eager", "--batch", "1"],
            "eager, batch 8": ["--side", "eager", "--batch", "8"],
        }
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for _ in range(chosen.rounds):
            for name, words in sides.items():
                seen[name].append(child(*words, "--seconds", str(chosen.seconds)))
    figures = {name: {key: statistics.median(one[key] for one in of) for key in of[0]} for name, of in seen.items()}
    best = max((figures["eager, batch 1"], figures["eager, batch 8"]), key=lambda side: side["images_per_second"])
    ratios = [
        one["images_per_second"] / max(a["images_per_second"], b["images_per_second"])
        for one, a, b in zip(seen["openvino"], seen["eager, batch 1"], seen["eager, batch 8"], strict=True)
    ]
    record(
        "inspect_speed",
        {
            "candling": figures["openvino"],
            "eager": best,
            "ratio": statistics.median(ratios),
            "ratio_onnxruntime": figures["onnxruntime"]["images_per_second"] / best["images_per_second"],
            "sides": figures,
            "rounds": chosen.rounds,
        },
    )


if __name__ == "__main__":
    main()
