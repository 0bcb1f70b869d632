"""The whole qualification: the kit, the machine and the inspectors in, every figure and whether it passed out.

Pure: no file, no clock, no page; the same input and plan give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from candling.decide.qualification.kit import Container, gather
from candling.decide.qualification.knapp import Knapp, Zone, knapp_test, zone_of
from candling.decide.qualification.plan import Plan
from candling.decide.qualification.remarks import remarks
from candling.decide.qualification.resampling import Resampling, mean_interval
from candling.decide.qualification.run_policy import (
    PredictiveValues,
    RunPolicy,
    classify,
    judge_runs,
    predictive_values,
)
from candling.intervals import clopper_pearson
from candling.types import Interval, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from candling.decide.qualification.kit import KitEntry, MachineRun, ManualInspection

__all__ = ["Criterion", "GroupResult", "Qualification", "qualify"]


@dataclass(frozen=True)
class Criterion:
    """One thing asked for, in words, what was reached, what was needed, and whether it was met."""

    asked: str
    reached: float
    needed: float
    met: bool


@dataclass(frozen=True)
class GroupResult:
    """The defects of one class, or of one severity.

    Attributes:
        name: the class or the severity.
        severities: those that occur in it.
        containers: how many there are.
        rejected: how many of them the run policy rejects.
        rejected_share: the same as a share, with Clopper and Pearson's interval.
        machine: mean rejection probability by machine, the interval by resampling containers.
        manual: the same by hand; None without manual results.
        inside: how many lie in the reject zone; None without manual results.
        machine_inside: reject-zone efficiency of the machine over these; None when none lies there.
        manual_inside: the same by hand.
    """

    name: str
    severities: tuple[str, ...]
    containers: int
    rejected: int
    rejected_share: Interval
    machine: Interval
    manual: Interval | None = None
    inside: int | None = None
    machine_inside: Interval | None = None
    manual_inside: Interval | None = None


@dataclass(frozen=True)
class Qualification:
    """What a qualification found.

    Attributes:
        plan: what was fixed before.
        containers: all of the kit, in its order.
        run_policy: the kit under the rule k of n.
        knapp: the machine beside the inspectors; None without manual results.
        classes: the defects by class, the most frequent first.
        severities: the defects by severity, critical first; empty when the kit states none.
        worth: what a verdict is worth on the line; None unless the kit holds good containers and defects.
        criteria: what was asked for.
        passed: whether all criteria are met; None when nothing was asked for.
        notes: what a reader must know before he signs, as sentences.
    """

    plan: Plan
    containers: tuple[Container, ...]
    run_policy: RunPolicy
    knapp: Knapp | None
    classes: tuple[GroupResult, ...]
    severities: tuple[GroupResult, ...]
    worth: PredictiveValues | None
    criteria: tuple[Criterion, ...]
    passed: bool | None
    notes: tuple[str, ...] = field(default=())

    def classification(self, container: Container) -> Verdict:
        """Give what the run policy says of a container."""
        return classify(container, k=self.plan.k, n=self.plan.n)

    def is_wrong(self, container: Container) -> bool:
        """Tell whether the run policy says something else than the kit."""
        right = Verdict.ACCEPT if container.entry.is_good else Verdict.REJECT
        return self.classification(container) is not right


def qualify(
    kit: Sequence[KitEntry],
    machine_runs: Iterable[MachineRun],
    manual: Iterable[ManualInspection] | None = None,
    *,
    plan: Plan | None = None,
) -> Qualification:
    """Qualify a machine on a kit.

    With manual results it passes when its mean rejection probability over the reject zone is at least that of the
    inspectors less the margin; what else the plan asks for must be met too.

    Args:
        kit: every container, once.
        machine_runs: ``plan.n`` runs of every container.
        manual: each inspector's verdict on each container in each round; None compares with nobody.
        plan: what was fixed before; the default asks for nothing but the comparison.

    Raises:
        KitError: the kit, the runs or the manual results are incomplete or contradict each other, or no container lies
            in the reject zone.

    >>> from candling.decide.qualification.kit import KitEntry, MachineRun, ManualInspection
    >>> kit = [KitEntry("A", "crack"), KitEntry("B")]
    >>> runs = [MachineRun("A", str(run), Verdict.REJECT) for run in range(10)]
    >>> runs += [MachineRun("B", str(run), Verdict.ACCEPT) for run in range(10)]
    >>> manual = [ManualInspection(name, "first", "1", rejected=name == "A") for name in "AB"]
    >>> qualify(kit, runs, manual).passed
    True
    """
    plan = plan or Plan()
    containers = gather(kit, machine_runs, manual, repeats=plan.n, same_place=plan.same_place)
    policy = judge_runs(containers, plan.resampling, k=plan.k, n=plan.n)
    knapp = knapp_test(containers, plan.resampling) if manual is not None else None
    criteria = _criteria(plan, policy, knapp)
    return Qualification(
        plan=plan,
        containers=containers,
        run_policy=policy,
        knapp=knapp,
        classes=_classes(containers, plan, compared=knapp is not None),
        severities=_severities(containers, plan, compared=knapp is not None),
        worth=None if plan.same_place else _worth(plan, policy),  # it is of single runs
        criteria=criteria,
        passed=all(criterion.met for criterion in criteria) if criteria else None,
        notes=remarks(containers, policy, knapp, plan),
    )


def _worth(plan: Plan, policy: RunPolicy) -> PredictiveValues | None:
    if policy.good is None or policy.defects is None:
        return None
    return predictive_values(
        plan.prevalence,
        defects_rejected=policy.defects.right_each_run,
        good_rejected=policy.good.wrong_each_run,
    )


def _criteria(plan: Plan, policy: RunPolicy, knapp: Knapp | None) -> tuple[Criterion, ...]:
    criteria = []
    if knapp is not None:
        less = f", less a margin of {plan.margin:g}" if plan.margin else ""
        criteria.append(
            Criterion(
                f"The machine's reject-zone efficiency is at least that of the inspectors{less}.",
                reached=knapp.machine.value,
                needed=knapp.manual.value - plan.margin,
                met=knapp.exact_difference >= -plan.exact_margin(),
            )
        )
        if plan.with_confidence:
            share = f"{100 * plan.resampling.confidence:g} %"
            criteria.append(
                Criterion(
                    f"The {share} interval of machine less inspectors does not reach below the margin.",
                    reached=knapp.difference.low,
                    needed=0.0 - plan.margin,
                    met=knapp.difference.low >= -plan.margin,
                )
            )
    good, defects = policy.good, policy.defects
    accepted = Fraction(good.accepted, good.total) if good is not None else Fraction()
    rejected = Fraction(defects.rejected, defects.total) if defects is not None else Fraction()
    for words, least, reached in (
        ("Good containers accepted", plan.least_good_accepted, accepted),
        ("Defects rejected", plan.least_defects_rejected, rejected),
    ):
        if least is not None:
            asked = f"{words} by {plan.k} of {plan.n} runs: at least {100 * least:g} %."
            criteria.append(Criterion(asked, float(reached), least, met=reached >= Fraction(repr(least))))
    return tuple(criteria)


def _classes(containers: Sequence[Container], plan: Plan, *, compared: bool) -> tuple[GroupResult, ...]:
    members: dict[str, list[Container]] = {}
    for container in containers:
        if container.entry.defect is not None:
            members.setdefault(container.entry.defect, []).append(container)
    ordered = sorted(members, key=lambda name: (-len(members[name]), name))
    return tuple(_group(name, members[name], plan, compared=compared) for name in ordered)


def _severities(containers: Sequence[Container], plan: Plan, *, compared: bool) -> tuple[GroupResult, ...]:
    members: dict[str, list[Container]] = {"critical": [], "major": [], "minor": [], "not stated": []}
    for container in containers:
        if not container.entry.is_good:
            members[container.entry.severity or "not stated"].append(container)
    found = {name: group for name, group in members.items() if group}
    if set(found) <= {"not stated"}:
        return ()
    return tuple(_group(name, group, plan, compared=compared) for name, group in found.items())


def _group(name: str, containers: Sequence[Container], plan: Plan, *, compared: bool) -> GroupResult:
    resampling = plan.resampling
    rejected = sum(classify(container, k=plan.k, n=plan.n) is Verdict.REJECT for container in containers)
    inside = [container for container in containers if compared and zone_of(container.manual) is Zone.REJECT]
    return GroupResult(
        name,
        severities=tuple(dict.fromkeys(str(c.entry.severity) for c in containers if c.entry.severity is not None)),
        containers=len(containers),
        rejected=rejected,
        rejected_share=clopper_pearson(rejected, len(containers), confidence=resampling.confidence),
        machine=_mean([container.machine for container in containers], resampling),
        manual=_mean([container.manual for container in containers], resampling) if compared else None,
        inside=len(inside) if compared else None,
        machine_inside=_mean([container.machine for container in inside], resampling) if inside else None,
        manual_inside=_mean([container.manual for container in inside], resampling) if inside else None,
    )


def _mean(shares: Sequence[Fraction], resampling: Resampling) -> Interval:
    return mean_interval(shares, resampling)
