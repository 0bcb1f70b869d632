"""An evaluation as one self-contained HTML file for people; knows no engine and computes no figure.

The file opens offline and asks no server for anything: pictures are data URIs, style and script are inline, and its
Content-Security-Policy forbids every request and every script but the one whose hash it names. Names of images and
classes are untrusted text: the template escapes them, the script only ever sets text nodes. The same evaluation gives
the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from candling.disk import write_atomic
from candling.types import Interval
from candling.workflow import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.workflow.evaluation import Evaluation, Figure, ImageResult, Panel

__all__ = ["render_report", "write_evaluation", "write_report"]

PAGE = Path(__file__).parent / "page"
LISTED = 400
"""So many misjudged images are listed by name; all of them are in the CSV."""
NAMED = 4000
"""Up to so many images the plots tell names when pointed at."""

TITLES = {
    "image_auroc": ("Image AUROC", "chance that a defect scores worse than a good image; 1 is perfect, 0.5 guessing"),
    "image_ap": ("Image average precision", "area under the precision and detection curve"),
    "f1": ("F1 at the bundle's limits", "balance of detection and precision of the verdicts that were given"),
    "best_f1": ("Best F1", "the same at the limit that suits these images best: an upper bound, not a promise"),
    "pixel_auroc": ("Pixel AUROC", "the same for pixels; large areas of background flatter it"),
    "pixel_ap": ("Pixel average precision", "how well the map marks the defect's pixels and no others"),
    "aupro": ("AUPRO", "overlap with every defect region, small ones counting like large ones"),
}


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the report of an evaluation to ``path``, whole or not at all.

    Raises:
        DiskError: the file cannot be written.
    """
    write_atomic(path, render_report(evaluation))


def write_evaluation(evaluation: Evaluation, out: Path) -> Path:
    """Write ``evaluation.json``, ``images.csv`` and ``report.html`` into a folder; give the report's path.

    Args:
        evaluation: what is written.
        out: a folder that is there.

    Raises:
        DiskError: one of them cannot be written.
    """
    write_atomic(out / "evaluation.json", evaluation.json_text())
    write_atomic(out / "images.csv", "".join(evaluation.csv_lines()))
    write_report(evaluation, out / "report.html")
    return out / "report.html"


def render_report(evaluation: Evaluation) -> str:
    """Give the report as HTML text; a pure function of the evaluation."""
    style, script = (PAGE / "report.css").read_text("utf-8"), (PAGE / "report.js").read_text("utf-8")
    page: str = _template().render(
        evaluation=evaluation,
        origin=evaluation.origin,
        policy=_policy(style, script),
        style=Markup(f"<style>{style}</style>"),  # noqa: S704 - our own file
        script=Markup(f"<script>{script}</script>"),  # noqa: S704 - our own file
        data=Markup(_script_json(_live_data(evaluation))),  # noqa: S704 - escaped by _script_json
        headline=_headline(evaluation),
        missed=_rate_words(evaluation, "missed_defect_rate"),
        rejects=_rate_words(evaluation, "false_reject_rate"),
        figures=[(name, *TITLES[name], evaluation.figures[name]) for name in TITLES],
        groups=_groups(evaluation),
        misjudged=(*evaluation.missed_defects, *evaluation.false_rejects)[:LISTED],
        misjudged_count=len(evaluation.missed_defects) + len(evaluation.false_rejects),
        has_pixels=evaluation.figures["aupro"].value is not None,
        has_unlike=any(example.unlike for example in evaluation.examples),
        has_why=any(example.why for example in evaluation.examples),
        identity=evaluation.sha256(),
    )
    return page


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "fixed": words.fixed,
        "percent": words.percent,
        "number": words.scientific_or_fixed,
        "counted": words.count,
        "with_interval": _with_interval,
        "share_with_interval": _share_with_interval,
        "data_uri": _data_uri,
        "beside_limit": _beside_limit,
    }
    return environment.get_template("report.html")


def _policy(style: str, script: str) -> str:
    """Allow the inline style and script by their hashes, pictures inside the file, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_source_hash(style)}'; script-src '{_source_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _script_json(data: Any) -> str:
    """Write JSON that no HTML parser can leave: ``<``, ``>`` and ``&`` only as escapes, the rest ASCII."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _live_data(evaluation: Evaluation) -> dict[str, Any]:
    labels = ["good", *(found.label for found in evaluation.classes)]
    place = {label: index for index, label in enumerate(labels)}
    images = evaluation.images
    return {
        "labels": labels,
        "label": [place[image.label] for image in images],
        "severity": evaluation.severities().tolist(),
        "accepted": [int(image.accepted) for image in images],
        "unjudged": [index for index, image in enumerate(images) if not math.isfinite(image.severity)],
        "names": [image.name for image in images] if len(images) <= NAMED else [],
        "limits": [[line.region, line.score, line.typical, line.high] for line in evaluation.limits],
        "best": evaluation.best_severity,
        "confidence": evaluation.confidence,
    }


def _headline(evaluation: Evaluation) -> str:
    right = sum(image.judged_rightly for image in evaluation.images)
    return f"{right} of {words.count(len(evaluation.images), 'test image')} judged rightly at the bundle's limits."


def _rate_words(evaluation: Evaluation, name: str) -> str:
    """Say a rate as counts, percentage and interval, or why it cannot be said."""
    figure = evaluation.figures[name]
    interval = _interval(figure)
    if interval is None:
        return figure.reason
    of_defects = name == "missed_defect_rate"
    hits = evaluation.missed_defects if of_defects else evaluation.false_rejects
    total = evaluation.defect if of_defects else evaluation.good
    return words.rate(len(hits), len(total), interval, confidence=evaluation.confidence)


def _interval(figure: Figure) -> Interval | None:
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    return Interval(figure.value, figure.low, figure.high)


def _with_interval(figure: Figure) -> str:
    """Say a figure as ``0.912 (0.871 to 0.946)``."""
    if figure.value is None:
        return "–"
    interval = _interval(figure)
    bounds = f" ({words.fixed(interval.low, 3)} to {words.fixed(interval.high, 3)})" if interval else ""
    return words.fixed(figure.value, 3) + bounds


def _share_with_interval(figure: Figure) -> str:
    """Say a rate as ``5.4 % (1.1 to 14.9 %)``."""
    if figure.value is None:
        return "–"
    interval = _interval(figure)
    bounds = f" ({words.percent(interval.low)} to {words.percent(interval.high)} %)" if interval else ""
    return f"{words.percent(figure.value)} %{bounds}"


def _beside_limit(image: ImageResult) -> str:
    """Say the worst score beside its limit, in the score's own unit."""
    if image.value is None or image.limit is None or not image.readable:
        return "could not be judged"
    where = f" in {image.region}" if image.region not in {None, "whole"} else ""
    sign = ">" if image.value > image.limit else "≤"
    value, limit = words.scientific_or_fixed(image.value), words.scientific_or_fixed(image.limit)
    return f"{image.score}{where} {value} {sign} limit {limit}"


def _data_uri(panel: Panel) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(panel.jpeg).decode("ascii")


def _groups(evaluation: Evaluation) -> list[tuple[str, str, Sequence[Any]]]:
    """Gather the examples under the headings of the gallery, each with a sentence on what is shown of how many."""
    found: dict[str, list[Any]] = {}
    for example in evaluation.examples:
        found.setdefault(example.group, []).append(example)
    totals = {"Missed defects": len(evaluation.missed_defects), "False rejects": len(evaluation.false_rejects)}
    groups: list[tuple[str, str, Sequence[Any]]] = []
    for heading, examples in found.items():
        total = totals.get(heading)
        shown = "for comparison"
        if total is not None:
            shown = "all" if len(examples) == total else f"the {len(examples)} worst of {total}"
        groups.append((heading, shown, examples))
    return groups
