"""What the rule "k of n runs" says of a kit, how it behaves by chance, and what a verdict is worth on the line.

The four rates are named in words, because founding texts call either class the one that is looked for. A product that
neither verdict reaches k runs on is wrong whichever class it is of (Ferrari et al. 2024). Knows no inspector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.decide.policy import k_of_n
from candling.decide.qualification.resampling import Resampling, mean_interval
from candling.errors import UsageError
from candling.intervals import clopper_pearson
from candling.types import Interval, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.decide.qualification.kit import Container

__all__ = [
    "ClassifiedSide",
    "PredictiveValues",
    "Reading",
    "RunPolicy",
    "chance_of_k",
    "classify",
    "judge_runs",
    "predictive_values",
]


@dataclass(frozen=True)
class ClassifiedSide:
    """The good containers, or the defects, as k of n runs classify them.

    Attributes:
        total: how many there are.
        accepted: how many at least k runs accepted.
        rejected: how many at least k runs rejected.
        between: how many neither verdict reached k runs on; wrong on either side.
        right: share that is classified rightly, over containers, with Clopper and Pearson's interval.
        wrong: the rest, likewise.
        right_each_run: mean share of single runs that are right, the interval by resampling containers.
        repeats: how many containers were rejected in 0, 1, ... n runs.
    """

    total: int
    accepted: int
    rejected: int
    between: int
    right: Interval
    wrong: Interval
    right_each_run: Interval
    repeats: tuple[int, ...]

    @property
    def wrong_each_run(self) -> Interval:
        """Mean share of single runs that are wrong."""
        return _complement(self.right_each_run)


@dataclass(frozen=True)
class Reading:
    """The rates as two ratios under one of the two published readings, in words.

    Attributes:
        sought: the class that is looked for.
        found: what the first published ratio is then called, and its value.
        other: what the second is then called, and its value.
    """

    sought: str
    found: tuple[str, Interval]
    other: tuple[str, Interval]


@dataclass(frozen=True)
class RunPolicy:
    """The kit under the rule "k of n": a side is None when the kit holds no such container."""

    k: int
    n: int
    good: ClassifiedSide | None
    defects: ClassifiedSide | None
    alike: Interval
    """Share of all containers on which every run agreed, with Clopper and Pearson's interval."""

    def readings(self) -> tuple[Reading, ...]:
        """Give both published readings; empty unless the kit holds good containers and defects."""
        if self.good is None or self.defects is None:
            return ()
        accepted, rejected = ("good accepted", self.good.right), ("defects rejected", self.defects.right)
        return (Reading("good products", accepted, rejected), Reading("defects", rejected, accepted))

    def accuracy(self) -> float:
        """Give the share of all containers classified rightly; it depends on how many defects the kit holds."""
        sides = [(side.right.value, side.total) for side in (self.good, self.defects) if side is not None]
        return sum(share * total for share, total in sides) / sum(total for _, total in sides)


@dataclass(frozen=True)
class PredictiveValues:
    """What one verdict on the line is worth where defects are as rare as stated; None where nothing gets that verdict.

    The ends of each interval take both measured rates at their worst and at their best.
    """

    prevalence: float
    defective_among_rejected: Interval | None
    defective_among_accepted: Interval | None
    good_rejected: float
    defects_accepted: float
    """The last two as shares of all products."""


def chance_of_k(probability: float, *, k: int, n: int) -> float:
    """Give the chance that at least k of n runs reject a container each run rejects with this probability.

    Args:
        probability: of one run, in [0, 1]; the runs are independent.
        k: how many runs must reject, 0 to n.
        n: how many runs there are.

    Raises:
        UsageError: a number is out of range.

    Source: the upper tail of the binomial distribution; 7 of 10 gives 0.650 at 0.7 and 0.987 at 0.9.

    >>> [round(chance_of_k(probability, k=7, n=10), 3) for probability in (0.5, 0.7, 0.9)]
    [0.172, 0.65, 0.987]
    """
    if not 0.0 <= probability <= 1.0:
        raise UsageError(f"a probability of {probability!r} is impossible; give one from 0 to 1")
    if not 0 <= k <= n:
        raise UsageError(f"{k} of {n} runs are impossible")
    terms = (math.comb(n, i) * probability**i * (1.0 - probability) ** (n - i) for i in range(k, n + 1))
    return min(1.0, math.fsum(terms))


def classify(container: Container, *, k: int, n: int) -> Verdict:
    """Classify a container by k of its n runs, an undecided run counting as a reject."""
    accepts = container.runs - container.rejects
    return k_of_n([Verdict.REJECT] * container.rejects + [Verdict.ACCEPT] * accepts, k=k, n=n)


def judge_runs(containers: Sequence[Container], resampling: Resampling, *, k: int, n: int) -> RunPolicy:
    """Classify every container by k of n runs and count, good ones and defects apart.

    Args:
        containers: all of the kit, each with n runs.
        resampling: how intervals are drawn; Clopper and Pearson's take its confidence.
        k: how many runs must agree, more than half of n.
        n: how many runs there are.

    Raises:
        UsageError: the rule decides nothing, or a container has another number of runs.
    """
    good = [container for container in containers if container.entry.is_good]
    defects = [container for container in containers if not container.entry.is_good]
    alike = sum(container.rejects in {0, n} for container in containers)
    return RunPolicy(
        k=k,
        n=n,
        good=_side(good, Verdict.ACCEPT, resampling, k=k, n=n) if good else None,
        defects=_side(defects, Verdict.REJECT, resampling, k=k, n=n) if defects else None,
        alike=clopper_pearson(alike, len(containers), confidence=resampling.confidence),
    )


def _side(containers: Sequence[Container], right: Verdict, resampling: Resampling, *, k: int, n: int) -> ClassifiedSide:
    verdicts = [classify(container, k=k, n=n) for container in containers]
    hits, total = verdicts.count(right), len(verdicts)
    shares = [container.machine if right is Verdict.REJECT else 1 - container.machine for container in containers]
    rejects = [container.rejects for container in containers]
    return ClassifiedSide(
        total=total,
        accepted=verdicts.count(Verdict.ACCEPT),
        rejected=verdicts.count(Verdict.REJECT),
        between=verdicts.count(Verdict.UNDECIDED),
        right=clopper_pearson(hits, total, confidence=resampling.confidence),
        wrong=clopper_pearson(total - hits, total, confidence=resampling.confidence),
        right_each_run=mean_interval(shares, resampling),
        repeats=tuple(rejects.count(number) for number in range(n + 1)),
    )


def predictive_values(prevalence: float, *, defects_rejected: Interval, good_rejected: Interval) -> PredictiveValues:
    """Say what a verdict is worth where the share of defective products is as stated (Bayes' rule).

    Args:
        prevalence: share of defective products, in [0, 1].
        defects_rejected: share of inspections that reject a defect: of single runs, as a line inspects once.
        good_rejected: share of inspections that reject a good product, likewise.

    Raises:
        UsageError: the prevalence is no share.

    >>> found, lost = Interval(0.9, 0.9, 0.9), Interval(0.1, 0.1, 0.1)
    >>> values = predictive_values(0.001, defects_rejected=found, good_rejected=lost)
    >>> round(values.defective_among_rejected.value, 4)
    0.0089
    """
    if not 0.0 <= prevalence <= 1.0:
        raise UsageError(f"a prevalence of {prevalence!r} is impossible; give a share from 0 to 1")
    found, lost = defects_rejected, good_rejected
    return PredictiveValues(
        prevalence,
        defective_among_rejected=_between(
            _share(prevalence * found.value, (1 - prevalence) * lost.value),
            _share(prevalence * found.low, (1 - prevalence) * lost.high),
            _share(prevalence * found.high, (1 - prevalence) * lost.low),
        ),
        defective_among_accepted=_between(
            _share(prevalence * (1 - found.value), (1 - prevalence) * (1 - lost.value)),
            _share(prevalence * (1 - found.high), (1 - prevalence) * (1 - lost.low)),
            _share(prevalence * (1 - found.low), (1 - prevalence) * (1 - lost.high)),
        ),
        good_rejected=(1 - prevalence) * lost.value,
        defects_accepted=prevalence * (1 - found.value),
    )


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest > 0.0 else None


def _between(value: float | None, low: float | None, high: float | None) -> Interval | None:
    if value is None:
        return None
    return Interval(value, 0.0 if low is None else low, 1.0 if high is None else high)


def _complement(interval: Interval) -> Interval:
    return Interval(1.0 - interval.value, 1.0 - interval.high, 1.0 - interval.low)
