"""How fast the published patch network judges every pixel of a whole image, in all exact ways; 1024 x 696 px.

    python benchmarks/dense_map.py [--rounds 5] [--stride 1]

Two ways give the very numbers of the patches: *fragments* (pools begun at every row and column, the results as further
images) and *dilated* convolutions and pools. Each runs in each engine that is installed, on all cores, the best of the
rounds counts. Beside them stands the same network patch after patch, as the fibre report does: for each pixel the
patch is cut from the frame, scaled, and given three equal channels. Two better loops stand there too: patches that were
cut and scaled before, through a network of one channel; and the same in batches of 256. All three in ONNX Runtime, and
scaled up from ``--patches`` of them. Weights are random: speed does not depend on them.

The ratio is to the report's loop. No way can be much faster than the convolutions' multiplications: at stride 1 they
are 51 GFLOP an image.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from record import record
from torch import nn
from torch.nn import functional

from candling.pixels.prepare import scale
from candling.runtime.engine import open_engine
from candling.train.classifying import PatchNetwork, Whole
from candling.train.export import _to_onnx
from candling.train.probability import Probability

if TYPE_CHECKING:
    from collections.abc import Callable

    from candling.train.dense import Dense

SIZE = (696, 1024)
PATCH = 29


class Dilated(nn.Module):
    """The same network by dilated convolutions and pools of stride 1."""

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.stages, self.head = dense.stages, dense.head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = functional.pad(image, (PATCH // 2,) * 4, mode="reflect")
        for level, stage in enumerate(self.stages):
            apart = 2**level
            maps = torch.relu(functional.conv2d(maps, stage.conv.weight, stage.conv.bias, dilation=apart))
            maps = functional.max_pool2d(maps, 2, stride=1, dilation=apart)
        return self.head(maps)[:, :, : SIZE[0], : SIZE[1]]


class Patches(nn.Module):
    """Patches (N, 1, 29, 29) to probabilities (N,)."""

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.stages, self.head = dense.stages, dense.head

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"defect_probability": torch.sigmoid(self.head(self.stages(image))).flatten()}


class Published(nn.Module):
    """Patches (N, 1, 29, 29) to probabilities (N,), by the network as published: three equal channels."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"defect_probability": torch.sigmoid(self.network(image))}


def graph_of(network: nn.Module, images: torch.Tensor) -> bytes:
    with torch.no_grad():
        names = list(network(images[:1]))
    return _to_onnx(network.eval(), images, names=names, opset=18)


def best(work: Callable[[], object], rounds: int) -> float:
    """Give the least seconds of some rounds, after one that warms up."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stride", type=int, choices=[1, 2, 4, 8], default=1, help="of the fragments")
    parser.add_argument("--note", default="", help="what the reader must know of the machine while it ran")
    parser.add_argument("--patches", type=int, default=400, help="so many are timed one after another")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    network = PatchNetwork((1, *SIZE), patch=PATCH, dropout=0.0, stride=chosen.stride).eval()
    dense = network.dense()
    image = torch.rand(2, 1, *SIZE)
    probability = Probability(15)
    ways: dict[str, nn.Module] = {"fragments": Whole(network, probability)}
    if chosen.stride == 1:
        ways["dilated"] = nn.Sequential(Dilated(dense), probability)
    engines = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    pixels = SIZE[0] * SIZE[1]
    padded = np.pad(image[0, 0].numpy(), PATCH // 2, mode="reflect")
    rng = np.random.default_rng(0)
    corners = [(0, 0), (0, SIZE[1] - 1), (SIZE[0] - 1, 0), (SIZE[0] - 1, SIZE[1] - 1)]
    places = np.concatenate([corners, rng.integers((0, 0), SIZE, (chosen.patches, 2))])
    patches = np.stack([padded[row : row + PATCH, left : left + PATCH] for row, left in places])[:, None]
    with open_engine(graph_of(Patches(dense), torch.rand(2, 1, PATCH, PATCH)), engine="onnxruntime", requests=1) as one:
        expected = one.run(patches).scores["defect_probability"]
        loop = best(lambda: [one.run(patch[None]) for patch in patches], chosen.rounds) / len(patches) * pixels
    frame = np.rint(padded * 255).astype(np.uint8)

    def as_reported() -> None:
        for row, left in places:
            reported.run(scale(frame[None, row : row + PATCH, left : left + PATCH]))

    published = graph_of(Published(network), torch.rand(2, 1, PATCH, PATCH))
    with open_engine(published, engine="onnxruntime", requests=1) as reported:
        report_loop = best(as_reported, chosen.rounds) / len(places) * pixels
    figures: dict[str, object] = {
        "stride": chosen.stride,
        "rounds": chosen.rounds,
        "report_loop_seconds": report_loop,
        "patch_loop_seconds": loop,
    }
    batch = np.resize(patches, (256, *patches.shape[1:]))
    patch_graph = graph_of(Patches(dense), torch.rand(2, 1, PATCH, PATCH))
    with open_engine(patch_graph, engine="onnxruntime", requests=1, chunk=256) as many:
        figures["patch_batches_seconds"] = best(lambda: many.run(batch), chosen.rounds) / 256 * pixels
    seconds: dict[str, float] = {}
    for name, way in ways.items():
        graph = graph_of(way, image)
        for engine in engines:
            rounds = 1 if (name, engine) == ("dilated", "openvino") else chosen.rounds  # a dozen seconds each
            with open_engine(graph, engine=engine, requests=1) as opened:
                seconds[f"{name}, {engine}"] = best(lambda opened=opened: opened.run(image[:1].numpy()), rounds)
                values = opened.run(image[:1].numpy()).anomaly_map[0]
            if chosen.stride == 1:
                given = values[places[:, 0], places[:, 1]]
                figures.setdefault("largest_difference", {})[f"{name}, {engine}"] = float(
                    np.abs(given - expected).max()
                )
    fastest = min(seconds, key=seconds.get)
    figures |= {"seconds": seconds, "fastest": fastest, "ratio": report_loop / seconds[fastest]}
    figures["ratio_to_patch_loop"] = loop / seconds[fastest]
    record("dense_map", {**figures, "goal": {"seconds": 0.5, "ratio": 200}, "note": chosen.note})


if __name__ == "__main__":
    main()
