"""The comparison with inspectors: the worked example, the borders of the zones, and verdicts taken exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from candling.decide.qualification import Plan, Resampling, Zone, qualify, quality_factor, zone_of
from candling.errors import KitError


def test_the_worked_example_passes_with_its_figures(example):
    """Manual 50, 46, 41, 35 of 50 in the reject zone: RZE 0.860 against 0.875, RAG 0.293 against 0.267, passed."""
    found = qualify(*example)
    assert found.knapp.manual.value == pytest.approx(0.860, abs=1e-12)
    assert found.knapp.machine.value == pytest.approx(0.875, abs=1e-12)
    assert found.knapp.manual_outside.value == pytest.approx((0.68 + 0.2 + 0.0) / 3, abs=1e-12)
    assert found.knapp.machine_outside.value == pytest.approx((0.3 + 0.4 + 0.1) / 3, abs=1e-12)
    assert found.knapp.exact_difference == Fraction(3, 200)
    assert (found.knapp.factor_manual, found.knapp.factor_machine) == (Fraction(172, 5), 35)
    assert [zone.good + zone.defects for zone in found.knapp.zones] == [2, 1, 4]  # F, G; E; A to D
    assert found.passed is True


@pytest.mark.parametrize(
    ("rejects", "inspections", "zone"),
    [
        (7, 10, Zone.REJECT),
        (21, 30, Zone.REJECT),
        (35, 50, Zone.REJECT),
        (34, 50, Zone.GREY),
        (699_999, 1_000_000, Zone.GREY),
        (300_001, 1_000_000, Zone.GREY),
        (3, 10, Zone.ACCEPT),
        (9, 30, Zone.ACCEPT),
        (15, 50, Zone.ACCEPT),
        (0, 50, Zone.ACCEPT),
    ],
)
def test_borders_are_compared_as_fractions(rejects, inspections, zone):
    """Seven of ten rejects and three of ten accepts, whatever the number of inspections; nothing is rounded first."""
    assert zone_of(Fraction(rejects, inspections)) is zone


def test_the_quality_factor_is_not_rounded():
    """Forty-one of fifty is 8.2."""
    assert quality_factor(Fraction(41, 50)) == Fraction(82, 10)


def test_the_zone_is_the_inspectors_alone(make_kit):
    """What the machine does moves no container to another zone."""
    rows = [("A", "crack", 45), ("B", "crack", 25), ("C", None, 2)]
    for machine in (0, 10):
        found = qualify(*make_kit([(*row, machine) for row in rows]))
        assert [zone.good + zone.defects for zone in found.knapp.zones] == [1, 1, 1]
        assert found.knapp.manual.value == 0.9


def test_equal_efficiency_passes_and_one_run_less_does_not(make_kit):
    """The same sum of fractions passes; a single reject fewer fails."""
    rows = [("A", "crack", 35, 7), ("B", "crack", 45, 9), ("C", "crack", 40, 8), ("D", None, 0, 0)]
    assert qualify(*make_kit(rows)).passed is True
    rows[1] = ("B", "crack", 45, 8)
    assert qualify(*make_kit(rows)).passed is False


def test_the_margin_is_taken_as_its_decimals(make_kit):
    """A difference of exactly one tenth passes a margin of 0.1 and fails 0.0999."""
    kit = make_kit([("A", "crack", 50, 9), ("B", "crack", 50, 9), ("C", None, 0, 0)])
    assert qualify(*kit).passed is False
    assert qualify(*kit, plan=Plan(margin=0.1)).passed is True
    assert qualify(*kit, plan=Plan(margin=0.0999)).passed is False


def test_with_confidence_the_whole_interval_counts(make_kit):
    """A machine better on average but worse on some containers passes by value and not by interval."""
    rows = [(f"D{n}", "crack", 40, 10 if n % 5 else 3) for n in range(10)]
    kit = make_kit([*rows, ("G", None, 0, 0)])
    by_value, by_interval = qualify(*kit), qualify(*kit, plan=Plan(with_confidence=True))
    assert by_value.passed is True
    assert by_interval.passed is False
    assert [criterion.met for criterion in by_interval.criteria] == [True, False]


def test_the_difference_is_resampled_in_pairs(make_kit):
    """Where the machine is better by nearly the same everywhere, the difference is sure though both means spread."""
    rows = [(f"D{n}", "crack", 35 + 5 * (n % 3), 8 + n % 3 - (n == 0)) for n in range(40)]
    found = qualify(*make_kit([*rows, ("G", None, 0, 0)])).knapp
    assert found.manual.high - found.manual.low > 0.02
    assert found.difference.value == pytest.approx(0.1 - 0.1 / 40)
    assert found.difference.high - found.difference.low < 0.01


def test_intervals_agree_with_those_of_scipy(make_kit):
    """The interval of the machine's efficiency is scipy's percentile bootstrap over containers, up to resampling."""
    rng = np.random.default_rng(4)
    rejects = rng.integers(5, 11, 60)
    kit = make_kit([*((f"D{n}", "crack", 50, int(count)) for n, count in enumerate(rejects)), ("G", None, 0, 0)])
    found = qualify(*kit, plan=Plan(resampling=Resampling(rounds=20_000))).knapp.machine
    reference = stats.bootstrap((rejects / 10,), np.mean, method="percentile", n_resamples=20_000, rng=rng)
    assert found.value == pytest.approx(rejects.mean() / 10)
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=3e-3)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=3e-3)


def test_each_inspector_is_told_apart(make_kit):
    """Two of five inspectors reject in every round, the others in none: 40 % are theirs alone."""
    kit, runs, manual = make_kit([("A", "crack", 50, 10), ("B", "crack", 20, 5), ("C", None, 0, 0)])
    found = qualify(kit, runs, manual).knapp
    assert [inspector.name for inspector in found.inspectors] == ["I1", "I2", "I3", "I4", "I5"]
    assert [inspector.inside for inspector in found.inspectors] == [1.0] * 5
    assert [inspector.outside for inspector in found.inspectors] == [0.5, 0.5, 0.0, 0.0, 0.0]


def test_nothing_to_compare_is_refused(make_kit):
    """Where people reject nothing reliably there is no reject zone, and the sentence says what to do."""
    with pytest.raises(KitError, match="nothing to compare the machine on"):
        qualify(*make_kit([("A", "crack", 34, 10), ("B", None, 0, 0)]))


def test_everything_in_the_reject_zone_leaves_nothing_outside(make_kit):
    """Without a container outside the reject zone there is no figure for it, rather than one of zero."""
    found = qualify(*make_kit([("A", "crack", 50, 10)])).knapp
    assert found.manual_outside is None
    assert found.machine_outside is None
    assert found.machine_good is None
