"""Count the cells of drawn images up to 20,000 x 20,000 px from tiled TIFFs: seconds, peak memory, and nothing twice.

    python benchmarks/huge_image.py                        # trains a minute on drawn fields, then every size
    python benchmarks/huge_image.py --bundle nuclei.bundle --sides 2048 10000

Each size is counted by a process of its own, through `count_file`, as `candling count` does. An image of 3,072 px is
also looked at in one piece, which must give the same cells as the blocks of 2,048. Resumable.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import done_before, keep

NAME = "huge_image"
PATCH, CELLS = 1024, 320
SIDES = (2048, 3072, 10_000, 20_000)
ONE_PIECE = 3072

COUNTS = """
import json, sys, time
from pathlib import Path
from candling.runtime.cells import CellCounter
from candling.workflow.cell_results import count_file
from candling.pixels.read import windows
windows.MAX_PIXELS = 0  # also the small ones are read in parts
counter = CellCounter.load(sys.argv[1])
began = time.monotonic()
_, counted = count_file(counter, Path(sys.argv[2]))
took = time.monotonic() - began
lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would be that of the parent before exec
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
cells, threads = counted.classes[0].count, counter.engine.threads
print(json.dumps({"cells": cells, "seconds": took, "peak_mb": peak, "threads": threads}))
"""


def patches() -> list[np.ndarray]:
    """Draw two fields and mirror them: eight pictures that tile any size."""
    from candling.scenes.cells import draw_cells

    found = []
    for seed in range(2):
        rng = np.random.default_rng([7, seed])
        frame = draw_cells(rng, height=PATCH, width=PATCH, cells=CELLS, radius_px=11.0, touching=0.2).frame
        found += [frame, cv2.flip(frame, 0), cv2.flip(frame, 1), cv2.flip(frame, -1)]
    return found


def write(path: Path, side: int, pictures: list[np.ndarray]) -> None:
    """Write a tiled TIFF of ``side`` px without ever holding it."""
    import tifffile

    down = -(-side // PATCH)
    chosen = np.random.default_rng(side).integers(len(pictures), size=down * down)
    tiles = (pictures[at] for at in chosen)
    tifffile.imwrite(path, tiles, shape=(side, side), dtype=np.uint16, tile=(PATCH, PATCH))


def in_one_piece(bundle: Path, path: Path) -> int:
    """Count an image that is looked at as a whole."""
    from candling.pixels.read import read_image
    from candling.runtime.cells import CellCounter

    counter = CellCounter.load(bundle)
    seen = counter.look(read_image(path), block_px=ONE_PIECE)
    return int((seen.found.scores >= min(counter.counting.scores.values())).sum())


def trained(folder: Path, minutes: float) -> Path:
    """Train the recipe for nuclei on drawn fields."""
    from candling.recipe import load_recipe
    from candling.scenes.cells import write_dataset
    from candling.train.pipeline import train_bundle

    fields = write_dataset(folder / "fields", seed=3, images=30, height=384, width=384, cells=(10, 60))
    return train_bundle(load_recipe("nuclei"), fields, folder / "drawn.bundle", minutes=minutes).path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="count with this one; nothing is trained")
    parser.add_argument("--minutes", type=float, default=1.0, help="of training")
    parser.add_argument("--sides", nargs="+", type=int, default=list(SIDES))
    chosen = parser.parse_args()
    sides = [side for side in chosen.sides if not done_before(NAME, {"side": side})]
    if not sides:
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = chosen.bundle or trained(folder, chosen.minutes)
        pictures = patches()
        for side in sides:
            path = folder / f"{side}.tif"
            write(path, side, pictures)
            done = subprocess.run(
                [sys.executable, "-c", COUNTS, str(bundle), str(path)], capture_output=True, text=True, check=True
            )
            run: dict[str, Any] = {"side": side, "file_mb": path.stat().st_size / 2**20, **json.loads(done.stdout)}
            if side == ONE_PIECE:
                run["cells_in_one_piece"] = in_one_piece(bundle, path)
            keep(NAME, run)
            print(run, flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
