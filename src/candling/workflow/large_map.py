"""The map of one image that is larger than a bundle's graph: what may be mapped so, and what the map says; no verdict.

The graph is run tile by tile into a file (``runtime/tiles.py``), so memory is that of the image and one tile.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tifffile

from candling.errors import OutputExistsError, UsageError
from candling.pixels.read import read_image
from candling.runtime.tiles import write_tiled_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from candling.runtime.predictor import Predictor

__all__ = ["LargeMap", "map_large"]

MOST_PIXELS: Final = 2**30
MOST_BYTES: Final = 2**32
"""Of the image's file."""

STEP: Final = 32
"""Tiles begin at its multiples: networks that work in blocks of up to so many pixels give the same at every tile."""

SHARE: Final = 4
"""So many parts of a tile's shorter side make one margin, where none is asked for."""

_ROWS: Final = 256


@dataclass(frozen=True)
class LargeMap:
    """What was written.

    Attributes:
        path: of the map, float32 TIFF of the image's size.
        height: in pixels.
        width: in pixels.
        margin: pixels at the inner sides of tiles that were not kept.
        mean: of the map; of one of probabilities the share of the image that is expected to be covered by defects.
        highest: value of the map.
        seconds: it took, without reading the image.
    """

    path: str
    height: int
    width: int
    margin: int
    mean: float
    highest: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Give the same as plain values."""
        return asdict(self)


def map_large(
    predictor: Predictor,
    image: Path,
    out: Path,
    *,
    margin: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> LargeMap:
    """Write the map of one large image as float32 TIFF.

    Args:
        predictor: of the bundle.
        image: its file, no side shorter than the graph's.
        out: the map's file.
        margin: see :func:`candling.runtime.tiles.write_tiled_map`; None is a quarter of the graph's shorter side.
        overwrite: replace ``out``.
        progress: called with (done, total) tiles.

    Raises:
        OutputExistsError: ``out`` is there and ``overwrite`` is False.
        UsageError: the bundle judges several regions or frames, aligns, or matches histograms: a tile is none of
            these; or as :func:`candling.runtime.tiles.write_tiled_map`.
        ImageError, EngineError, DiskError: as there.
    """
    recipe, engine = predictor.recipe, predictor.engine
    whole = recipe.strip is None and len(recipe.places) == 1
    if not whole or recipe.prepare.align != "none" or recipe.prepare.histogram != "none":
        raise UsageError(
            "a tile of a large image can be judged where a recipe has one region and neither aligns nor matches "
            "histograms; this bundle's does otherwise: run `candling inspect`"
        )
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} is there already; choose another name, or give --overwrite")
    frame = read_image(image, max_pixels=MOST_PIXELS, max_bytes=MOST_BYTES)
    _, height, width = engine.input_shape
    kept = min(height, width) // SHARE if margin is None else margin
    began = time.perf_counter()
    write_tiled_map(engine, frame, out, margin=kept, step=STEP, white=recipe.prepare.white, progress=progress)
    seconds = time.perf_counter() - began
    values = tifffile.memmap(out, mode="r")
    parts = [values[top : top + _ROWS] for top in range(0, len(values), _ROWS)]
    mean = sum(float(part.sum(dtype=np.float64)) for part in parts) / values.size
    highest = max(float(part.max()) for part in parts)
    return LargeMap(str(out), frame.shape[0], frame.shape[1], kept, mean, highest, seconds)
