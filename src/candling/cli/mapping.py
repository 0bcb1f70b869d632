"""The command for one image that is larger than a bundle's graph; the work is done in the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from candling.cli.frame import ENGINES, BundlePath, EngineName, Json, Overwrite, Threads, app, known

__all__ = ["map_image"]


@app.command("map")
def map_image(
    bundle: BundlePath,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One picture, larger than what the bundle judges.")],
    out: Annotated[Path, typer.Option("--out", help="The map, a float32 TIFF of the picture's size.")],
    margin: Annotated[
        int | None,
        typer.Option("--margin", min=0, help="Pixels at a tile's sides that do not count; default a quarter of it."),
    ] = None,
    engine: EngineName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Map one huge picture, tile by tile.

    Every pixel gets the value that the network gives it in its surroundings; memory is that of the picture and one
    tile. No verdict is given: limits were chosen for pictures of the usual size.

    Examples:

      candling map fibres.bundle scan.tif --out scan_map.tif

      candling map fibres.bundle scan.tif --out scan_map.tif --margin 14 --json
    """
    from candling.cli.output import bar, remark, say, show_json
    from candling.runtime.predictor import Predictor
    from candling.workflow.large_map import map_large

    known("engine", engine, ENGINES)
    predictor = Predictor.load(bundle, engine=engine, threads=threads, requests=1)  # type: ignore[arg-type]
    with bar("tiles", quiet=json) as progress:
        found = map_large(predictor, image, out, margin=margin, overwrite=overwrite, progress=progress)
    if json:
        show_json(found.to_json())
        return 0
    say(f"mean {found.mean:.4g}, highest {found.highest:.4g} over {found.height} x {found.width} px")
    remark(f"map: {out}, in {found.seconds:.1f} s")
    return 0
