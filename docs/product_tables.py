"""The table of products in README: one line each, its figures from the files under benchmarks/results."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Results = dict[str, Any]

LATER = "not measured yet"


def products(results: Results) -> str:
    """Say what each recipe beside ``surface`` is for, what it reached on real images, and where more is said."""
    lines = ["| product | recipe | reached on real images | page |", "|---|---|---|---|"]
    for (product, recipe, pages), reached in ROWS.items():
        links = ", ".join(f"[docs/{page}.md](docs/{page}.md)" for page in pages)
        lines.append(f"| {product} | {recipe} | {reached(results) or LATER} | {links} |")
    return "\n".join(lines) + "\n"


def _cells(results: Results) -> str | None:
    runs = [run["scores"]["spot"] for run in _runs(results, "cells") if run["recipe"] == "cells"]
    if len(runs) < 2:
        return None
    auroc, missed = ([run[key] for run in runs] for key in ("image_auroc", "missed_at_5_percent"))
    mean, spread = statistics.fmean(auroc), statistics.stdev(auroc)
    return (
        f"image AUROC {mean:.3f} ± {spread:.3f} over {len(runs)} splits of patients, "
        f"{100 * statistics.fmean(missed):.0f} % missed at 5 % false rejects; nothing is trained"
    )


def _fibres(recipe: str) -> Callable[[Results], str | None]:
    def reached(results: Results) -> str | None:
        for run in _runs(results, "nanofibres"):
            if run["recipe"] == recipe:
                auroc, covered = run["pixel_auroc"]["value"], 100 * run["defects"]["coverage"]["value"]
                return f"pixel AUROC {auroc:.3f}, {covered:.0f} % of each defect covered at 5 % false alarms"
        return None

    return reached


def _nuclei(results: Results) -> str | None:
    if "nuclei" not in results:
        return None
    figures = results["nuclei"]["figures"]
    error, f1, dice = (figures[key]["value"] for key in ("count_mae", "f1_50", "area_dice"))
    return f"count error {error:.1f} an image of about 110, F1 {f1:.3f}, area Dice {dice:.3f}; wells not learned from"


def _by_boxes(results: Results) -> str | None:
    if "blood_cells" not in results:
        return None
    figures = results["blood_cells"]["figures"]
    return f"mAP at 0.5 {figures['map_50']['value']:.3f}, count error {figures['count_mae']['value']:.1f} an image"


def _vgg(results: Results) -> str | None:
    errors = [run["count_mae"]["value"] for run in _runs(results, "vgg_cells")]
    if not errors:
        return None
    draws = f"{len(errors)} draw{'s' if len(errors) > 1 else ''} of 50 images"
    return f"simulated images: count error {statistics.fmean(errors):.1f} of about 178, {draws}"


def _vials(results: Results) -> str | None:
    runs = [run for run in _runs(results, "vials") if run["method"] == "memory_unet"]
    if not runs:
        return None
    same = ("text", "line", "seed", "minutes")
    kits = [run["for_runs"] for run in runs if all(run[name] == runs[-1][name] for name in same)]
    accepted, rejected = (
        _percent([kit[key]["value"] for kit in kits]) for key in ("good_accepted", "defects_rejected")
    )
    said = f"{accepted} of the good accepted, {rejected} of the defects rejected"
    if len(kits) > 1:
        said += f"; {len(kits)} kits"
    return f"drawn strips: by 7 of 10 runs {said}"


def _percent(values: list[float]) -> str:
    low, high = (f"{100 * value:.1f}" for value in (min(values), max(values)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _runs(results: Results, name: str) -> list[Results]:
    return results[name]["figures"].get("runs", []) if name in results else []


ROWS: dict[tuple[str, str, tuple[str, ...]], Callable[[Results], str | None]] = {
    ("malaria in blood cells, unseen patients", "`cells`", ("cells",)): _cells,
    ("nanofibres under the electron microscope", "`nanofibres`, learned from masks", ("nanofibres",)): _fibres(
        "nanofibres"
    ),
    ("the same without a labelled defect", "`nanofibres_good`, learned from good images", ("nanofibres",)): _fibres(
        "nanofibres_good"
    ),
    ("strips of vials, one verdict every 500 ms", "`vials`, `vials_together`", ("vials",)): _vials,
    ("nuclei to be counted and measured", "`nuclei`, learned from masks", ("nuclei", "counting")): _nuclei,
    ("blood cells by class", "`blood_cells`, learned from boxes", ("blood_cells",)): _by_boxes,
    ("cells that overlap, to be counted", "`vgg_cells`, learned from dots", ("counting",)): _vgg,
}
