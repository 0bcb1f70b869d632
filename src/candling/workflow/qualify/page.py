"""A qualification as one self-contained HTML file to read, print and sign; computes no figure.

The file opens offline and asks no server for anything: drawings are inline, there is no script, and its
Content-Security-Policy allows one inline style and nothing else. Names come from tables and are untrusted text: the
template and the drawings escape them. The same qualification and provenance give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from candling.decide.qualification import quality_factor, zone_of
from candling.workflow import words
from candling.workflow.qualify import plots
from candling.workflow.qualify.facts import identity

if TYPE_CHECKING:
    from fractions import Fraction

    from candling.decide.qualification import Qualification
    from candling.types import Interval
    from candling.workflow.qualify.provenance import Provenance

__all__ = ["render_page"]

PAGE = Path(__file__).parents[1] / "page"

OUTCOMES = {
    True: ("Passed", "passed"),
    False: ("Not passed", "failed"),
    None: ("Not judged", "open"),
}

SIGNATURES = (
    ("Performed by", "I performed the test according to the plan above; the results are complete."),
    ("Reviewed by", "I checked the kit, the results and the conclusion against the records."),
    ("Approved by", "I approve the conclusion for the use stated."),
)
"""Who signs, and what the signature means."""


def render_page(qualification: Qualification, provenance: Provenance) -> str:
    """Give the report as HTML text; a pure function of what was found and where it comes from."""
    style = (PAGE / "report.css").read_text("utf-8") + (PAGE / "qualification.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    outcome, kind = OUTCOMES[qualification.passed]
    page: str = _template().render(
        q=qualification,
        plan=qualification.plan,
        policy=qualification.run_policy,
        knapp=qualification.knapp,
        origin=provenance,
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(f"<style>{style}</style>"),  # noqa: S704 - our own files
        outcome=outcome,
        kind=kind,
        headline=_headline(qualification),
        plots=_drawings(qualification),
        wrong=[container for container in qualification.containers if qualification.is_wrong(container)],
        signatures=SIGNATURES,
        identity=identity(qualification, provenance),
    )
    return page


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "fixed": words.fixed,
        "percent": words.percent,
        "counted": words.count,
        "share": _share,
        "three": _three,
        "signed": _signed,
        "factor": _factor,
    }
    environment.globals["zone_of"] = zone_of
    return environment.get_template("qualification.html")


def _drawings(qualification: Qualification) -> dict[str, Markup]:
    drawn = {
        "curve": plots.operating_curve(qualification.plan),
        "repeatability": plots.repeatability(qualification.run_policy),
    }
    if qualification.classes:
        drawn["classes"] = plots.class_bars(qualification.classes)
    if qualification.knapp is not None:
        drawn |= {"scatter": plots.scatter(qualification), "efficiency": plots.efficiency(qualification.knapp)}
    return drawn


def _headline(qualification: Qualification) -> str:
    if qualification.passed is None:
        return "No criterion was stated, so this report gives figures and no conclusion."
    criteria = qualification.criteria
    missed = sum(not criterion.met for criterion in criteria)
    if len(criteria) == 1:
        return f"The machine {'missed' if missed else 'met'} the criterion of the plan."
    if missed:
        return f"The machine missed {missed} of the {len(criteria)} criteria of the plan."
    return f"The machine met all {len(criteria)} criteria of the plan."


def _share(interval: Interval | None) -> str:
    """Say a rate as ``94.6 % (92.1 to 96.4 %)``."""
    if interval is None:
        return "–"
    low, high = words.percent(interval.low), words.percent(interval.high)
    return f"{words.percent(interval.value)} % ({low} to {high} %)"


def _three(interval: Interval | None) -> str:
    """Say a probability as ``0.946 (0.921 to 0.964)``."""
    if interval is None:
        return "–"
    return f"{words.fixed(interval.value, 3)} ({words.fixed(interval.low, 3)} to {words.fixed(interval.high, 3)})"


def _signed(interval: Interval) -> str:
    """Say a difference with its sign, as ``+0.086 (+0.071 to +0.101)``."""
    value, low, high = (f"{end:+.3f}".replace("-", "−") for end in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def _factor(share: Fraction) -> str:
    """Say the quality factor of a rejection probability with one digit."""
    return words.fixed(float(quality_factor(share)), 1)
