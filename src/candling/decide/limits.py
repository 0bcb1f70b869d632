"""Choose a limit from scores and state what it promises; knows no image, no bundle and no recipe file.

A limit never sits on a sample. It lies in the middle of the gap between the last accepted and the first rejected
score, so that the next score a little above the last accepted one is not rejected by rounding. Where nothing was
rejected there is no gap, and the limit is extrapolated from the upper tail of the scores (see :func:`choose_limit`).

Goals for good scores alone: ``quantile``, ``false_reject``. Goals for labelled scores: ``youden``, ``f1``, ``recall``,
``cost``; among limits equally near their goal the one with the fewest missed defects is taken, which settles every tie.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candling.errors import LimitError
from candling.intervals import clopper_pearson, samples_to_show, upper_bound
from candling.types import WHOLE, Interval, Limit

__all__ = ["GOALS", "LABELLED_GOALS", "ChosenLimit", "choose_limit", "clopper_pearson", "upper_bound"]

LABELLED_GOALS = ("youden", "f1", "recall", "cost")
"""Goals that need scores of defects."""

GOALS = ("quantile", "false_reject", *LABELLED_GOALS)
"""All goals a limit can be chosen for."""

PROBABILITY = "probability"
"""A score whose name ends so is in [0, 1]."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ChosenLimit:
    """A limit with the goal it was chosen for and what the scores at hand say about it.

    Attributes:
        region: the region it holds for.
        score: the score it holds for.
        limit: with ``typical`` = the median good score; its grey zone, if any, begins at ``high``.
        goal: one of :data:`GOALS`.
        value: the goal's number (quantile, target rate, recall, cost); without meaning for ``youden`` and ``f1``.
        samples_good: how many good scores it was chosen from.
        samples_defect: how many defect scores were given.
        false_reject: share of the good scores above ``limit.high``, with its two-sided Clopper-Pearson interval.
        missed_defect: share of the defect scores at or below ``limit.high``, likewise; None without defects.
        false_reject_bound: one-sided upper bound of the false-reject rate at ``confidence``.
        missed_defect_bound: one-sided upper bound of the missed-defect rate; None without defects.
        confidence: of the interval and of the bounds.
        note: what a reader must know before trusting the limit, as sentences; empty when there is nothing.
    """

    region: str
    score: str
    limit: Limit
    goal: str
    value: float
    samples_good: int
    samples_defect: int
    false_reject: Interval
    missed_defect: Interval | None
    false_reject_bound: float
    missed_defect_bound: float | None
    confidence: float
    note: str = ""


def choose_limit(
    good: NDArray[np.floating],
    defect: NDArray[np.floating] | None,
    *,
    goal: str,
    value: float,
    score: str,
    region: str = WHOLE,
    confidence: float = 0.95,
    grey: float = 0.0,
) -> ChosenLimit:
    """Choose the upper limit of one score in one region.

    ============== ========================= ===========================================================================
    goal           value                     the limit
    ============== ========================= ===========================================================================
    quantile       share in (0, 1]           accepts at least this share of the good scores, as few as possible
    false_reject   rate in (0, 1)            rejects at most this share of *further* good products, on average
    youden         none                      maximises detected share minus falsely rejected share
    f1             none                      maximises F1 of rejecting defects
    recall         share in (0, 1]           detects at least this share of the defects with the fewest false rejects
    cost           false rejects, over 0     minimises missed defects * value + false rejects, counted in these samples
    ============== ========================= ===========================================================================

    ``false_reject`` on n good scores rejects the k = floor(rate * (n + 1) - 1/2) largest. A further good product lies
    above the k-th largest with mean probability k / (n + 1), above the next smaller one with (k + 1) / (n + 1), and
    above the middle of their gap with (k + 1/2) / (n + 1) <= rate, or less where the density falls towards the tail.

    Where k is 0 the limit is extrapolated: the excesses of the m largest scores over the next smaller one, u, are taken
    as exponential with their mean b. Then u + b m (((m + 1) / ((n + 1) rate))^(1/m) - 1) is exceeded with mean
    probability ``rate``, the uncertainty of b included: exactly for an exponential tail, more rarely for a lighter one
    (Gaussian), more often for a heavier one. m is a quarter of n, at least 5. The distance from u is at most twice what
    it would be were b certain, so that a handful of images cannot push the limit to where nothing is rejected. Whenever
    no good score is rejected the limit lies at least b/2 above the largest, the middle of the gap to be expected there.
    Where the limit of a probability (a score whose name ends so) would be 1 or more, and nothing could be rejected, it
    lies between the largest good score and 1 instead.

    The interval of the false-reject rate holds although the limit was chosen on the same good scores, because the mass
    above an order statistic follows the very beta distributions Clopper and Pearson use (Wilks 1941). With a labelled
    goal the rates are optimistic, and the note says so.

    Args:
        good: float (N,), finite, scores of good products, larger is worse; N at least 1.
        defect: float (M,), finite, scores of defects; needed by labelled goals.
        goal: one of :data:`GOALS`.
        value: the goal's number, see above.
        score: the score's name.
        region: the region's name.
        confidence: of intervals and bounds, inside (0, 1).
        grey: width of the grey zone above the limit, as a share of the way from the median good score to the limit.

    Raises:
        LimitError: no scores, scores that are not finite, an unknown goal, an impossible value, or a labelled goal
            without defects.

    >>> import numpy as np
    >>> chosen = choose_limit(np.array([1.0, 2.0, 3.0]), np.array([9.0, 8.0]), goal="f1", value=0.0, score="rarity")
    >>> chosen.limit.high, chosen.limit.typical, chosen.missed_defect.value
    (5.5, 2.0, 0.0)
    >>> choose_limit(np.arange(100.0), None, goal="quantile", value=0.95, score="rarity").limit.high
    94.5
    """
    where = f"{region}: {score}"
    _check_choice(goal, value, confidence=confidence, grey=grey, where=where)
    accepted = _finite_sorted(good, f"{where}: good scores")
    rejected = _finite_sorted(np.empty(0) if defect is None else defect, f"{where}: defect scores")
    if not accepted.size:
        raise LimitError(f"{where}: no good score to choose a limit from; give good images")
    if goal in LABELLED_GOALS and not rejected.size:
        raise LimitError(
            f"{where}: the goal {goal!r} needs scores of defects and there are none; "
            "give labelled images, or choose false_reject or quantile"
        )
    high = _labelled(accepted, rejected, goal, value) if goal in LABELLED_GOALS else _from_good(accepted, goal, value)
    if score.endswith(PROBABILITY) and high >= 1.0 > accepted[-1]:
        high = _between(float(accepted[-1]), 1.0)
    false_rejects = int(np.count_nonzero(accepted > high))
    missed = int(np.count_nonzero(rejected <= high))
    limit = _with_grey(high, float(np.median(accepted)), grey)
    bound = upper_bound(false_rejects, accepted.size, confidence=confidence)
    return ChosenLimit(
        region=region,
        score=score,
        limit=limit,
        goal=goal,
        value=value,
        samples_good=accepted.size,
        samples_defect=rejected.size,
        false_reject=clopper_pearson(false_rejects, accepted.size, confidence=confidence),
        missed_defect=clopper_pearson(missed, rejected.size, confidence=confidence) if rejected.size else None,
        false_reject_bound=bound,
        missed_defect_bound=upper_bound(missed, rejected.size, confidence=confidence) if rejected.size else None,
        confidence=confidence,
        note=" ".join(
            [
                *_notes_on_goal(accepted, goal, value, bound=bound, confidence=confidence),
                *_notes_on_place(accepted, limit, goal=goal, grey=grey),
            ]
        ),
    )


def _check_choice(goal: str, value: float, *, confidence: float, grey: float, where: str) -> None:
    if goal not in GOALS:
        near = difflib.get_close_matches(goal, GOALS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise LimitError(f"{where}: no goal {goal!r}; {hint}goals are: {', '.join(GOALS)}")
    if goal in ("quantile", "recall") and not 0.0 < value <= 1.0:
        raise LimitError(f"{where}: the goal {goal!r} needs a share above 0 and up to 1, not {value!r}")
    if goal == "false_reject" and not 0.0 < value < 1.0:
        raise LimitError(
            f"{where}: the goal 'false_reject' needs a rate between 0 and 1, both excluded, not {value!r}; "
            "to accept every good sample choose quantile 1.0"
        )
    if goal == "cost" and not 0.0 < value < math.inf:
        raise LimitError(f"{where}: the goal 'cost' needs a finite number above 0, not {value!r}")
    if not 0.0 < confidence < 1.0:
        raise LimitError(f"{where}: a confidence lies between 0 and 1, both excluded, not {confidence!r}")
    if not 0.0 <= grey < math.inf:
        raise LimitError(f"{where}: the grey zone's width is a finite share, 0 or more, not {grey!r}")


def _finite_sorted(scores: NDArray[np.floating], what: str) -> Scores:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise LimitError(f"{what} must be one row of numbers, not an array of shape {values.shape}")
    strange = np.flatnonzero(~np.isfinite(values))
    if strange.size:
        first = strange[0]
        raise LimitError(
            f"{what}: {strange.size} of {values.size} are not finite (number {first + 1} is {values[first]}); "
            "no limit can be chosen from them: find the images, or train again"
        )
    return np.sort(values)


# Goals for good scores ------------------------------------------------------------------------------------------------


def _from_good(good: Scores, goal: str, value: float) -> float:
    if goal == "quantile":
        kept = math.ceil(value * good.size - 1e-9)  # without it 0.07 * 100 is 7.000000000000001, so 8
        return _above_sorted(good, max(kept, 1))
    over = math.floor(value * (good.size + 1) - 0.5 + 1e-9)
    if over <= 0:
        return max(_extrapolated(good, value), _beyond(good))
    return _above_sorted(good, max(good.size - over, 1))


def _above_sorted(ascending: Scores, kept: int) -> float:
    """Place a limit that accepts the ``kept`` smallest values and all that equal the last of them."""
    last = ascending[kept - 1]
    following = np.searchsorted(ascending, last, side="right")
    return _beyond(ascending) if following == ascending.size else _between(last, ascending[following])


def _between(accepted: float, rejected: float) -> float:
    """Give the middle of a gap.

    Between two neighbouring floating-point numbers there is no middle: then the accepted one is the limit, which still
    accepts it and rejects the other.
    """
    middle = 0.5 * accepted + 0.5 * rejected
    return float(middle if accepted < middle < rejected else accepted)


def _beyond(ascending: Scores) -> float:
    """Place a limit above every sample: half the mean excess of the upper tail beyond the largest."""
    return float(ascending[-1] + 0.5 * _tail(ascending)[2])


def _extrapolated(ascending: Scores, rate: float) -> float:
    """Place a limit that further samples exceed at a rate below 1 / n, by an exponential tail."""
    above, threshold, mean = _tail(ascending)
    ratio = (above + 1) / ((ascending.size + 1) * rate)  # the mean mass above the threshold, over the rate
    predictive = above * (ratio ** (1.0 / above) - 1.0)  # averaged over the excesses' sum, which is gamma distributed
    return float(threshold + mean * min(predictive, 2.0 * math.log(ratio)))


def _tail(ascending: Scores) -> tuple[int, float, float]:
    """Describe the upper tail: how many samples lie in it, where it begins, and their mean excess over that.

    Where the largest samples are all equal the mean excess would be zero; then the range of all samples, shared among
    them, stands in for it, and where all samples are equal one hundredth of their value (1e-6 for zero).
    """
    above = max(1, min(ascending.size - 1, max(5, ascending.size // 4)))
    threshold = float(ascending[max(ascending.size - above - 1, 0)])
    mean = float(np.mean(ascending[-above:])) - threshold
    if mean <= 0.0:
        mean = float(ascending[-1] - ascending[0]) / above or 0.01 * abs(threshold) or 1e-6
    return above, threshold, mean


# Goals for labelled scores --------------------------------------------------------------------------------------------


def _labelled(good: Scores, defect: Scores, goal: str, value: float) -> float:
    """Try every gap between two different scores, and both ends; take the best for the goal."""
    both = np.sort(np.concatenate([good, defect]))
    levels = np.unique(both)
    # cut i accepts levels[:i] and rejects levels[i:]
    missed = np.append(np.searchsorted(defect, levels, side="left"), defect.size)
    false_rejects = good.size - np.append(np.searchsorted(good, levels, side="left"), good.size)
    loss = _loss(missed, false_rejects, defect.size, good.size, goal=goal, value=value)
    cut = int(np.lexsort((missed, loss))[0])  # the smallest loss, then the fewest missed defects
    if cut == levels.size:
        return _beyond(both)
    return -_beyond(-both[::-1]) if cut == 0 else _between(levels[cut - 1], levels[cut])


def _loss(
    missed: NDArray[np.intp], false_rejects: NDArray[np.intp], defects: int, goods: int, *, goal: str, value: float
) -> Scores:
    """Give each cut a loss; exact in integers or one division, so that equal cuts compare equal."""
    if goal == "youden":  # 1 - (detected share - falsely rejected share), times both counts
        return (missed * goods + false_rejects * defects).astype(np.float64)
    if goal == "f1":
        detected = defects - missed
        return -2.0 * detected.astype(np.float64) / (2 * detected + missed + false_rejects)
    if goal == "recall":
        needed = math.ceil(value * defects - 1e-9)
        return np.where(defects - missed >= needed, false_rejects.astype(np.float64), math.inf)
    return missed.astype(np.float64) * value + false_rejects


# What a reader must know ----------------------------------------------------------------------------------------------


def _with_grey(high: float, typical: float, grey: float) -> Limit:
    reject_high = high + grey * (high - typical) if grey > 0.0 and high > typical else None
    return Limit(high=high, reject_high=reject_high, typical=typical)


def _notes_on_goal(good: Scores, goal: str, value: float, *, bound: float, confidence: float) -> list[str]:
    if goal in LABELLED_GOALS:
        return ["The limit was chosen on the images its rates are counted on, so the rates are optimistic."]
    if goal == "quantile" or bound <= value:
        return []
    target, shown = f"{100 * value:.3g} %", f"{100 * bound:.3g} % at {100 * confidence:g} % confidence"
    notes = [f"Chosen for {target} false rejects on average; the {good.size} good samples show at most {shown}."]
    needed = samples_to_show(value, confidence=confidence)
    if good.size < needed:
        notes.append(f"Too few to support the target: at least {needed} are needed.")
    return notes


def _notes_on_place(good: Scores, limit: Limit, *, goal: str, grey: float) -> list[str]:
    notes = []
    if good.size == 1:
        notes.append("One good sample says nothing about the spread of good scores; the limit is a guess.")
    elif good[0] == good[-1]:
        notes.append(f"All good scores are equal ({good[0]:.4g}); the limit's distance from them is a guess.")
    elif limit.high > good[-1] and goal not in LABELLED_GOALS:
        above, _, _ = _tail(good)
        notes.append(f"The limit lies above every good sample, extrapolated from the {above} largest.")
    if grey > 0.0 and limit.reject_high is None:
        notes.append("No grey zone: the limit does not lie above the typical good score.")
    if limit.high < good[0]:
        notes.append("The limit rejects every good sample.")
    return notes
