"""The whole qualification: what passes, what is told apart, and what a reader is warned of."""

from __future__ import annotations

import math

import pytest

from candling.decide.qualification import DefectSeverity, KitEntry, Plan, qualify
from candling.errors import UsageError


def told(found, part):
    return any(part in note for note in found.notes)


def test_without_anything_asked_nothing_passes(example):
    """Without inspectors and criteria there are figures and no conclusion."""
    kit, runs, _ = example
    found = qualify(kit, runs)
    assert found.passed is None
    assert found.criteria == ()
    assert told(found, "not compared with inspectors")


def test_all_criteria_must_be_met(make_kit):
    """A machine as good as the inspectors that rejects too many good containers fails, and the table says which."""
    kit = make_kit([("D", "crack", 45, 10), *((f"G{n}", None, 0, 9 if n < 2 else 0) for n in range(10))])
    assert qualify(*kit).passed is True
    found = qualify(*kit, plan=Plan(least_good_accepted=0.9, least_defects_rejected=1.0))
    assert found.passed is False
    assert [criterion.met for criterion in found.criteria] == [True, False, True]
    assert (found.criteria[1].reached, found.criteria[1].needed) == (0.8, 0.9)


def test_a_criterion_met_exactly_is_met(make_kit):
    """Nine of ten meet 0.9, as fractions."""
    kit, runs, _ = make_kit([*((f"G{n}", None, 0, 9 if n < 1 else 0) for n in range(10))])
    assert qualify(kit, runs, plan=Plan(least_good_accepted=0.9)).passed is True


def test_a_side_that_is_missing_meets_no_criterion(make_kit):
    """A kit without defects cannot meet a criterion on defects, and says that it holds none."""
    kit, runs, _ = make_kit([("G", None, 0, 0)])
    found = qualify(kit, runs, plan=Plan(least_defects_rejected=0.9))
    assert found.passed is False
    assert found.run_policy.defects is None
    assert found.run_policy.readings() == ()
    assert found.worth is None
    assert told(found, "holds no defect")


def test_a_machine_that_rejects_everything_is_named(make_kit):
    """It passes the comparison, which looks at defects only, and the notes say what it is worth."""
    found = qualify(*make_kit([("D", "crack", 45, 10), ("G", None, 0, 10)]))
    assert found.passed is True
    assert told(found, "a machine that rejects everything finds every defect")
    assert told(found, "rejects good containers more often than the inspectors")


def test_a_small_kit_says_what_it_cannot_show(make_kit):
    """No miss among 59 allows 5.0 %, the known figure; few containers in the reject zone are called weak."""
    found = qualify(*make_kit([*((f"D{n}", "crack", 50, 10) for n in range(59)), ("G", None, 0, 1)]))
    assert told(found, "No missed defect among 59 still allows a true rate of up to 5.0 %")
    assert told(qualify(*make_kit([("D", "crack", 50, 10)])), "Only 1 container lies in the reject zone")


def test_the_kit_and_the_inspectors_may_disagree(make_kit):
    """A good container people reject, and defects people do not see, are told."""
    rows = [("A", "crack", 50, 10), ("B", "crack", 20, 10), ("C", "crack", 1, 9), ("G", None, 40, 0)]
    found = qualify(*make_kit(rows))
    assert told(found, "1 container the kit calls good lies in the reject zone")
    assert told(found, "2 defects lie outside the reject zone (1 in the accept zone, 1 in the grey zone)")
    assert told(found, "1 container of the reject zone was rejected by the machine in 30 % of its runs or fewer")


def test_classes_and_severities_are_told_apart(make_kit):
    """Each class has its own counts, probabilities and efficiency; severities come critical first."""
    rows = [("A", "crack", 50, 10), ("B", "crack", 40, 6), ("C", "spot", 20, 10), ("G", None, 0, 0)]
    kit, runs, manual = make_kit(rows)
    severe = {"A": DefectSeverity.MINOR, "B": DefectSeverity.CRITICAL, "C": DefectSeverity.CRITICAL}
    stated = [KitEntry(entry.product, entry.defect, severe.get(entry.product)) for entry in kit]
    found = qualify(stated, runs, manual)
    crack, spot = found.classes
    assert (crack.name, crack.containers, crack.rejected, crack.inside) == ("crack", 2, 1, 2)
    assert crack.machine.value == pytest.approx(0.8)
    assert crack.manual.value == pytest.approx(0.9)
    assert (spot.name, spot.inside, spot.machine_inside) == ("spot", 0, None)
    assert [(group.name, group.containers) for group in found.severities] == [("critical", 2), ("minor", 1)]
    assert crack.severities == ("minor", "critical")
    assert qualify(kit, runs, manual).severities == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 5},
        {"k": 11},
        {"margin": math.nan},
        {"margin": -0.1},
        {"margin": 1.0},
        {"prevalence": math.nan},
        {"prevalence": 1.1},
        {"least_good_accepted": math.nan},
        {"least_defects_rejected": 0.0},
    ],
)
def test_an_impossible_plan_is_refused(wrong):
    """A rule that decides nothing, or a number that is none, is an error of the call."""
    with pytest.raises(UsageError):
        Plan(**wrong)


def test_the_same_input_gives_the_same_result(example):
    """Nothing depends on time, place or the order in which figures are asked for."""
    assert qualify(*example) == qualify(*example)
