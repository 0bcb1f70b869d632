"""The drawings of the cells page, as SVG made from benchmarks/results alone; no picture of a cell is in them.

Three: the contamination study with its intervals, two judged scores with both limits, and all scores of one network
beside each other. They are written by generate.py.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from cells_tables import METHODS, T_95, named, newest_text, studied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["DRAWINGS"]

Results = dict[str, Any]

BLUE, ORANGE, GREEN, GREY = "#2a6fb0", "#c2560a", "#3b8a4c", "#8a8a8a"
METHOD_COLOURS = dict(zip(METHODS, (GREY, BLUE, ORANGE), strict=True))
KIND_COLOURS = {"good": BLUE, "anomalous": ORANGE}
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.small{font-size:11px;fill:#555}.head{font-weight:600}"
    ".grid{stroke:#e2e2e2}.axis{stroke:#888}.limit{stroke:#222;stroke-dasharray:5 3}"
)
SHARES = (0.001, 0.01, 0.05)
SOURCES = (("published", "limits from the images learned"), ("held_out", "limits from held-out images"))


@dataclass(frozen=True)
class Panel:
    """A rectangle of a drawing with a linear scale each way."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Give where a value lies across; beyond the scale it lies at its end."""
        return self.left + self.width * _share(value, self.x_range)

    def y(self, value: float) -> float:
        """Give where a value lies from above."""
        return self.top + self.height * (1.0 - _share(value, self.y_range))

    def rows(self, ticks: Iterable[float], said: Callable[[float], str]) -> list[str]:
        """Draw lines across at some values, each with its number on the left."""
        return [
            part
            for tick in ticks
            for part in (
                _line(self.left, self.y(tick), self.left + self.width, self.y(tick), 'class="grid"'),
                _text(self.left - 7, self.y(tick) + 4, said(tick), "small", anchor="end"),
            )
        ]

    def frame(self) -> str:
        """Draw the left and the lower edge."""
        foot = self.top + self.height
        points = f"{self.left:.1f},{self.top:.1f} {self.left:.1f},{foot:.1f} {self.left + self.width:.1f},{foot:.1f}"
        return f'<polyline points="{points}" fill="none" class="axis"/>'


def contamination(results: Results) -> str | None:
    """Draw balanced accuracy against contamination: both sets, observed and unobserved, limits of both kinds."""
    if "contamination" not in results:
        return None
    runs = results["contamination"]["figures"]["runs"]
    parts = []
    for row, name in enumerate(("digits", "malaria")):
        for column, kind in enumerate(("observed", "unobserved")):
            panel = Panel(70 + 420 * column, 90 + 250 * row, 350, 180, (-0.5, 2.5), (0.4, 1.0))
            parts.append(_text(panel.left, panel.top - 12, f"{name}, {kind} anomalies", "head"))
            parts += panel.rows((0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), lambda tick: f"{tick:.1f}")
            parts.append(panel.frame())
            for place, share in enumerate(SHARES):
                parts.append(_text(panel.x(place), panel.top + 198, f"{100 * share:g} %", "small", anchor="middle"))
                for at, (method, source) in enumerate((m, s) for s, _ in SOURCES for m in METHODS):
                    found = [
                        run["balanced_accuracy"][source][kind]
                        for run in runs
                        if (studied(run), run["share"], run["method"]) == (name, share, method)
                    ]
                    shown = panel.x(place - 0.35 + 0.12 * at + (0.1 if at > 2 else 0.0))
                    parts += _interval(panel, shown, found, METHOD_COLOURS[method], hollow=source == "held_out")
    for place, (method, colour) in enumerate(METHOD_COLOURS.items()):
        parts += [_dot(78 + 90 * place, 26, colour), _text(86 + 90 * place, 30, method)]
    for place, (source, said) in enumerate(SOURCES):
        left = 400 + 220 * place
        parts += [_dot(left, 26, "#222", hollow=source == "held_out"), _text(left + 9, 30, said)]
    said = "Balanced accuracy (0.5 is guessing), mean of five starts and 95 % interval, by share of anomalies learned"
    return _drawing(860, 560, [*parts, _text(70, 54, said, "small")], said)


def two_criteria(results: Results) -> str | None:
    """Draw cells by the two judged scores of a recipe, with both limits and the histogram of each score."""
    runs = newest_text(run for run in results.get("cells", _NONE)["figures"]["runs"] if _is_double(run))
    if not runs:
        return None
    parts = []
    shown = {run["recipe"]: run for run in reversed(runs)}
    for place, (recipe, run) in enumerate(sorted(shown.items(), reverse=True)):
        parts += _double(run, 70.0 + 440.0 * place, f"{recipe}{_budget(run)}")
    for place, (kind, said) in enumerate((("good", "good cells"), ("anomalous", "parasitized cells"))):
        parts += [_dot(78 + 130 * place, 26, KIND_COLOURS[kind]), _text(86 + 130 * place, 30, said)]
    parts += [_line(350, 26, 380, 26, 'class="limit"'), _text(387, 30, "limits, chosen together for 5 % false rejects")]
    said = "Cells of patients never seen by both judged scores; what lies right of or above a limit is rejected"
    return _drawing(60 + 440 * len(shown), 500, [*parts, _text(70, 54, said, "small")], said)


def _double(run: Results, left: float, title: str) -> list[str]:
    judged = run["judged"]
    (across, x_limit), (up, y_limit) = judged["limits"].items()
    spans = {score: (one["from"], one["to"]) for score, one in judged["histograms"].items()}
    panel = Panel(left, 150, 290, 290, spans[across], spans[up])
    parts = [_text(left, 82, title, "head")]
    for kind in ("anomalous", "good"):
        parts += _steps(judged["histograms"][across][kind], panel, kind, upright=False)
        parts += _steps(judged["histograms"][up][kind], panel, kind, upright=True)
        points = [tuple(map(float, pair.split())) for pair in judged["points"][kind].split(";")]
        parts += [_dot(panel.x(x), panel.y(y), KIND_COLOURS[kind], radius=2.4, faint=True) for x, y in points]
    right = panel.left + panel.width
    parts += [
        panel.frame(),
        _line(panel.x(x_limit), panel.top - 52, panel.x(x_limit), panel.top + panel.height, 'class="limit"'),
        _line(panel.left, panel.y(y_limit), right + 52, panel.y(y_limit), 'class="limit"'),
    ]
    for end in (0, 1):
        value, anchor = panel.x_range[end], ("start", "end")[end]
        parts.append(_text(panel.x(value), panel.top + panel.height + 16, _number(value), "small", anchor=anchor))
        value = panel.y_range[end]
        parts.append(_text(panel.left - 6, panel.y(value) + 4, _number(value), "small", anchor="end"))
    foot = panel.top + panel.height
    parts.append(_text(panel.left + panel.width / 2, foot + 16, across, anchor="middle"))
    parts.append(_text(panel.left + 6, panel.top + 12, up))
    rates = f"rejected {100 * judged['false_rejects']:.1f} % of the good, missed {100 * judged['missed']:.1f} %"
    parts.append(_text(panel.left, foot + 36, rates, "small"))
    return parts


def _steps(counts: str, panel: Panel, kind: str, *, upright: bool) -> list[str]:
    """Draw a histogram beside a panel as a line of steps; upright is to its right, else above it."""
    values = [float(count) for count in counts.split()]
    highest = max(values) or 1.0
    points = []
    for at, value in enumerate(values):
        for edge in (at / len(values), (at + 1) / len(values)):
            if upright:
                x, y = panel.left + panel.width + 4 + 46 * value / highest, panel.top + panel.height * (1.0 - edge)
            else:
                x, y = panel.left + panel.width * edge, panel.top - 4 - 46 * value / highest
            points.append(f"{x:.1f},{y:.1f}")
    return [f'<polyline points="{" ".join(points)}" fill="none" stroke="{KIND_COLOURS[kind]}" stroke-width="1.3"/>']


def local_scores(results: Results) -> str | None:
    """Draw the image AUROC of every score of every recipe: splits as dots, their mean as a line."""
    runs = newest_text(results.get("cells", _NONE)["figures"]["runs"])
    if not runs:
        return None
    rows: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for score, found in run["scores"].items():
            rows.setdefault((f"{run['recipe']}{_budget(run)}", score), []).append(found["image_auroc"])
    groups = list(dict.fromkeys(recipe for recipe, _ in rows))
    height = 22 * (len(rows) + len(groups)) + 6
    lowest = min(5, *(math.floor(10.0 * value) for found in rows.values() for value in found))
    panel = Panel(230, 74, 500, height, (lowest / 10, 1.0), (0.0, 1.0))
    parts = []
    for tick in (tenth / 10 for tenth in range(lowest, 11)):
        parts.append(_line(panel.x(tick), 74, panel.x(tick), 74 + height, 'class="grid"'))
        parts.append(_text(panel.x(tick), 92 + height, f"{tick:.1f}", "small", anchor="middle"))
    band = f'<rect x="{panel.x(0.71):.1f}" y="74" width="{panel.x(0.74) - panel.x(0.71):.1f}" height="{height}"'
    parts += [f'{band} fill="#ececec"/>', _line(panel.x(0.97), 74, panel.x(0.97), 74 + height, 'class="limit"')]
    parts.append(_text(panel.x(0.725), 68, "principal components", "small", anchor="middle"))
    parts.append(_text(panel.x(0.97), 68, "darkest spot", "small", anchor="middle"))
    y = 74 + 17.0
    for recipe in groups:
        parts.append(_text(16, y, recipe, "head"))
        y += 22
        for (owner, score), found in rows.items():
            if owner != recipe:
                continue
            parts.append(_text(panel.left - 10, y, score, anchor="end"))
            mean = panel.x(statistics.fmean(found))
            parts.append(_line(mean, y - 11, mean, y + 3, f'stroke="{BLUE}" stroke-width="3"'))
            parts += [_dot(panel.x(value), y - 4, BLUE, hollow=True) for value in found if len(found) > 1]
            y += 22
    said = "Image AUROC of every score on patients never seen; 0.5 is guessing"
    return _drawing(760, 112 + height, [*parts, _text(16, 26, said)], said)


DRAWINGS: dict[str, Callable[[Results], str | None]] = {
    "contamination": contamination,
    "two_criteria": two_criteria,
    "local_scores": local_scores,
}
"""By file name under docs/pictures/cells; None where nothing is measured yet."""

_NONE: Results = {"figures": {"runs": []}}


def _is_double(run: Results) -> bool:
    return len(run["judged"].get("limits", ())) == 2


def _budget(run: Results) -> str:
    return named(run)[len(run["recipe"]) :]


def _interval(panel: Panel, x: float, found: Sequence[float], colour: str, *, hollow: bool) -> list[str]:
    """Draw the mean of some values and, where there are several, its 95 % t-interval."""
    if not found:
        return []
    mean = statistics.fmean(found)
    parts = []
    if len(found) > 1:
        half = T_95.get(len(found), 1.96) * statistics.stdev(found) / math.sqrt(len(found))
        parts.append(_line(x, panel.y(mean - half), x, panel.y(mean + half), f'stroke="{colour}" stroke-width="1.6"'))
    return [*parts, _dot(x, panel.y(mean), colour, hollow=hollow)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def _share(value: float, span: tuple[float, float]) -> float:
    return min(1.0, max(0.0, (value - span[0]) / (span[1] - span[0] or 1.0)))


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'


def _dot(x: float, y: float, colour: str, *, radius: float = 4.0, hollow: bool = False, faint: bool = False) -> str:
    fill = f'fill="#fff" stroke="{colour}" stroke-width="1.6"' if hollow else f'fill="{colour}"'
    look = fill + (' fill-opacity="0.5"' if faint else "")
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {look}/>'


def _text(x: float, y: float, said: str, kind: str = "", *, anchor: str = "start") -> str:
    look = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{look}>{escape(said)}</text>'


def _drawing(width: int, height: int, parts: Iterable[str], title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    ground = f'<title>{escape(title)}</title><style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, ground, *parts, "</svg>\n"])
