"""The tables of the blood cells page: average precision and count errors by class, of blood cells and of nuclei."""

from __future__ import annotations

from typing import Any

from detector_tables import LATER, foot

Results = dict[str, Any]


def blood_cells(results: Results) -> str:
    """Every class of BCCD, and all together."""
    return _by_class(results, "blood_cells")


def boxed_nuclei(results: Results) -> str:
    """The nuclei of BBBC039 by boxes."""
    return _by_class(results, "cell_counting")


def _by_class(results: Results, name: str) -> str:
    if name not in results:
        return LATER
    figures = results[name]["figures"]
    lines = [
        "| class | objects | AP at 0.5 | AP, 0.5 to 0.95 | F1 at 0.5 | count error | counted minus true |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = ("map_50", "map", "f1_50", "count_mae", "count_bias")
    for label, one in figures["per_class"].items():
        lines.append(f"| {label} | {one['objects']} | {' | '.join(_shown(one[key], key) for key in keys)} |")
    if len(figures["per_class"]) > 1:
        objects = sum(one["objects"] for one in figures["per_class"].values())
        lines.append(f"| all | {objects} | {' | '.join(_shown(figures[key], key) for key in keys)} |")
    spent = figures["training"]
    learned = f"{spent['updates']:,} updates in {spent['seconds'] / 60.0:.0f} minutes"
    covered = figures.get("interval_covers")
    inside = "" if covered is None else f" {100 * covered['value']:.0f} % of the true counts lie in their interval."
    told = f"{figures['images']} images; learned in {learned}; {figures['milliseconds']:.0f} ms an image.{inside}\n\n"
    return "\n".join(lines) + "\n\n" + told + foot(results[name])


def _shown(figure: dict[str, float] | None, key: str) -> str:
    if figure is None:
        return ""
    digits = 2 if key.startswith("count") else 3
    value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
