"""What a kernel density costs on the line: milliseconds of its graph against the number of latents kept; resumable.

    python benchmarks/density_speed.py
    python benchmarks/density_speed.py --counts 10000 --dimensions 4096

The graph is the density alone, beside scikit-learn's own values: 64 numbers as after principal directions, and 4096 as
published, compared with all remembered latents and with the nearest in full. The latents are drawn; their variance
falls with the number of a direction k as k^-1.7, about as measured on cells (64 directions hold 0.97 of it). Of the
eight images asked for, one is a remembered latent, three are left out, two lie three times as far out and two are
noise without directions. Times are the median of single images and of batches of eight, on one thread.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import Any

import numpy as np
from record import done_before, keep

WORTH_IT = 2**21
"""Below so many remembered numbers there is no short list."""

FALLS = 1.7
SPREAD = 0.05
"""Standard deviation of one number, which lies in [0, 1] around 0.5, and the bandwidth."""


def drawn(count: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw latents (count, d) and eight to ask for (8, d), float32 in [0, 1]."""
    from scipy.fft import idct

    rng = np.random.default_rng(0)
    spread = np.arange(1, dimensions + 1) ** (-0.5 * FALLS)
    spread *= np.sqrt(dimensions / np.sum(spread**2))
    kept, new = (
        SPREAD * idct(rng.standard_normal((some, dimensions)) * spread, norm="ortho", axis=1) for some in (count, 5)
    )
    noise = SPREAD * rng.standard_normal((2, dimensions))
    asked = np.concatenate([kept[:1], new[:3], 3.0 * new[3:], noise])
    return tuple(np.clip(0.5 + some, 0.0, 1.0).astype(np.float32) for some in (kept, asked))


def measured(count: int, dimensions: int, *, rounds: int, engine: str, compare: str) -> dict[str, Any]:
    import torch
    from sklearn.neighbors import KernelDensity

    from candling.runtime.engine import open_engine
    from candling.train.density import Density, DensityOptions
    from candling.train.export import export

    side = round(dimensions**0.5)
    kept, asked = drawn(count, dimensions)
    latents = torch.from_numpy(kept)
    density = Density(dimensions, DensityOptions(remember=count, bandwidth=SPREAD, compare=compare))
    density.fit(latents)

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.density = density

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"rarity": -self.density(image.flatten(1))}

    images = asked.reshape(8, 1, side, side)
    graph = export(Graph().eval(), torch.from_numpy(images)).graph
    exact = KernelDensity(bandwidth=SPREAD, leaf_size=count).fit(latents.double().numpy())
    expected = -exact.score_samples(images.reshape(8, -1).astype(np.float64))
    found: dict[str, Any] = {"latents": count, "dimensions": dimensions, "engine": engine, "compare": compare}
    found["in_full"] = count if density.near is None else density.near.length
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
    parser.add_argument("--counts", nargs="+", type=int, default=[100, 1000, 3000, 10_000])
    parser.add_argument("--dimensions", nargs="+", type=int, default=[64, 4096])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "openvino"])
    chosen = parser.parse_args()
    for dimensions, count, compare, engine in itertools.product(
        chosen.dimensions, chosen.counts, ("nearest", "all"), chosen.engines
    ):
        run = {"latents": count, "dimensions": dimensions, "engine": engine, "compare": compare}
        if done_before("density_speed", run) or (compare == "nearest" and count * dimensions < WORTH_IT):
            continue
        found = measured(count, dimensions, rounds=chosen.rounds, engine=engine, compare=compare)
        keep("density_speed", found)
        print(found, flush=True)


if __name__ == "__main__":
    main()
