"""The five drawings of a qualification report; computes nothing that the figures do not hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from candling.decide.qualification import chance_of_k
from candling.workflow import words
from candling.workflow.qualify.svg import Square, drawing, element, label, line, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from candling.decide.qualification import GroupResult, Knapp, Plan, Qualification, RunPolicy
    from candling.types import Interval

__all__ = ["class_bars", "efficiency", "operating_curve", "repeatability", "scatter"]

GOLDEN = 0.618034
"""Multiples of it, without their whole part, spread marks evenly and the same at every rendering."""


def scatter(qualification: Qualification) -> Markup:
    """Draw every container by its rejection probability by hand (across) and by machine (up)."""
    square = Square()
    edges = (square.left, square.x(0.3), square.x(0.7), square.left + square.size)
    parts: list[Markup] = []
    for start, end, kind in zip(edges, edges[1:], ("accept", "grey", "reject"), strict=False):
        box = {"x": start, "y": square.top, "width": end - start, "height": square.size, "class": f"zone-{kind}"}
        parts.append(element("rect", box))
        parts.append(label((start + end) / 2, square.top - 8, "tick middle strong", f"{kind} zone"))
    parts += square.frame("rejected by inspectors, % of inspections", "rejected by the machine, % of runs")
    parts.append(line(square.x(0), square.y(0), square.x(1), square.y(1), "guess"))
    for index, container in enumerate(qualification.containers):
        turn, tilt = (index * GOLDEN) % 1 - 0.5, (index * GOLDEN * GOLDEN) % 1 - 0.5
        x, y = square.x(float(container.manual) + 0.016 * tilt), square.y(float(container.machine) + 0.05 * turn)
        wrong = " wrong" if qualification.is_wrong(container) else ""
        told = (
            f"{container.entry.product}: {container.entry.defect or 'good'}, inspectors {container.manual_rejects} of "
            f"{container.manual_inspections}, machine {container.rejects} of {container.runs}"
        )
        parts.append(_mark(x, y, told, good=container.entry.is_good, wrong=wrong))
    return drawing(446, 444, "Rejection probability of every container, inspectors against machine", parts)


def _mark(x: float, y: float, told: str, *, good: bool, wrong: str) -> Markup:
    title = element("title", {}, told)
    if good:
        return element("circle", {"cx": x, "cy": y, "r": 3.4, "class": f"dot good{wrong}"}, title)
    path = f"M{number(x)} {number(y - 4)}l4 7h-8z"
    return element("path", {"d": path, "class": f"dot defect{wrong}"}, title)


def efficiency(knapp: Knapp) -> Markup:
    """Draw the mean rejection probability over the reject zone: each inspector, all of them, the machine."""
    alone = [(inspector.name, inspector.inside) for inspector in knapp.inspectors] if len(knapp.inspectors) > 1 else []
    lowest = min([knapp.manual.low, knapp.machine.low, *(value for _, value in alone)])
    start = max(0.0, math.floor(10 * lowest - 0.5) / 10)
    left, width, row = 132.0, 290.0, 32.0
    bottom = 10 + row * (len(alone) + 2)

    def x(share: float) -> float:
        return left + (share - start) / (1 - start) * width

    parts: list[Markup] = []
    steps = round((1 - start) * 10)
    every = 1 if steps <= 5 else 2
    for step in range(0, steps + 1, every):
        share = start + step / 10
        parts.append(line(x(share), 6, x(share), bottom, "grid"))
        parts.append(label(x(share), bottom + 16, "tick middle", words.fixed(100 * share, 0)))
    parts.append(label(x((1 + start) / 2), bottom + 34, "tick middle", "rejected in the reject zone, % of inspections"))
    for place, (name, value) in enumerate(alone):
        y = 10 + row * (place + 0.5)
        parts.append(label(left - 10, y + 4, "tick end", _short(name, 18)))
        parts.append(element("circle", {"cx": x(value), "cy": y, "r": 4.0, "class": "by-hand open"}))
    for place, (name, interval, kind) in enumerate(
        (("all inspectors", knapp.manual, "by-hand"), ("machine", knapp.machine, "by-machine")), start=len(alone)
    ):
        y = 10 + row * (place + 0.5)
        parts.append(label(left - 10, y + 4, "tick end strong", name))
        parts.append(line(x(interval.low), y, x(interval.high), y, f"whisker {kind}"))
        parts.append(element("circle", {"cx": x(interval.value), "cy": y, "r": 5.5, "class": kind}))
    parts.append(line(x(knapp.manual.value), 6, x(knapp.manual.value), bottom, "limit-bundle"))
    return drawing(446, round(bottom) + 44, "Reject-zone efficiency of inspectors and machine", parts)


def operating_curve(plan: Plan) -> Markup:
    """Draw the chance of each classification against the chance that one run rejects."""
    square = Square()
    parts = square.frame("chance that one run rejects, %", f"chance of the classification by {plan.k} of {plan.n}, %")
    shares = [step / 100 for step in range(101)]
    rejected = [chance_of_k(share, k=plan.k, n=plan.n) for share in shares]
    accepted = rejected[::-1]
    between = [max(0.0, 1.0 - a - b) for a, b in zip(accepted, rejected, strict=True)]
    for values, kind in ((accepted, "curve accepts"), (between, "curve undecided"), (rejected, "curve rejects")):
        points = " ".join(
            f"{number(square.x(share))},{number(square.y(value))}" for share, value in zip(shares, values, strict=True)
        )
        parts.append(element("polyline", {"points": points, "class": kind}))
    top = max(between)
    parts += [
        label(square.x(0.0), square.top - 8, "tick strong", "accepted"),
        label(square.x(1.0), square.top - 8, "tick end strong", "rejected"),
    ]
    if top > 0.05:
        parts.append(label(square.x(0.5), square.y(top) - 8, "tick middle strong", "neither"))
    return drawing(446, 444, f"Chance of each classification by {plan.k} of {plan.n} runs", parts)


def repeatability(policy: RunPolicy) -> Markup:
    """Draw how many containers were rejected in 0, 1, ... n runs, good ones upward and defects downward."""
    left, width, half, top = 12.0, 936.0, 110.0, 34.0
    middle, bottom, slot = top + half, top + 2 * half, width / (policy.n + 1)
    wide, right = (policy.n - policy.k + 1) * slot, left + width
    parts = [
        element("rect", {"x": start, "y": top, "width": wide, "height": 2 * half, "class": kind})
        for start, kind in ((left, "zone-accept"), (right - wide, "zone-reject"))
    ]
    parts.append(label(left + wide / 2, 22, "tick middle strong", "classified accepted"))
    parts.append(label(right - wide / 2, 22, "tick middle strong", "classified rejected"))
    if 2 * wide < width - slot / 2:
        parts.append(label(left + width / 2, 22, "tick middle strong", "neither: wrong on both sides"))
    for side, kind in ((policy.good, "good"), (policy.defects, "defect")):
        if side is not None:
            parts += _columns(side.repeats, kind, left=left, slot=slot, middle=middle, tallest=half - 22)
    parts.append(line(left, middle, right, middle, "frame"))
    every = range(0, policy.n + 1, 1 + policy.n // 40)
    parts += [label(left + (rejects + 0.5) * slot, bottom + 18, "tick middle", str(rejects)) for rejects in every]
    across = f"runs that rejected the container, of {policy.n}"
    parts.append(label(left + width / 2, bottom + 38, "tick middle", across))
    return drawing(960, round(bottom) + 46, "How many containers were rejected in how many runs", parts)


def _columns(
    counts: Sequence[int], kind: str, *, left: float, slot: float, middle: float, tallest: float
) -> Iterator[Markup]:
    """Draw one column a count with its number, good ones standing on the middle line, defects hanging from it."""
    for place, count in enumerate(counts):
        if not count:
            continue
        x, height = left + place * slot, max(2.0, count / max(counts) * tallest)
        top = middle - height if kind == "good" else middle
        yield element("rect", {"x": x + slot / 10, "y": top, "width": 0.8 * slot, "height": height, "class": kind})
        yield label(x + slot / 2, top - 6 if kind == "good" else top + height + 15, "tick middle", str(count))


def class_bars(groups: Sequence[GroupResult]) -> Markup:
    """Draw the mean rejection probability by machine, and by hand where known, of every class of defect."""
    compared = any(group.manual is not None for group in groups)
    left, width, row = 236.0, 650.0, 40.0 if compared else 28.0
    bottom = 8 + row * len(groups)
    parts: list[Markup] = []
    for step in range(0, 11, 2):
        x = left + step / 10 * width
        parts += [line(x, 4, x, bottom, "grid"), label(x, bottom + 16, "tick middle", f"{10 * step}")]
    parts.append(label(left + width / 2, bottom + 34, "tick middle", "rejected, % of inspections"))
    for place, group in enumerate(groups):
        y = 8 + row * place
        parts.append(label(left - 10, y + row / 2 + 4, "tick end strong", _short(group.name, 32)))
        parts += _bars(group, left, width, y, row)
    return drawing(960, round(bottom) + 44, "Rejection probability by class of defect", parts)


def _bars(group: GroupResult, left: float, width: float, y: float, row: float) -> Iterator[Markup]:
    found = [(group.machine, "by-machine"), *([(group.manual, "by-hand")] if group.manual is not None else [])]
    height = (row - 12) / len(found)
    for place, (interval, kind) in enumerate(found):
        top = y + 6 + place * height
        box = {"x": left, "y": top + 1, "width": max(1.0, interval.value * width), "height": height - 2, "class": kind}
        yield element("rect", box)
        yield _whisker(interval, left, width, top + height / 2)
        yield label(left + width + 10, top + height / 2 + 4, "tick", f"{words.percent(interval.value)} %")


def _whisker(interval: Interval, left: float, width: float, y: float) -> Markup:
    return line(left + interval.low * width, y, left + interval.high * width, y, "whisker")


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
