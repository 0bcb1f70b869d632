"""Limits tuned for strips and runs: the goal holds where it is counted, whatever the regions are like."""

from __future__ import annotations

import math

import numpy as np
import pytest

from candling.decide.levels import Unit, at_one_place, choose_together, deciding_severity, move_limit, worst_severity
from candling.decide.limits import choose_limit
from candling.decide.policy import k_of_n
from candling.errors import LimitError
from candling.types import Limit, Verdict

KEY = ("body", "phi")
KEYS = [("flag", "phi"), ("body", "phi")]


def draw(rng, *, shift=0.0, runs=1, patches=15, good=True):
    """A product: what it is moves all its runs alike, each patch has noise of its own; the body's is ten times that."""
    own = rng.normal(0, 0.5)
    return Unit(
        good,
        tuple(
            {
                ("flag", "phi"): (1 + 0.1 * (own + rng.normal(size=patches))).tolist(),
                ("body", "phi"): (5 + own + shift + rng.normal(size=patches)).tolist(),
            }
            for _ in range(runs)
        ),
    )


def rejects(unit, chosen):
    """Judge every run patch by patch, as the line does."""
    limits = {(one.region, one.score): one.limit for one in chosen}
    return [any(not limits[key].admits(v) for key, values in run.items() for v in values) for run in unit.runs]


def test_a_strip_target_is_kept_by_further_strips():
    """Thirty patches a strip, dependent ones: limits for patches reject far more strips than asked, these do not."""
    rng = np.random.default_rng(1)
    chosen = choose_together([draw(rng) for _ in range(400)], KEYS, goal="false_reject", value=0.05)
    further = [draw(rng) for _ in range(2000)]
    assert 0.03 < np.mean([rejects(unit, chosen)[0] for unit in further]) < 0.07
    for_patches = [
        choose_limit(
            np.array([v for unit in further for v in unit.runs[0][key]]),
            None,
            goal="false_reject",
            value=0.05,
            region=key[0],
            score=key[1],
        )
        for key in KEYS
    ]
    assert np.mean([rejects(unit, for_patches)[0] for unit in further]) > 0.5


def test_both_regions_carry_their_share():
    """Neither region's limit is so wide that the other does all the rejecting, though one varies ten times as much."""
    rng = np.random.default_rng(2)
    units = [draw(rng) for _ in range(600)]
    chosen = choose_together(units, KEYS, goal="false_reject", value=0.2)
    alone = [
        np.mean([max(unit.runs[0][key]) > one.limit.high for unit in units])
        for key, one in zip(KEYS, chosen, strict=True)
    ]
    assert min(alone) > 0.06


def test_strange_runs_of_good_strips_do_not_widen_their_region():
    """Every strip's body looks odd in two of ten runs: seven of ten still reject a body that is worse in every run."""
    rng = np.random.default_rng(5)
    odd = [draw(rng, runs=8).runs + draw(rng, runs=2, shift=40.0).runs for _ in range(60)]
    chosen = choose_together(
        [Unit(good=True, runs=runs) for runs in odd], KEYS, goal="false_reject", value=0.05, agree=7
    )
    body = next(one.limit for one in chosen if one.region == "body")
    assert body.high < 5 + 5.0
    assert body.typical == pytest.approx(5.0, abs=0.5)
    good = [sum(rejects(draw(rng, runs=10), chosen)) for _ in range(200)]
    bad = [sum(rejects(draw(rng, runs=10, shift=4.0), chosen)) for _ in range(200)]
    assert np.mean([rejected <= 3 for rejected in good]) > 0.9
    assert np.mean([rejected >= 7 for rejected in bad]) > 0.9


def test_rates_and_counts_are_those_of_strips():
    """The stated rate is the share of strips that the limits reject, patch by patch."""
    rng = np.random.default_rng(3)
    units = [draw(rng) for _ in range(200)]
    chosen = choose_together(units, KEYS, goal="quantile", value=0.9)
    assert {one.samples_good for one in chosen} == {200}
    assert [(one.region, one.score) for one in chosen] == KEYS
    assert chosen[0].false_reject.value == pytest.approx(np.mean([rejects(unit, chosen)[0] for unit in units]))
    assert chosen[0].false_reject.value == pytest.approx(0.1)


@pytest.mark.parametrize("agree", [2, 3])
def test_a_run_target_counts_products_classified_by_their_runs(agree):
    """The stated rates are those of the k of n policy itself, applied to every run's verdict."""
    rng = np.random.default_rng(4)
    units = [draw(rng, runs=3) for _ in range(120)]
    units += [draw(rng, runs=3, shift=1.2, good=False) for _ in range(80)]
    chosen = choose_together(units, KEYS, goal="youden", value=0.0, agree=agree)
    verdicts = [
        k_of_n([Verdict.REJECT if bad else Verdict.ACCEPT for bad in rejects(unit, chosen)], k=agree, n=3)
        for unit in units
    ]
    wrong_good = np.mean([v is not Verdict.ACCEPT for v, unit in zip(verdicts, units, strict=True) if unit.good])
    missed = np.mean([v is not Verdict.REJECT for v, unit in zip(verdicts, units, strict=True) if not unit.good])
    assert chosen[0].false_reject.value == pytest.approx(wrong_good)
    assert chosen[0].missed_defect.value == pytest.approx(missed)
    assert (chosen[0].samples_good, chosen[0].samples_defect) == (120, 80)


def test_seven_of_ten_is_decided_by_the_seventh():
    """Seven of ten good runs within the limit accept a good product; seven beyond it reject a defect."""
    runs = list(range(10))
    assert deciding_severity(runs, agree=7, good=True) == 6
    assert deciding_severity(runs, agree=7, good=False) == 3
    for limit in np.arange(-0.5, 10):
        accepted, rejected = sum(r <= limit for r in runs), sum(r > limit for r in runs)
        assert (accepted >= 7) == (deciding_severity(runs, agree=7, good=True) <= limit)
        assert (rejected >= 7) == (deciding_severity(runs, agree=7, good=False) > limit)


def test_a_defect_that_stays_is_told_from_bubbles_that_move_by_its_place():
    """Every run of every product has one patch as strange as a defect's; only a defect's is the same one each time."""
    rng = np.random.default_rng(0)

    def product(*, good):
        runs = []
        for _ in range(10):
            values = rng.uniform(0.0, 0.1, size=20)
            values[rng.integers(20)] = rng.uniform(0.9, 1.0)  # a bubble
            if not good:
                values[3] = rng.uniform(0.9, 1.0)
            runs.append({KEY: values.tolist()})
        return Unit(good, tuple(runs))

    goods, defects = ([product(good=good) for _ in range(60)] for good in (True, False))
    placed = [at_one_place(unit, agree=7) for unit in goods]
    (chosen,) = choose_together(placed, [KEY], goal="false_reject", value=0.05)
    assert chosen.limit.high < 0.5
    limits = {KEY: chosen.limit}
    decided = [worst_severity(at_one_place(unit, agree=7).runs[0], limits) for unit in [*goods, *defects]]
    assert np.mean([one <= 1.0 for one in decided[:60]]) >= 0.95
    assert min(decided[60:]) > 1.0
    (anywhere,) = choose_together(goods, [KEY], goal="false_reject", value=0.05, agree=7)
    assert anywhere.limit.high > 0.9


def test_runs_of_other_patches_have_no_place_in_common():
    runs = ({KEY: [0.1, 0.2]}, {KEY: [0.1]})
    with pytest.raises(LimitError, match="not every run has the same patches"):
        at_one_place(Unit(good=True, runs=runs), agree=2)


def test_a_moved_limit_lies_where_the_severity_says():
    """And its grey zone is a share of the new way."""
    old = Limit(high=3.0, typical=1.0)
    moved = move_limit(old, 1.5, grey=0.5)
    assert old.severity(moved.high) == 1.5
    assert moved == Limit(high=4.0, reject_high=5.5, typical=1.0)
    flat = Limit(high=1.0, typical=1.0)
    assert move_limit(flat, 2.0) == flat


def test_nothing_judged_is_infinitely_bad():
    """A strip without patches is not the best of all."""
    assert math.isinf(worst_severity({}, {("flag", "phi"): Limit(high=1.0)}))
    assert math.isinf(worst_severity({("flag", "phi"): [math.nan]}, {("flag", "phi"): Limit(high=1.0)}))


def test_a_region_without_good_scores_is_refused():
    """In one sentence."""
    with pytest.raises(LimitError, match="flag: phi: no good score"):
        choose_together([Unit(good=True, runs=({("body", "phi"): [1.0]},))], KEYS, goal="false_reject", value=0.05)
