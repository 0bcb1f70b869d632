"""From patches to a product, and from runs to a classification; knows no image and no way a score came about.

Any patch outside its limits rejects the product; k of n repeated runs classify it (both: Ferrari et al. 2024). Whatever
could not be judged is rejected: no patch, a region without a patch, a score that is not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.errors import LimitError, UsageError
from candling.types import Box, Limit, Prediction, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["PatchKey", "judge_product", "k_of_n"]

PatchKey = tuple[int | None, str, int | None]
"""Which patch of a product: vial, region, frame."""


def judge_product(
    predictions: Sequence[Prediction],
    limits: Mapping[tuple[str, str], Limit],
    judged: Sequence[str],
    *,
    expected: Sequence[PatchKey] = (),
) -> tuple[Verdict, float, tuple[Reason, ...]]:
    """Give the verdict on one product: accepted only when every judged score of every patch lies within its limit.

    Args:
        predictions: all patches of one product, over all its frames.
        limits: by (region, score). Every region named here for a judged score must have at least one patch.
        judged: the names of the scores that count; other scores of a prediction are ignored.
        expected: every (vial, region, frame) that a strip must have a patch of; each one without is a reason.

    Returns:
        The verdict, the severity and the reasons. The severity is the largest ``limit.severity(value)`` over all judged
        values, infinite when something could not be judged. Reasons are one a vial, region and score (the worst patch
        speaks for the others), worst first, empty for an accepted product. Anything outside its grey zone rejects; the
        verdict is undecided when nothing rejects and something lies in a grey zone.

    Raises:
        LimitError: no score is judged, a judged score has no limit, or a patch lacks a judged score.

    >>> from candling.types import Box
    >>> patch = Prediction("whole", Box(0, 0, 8, 8), {"window_error": 0.0411})
    >>> limits = {("whole", "window_error"): Limit(high=0.0386)}
    >>> verdict, _, reasons = judge_product([patch], limits, ["window_error"])
    >>> verdict.value, reasons[0].text
    ('reject', 'whole: window_error 0.0411 above its limit 0.0386')
    >>> patch = Prediction("whole", Box(0, 0, 8, 8), {"window_error": 0.0411}, vial=3, frame=2)
    >>> judge_product([patch], limits, ["window_error"])[2][0].text
    'vial 3, whole, frame 2: window_error 0.0411 above its limit 0.0386'
    >>> judge_product([], limits, ["window_error"])[0].value
    'reject'
    """
    if not judged:
        raise LimitError("no score is judged; name at least one under limits.scores of the recipe")
    gathered = _gather(predictions, limits, judged)
    findings = [_judge(patches, score, limits[region, score]) for (region, score, _), patches in gathered.items()]
    findings += _unseen(predictions, limits, judged, expected)
    findings.sort(key=lambda finding: -finding.severity)  # stable: equals keep their order
    findings.sort(key=lambda finding: finding.verdict is not Verdict.REJECT)
    reasons = tuple(finding.reason for finding in findings if finding.reason is not None)
    severity = max(finding.severity for finding in findings)
    return _worst(finding.verdict for finding in findings), severity, reasons


def k_of_n(verdicts: Sequence[Verdict], *, k: int, n: int) -> Verdict:
    """Classify a product from its repeated runs: the verdict that at least k of n runs agree on, else undecided.

    Args:
        verdicts: one a run, exactly ``n``.
        k: how many must agree; more than half of ``n``, so that two verdicts cannot both hold.
        n: how many runs a classification needs.

    Raises:
        UsageError: k is not more than half of n or exceeds it, or the number of runs is not n.

    Source: Ferrari et al. 2024, the 7 of 10 rule: 4 to 6 of 10 either way are wrong on both readings, so undecided.

    >>> k_of_n([Verdict.REJECT] * 7 + [Verdict.ACCEPT] * 3, k=7, n=10).value
    'reject'
    >>> k_of_n([Verdict.REJECT] * 6 + [Verdict.ACCEPT] * 4, k=7, n=10).value
    'undecided'
    """
    if not n < 2 * k <= 2 * n:
        raise UsageError(f"{k} of {n} decides nothing; k must be more than half of n and at most n")
    if len(verdicts) != n:
        raise UsageError(f"{len(verdicts)} runs were given where {n} are needed; repeat the missing ones")
    for verdict in (Verdict.REJECT, Verdict.ACCEPT):
        if sum(one is verdict for one in verdicts) >= k:
            return verdict
    return Verdict.UNDECIDED


@dataclass(frozen=True)
class _Finding:
    """What one score says in one region of one vial; ``reason`` is None when all its patches are accepted."""

    verdict: Verdict
    severity: float
    reason: Reason | None


def _gather(
    predictions: Sequence[Prediction], limits: Mapping[tuple[str, str], Limit], judged: Sequence[str]
) -> dict[tuple[str, str, int | None], list[Prediction]]:
    gathered: dict[tuple[str, str, int | None], list[Prediction]] = {}
    for prediction in predictions:
        for score in dict.fromkeys(judged):
            if score not in prediction.scores:
                known = ", ".join(sorted(prediction.scores)) or "none"
                raise LimitError(
                    f"{prediction.region}: the graph gives no score {score!r} (it gives: {known}); "
                    "name one of these under limits.scores of the recipe"
                )
            if (prediction.region, score) not in limits:
                raise LimitError(
                    f"no limit for score {score!r} in region {prediction.region!r}; run `candling calibrate`"
                )
            gathered.setdefault((prediction.region, score, prediction.vial), []).append(prediction)
    return gathered


def _judge(patches: Sequence[Prediction], score: str, limit: Limit) -> _Finding:
    """Judge all patches of one region by one score; the worst patch gives the reason."""
    values = [float(patch.scores[score]) for patch in patches]
    judgements = [
        (_verdict(value, limit), _severity(value, limit), value, patch)
        for value, patch in zip(values, patches, strict=True)
    ]
    severity = max(item[1] for item in judgements)
    verdict = _worst(item[0] for item in judgements)
    if verdict is Verdict.ACCEPT:
        return _Finding(verdict, severity, None)
    _, _, worst, patch = max((item for item in judgements if item[0] is verdict), key=lambda item: item[1])
    outside = sum(item[0] is not Verdict.ACCEPT for item in judgements)
    bound = limit.low if worst < limit.low else limit.high
    text = f"{patch.where}: {score} {_sentence(worst, limit, verdict)}"
    if len(values) > 1:
        text += f" ({outside} of {len(values)} {'patches' if patch.frame is None else 'frames'})"
    reason = Reason(text, patch.region, score, value=worst, limit=bound, vial=patch.vial, frame=patch.frame)
    return _Finding(verdict, severity, reason)


def _unseen(
    predictions: Sequence[Prediction],
    limits: Mapping[tuple[str, str], Limit],
    judged: Sequence[str],
    expected: Sequence[PatchKey],
) -> list[_Finding]:
    """Reject what was not looked at: a product without patches, a region with limits but without a patch."""
    if not predictions:
        return [_Finding(Verdict.REJECT, math.inf, Reason("nothing was judged: the product has no patch"))]
    seen = {(patch.vial, patch.region, patch.frame) for patch in predictions}
    regions = {patch.region for patch in predictions}
    missing: list[PatchKey] = [key for key in dict.fromkeys(expected) if key not in seen]
    missing += [
        (None, region, None)
        for region in dict.fromkeys(region for region, score in limits if score in judged)
        if region not in regions and not any(key[1] == region for key in missing)
    ]
    return [_Finding(Verdict.REJECT, math.inf, _absence(*key)) for key in missing]


def _absence(vial: int | None, region: str, frame: int | None) -> Reason:
    where = Prediction(region, Box(0, 0, 1, 1), {}, vial=vial, frame=frame).where
    return Reason(f"{where}: not judged, it has no patch", region=region, vial=vial, frame=frame)


def _verdict(value: float, limit: Limit) -> Verdict:
    return limit.judge(value) if math.isfinite(value) else Verdict.REJECT  # minus infinity is no good score either


def _severity(value: float, limit: Limit) -> float:
    return limit.severity(value) if math.isfinite(value) else math.inf


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    for verdict in (Verdict.REJECT, Verdict.UNDECIDED):
        if verdict in found:
            return verdict
    return Verdict.ACCEPT


def _sentence(value: float, limit: Limit, verdict: Verdict) -> str:
    """Put a value beside the limit it breaks, with as many digits as it takes to tell them apart.

    >>> _sentence(0.038612, Limit(high=0.038608), Verdict.REJECT)
    '0.038612 above its limit 0.038608'
    """
    if math.isnan(value):
        return "is not a number"
    if math.isinf(value):
        return f"is infinite ({value:+})"
    above = value > limit.high
    bound, edge = (limit.high, limit.reject_high) if above else (limit.low, limit.reject_low)
    shown, beside = _apart(value, bound)
    text = f"{shown} {'above' if above else 'below'} its limit {beside}"
    if verdict is Verdict.UNDECIDED and edge is not None:
        text += f", in the grey zone that ends at {edge:.4g}"
    return text


def _apart(value: float, bound: float) -> tuple[str, str]:
    for digits in range(4, 17):
        shown, beside = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if shown != beside:
            return shown, beside
    return repr(value), repr(bound)
