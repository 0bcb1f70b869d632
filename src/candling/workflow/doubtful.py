"""Which images a person should correct next for a counter: those whose count is most in doubt; a table and a gallery.

Two things are doubtful about a count. The same image, mirrored, should have the same count: how far four such views
differ says what the network is not sure of. And every object has a score: the sum of s (1 - s) is the variance of their
number if scores were probabilities. Both together, in objects, are the doubt. No truth is needed. Images of many cells
come first: there a correction teaches most.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np
from jinja2 import Environment

from candling.disk import write_atomic
from candling.errors import ImageError, SamplesError
from candling.pixels.heatmap import encode_jpeg
from candling.pixels.read import read_image
from candling.workflow.cell_results import count_file
from candling.workflow.counting import draw_boxes
from candling.workflow.tables import csv_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from candling.runtime.cells import SeenCells
    from candling.runtime.counters import Counter
    from candling.types import Frame

__all__ = ["COLUMNS", "Doubtful", "doubt_of", "most_doubtful", "write_doubtful"]

COLUMNS: Final = ("rank", "path", "count", "doubt", "least", "most", "unsure")
"""Columns of suggested.csv; least and most are of the four views."""

_SIDE_PX: Final = 480

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Images to correct</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:100rem}
main{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:20rem}img{width:100%}
figcaption{font-size:.8rem;overflow-wrap:anywhere}</style></head><body>
<h1>Images to correct</h1>
<p>Of {{ seen }} images these {{ shown|length }} have the counts that {{ bundle }} is least sure of. Correct the boxes
of {{ annotations }}, most doubtful first, and take them back with <code>candling import</code>.</p>
<main>{% for one, picture in shown %}
<figure>{% if picture %}<img src="data:image/jpeg;base64,{{ picture }}" alt="">{% endif %}
<figcaption>{{ loop.index }}. {{ one.path.name }}<br>{{ one.count }} counted; {{ one.least }} to {{ one.most }} when
mirrored; doubt {{ "%.1f"|format(one.doubt) }}</figcaption></figure>{% endfor %}
</main></body></html>
"""


@dataclass(frozen=True)
class Doubtful:
    """One image and how unsure its count is.

    Attributes:
        path: the file.
        count: objects of all classes, in the image as it is.
        views: the same of the image and its three mirror images.
        unsure: sum of s (1 - s) over the scores of all objects.
    """

    path: Path
    count: int
    views: tuple[int, ...]
    unsure: float

    @property
    def least(self) -> int:
        """The lowest count of a view."""
        return min(self.views)

    @property
    def most(self) -> int:
        """The highest."""
        return max(self.views)

    @property
    def doubt(self) -> float:
        """How far the count may be off, in objects.

        >>> from pathlib import Path
        >>> Doubtful(Path("a.png"), 10, (10, 10, 14, 14), 5.0).doubt
        3.0
        """
        return math.sqrt(float(np.var(self.views)) + self.unsure)


def doubt_of(counter: Counter, path: Path) -> Doubtful:
    """Count an image in four views.

    Raises:
        ImageError: it cannot be read.
        EngineError: the engine failed.
    """
    frame = read_image(path)
    mirrored = (frame, cv2.flip(frame, 1), cv2.flip(frame, 0), cv2.flip(frame, -1))
    seen = [counter.look(cast("Frame", view)) for view in mirrored]
    views = tuple(_count(counter, one) for one in seen)
    scores = np.clip(seen[0].found.scores, 0.0, 1.0)
    return Doubtful(path, views[0], views, float((scores * (1.0 - scores)).sum()))


def most_doubtful(
    counter: Counter, paths: Sequence[Path], *, count: int, progress: Callable[[int, int], None] | None = None
) -> tuple[tuple[Doubtful, ...], tuple[str, ...]]:
    """Choose the images whose counts are most in doubt.

    Args:
        counter: the bundle, opened.
        paths: image files.
        count: how many at most.
        progress: called with (done, total) images.

    Returns:
        Most doubtful first, of equal doubt in the order given; and a sentence for every image that cannot be read.

    Raises:
        SamplesError: none can be read.
        EngineError: the engine failed.
    """
    found: list[Doubtful] = []
    problems: list[str] = []
    for done, path in enumerate(paths, start=1):
        try:
            found.append(doubt_of(counter, path))
        except ImageError as error:
            problems.append(str(error))
        if progress is not None:
            progress(done, len(paths))
    if not found:
        raise SamplesError(f"none of {len(paths)} images can be read, so none can be suggested; give readable images")
    return tuple(sorted(found, key=lambda one: -one.doubt)[:count]), tuple(problems)


def write_doubtful(
    chosen: Sequence[Doubtful], counter: Counter, out: Path, *, bundle: str, seen: int, annotations: str
) -> None:
    """Write ``suggested.csv`` and ``suggested.html`` into a folder that is there.

    Raises:
        EngineError: the engine failed.
        DiskError: one of them cannot be written.
    """
    lines = [csv_line(COLUMNS)]
    for rank, one in enumerate(chosen, start=1):
        path, doubt, unsure = str(one.path.resolve()), round(one.doubt, 3), round(one.unsure, 3)
        lines.append(csv_line([rank, path, one.count, doubt, one.least, one.most, unsure]))
    write_atomic(out / "suggested.csv", "".join(lines))
    shown = [(one, _picture(counter, one.path)) for one in chosen]
    template = Environment(autoescape=True).from_string(PAGE)
    page = template.render(shown=shown, bundle=bundle, seen=seen, annotations=annotations)
    write_atomic(out / "suggested.html", page)


def _count(counter: Counter, seen: SeenCells) -> int:
    if seen.expected is not None:
        return round(seen.expected)
    least = np.array(list(counter.counting.scores.values()))
    return int((seen.found.scores >= least[seen.found.labels]).sum())


def _picture(counter: Counter, path: Path) -> str:
    try:
        frame, counted = count_file(counter, path)
    except ImageError:  # it was there a moment ago
        return ""
    return base64.b64encode(encode_jpeg(draw_boxes(frame, counted, longest=_SIDE_PX))).decode()
