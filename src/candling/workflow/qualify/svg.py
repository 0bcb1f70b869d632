"""Vector drawings as text: elements, axes, and nothing of what they show.

Every text and attribute is escaped; colours come from the page's style by class, so that print and dark follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Square", "drawing", "element", "label", "line", "number"]


def element(name: str, attributes: Mapping[str, object], *inside: str | Markup) -> Markup:
    """Write one element.

    >>> str(element("text", {"x": 1.25, "class": "tick"}, "a < b"))
    '<text x="1.25" class="tick">a &lt; b</text>'
    """
    written = "".join(f' {key}="{escape(number(value))}"' for key, value in attributes.items())
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup(written), Markup("").join(inside))  # noqa: S704 - escaped


def number(value: object) -> str:
    """Write a coordinate with two digits at most, anything else as it is.

    >>> number(12.3456), number(3.0), number("tick")
    ('12.35', '3', 'tick')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def drawing(width: int, height: int, title: str, parts: Iterable[Markup]) -> Markup:
    """Wrap elements into a drawing that scales with the page and tells its title to those who do not see it."""
    box = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title}
    return element("svg", box, Markup("\n").join(parts))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Draw a straight line."""
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})


def label(x: float, y: float, kind: str, text: str) -> Markup:
    """Write text at a place."""
    return element("text", {"x": x, "y": y, "class": kind}, text)


@dataclass(frozen=True)
class Square:
    """A square field whose two axes both run from 0 to 1."""

    size: float = 380.0
    left: float = 52.0
    top: float = 24.0
    margin: float = 12.0
    """Between the frame and the field, so that marks at 0 and 1 stay inside."""

    def x(self, share: float) -> float:
        """Where a share lies across."""
        return self.left + self.margin + share * (self.size - 2 * self.margin)

    def y(self, share: float) -> float:
        """Where a share lies upwards."""
        return self.top + self.size - self.margin - share * (self.size - 2 * self.margin)

    def frame(self, across: str, up: str) -> list[Markup]:
        """Draw grid, ticks in percent, and what each axis is."""
        right, bottom = self.left + self.size, self.top + self.size
        parts = []
        for step in range(0, 11, 2):
            share = step / 10
            parts += [
                line(self.x(share), self.top, self.x(share), bottom, "grid"),
                line(self.left, self.y(share), right, self.y(share), "grid"),
                label(self.x(share), bottom + 16, "tick middle", f"{10 * step}"),
                label(self.left - 7, self.y(share) + 4, "tick end", f"{10 * step}"),
            ]
        turned = {"class": "tick middle", "transform": f"translate(12 {number(self.y(0.5))}) rotate(-90)"}
        return [*parts, label(self.x(0.5), bottom + 34, "tick middle", across), element("text", turned, up)]
