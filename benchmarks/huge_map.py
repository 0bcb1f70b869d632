"""A map of every pixel of an image of 10,000 x 10,000, tile by tile into a file: seconds, and the memory it takes.

    python benchmarks/huge_map.py [--side 10000] [--engine auto]

The graph is that of recipe ``nanofibres_published``, with random weights: neither speed nor memory depends on them. The
image is a real one, mirrored again and again, in a file that is mapped. Memory is what the process holds for itself,
sampled while it works; mapped files are counted apart, since the system takes their pages back when it needs them. At
some places the map is compared with that of the very surroundings, run by themselves.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
import tifffile
import torch
from dense_map import PATCH, SIZE, graph_of
from record import DATA, record

from candling.pixels.prepare import scale
from candling.pixels.read import read_image
from candling.runtime.engine import open_engine
from candling.runtime.tiles import write_tiled_map
from candling.train.classifying import PatchNetwork, Whole
from candling.train.probability import Probability

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = PATCH // 2
CHECKED = 6


class Memory:
    """Samples what this process holds, in MiB, until it is told to stop; the largest counts."""

    def __init__(self) -> None:
        self.own = self.mapped = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            own, mapped = held()
            self.own, self.mapped = max(self.own, own), max(self.mapped, mapped)


def held() -> tuple[float, float]:
    """Give memory of its own, and pages of mapped files, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = {line.split(":")[0]: float(line.split()[1]) / 1024 for line in lines if line.startswith("Rss")}
    return found["RssAnon"], found["RssFile"]


def large_image(path: Path, side: int) -> NDArray[np.uint8]:
    """Write a real image, mirrored again and again, into a mapped file."""
    frame = read_image(min((DATA / "nanofibre_sem" / "anomalous").glob("*.tif")))
    rows = cv2.copyMakeBorder(frame, 0, frame.shape[0], 0, frame.shape[1], cv2.BORDER_REFLECT_101)
    image = np.memmap(path, np.uint8, "w+", shape=(side, side))
    for top in range(0, side, len(rows)):
        for left in range(0, side, rows.shape[1]):
            part = image[top : top + rows.shape[0], left : left + rows.shape[1]]
            part[...] = rows[: part.shape[0], : part.shape[1]]
    image.flush()
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--note", default="", help="what the reader must know of the machine while it ran")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    network = PatchNetwork((1, *SIZE), patch=PATCH, dropout=0.0, stride=1).eval()
    graph = graph_of(Whole(network, Probability(15)), torch.rand(2, 1, *SIZE))
    with (
        tempfile.TemporaryDirectory() as place,
        open_engine(graph, engine=chosen.engine, requests=1) as engine,
    ):
        image = large_image(Path(place, "image.raw"), chosen.side)
        engine.run(scale(np.ascontiguousarray(image[: SIZE[0], : SIZE[1]])[None]))  # what one tile needs is there
        before, _ = held()
        start = time.perf_counter()
        with Memory() as memory:
            path = write_tiled_map(engine, image, Path(place, "map.tiff"), margin=MARGIN)
        seconds = time.perf_counter() - start
        values = tifffile.memmap(path, mode="r")
        rng = np.random.default_rng(0)
        differences = []
        for top, left in rng.integers((0, 0), (chosen.side - SIZE[0], chosen.side - SIZE[1]), (CHECKED, 2)):
            here = np.ascontiguousarray(image[top : top + SIZE[0], left : left + SIZE[1]])
            inner = engine.run(scale(here[None])).anomaly_map[0, MARGIN:-MARGIN, MARGIN:-MARGIN]
            bottom, right = top + SIZE[0] - MARGIN, left + SIZE[1] - MARGIN
            differences.append(np.abs(values[top + MARGIN : bottom, left + MARGIN : right] - inner).max())
        figures = {
            "side_px": chosen.side,
            "tile_px": list(SIZE),
            "engine": engine.name,
            "seconds": seconds,
            "megapixels_per_second": chosen.side**2 / seconds / 1e6,
            "memory_mib": memory.own,
            "memory_mib_with_one_tile": before,
            "mapped_files_mib": memory.mapped,
            "largest_difference": float(max(differences)),
            "note": chosen.note,
        }
    record("huge_map", figures)


if __name__ == "__main__":
    main()
