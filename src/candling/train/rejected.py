"""Which training images refinement rejected: a table and a page for people, saved with the bundle; decides nothing.

The page opens offline and asks no server for anything; names of files are untrusted text and are escaped.
"""

from __future__ import annotations

import base64
import csv
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from jinja2 import Environment

from candling.data.samples import split_hold_out, training_samples
from candling.pixels.heatmap import encode_png, thumbnail
from candling.train.method import Rejects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from candling.data.samples import Sample, SampleSet
    from candling.recipe import Recipe
    from candling.train.data import PreparedSet
    from candling.train.method import Method

__all__ = ["REJECTED_PAGE", "REJECTED_TABLE", "name_patches", "rejected_files", "rejected_page", "rejected_table"]

REJECTED_TABLE: Final = "refinement.csv"
REJECTED_PAGE: Final = "refinement.html"

SHOWN: Final = 400
"""At most so many images are shown, evenly drawn; the table names all."""

SIDE_PX: Final = 96
"""The longer side of a picture on the page, at most."""

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Rejected training images</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;max-width:75rem}
main{display:flex;flex-wrap:wrap;gap:.75rem}figure{margin:0;width:7rem}
img{width:100%;image-rendering:pixelated}
figcaption{font-size:.7rem;overflow-wrap:anywhere}</style></head><body>
<h1>Rejected training images</h1>
<p>Refinement rejected {{ count }} of {{ learned }} good training images as outsiders: at the end of training they
counted no more, or against the network. Look whether they are good: what is not should leave the training set, and
what is should have more like it.
{% if shown|length < count %}Shown are {{ shown|length }}; refinement.csv names all.{% endif %}</p>
<main>{% for name, picture in shown %}
<figure><img src="data:image/png;base64,{{ picture }}" alt=""><figcaption>{{ name }}</figcaption></figure>{% endfor %}
</main></body></html>
"""


def rejected_files(method: Method, good: PreparedSet, samples: SampleSet, recipe: Recipe) -> dict[str, bytes]:
    """Give table and page of what a method rejected, by file name; nothing where it rejects nothing.

    Args:
        method: trained.
        good: the prepared images it was given.
        samples: the set they come from.
        recipe: whose ``[training]`` says which were held out.
    """
    numbers = method.rejected() if isinstance(method, Rejects) else ()
    if not len(numbers):
        return {}
    learned, _ = split_hold_out(training_samples(samples), recipe.training.hold_out, seed=recipe.training.seed)
    names = name_patches(learned, recipe)
    chosen = [names[number] for number in numbers]
    page = rejected_page(chosen, good.frames[numbers], learned=len(good))
    return {REJECTED_TABLE: rejected_table(chosen), REJECTED_PAGE: page}


def name_patches(samples: Sequence[Sample], recipe: Recipe) -> list[str]:
    """Name each patch of prepared images by its file, and by its region and vial where it shows one of several."""
    names = []
    for sample in samples:
        if sample.region is not None:
            names.append(f"{sample.path.name} {sample.region}")
            continue
        places = recipe.places
        for place in places:
            vial = "" if place.vial is None else f" vial {place.vial}"
            names.append(sample.path.name + (f"{vial} {place.name}" if len(places) > 1 else ""))
    return names


def rejected_table(names: Sequence[str]) -> bytes:
    """Write the names as a table of one column, ``image``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image"])
    rows.writerows([name] for name in names)
    return text.getvalue().encode()


def rejected_page(names: Sequence[str], frames: NDArray, *, learned: int) -> bytes:
    """Show rejected images.

    Args:
        names: K of them.
        frames: as the network saw them, uint8 or uint16 (K, H, W) or (K, H, W, 3).
        learned: how many training images there were.
    """
    chosen = np.linspace(0, len(names) - 1, min(len(names), SHOWN)).round().astype(int)
    shown = [
        (names[index], base64.b64encode(encode_png(thumbnail(frames[index], SIDE_PX))).decode()) for index in chosen
    ]
    template = Environment(autoescape=True).from_string(PAGE)
    return template.render(count=len(names), learned=learned, shown=shown).encode()
