"""What a qualification starts from: the kit, the machine's runs, the inspectors' rounds; refuses what is incomplete.

A kit is complete or it is nothing: a missing run is not guessed, a result of an unknown container is not dropped. Knows
no file and no rule by which a machine passes.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING

from candling.errors import KitError
from candling.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Container", "DefectSeverity", "KitEntry", "MachineRun", "ManualInspection", "gather"]


class DefectSeverity(StrEnum):
    """How much a defect may harm whoever gets the product."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True)
class KitEntry:
    """One container of the kit, as those who made the kit know it.

    Attributes:
        product: its name, the only one in the kit.
        defect: the class of its defect; None for a good one.
        severity: of its defect, where it is stated.
    """

    product: str
    defect: str | None = None
    severity: DefectSeverity | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.defect is None


@dataclass(frozen=True)
class MachineRun:
    """The machine's verdict on one container in one run.

    Attributes:
        product: the container's name in the kit.
        run: which repetition it was.
        verdict: what the machine decided; undecided counts as reject, as on the line.
        score: the score behind it, larger is worse; only a rejected run may have one that is not finite.
        places: names of the patches that lay outside their limits; None where nobody noted them.
    """

    product: str
    run: str
    verdict: Verdict
    score: float | None = None
    places: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ManualInspection:
    """What one inspector said of one container in one round."""

    container: str
    inspector: str
    round: str
    rejected: bool


@dataclass(frozen=True)
class Container:
    """One container with all that was decided about it.

    Attributes:
        entry: what the kit says.
        rejects: how many of the machine's runs rejected it, undecided ones counted; where the same place must be
            rejected, how many rejected the place that most did.
        runs: how many runs the machine made.
        undecided: how many of the runs were undecided.
        sittings: by inspector, how many rounds rejected it and how many there were; empty without manual results.
        median_score: of its runs with a finite score; None without one.
    """

    entry: KitEntry
    rejects: int
    runs: int
    undecided: int = 0
    sittings: tuple[tuple[str, int, int], ...] = ()
    median_score: float | None = None

    @property
    def machine(self) -> Fraction:
        """The share of the machine's runs that rejected it, exactly."""
        return Fraction(self.rejects, self.runs)

    @property
    def manual_rejects(self) -> int:
        """How many manual inspections rejected it."""
        return sum(rejects for _, rejects, _ in self.sittings)

    @property
    def manual_inspections(self) -> int:
        """How many manual inspections it had."""
        return sum(rounds for _, _, rounds in self.sittings)

    @property
    def manual(self) -> Fraction:
        """The share of the manual inspections that rejected it, exactly; only where there are manual results."""
        return Fraction(self.manual_rejects, self.manual_inspections)

    def by_inspector(self, inspector: str) -> Fraction:
        """Give the share of one inspector's rounds that rejected it."""
        rejects, rounds = next((rejects, rounds) for name, rejects, rounds in self.sittings if name == inspector)
        return Fraction(rejects, rounds)


def gather(
    kit: Sequence[KitEntry],
    runs: Iterable[MachineRun],
    manual: Iterable[ManualInspection] | None,
    *,
    repeats: int,
    same_place: bool = False,
) -> tuple[Container, ...]:
    """Bring together what is known of each container, in the order of the kit.

    Args:
        kit: every container, once.
        runs: the machine's runs, ``repeats`` of every container.
        manual: the inspectors' results, or None: each inspector saw each container in each round.
        repeats: how many runs make a container complete.
        same_place: count the rejects of the place that most runs rejected; a run that was rejected nowhere, because
            it could not be judged, counts at every place.

    Raises:
        KitError: anything is missing, doubled, unknown or no number; the sentence names the first of its kind.

    >>> kit = [KitEntry("A"), KitEntry("B", "crack")]
    >>> runs = [MachineRun(name, run, Verdict(verdict)) for name, run, verdict in (
    ...     ("A", "1", "accept"), ("A", "2", "undecided"), ("B", "1", "reject"), ("B", "2", "reject"))]
    >>> [(container.entry.product, container.rejects) for container in gather(kit, runs, None, repeats=2)]
    [('A', 1), ('B', 2)]
    >>> gather(kit, runs[:3], None, repeats=2)
    Traceback (most recent call last):
    candling.errors.KitError: machine runs: container 'B' has 1 of 2 runs (missing: 2); run it again, a kit is complete
    """
    _check_kit(kit)
    judged = _by_container(runs, {entry.product for entry in kit})
    _refuse_incomplete(kit, judged, repeats)
    sittings = _sittings(kit, manual) if manual is not None else {}
    return tuple(
        _container(entry, judged[entry.product], sittings.get(entry.product, ()), same_place=same_place)
        for entry in kit
    )


def _container(
    entry: KitEntry, runs: Sequence[MachineRun], sittings: tuple[tuple[str, int, int], ...], *, same_place: bool
) -> Container:
    rejected = [run for run in runs if run.verdict is not Verdict.ACCEPT]
    scores = [run.score for run in runs if run.score is not None and math.isfinite(run.score)]
    return Container(
        entry,
        rejects=_at_one_place(rejected) if same_place else len(rejected),
        runs=len(runs),
        undecided=sum(run.verdict is Verdict.UNDECIDED for run in runs),
        sittings=sittings,
        median_score=median(scores) if scores else None,
    )


def _at_one_place(rejected: Sequence[MachineRun]) -> int:
    """Count the rejected runs at the place where most were.

    >>> _at_one_place([MachineRun("A", run, Verdict.REJECT, None, tuple(where)) for run, where in
    ...                (("1", ["neck 1", "flag 2"]), ("2", ["flag 2"]), ("3", ["neck 4"]), ("4", []))])
    3
    """
    for run in rejected:
        if run.places is None:
            raise KitError(
                f"machine runs: run {run.run} of container {run.product!r} does not say where it was rejected, and the "
                "plan counts rejects of the same place; fill in the column places, or count whole containers"
            )
    counts = Counter(place for run in rejected for place in set(run.places or ()))
    return sum(not run.places for run in rejected) + max(counts.values(), default=0)


def _check_kit(kit: Sequence[KitEntry]) -> None:
    if not kit:
        raise KitError("kit: it holds no container; add one row per container")
    seen: set[str] = set()
    for entry in kit:
        if not entry.product.strip():
            raise KitError("kit: a container has no name; give every container its own")
        if entry.product in seen:
            raise KitError(f"kit: container {entry.product!r} is listed twice; keep one of them")
        if entry.is_good and entry.severity is not None:
            raise KitError(
                f"kit: container {entry.product!r} is good and yet {entry.severity}; name its defect or clear the cell"
            )
        seen.add(entry.product)


def _by_container(runs: Iterable[MachineRun], known: set[str]) -> dict[str, list[MachineRun]]:
    found: dict[str, list[MachineRun]] = {}
    seen: set[tuple[str, str]] = set()
    for run in runs:
        if run.product not in known:
            raise KitError(f"machine runs: container {run.product!r} is not in the kit; correct one of the two")
        if (run.product, run.run) in seen:
            raise KitError(f"machine runs: run {run.run} of container {run.product!r} is there twice; keep one of them")
        if run.score is not None and not math.isfinite(run.score) and run.verdict is not Verdict.REJECT:
            raise KitError(
                f"machine runs: run {run.run} of container {run.product!r} has the score {run.score} and the verdict "
                f"{run.verdict}; a score that is not finite rejects, so correct the table or run it again"
            )
        seen.add((run.product, run.run))
        found.setdefault(run.product, []).append(run)
    return found


def _refuse_incomplete(kit: Sequence[KitEntry], judged: dict[str, list[MachineRun]], repeats: int) -> None:
    names = dict.fromkeys(run.run for runs in judged.values() for run in runs)
    for entry in kit:
        runs = judged.get(entry.product, [])
        if not runs:
            raise KitError(f"machine runs: container {entry.product!r} has no run; run it, a kit is complete")
        if len(runs) < repeats:
            there = {run.run for run in runs}
            missing = ", ".join(name for name in names if name not in there)
            which = f" (missing: {missing})" if missing else ""
            remedy = "run it again, a kit is complete"
            if len(names) > 1 and all(len(of) == len(names) for of in judged.values()):
                count = len(names)
                remedy = f"run all again, or state a policy of {count} runs, such as {count // 2 + 1}/{count}"
            raise KitError(
                f"machine runs: container {entry.product!r} has {len(runs)} of {repeats} runs{which}; {remedy}"
            )
        if len(runs) > repeats:
            raise KitError(
                f"machine runs: container {entry.product!r} has {len(runs)} runs where the policy counts {repeats}; "
                "give exactly these, or another policy"
            )


def _sittings(
    kit: Sequence[KitEntry], manual: Iterable[ManualInspection]
) -> dict[str, tuple[tuple[str, int, int], ...]]:
    """Count rejects and rounds by container and inspector; every inspector sees every container in every round."""
    known = {entry.product for entry in kit}
    said: dict[tuple[str, str, str], bool] = {}
    for one in manual:
        if one.container not in known:
            raise KitError(
                f"manual results: container {one.container!r} is not in the kit; correct its name or the kit"
            )
        key = (one.container, one.inspector, one.round)
        if key in said:
            raise KitError(
                f"manual results: container {one.container!r}, inspector {one.inspector!r}, round {one.round} is there "
                "twice; keep one of them"
            )
        said[key] = one.rejected
    inspectors = list(dict.fromkeys(inspector for _, inspector, _ in said))
    rounds = list(dict.fromkeys(turn for _, _, turn in said))
    every = [(entry.product, inspector, turn) for entry in kit for inspector in inspectors for turn in rounds]
    missing = [key for key in every if key not in said]
    if not said:
        raise KitError("manual results: there are none; fill the table, or leave it out")
    if missing:
        container, inspector, turn = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise KitError(
            f"manual results: container {container!r} lacks inspector {inspector!r}, round {turn}{more}; "
            "every inspector sees every container in every round"
        )
    return {
        entry.product: tuple(
            (inspector, sum(said[entry.product, inspector, turn] for turn in rounds), len(rounds))
            for inspector in inspectors
        )
        for entry in kit
    }
