"""The test of Knapp and Kushner: is the machine at least as good as the inspectors where they see a defect?

Detection is a matter of chance, so each container has a rejection probability. The zones are set by the manual results
alone; over the containers of the reject zone the mean probability of the machine is set beside that of the inspectors.
Knows no run policy and no page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from candling.decide.qualification.resampling import Resampling, mean_interval
from candling.errors import KitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from candling.decide.qualification.kit import Container
    from candling.types import Interval

__all__ = ["InspectorResult", "Knapp", "Zone", "ZoneResult", "knapp_test", "quality_factor", "zone_of"]


class Zone(StrEnum):
    """Where the inspectors put a container."""

    ACCEPT = "accept zone"
    GREY = "grey zone"
    REJECT = "reject zone"


@dataclass(frozen=True)
class ZoneResult:
    """One zone: its containers, and their mean rejection probability by hand and by machine (None when it is empty).

    ``machine_zones`` counts its containers by the zone the machine's own probability lies in.
    """

    zone: Zone
    good: int
    defects: int
    manual: Interval | None
    machine: Interval | None
    machine_zones: tuple[tuple[Zone, int], ...]


@dataclass(frozen=True)
class InspectorResult:
    """One inspector: mean rejection probability in the reject zone, and outside it (None when nothing lies there)."""

    name: str
    inside: float
    outside: float | None


@dataclass(frozen=True)
class Knapp:
    """The machine beside the inspectors.

    Attributes:
        manual: reject-zone efficiency by hand: mean rejection probability over the reject zone (RZE).
        machine: the same of the machine, over the same containers.
        difference: machine less manual, resampled in pairs.
        exact_difference: the same, exactly: what the verdict is taken from.
        manual_outside: mean rejection probability over accept and grey zone by hand (RAG); None when nothing is there.
        machine_outside: the same of the machine.
        manual_good: mean rejection probability over all good containers by hand; None when the kit holds none.
        machine_good: the same of the machine.
        zones: accept, grey, reject.
        inspectors: each on his own, in the order of the table.
        factor_manual: sum of the quality factors over the reject zone, by hand.
        factor_machine: the same of the machine.
    """

    manual: Interval
    machine: Interval
    difference: Interval
    exact_difference: Fraction
    manual_outside: Interval | None
    machine_outside: Interval | None
    manual_good: Interval | None
    machine_good: Interval | None
    zones: tuple[ZoneResult, ...]
    inspectors: tuple[InspectorResult, ...]
    factor_manual: Fraction
    factor_machine: Fraction


def zone_of(share: Fraction) -> Zone:
    """Give the zone of a manual rejection probability: reject from 7/10, accept up to 3/10, compared exactly.

    >>> [zone_of(Fraction(rejects, 50)).value for rejects in (35, 34, 16, 15)]
    ['reject zone', 'grey zone', 'grey zone', 'accept zone']
    """
    if 10 * share >= 7:
        return Zone.REJECT
    return Zone.ACCEPT if 10 * share <= 3 else Zone.GREY


def quality_factor(share: Fraction) -> Fraction:
    """Give the quality factor of a rejection probability, 0 to 10, not rounded.

    >>> float(quality_factor(Fraction(41, 50)))
    8.2
    """
    return 10 * share


def knapp_test(containers: Sequence[Container], resampling: Resampling) -> Knapp:
    """Set the machine beside the inspectors, over the zones the inspectors define.

    Args:
        containers: all of the kit, each with manual results.
        resampling: how intervals are drawn.

    Raises:
        KitError: no container lies in the reject zone, so there is nothing to compare.

    Source: Knapp and Kushner 1980; borders of the zones as in current practice, 0.3 and 0.7 both outside the grey zone.
    """
    inside = [container for container in containers if zone_of(container.manual) is Zone.REJECT]
    outside = [container for container in containers if zone_of(container.manual) is not Zone.REJECT]
    good = [container for container in containers if container.entry.is_good]
    if not inside:
        raise KitError(
            "manual results: no container was rejected in 7 of 10 inspections or more, so there is nothing to compare "
            "the machine on; use a kit with defects that people see, or leave the manual results out"
        )
    differences = [container.machine - container.manual for container in inside]
    return Knapp(
        manual=_mean(inside, _manual, resampling),
        machine=_mean(inside, _machine, resampling),
        difference=mean_interval(differences, resampling, lowest=-1.0),
        exact_difference=sum(differences, Fraction()) / len(differences),
        manual_outside=_mean(outside, _manual, resampling) if outside else None,
        machine_outside=_mean(outside, _machine, resampling) if outside else None,
        manual_good=_mean(good, _manual, resampling) if good else None,
        machine_good=_mean(good, _machine, resampling) if good else None,
        zones=tuple(_zone(zone, containers, resampling) for zone in Zone),
        inspectors=_inspectors(inside, outside),
        factor_manual=sum((quality_factor(container.manual) for container in inside), Fraction()),
        factor_machine=sum((quality_factor(container.machine) for container in inside), Fraction()),
    )


def _manual(container: Container) -> Fraction:
    return container.manual


def _machine(container: Container) -> Fraction:
    return container.machine


def _mean(containers: Iterable[Container], share: Callable[[Container], Fraction], resampling: Resampling) -> Interval:
    return mean_interval([share(container) for container in containers], resampling)


def _zone(zone: Zone, containers: Sequence[Container], resampling: Resampling) -> ZoneResult:
    members = [container for container in containers if zone_of(container.manual) is zone]
    good = sum(container.entry.is_good for container in members)
    machine_zones = [zone_of(container.machine) for container in members]
    return ZoneResult(
        zone,
        good=good,
        defects=len(members) - good,
        manual=_mean(members, _manual, resampling) if members else None,
        machine=_mean(members, _machine, resampling) if members else None,
        machine_zones=tuple((other, machine_zones.count(other)) for other in Zone),
    )


def _inspectors(inside: Sequence[Container], outside: Sequence[Container]) -> tuple[InspectorResult, ...]:
    def mean(containers: Sequence[Container], name: str) -> float:
        return float(sum((container.by_inspector(name) for container in containers), Fraction()) / len(containers))

    return tuple(
        InspectorResult(name, mean(inside, name), mean(outside, name) if outside else None)
        for name, _, _ in inside[0].sittings
    )
