"""What is fixed before a qualification begins: the run policy, what passes, and how intervals are drawn.

Criteria chosen after the results are known prove nothing, so they are one value, made first, and stand in the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from candling.decide.qualification.resampling import Resampling
from candling.errors import UsageError

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """The plan of a qualification.

    Attributes:
        k: how many runs must agree to classify a container; more than half of ``n``.
        n: how many runs of each container there are.
        same_place: runs reject together only where they reject the same patch: a defect stays, a bubble moves.
        margin: by how much the machine's reject-zone efficiency may lie below the inspectors', in [0, 1).
        with_confidence: whether the whole interval of the difference must keep the margin, not the value alone.
        least_good_accepted: share of good containers that must be accepted by the run policy; None asks for nothing.
        least_defects_rejected: share of defects that must be rejected by the run policy; None asks for nothing.
        prevalence: share of defective products on the line, for saying what a verdict is worth there.
        resampling: confidence, rounds and seed of the intervals.

    Raises:
        UsageError: a number is out of range or no number.
    """

    k: int = 7
    n: int = 10
    same_place: bool = False
    margin: float = 0.0
    with_confidence: bool = False
    least_good_accepted: float | None = None
    least_defects_rejected: float | None = None
    prevalence: float = 0.005
    resampling: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        if not self.n < 2 * self.k <= 2 * self.n:
            raise UsageError(f"{self.k} of {self.n} decides nothing; k must be more than half of n and at most n")
        if not 0.0 <= self.margin < 1.0:
            raise UsageError(f"a margin of {self.margin!r} is impossible; give 0 or more and less than 1")
        if not 0.0 <= self.prevalence <= 1.0:
            raise UsageError(f"a prevalence of {self.prevalence!r} is impossible; give a share from 0 to 1")
        for share in (self.least_good_accepted, self.least_defects_rejected):
            if share is not None and not 0.0 < share <= 1.0:
                raise UsageError(f"a least share of {share!r} is impossible; give one above 0 and up to 1")

    def exact_margin(self) -> Fraction:
        """Give the margin as the fraction its decimals say, so that 0.1 is one tenth.

        >>> Plan(margin=0.1).exact_margin()
        Fraction(1, 10)
        """
        return Fraction(repr(self.margin))
