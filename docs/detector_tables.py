"""The tables of the memory and its network: methods side by side, contamination, speed; made from results alone."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["LATER", "NAMES", "contaminated", "detector", "foot", "memory_speed", "newest", "surface"]

Results = dict[str, Any]
Runs = list[dict[str, Any]]

LATER = "to be measured\n"

NAMES = {
    "mvtec_capsule": "capsules",
    "mvtec_bottle": "bottles",
    "mvtec_grid": "grid",
    "kolektor_sdd": "commutators",
    "aws_cookie": "cookies",
    "nanofibre_sem": "nanofibres",
    "malaria_cells_50px": "cells",
}
METHODS = ("autoencoder", "variational_autoencoder", "drae", "grd_net", "unet", "memory", "memory_unet")
FIGURES = ("image_auroc", "pixel_ap", "aupro")

AIMS = {  # image AUROC, pixel AP and AUPRO that the memory with its network set out to reach
    "mvtec_capsule": (0.97, 0.60, 0.95),
    "mvtec_bottle": (0.99, 0.88, 0.96),
    "mvtec_grid": (0.99, 0.50, 0.95),
    "kolektor_sdd": (0.92, 0.45, 0.80),
}

PUBLISHED = {  # image AUROC and pixel AP, on the whole official test sets at their authors' sizes
    "DRAEM (Zavrtanik et al. 2021), GPU hours": {
        "mvtec_capsule": (0.985, 0.494),
        "mvtec_bottle": (0.992, 0.865),
        "mvtec_grid": (0.999, 0.657),
    },
    "PatchCore (Roth et al. 2022), ImageNet weights": {
        "mvtec_capsule": (0.980, None),
        "mvtec_bottle": (1.000, None),
        "mvtec_grid": (0.986, None),
    },
}


def detector(results: Results) -> str:
    """Every method on every set, with the aims and the published figures below."""
    if "detector" not in results:
        return LATER
    groups = newest(results["detector"]["figures"]["runs"], ("set", "method", "minutes_budget", "short_side"))
    head = "| images | method | starts | image AUROC | pixel AP | AUPRO | recall | minutes | ms an image |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for name, shown in NAMES.items():
        found = sorted((key for key in groups if key[0] == name), key=_by_method)
        for key in found:
            of = groups[key]
            cells = [*(spread(of, figure) for figure in FIGURES), _plain(of, "recall_at_no_false_reject", 2)]
            spent = [_plain(of, "minutes", 1), _milliseconds(of)]
            lines.append(f"| {shown} | `{key[1]}` | {len(of)} | {' | '.join([*cells, *spent])} |")
        if found:
            lines += _beside(name, shown)
    return "\n".join(lines) + "\n\n" + foot(results["detector"])


def surface(results: Results) -> str:
    """Give the memory, alone and with its network, beside aim and published figures; image AUROC first.

    Of trainings longer than two minutes a product shows those of most starts.
    """
    if "detector" not in results:
        return LATER
    groups = newest(results["detector"]["figures"]["runs"], ("set", "method", "minutes_budget", "short_side"))
    lines = [
        "| images | trained | starts | image AUROC | pixel AP | AUPRO | minutes | aim | DRAEM; PatchCore |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    words = {"memory_unet": "`surface --minutes {:g}`", "memory": "`surface --minutes 0.2`: memory alone"}
    for name, shown in NAMES.items():
        own = {key: of for key, of in groups.items() if key[0] == name and key[1] in words}
        starts = max((len(of) for key, of in own.items() if _long(key)), default=0)
        kept = [key for key, of in own.items() if not _long(key) or len(of) == starts]
        for key in sorted(kept, key=_by_method):
            of, aim = groups[key], AIMS.get(name)
            goal = "" if aim is None or key[1] == "memory" else "; ".join(f"{value:.2f}" for value in aim)
            cells = [*(spread(of, figure) for figure in FIGURES), _plain(of, "minutes", 1), goal]
            others = [f"{rows[name][0]:.3f}" for rows in PUBLISHED.values() if name in rows]
            trained = words[key[1]].format(key[2])
            lines.append(f"| {shown} | {trained} | {len(of)} | {' | '.join(cells)} | {'; '.join(others)} |")
    return "\n".join(lines) + "\n\n" + foot(results["detector"])


def _long(key: tuple[Any, ...]) -> bool:
    return (key[2] or 0.0) > 2.0


def contaminated(results: Results) -> str:
    """Image AUROC with 0, 1 and 5 % of the good training images replaced by defects."""
    if "contaminated" not in results:
        return LATER
    groups = newest(results["contaminated"]["figures"]["runs"], ("set", "method", "minutes_budget", "share"))
    lines = [
        "| images | method | defects learned | starts | image AUROC | pixel AP | false rejects | missed defects |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in sorted(groups, key=lambda key: (*_by_method(key), key[3])):
        of = groups[key]
        cells = [spread(of, figure) for figure in ("image_auroc", "pixel_ap")]
        cells += [_rate(of, name) for name in ("false_reject_rate", "missed_defect_rate")]
        lines.append(f"| {NAMES[key[0]]} | `{key[1]}` | {100 * key[3]:g} % | {len(of)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + foot(results["contaminated"])


def memory_speed(results: Results) -> str:
    """Fitting and asking a memory of few and of many good images."""
    if "memory_speed" not in results:
        return LATER
    figures = results["memory_speed"]["figures"]
    lines = [
        "| method | good images | fit | whole `train` | peak memory | bundle | one image | side by side |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, fit in figures["fit"].items():
        method, count = name.split(", ")
        asked = [figures["inspect"][f"{name}, {engine}"] for engine in ("openvino", "onnxruntime")]
        spent = [f"{fit['fit_s']:.1f} s", f"{fit['train_s']:.0f} s"] if method == "memory" else ["", ""]
        sizes = [f"{fit['peak_mb']:.0f} MB", f"{fit['bundle_mb']:.1f} MB"]
        times = ["; ".join(f"{each[key]:.1f}" for each in asked) + " ms" for key in ("one_ms", "beside_ms")]
        lines.append(f"| `{method}` | {count} | {' | '.join([*spent, *sizes, *times])} |")
    return "\n".join(lines) + "\n\n" + foot(results["memory_speed"])


def newest(runs: Runs, keys: Sequence[str]) -> dict[tuple[Any, ...], Runs]:
    """Group runs, and keep of each group those of the recipe that was measured last."""
    groups: dict[tuple[Any, ...], Runs] = {}
    for run in runs:
        groups.setdefault(tuple(run.get(key) for key in keys), []).append(run)
    return {key: [run for run in of if run.get("text") == of[-1].get("text")] for key, of in groups.items()}


def spread(runs: Runs, key: str) -> str:
    """Write mean and standard deviation of a figure over random starts; nothing where there is none."""
    values = [run[key]["value"] for run in runs if run.get(key) and run[key]["value"] is not None]
    if not values:
        return ""
    more = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{more}"


def foot(result: Results) -> str:
    """Say when and on what it was measured."""
    hardware = result["hardware"]
    cores = "1 core" if hardware["cores"] == 1 else f"{hardware['cores']} cores"
    return f"Measured {result['date'][:10]} on {hardware['processor']}, {cores}.\n"


def _beside(name: str, shown: str) -> list[str]:
    """Give the rows of aim and published figures."""
    rows = [] if name not in AIMS else [("aim", AIMS[name])]
    rows += [(f"published: {who}", (*values[name], None)) for who, values in PUBLISHED.items() if name in values]
    return [
        f"| {shown} | *{who}* | | {' | '.join('' if value is None else f'{value:.3f}' for value in values)} | | | |"
        for who, values in rows
    ]


def _by_method(key: tuple[Any, ...]) -> tuple[int, int, float]:
    budget = key[2] or 0.0
    return list(NAMES).index(key[0]), METHODS.index(key[1]), budget


def _plain(runs: Runs, key: str, digits: int) -> str:
    return _mean((run.get(key) for run in runs), lambda value: f"{value:.{digits}f}")


def _milliseconds(runs: Runs) -> str:
    return _mean(((run.get("engine") or {}).get("beside_ms") for run in runs), lambda value: f"{value:.1f}")


def _rate(runs: Runs, key: str) -> str:
    return _mean(((run.get(key) or {}).get("value") for run in runs), lambda value: f"{100 * value:.0f} %")


def _mean(values: Iterable[float | None], write: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return write(statistics.mean(known)) if known else ""
