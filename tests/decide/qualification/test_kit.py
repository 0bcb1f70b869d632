"""What is refused before any figure is computed: each in one sentence that names the container and the remedy."""

from __future__ import annotations

import dataclasses
import math

import pytest

from candling.decide.qualification import DefectSeverity, KitEntry, MachineRun, ManualInspection, Plan, qualify
from candling.errors import KitError
from candling.types import Verdict


def refused(kit, runs, manual, match):
    with pytest.raises(KitError, match=match) as caught:
        qualify(kit, runs, manual)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_container_without_runs_is_refused(example):
    """A container nobody ran is named."""
    kit, runs, manual = example
    left = [run for run in runs if run.product != "C"]
    refused(kit, left, manual, "machine runs: container 'C' has no run; run it, a kit is complete")


def test_nine_of_ten_runs_are_refused(example):
    """The missing run is named and not guessed."""
    kit, runs, manual = example
    left = [run for run in runs if (run.product, run.run) != ("D", "4")]
    refused(kit, left, manual, r"container 'D' has 9 of 10 runs \(missing: 4\); run it again")


def test_a_kit_of_three_runs_each_names_the_policy_it_would_fit(example):
    """Where no run is missing, the policy is what does not fit."""
    kit, runs, manual = example
    left = [run for run in runs if run.run in ("1", "2", "3")]
    refused(kit, left, manual, r"has 3 of 10 runs; run all again, or state a policy of 3 runs, such as 2/3")


def test_an_eleventh_run_is_refused(example):
    """More runs than the policy counts are not cut down in silence."""
    kit, runs, manual = example
    refused(kit, [*runs, MachineRun("B", "11", Verdict.REJECT)], manual, "'B' has 11 runs where the policy counts 10")


def test_a_doubled_run_is_refused(example):
    """The same run twice, ten in all, hides a missing one."""
    kit, runs, manual = example
    doubled = [dataclasses.replace(run, run="3") if (run.product, run.run) == ("A", "7") else run for run in runs]
    refused(kit, doubled, manual, "run 3 of container 'A' is there twice")


def test_a_run_of_an_unknown_container_is_refused(example):
    """A run of what is not in the kit means that a name is wrong somewhere."""
    kit, runs, manual = example
    refused(kit, [*runs, MachineRun("Z", "1", Verdict.ACCEPT)], manual, "machine runs: container 'Z' is not in the kit")


@pytest.mark.parametrize("verdict", [Verdict.ACCEPT, Verdict.UNDECIDED])
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_cannot_be_anything_but_a_reject(example, verdict, score):
    """NaN lies in no limit, so an accepted run with such a score contradicts itself."""
    kit, runs, manual = example
    strange = [dataclasses.replace(runs[0], verdict=verdict, score=score), *runs[1:]]
    refused(kit, strange, manual, "run 1 of container 'A' has the score (nan|inf|-inf) and the verdict")


def test_a_rejected_run_may_lack_a_finite_score(example):
    """An unreadable frame was rejected without a number; it counts, and its score is left out."""
    kit, runs, manual = example
    scored = [dataclasses.replace(run, score=math.inf if run.run == "1" else 0.5) for run in runs if run.product == "A"]
    found = qualify(kit, [*scored, *(run for run in runs if run.product != "A")], manual)
    assert found.containers[0].rejects == 10
    assert found.containers[0].median_score == 0.5


def test_an_unknown_container_in_the_manual_results_is_refused(example):
    """A manual result of what is not in the kit is not dropped."""
    kit, runs, manual = example
    more = [*manual, ManualInspection("H", "I1", "1", rejected=True)]
    refused(kit, runs, more, "manual results: container 'H' is not in the kit")


def test_a_missing_manual_round_is_refused(example):
    """One missing round is named with its inspector; several are counted."""
    kit, runs, manual = example
    left = [one for one in manual if (one.container, one.inspector, one.round) != ("E", "I3", "7")]
    refused(kit, runs, left, "manual results: container 'E' lacks inspector 'I3', round 7; every inspector")
    left = [one for one in manual if (one.inspector, one.round) != ("I3", "7")]
    refused(kit, runs, left, r"container 'A' lacks inspector 'I3', round 7 \(and 6 more\)")


def test_a_doubled_manual_result_is_refused(example):
    """The same inspector cannot see a container twice in one round."""
    kit, runs, manual = example
    refused(kit, runs, [*manual, manual[0]], "inspector 'I1', round 1 is there twice")


def test_no_manual_results_are_not_an_empty_table(example):
    """An empty table is an accident; comparing with nobody is said by leaving it out."""
    kit, runs, _ = example
    refused(kit, runs, [], "manual results: there are none")
    assert qualify(kit, runs, None).knapp is None


def test_a_kit_must_hold_containers_with_names_of_their_own(example):
    """No container, a nameless one, a doubled one, or a good one with a severity: each is refused."""
    kit, runs, manual = example
    refused([], runs, manual, "kit: it holds no container")
    refused([*kit, KitEntry(" ")], runs, manual, "kit: a container has no name")
    refused([*kit, KitEntry("A")], runs, manual, "kit: container 'A' is listed twice")
    refused([*kit, KitEntry("H", None, DefectSeverity.MAJOR)], runs, manual, "'H' is good and yet major")


def _placed(product, *places):
    verdicts = [Verdict.ACCEPT if where == () else Verdict.REJECT for where in places]
    return [
        MachineRun(product, str(number), verdict, None, where)
        for number, (verdict, where) in enumerate(zip(verdicts, places, strict=True))
    ]


def test_runs_may_have_to_reject_the_same_place():
    """Bubbles reject a good strip in nine of ten runs, nowhere twice but once; a spot rejects the other in eight."""
    kit = [KitEntry("bubbles"), KitEntry("spot", "black_spot")]
    moving = [(f"body vial {1 + number % 7}",) for number in range(9)]
    staying = [("neck vial 2", f"body vial {number}") for number in range(8)]
    runs = [*_placed("bubbles", *moving, ()), *_placed("spot", *staying, (), ())]
    somewhere = qualify(kit, runs, plan=Plan())
    assert [container.rejects for container in somewhere.containers] == [9, 8]
    assert somewhere.run_policy.good.accepted == 0
    assert somewhere.worth is not None
    placed = qualify(kit, runs, plan=Plan(same_place=True))
    assert [container.rejects for container in placed.containers] == [2, 8]
    assert (placed.run_policy.good.accepted, placed.run_policy.defects.rejected) == (1, 1)
    assert placed.worth is None  # what a verdict of a single run is worth
    assert any("at the place of a container" in note for note in placed.notes)


def test_a_run_that_could_not_be_judged_counts_at_every_place():
    kit = [KitEntry("A", "crack")]
    torn = [MachineRun("A", f"torn {number}", Verdict.REJECT, float("inf"), ()) for number in range(3)]
    runs = [*_placed("A", *[("neck",)] * 4, *[("body",)] * 3), *torn]
    (container,) = qualify(kit, runs, plan=Plan(same_place=True)).containers
    assert container.rejects == 7


def test_runs_that_do_not_say_where_have_no_place_in_common(example):
    kit, runs, manual = example
    with pytest.raises(KitError, match="run 1 of container 'A' does not say where it was rejected"):
        qualify(kit, runs, manual, plan=Plan(same_place=True))


def test_undecided_runs_count_as_rejects(make_kit):
    """Seven undecided runs of a defect are seven rejects, and how many there were is kept."""
    kit, runs, _ = make_kit([("A", "crack", 0, 7)])
    grey = [
        dataclasses.replace(run, verdict=Verdict.UNDECIDED) if run.verdict is Verdict.REJECT else run for run in runs
    ]
    found = qualify(kit, grey)
    assert (found.containers[0].rejects, found.containers[0].undecided) == (7, 7)
    assert found.run_policy.defects.rejected == 1
    assert any("7 runs were undecided" in note for note in found.notes)
