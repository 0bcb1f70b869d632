"""The tables of README and docs, each made from the files under benchmarks/results and from nothing else."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from blood_cells_tables import blood_cells, boxed_nuclei
from cells_tables import cells, cells_fired, cells_speed, contamination, density_speed
from counting_tables import histogram_matching, huge_image, vgg_cells
from detector_tables import LATER, NAMES, contaminated, detector, foot, memory_speed, newest, spread, surface
from nanofibres_tables import dense_map, huge_map, nanofibres
from product_tables import products
from vials_tables import strip_speed, vials, vials_by_contrast, vials_by_defect

if TYPE_CHECKING:
    from collections.abc import Callable

Results = dict[str, Any]

TARGETS = {  # what this release set out to reach for each set: image AUROC of the best autoencoder
    "mvtec_capsule": 0.85,
    "mvtec_bottle": 0.97,
    "mvtec_grid": 0.90,
    "kolektor_sdd": 0.80,
}
FORMER = {"06e76bfe94e3": "gradient_autoencoder"}
"""What a recipe was called by its name when it was measured and is called now, by the digest of its text."""


def quality(results: Results) -> str:
    """Image AUROC, pixel AP and AUPRO of every recipe on every set, mean and spread over random starts."""
    if "quality" not in results:
        return LATER
    runs = results["quality"]["figures"]["runs"]
    named = [{**run, "shown": FORMER.get(run["text"], run["recipe"]) + _budget(run)} for run in runs]
    groups = newest(named, ("set", "shown"))
    lines = [
        "| images | recipe | starts | image AUROC | pixel AP | AUPRO | minutes | aim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    order = {name: number for number, name in enumerate(NAMES)}
    for (name, recipe), of in sorted(groups.items(), key=lambda item: (order.get(item[0][0], 99), item[0][1])):
        aim = TARGETS.get(name, "") if recipe in {"gradient_autoencoder", "capsules_best"} else ""
        cells = [spread(of, key) for key in ("image_auroc", "pixel_ap", "aupro")]
        minutes = [run["minutes"] for run in of if run.get("minutes") is not None]
        spent = f"{statistics.mean(minutes):.1f}" if minutes else ""
        lines.append(f"| {NAMES.get(name, name)} | `{recipe}` | {len(of)} | {' | '.join(cells)} | {spent} | {aim} |")
    return "\n".join(lines) + "\n\n" + foot(results["quality"])


def _budget(run: dict[str, Any]) -> str:
    return f" --minutes {run['minutes_budget']:g}" if run.get("minutes_budget") else ""


def speed(results: Results) -> str:
    """Every speed and size figure beside its aim and the peer."""
    lines = ["| what | reached | aim | beside it |", "|---|---|---|---|"]
    for name, rows in ROWS.items():
        if name in results:
            lines += rows(results[name]["figures"])
    if len(lines) == 2:
        return LATER
    last = max((results[name] for name in ROWS if name in results), key=lambda result: result["date"])
    return "\n".join(lines) + "\n\n" + foot(last)


def _startup(figures: Results) -> list[str]:
    value = figures["candling --help"]["median_s"]
    return [f"| `candling --help` | {value:.2f} s | < 0.3 s | anomalib 7.65 s |"]


def _cold_start(figures: Results) -> list[str]:
    lines = []
    for engine in ("onnxruntime", "openvino"):
        row = figures[engine]
        reached = f"{row['wall_s, median']:.2f} s, {row['peak_mb, median']:.0f} MB"
        beside = "anomalib's light inferencer 5.8 s, 1,026 MB for its import"
        lines.append(f"| cold start to first verdict, {engine} | {reached} | < 0.9 s, < 180 MB | {beside} |")
    return lines


def _install(figures: Results) -> list[str]:
    core, more = figures["core"]["mb"], figures["core with OpenVINO"]["mb"]
    what = "install without training; with OpenVINO"
    return [f"| {what} | {core:.0f} MB; {more:.0f} MB | < 350; < 520 MB | anomalib 6,300 MB |"]


def _inspect(figures: Results) -> list[str]:
    ours, theirs = figures["candling"], figures["eager"]["images_per_second"]
    what = "`inspect`, 512 x 512 capsules, file to verdict"
    reached = f"{ours['images_per_second']:.0f} images/s, {figures['ratio']:.1f} times"
    beside = f"eager PyTorch with scikit-image SSIM {theirs:.0f} images/s"
    share = f"| share of that time inside the graph | {100 * ours['graph_share']:.0f} % | 70 % | |"
    return [f"| {what} | {reached} | 3 times | {beside} |", share]


def _training(figures: Results) -> list[str]:
    ours, theirs = figures["images_per_second"]["candling"], figures["images_per_second"]["plain"]
    reached = f"{ours:.0f} images/s, {figures['ratio']:.1f} times"
    return [f"| training, capsule autoencoder | {reached} | 2 times | plain float32 PyTorch {theirs:.0f} images/s |"]


ROWS: dict[str, Callable[[Results], list[str]]] = {
    "startup": _startup,
    "cold_start": _cold_start,
    "install_size": _install,
    "inspect_speed": _inspect,
    "training_speed": _training,
}

TABLES: dict[str, Callable[[Results], str]] = {
    "quality": quality,
    "speed": speed,
    "surface": surface,
    "products": products,
    "detector": detector,
    "contaminated": contaminated,
    "memory_speed": memory_speed,
    "vials": vials,
    "strip_speed": strip_speed,
    "vials_by_contrast": vials_by_contrast,
    "vials_by_defect": vials_by_defect,
    "nanofibres": nanofibres,
    "dense_map": dense_map,
    "huge_map": huge_map,
    "cells": cells,
    "cells_fired": cells_fired,
    "cells_speed": cells_speed,
    "contamination": contamination,
    "density_speed": density_speed,
    "blood_cells": blood_cells,
    "boxed_nuclei": boxed_nuclei,
    "histogram_matching": histogram_matching,
    "vgg_cells": vgg_cells,
    "huge_image": huge_image,
}
