"""What a kernel density costs on the line: milliseconds of its graph against the number of latents kept; resumable.

    python benchmarks/density_speed.py
    python benchmarks/density_speed.py --counts 10000 --dimensions 4096

The graph is the density alone, of random latents, beside scikit-learn's own values: 64 numbers as after principal
directions, and 4096 as published. Times are the median of single images and of batches of eight, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from record import done_before, keep


def measured(count: int, dimensions: int, *, rounds: int, engine: str) -> dict[str, Any]:
    import torch
    from sklearn.neighbors import KernelDensity

    from candling.runtime.engine import open_engine
    from candling.train.density import Density, DensityOptions
    from candling.train.export import export

    side = round(dimensions**0.5)
    rng = np.random.default_rng(0)
    latents = torch.from_numpy(rng.random((count, dimensions), dtype=np.float32))
    density = Density(dimensions, DensityOptions(remember=count, bandwidth=0.2))
    density.fit(latents)

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.density = density

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"rarity": -self.density(image.flatten(1))}

    images = rng.random((8, 1, side, side), dtype=np.float32)
    images[0] = latents[0].view(1, side, side).numpy()
    graph = export(Graph().eval(), torch.from_numpy(images)).graph
    exact = KernelDensity(bandwidth=0.2, leaf_size=count).fit(latents.double().numpy())
    expected = -exact.score_samples(images.reshape(8, -1).astype(np.float64))
    found: dict[str, Any] = {"latents": count, "dimensions": dimensions, "engine": engine}
    with open_engine(graph, engine=engine, threads=1, requests=1) as opened:
        given = opened.run(images).scores["rarity"]
        found["largest_difference_share"] = float(np.max(np.abs(given - expected) / np.maximum(np.abs(expected), 1.0)))
        for size in (1, 8):
            times = []
            for _ in range(rounds):
                began = time.perf_counter()
                opened.run(images[:size])
                times.append(1e3 * (time.perf_counter() - began) / size)
            found[f"ms_an_image_of_{size}"] = statistics.median(times)
    found["graph_mb"] = len(graph) / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--dimensions", nargs="+", type=int, default=[64, 4096])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "openvino"])
    chosen = parser.parse_args()
    for dimensions in chosen.dimensions:
        for count in chosen.counts:
            for engine in chosen.engines:
                run = {"latents": count, "dimensions": dimensions, "engine": engine}
                if done_before("density_speed", run):
                    continue
                found = measured(count, dimensions, rounds=chosen.rounds, engine=engine)
                keep("density_speed", found)
                print(found, flush=True)


if __name__ == "__main__":
    main()
