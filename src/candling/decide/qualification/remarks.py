"""What a reader must know before he signs a qualification, as sentences; computes no figure of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.decide.qualification.knapp import Zone
from candling.intervals import upper_bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from candling.decide.qualification.kit import Container
    from candling.decide.qualification.knapp import Knapp
    from candling.decide.qualification.plan import Plan
    from candling.decide.qualification.run_policy import RunPolicy

__all__ = ["remarks"]

FEW = 20
"""Below so many containers in the reject zone a comparison says little."""


def remarks(containers: Sequence[Container], policy: RunPolicy, knapp: Knapp | None, plan: Plan) -> tuple[str, ...]:
    """Say what weakens the conclusion: a kit too small or of one kind, a price the pass rule does not look at."""
    return (*_on_kit(containers, policy, plan), *_on_comparison(knapp))


def _on_kit(containers: Sequence[Container], policy: RunPolicy, plan: Plan) -> Iterator[str]:
    if policy.good is None:
        yield "The kit holds no good container, so nothing is known of false rejects."
    if policy.defects is None:
        yield "The kit holds no defect, so nothing is known of missed defects."
    if policy.good is not None and policy.good.accepted == 0:
        yield "No good container was accepted: a machine that rejects everything finds every defect."
    if plan.same_place:
        yield (
            "Rejected runs are counted at the place of a container where most were, so shares of single runs are those "
            "of this place; a single inspection on the line rejects more."
        )
    undecided = sum(container.undecided for container in containers)
    if undecided:
        yield f"{_count(undecided, 'run was', 'runs were')} undecided and counted as rejects, as on the line."
    confidence = plan.resampling.confidence
    for side, wrong in ((policy.defects, "missed defect"), (policy.good, "false reject")):
        if side is not None and side.wrong.value == 0.0:
            bound = upper_bound(0, side.total, confidence=confidence)
            yield (
                f"No {wrong} among {side.total} still allows a true rate of up to {100 * bound:.1f} % "
                f"({100 * confidence:g} % confidence, one-sided)."
            )


def _on_comparison(knapp: Knapp | None) -> Iterator[str]:
    if knapp is None:
        yield "No manual results were given, so the machine is not compared with inspectors."
        return
    accept, grey, reject = knapp.zones
    inside = reject.good + reject.defects
    if inside < FEW:
        yield f"Only {_count(inside, 'container lies', 'containers lie')} in the reject zone; the comparison is weak."
    if reject.good:
        yield (
            f"{_count(reject.good, 'container', 'containers')} the kit calls good "
            f"{'lies' if reject.good == 1 else 'lie'} in the reject zone; check the kit."
        )
    missed = accept.defects + grey.defects
    if missed:
        where = f"{accept.defects} in the accept zone, {grey.defects} in the grey zone"
        yield (
            f"{_count(missed, 'defect lies', 'defects lie')} outside the reject zone ({where}): "
            "people do not see them reliably, so the comparison leaves them out."
        )
    if reject.machine_zones[0][0] is Zone.ACCEPT and reject.machine_zones[0][1]:
        lost = reject.machine_zones[0][1]
        yield (
            f"{_count(lost, 'container', 'containers')} of the reject zone "
            f"{'was' if lost == 1 else 'were'} rejected by the machine in 30 % of its runs or fewer."
        )
    by_hand, by_machine = knapp.manual_good, knapp.machine_good
    if by_hand is not None and by_machine is not None and by_machine.value > by_hand.value:
        yield (
            f"The machine rejects good containers more often than the inspectors ({100 * by_machine.value:.1f} % of "
            f"its runs against {100 * by_hand.value:.1f} % of theirs), which the comparison does not look at."
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
