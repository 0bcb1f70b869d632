"""Judging products and classifying runs: what rejects, what is said, and what is an error of the set-up."""

from __future__ import annotations

import itertools
import math

import pytest
from scipy import stats

from candling.decide.policy import judge_product, k_of_n
from candling.errors import LimitError, UsageError
from candling.types import Box, Limit, Prediction, Verdict

ERROR = "window_error"


def patch(region="whole", **scores):
    return Prediction(region, Box(0, 0, 8, 8), scores)


def judge(values, limit=None, region="whole"):
    limits = {(region, ERROR): limit or Limit(high=1.0, typical=0.5)}
    return judge_product([patch(region, window_error=value) for value in values], limits, [ERROR])


def test_all_scores_within_their_limits_accept():
    """A product whose patches all lie within their limits is accepted without a reason, at its worst severity."""
    verdict, severity, reasons = judge([0.5, 0.75])
    assert verdict is Verdict.ACCEPT
    assert reasons == ()
    assert severity == 0.5


def test_the_limit_itself_is_accepted():
    """A score exactly at the limit is accepted, the next floating-point number is not."""
    assert judge([1.0])[0] is Verdict.ACCEPT
    assert judge([math.nextafter(1.0, 2.0)])[0] is Verdict.REJECT


def test_one_bad_patch_of_sixty_rejects():
    """A strip of five vials, four regions and three frames is rejected by any of its 60 patches (Ferrari 2024)."""
    regions = ("flag", "upper_body", "liquid", "bottom")
    limits = {(region, ERROR): Limit(high=0.0386, typical=0.01) for region in regions}
    patches = [patch(region, window_error=0.02) for region in regions for _ in range(15)]
    assert len(patches) == 60
    assert judge_product(patches, limits, [ERROR])[0] is Verdict.ACCEPT
    patches[37] = patch("liquid", window_error=0.0411)
    verdict, severity, reasons = judge_product(patches, limits, [ERROR])
    assert verdict is Verdict.REJECT
    assert severity == pytest.approx((0.0411 - 0.01) / (0.0386 - 0.01))
    assert [reason.text for reason in reasons] == [
        "liquid: window_error 0.0411 above its limit 0.0386 (1 of 15 patches)"
    ]
    assert (reasons[0].region, reasons[0].score, reasons[0].value, reasons[0].limit) == (
        "liquid",
        ERROR,
        0.0411,
        0.0386,
    )


def test_a_sentence_tells_the_score_from_its_limit():
    """The sentence names region, score and limit, with enough digits to tell value and limit apart."""
    assert judge([0.0411], Limit(high=0.0386))[2][0].text == "whole: window_error 0.0411 above its limit 0.0386"
    assert judge([0.038612], Limit(high=0.038608))[2][0].text == "whole: window_error 0.038612 above its limit 0.038608"
    beside = judge([math.nextafter(1.0, 2.0)])[2][0].text
    assert beside == "whole: window_error 1.0000000000000002 above its limit 1.0"


def test_a_score_below_a_lower_limit_rejects():
    """A limit has two ends; a value below the lower one is rejected and said to be below."""
    verdict, _, reasons = judge([1.0], Limit(low=3.0, high=9.0))
    assert verdict is Verdict.REJECT
    assert reasons[0].text == "whole: window_error 1 below its limit 3"
    assert reasons[0].limit == 3.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_rejects(value):
    """NaN and both infinities reject with infinite severity and a reason, though minus infinity is below any limit."""
    verdict, severity, reasons = judge([0.1, value])
    assert verdict is Verdict.REJECT
    assert severity == math.inf
    assert "is not a number" in reasons[0].text or "is infinite" in reasons[0].text
    assert reasons[0].value == value or math.isnan(value)


def test_nothing_to_judge_rejects():
    """A product without a single patch is rejected, whatever the limits."""
    verdict, severity, reasons = judge_product([], {("whole", ERROR): Limit(high=1.0)}, [ERROR])
    assert verdict is Verdict.REJECT
    assert severity == math.inf
    assert "no patch" in reasons[0].text


def test_a_region_that_was_not_seen_rejects():
    """A region with limits but without a patch rejects the product, though all patches seen are good."""
    limits = {("flag", ERROR): Limit(high=1.0), ("neck", ERROR): Limit(high=1.0), ("old", "other"): Limit(high=1.0)}
    verdict, severity, reasons = judge_product([patch("flag", window_error=0.1)], limits, [ERROR])
    assert verdict is Verdict.REJECT
    assert severity == math.inf
    assert [reason.region for reason in reasons] == ["neck"]


def test_every_judged_score_must_admit():
    """A patch that passes one criterion and fails the other is rejected; a score nobody judges counts for nothing."""
    limits = {("whole", "error"): Limit(high=1.0), ("whole", "rarity"): Limit(high=1.0)}
    one = patch(error=0.5, rarity=7.0, gloss=99.0)
    assert judge_product([one], limits, ["error", "rarity"])[0] is Verdict.REJECT
    assert judge_product([one], limits, ["error"])[0] is Verdict.ACCEPT


def test_the_grey_zone_is_undecided_unless_something_rejects():
    """Grey alone is undecided with its reason; grey beside a reject is a reject, the reject first."""
    grey = Limit(high=1.0, reject_high=1.2, typical=0.0)
    verdict, severity, reasons = judge([0.2, 1.1], grey)
    assert verdict is Verdict.UNDECIDED
    assert severity == pytest.approx(1.1)
    assert reasons[0].text == (
        "whole: window_error 1.1 above its limit 1, in the grey zone that ends at 1.2 (1 of 2 patches)"
    )
    limits = {("a", ERROR): grey, ("b", ERROR): Limit(high=1.0, typical=0.99)}
    both = [patch("a", window_error=1.1), patch("b", window_error=1.001)]
    verdict, _, reasons = judge_product(both, limits, [ERROR])
    assert verdict is Verdict.REJECT
    assert [reason.region for reason in reasons] == ["b", "a"]


def test_reasons_come_worst_first_and_one_a_region_and_score():
    """Reasons are ordered by severity; the worst patch of a region speaks for the others and says how many they are."""
    limits = {(region, ERROR): Limit(high=1.0) for region in ("a", "b")}
    values = {"a": (1.5, 0.5, 1.7), "b": (3.0, 2.0)}
    patches = [patch(region, window_error=value) for region, row in values.items() for value in row]
    _, severity, reasons = judge_product(patches, limits, [ERROR])
    assert [(reason.region, reason.value) for reason in reasons] == [("b", 3.0), ("a", 1.7)]
    assert reasons[0].text.endswith("(2 of 2 patches)")
    assert reasons[1].text.endswith("(2 of 3 patches)")
    assert severity == 3.0


def test_a_missing_limit_names_the_remedy():
    """A judged score without a limit in its region is an error that says to calibrate, not a verdict."""
    with pytest.raises(LimitError, match=r"no limit for score 'rarity' in region 'neck'; run `candling calibrate`"):
        judge_product([patch("neck", rarity=1.0)], {("neck", ERROR): Limit()}, ["rarity"])


def test_a_missing_score_names_those_that_exist():
    """A judged score the graph does not give is an error that lists what it gives."""
    with pytest.raises(LimitError, match=r"no score 'rarity' .it gives: window_error."):
        judge_product([patch(window_error=1.0)], {("whole", "rarity"): Limit()}, ["rarity"])


def test_judging_by_no_score_is_refused():
    """With no judged score nothing could ever reject, so it is an error."""
    with pytest.raises(LimitError, match="no score is judged"):
        judge_product([patch(window_error=1.0)], {}, [])


@pytest.mark.parametrize(
    ("rejects", "accepts", "expected"),
    [
        (10, 0, "reject"),
        (7, 3, "reject"),
        (6, 4, "undecided"),
        (4, 6, "undecided"),
        (3, 7, "accept"),
        (0, 10, "accept"),
    ],
)
def test_seven_of_ten_runs_decide(rejects, accepts, expected):
    """Seven equal verdicts of ten decide; four to six either way are wrong on both readings (Ferrari et al. 2024)."""
    runs = [Verdict.REJECT] * rejects + [Verdict.ACCEPT] * accepts
    assert k_of_n(runs, k=7, n=10).value == expected


def test_undecided_runs_count_for_neither_side():
    """An undecided run supports neither verdict."""
    assert k_of_n([Verdict.UNDECIDED] * 4 + [Verdict.REJECT] * 6, k=7, n=10) is Verdict.UNDECIDED


def test_seven_of_ten_has_the_published_operating_curve():
    """Summed over all outcomes, a product rejected with probability p is classified so as often as published."""
    for probability, published in ((0.5, 0.172), (0.6, 0.382), (0.7, 0.650), (0.8, 0.879), (0.9, 0.987), (0.95, 0.999)):
        decided = [
            k_of_n([Verdict.REJECT] * hits + [Verdict.ACCEPT] * (10 - hits), k=7, n=10) is Verdict.REJECT
            for hits in range(11)
        ]
        mass = stats.binom.pmf(range(11), 10, probability)
        assert sum(itertools.compress(mass, decided)) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(("k", "n"), [(5, 10), (0, 1), (11, 10), (0, 0)])
def test_a_rule_that_cannot_decide_is_refused(k, n):
    """A rule needs k more than half of n, or two verdicts could both hold."""
    with pytest.raises(UsageError, match="more than half"):
        k_of_n([Verdict.ACCEPT] * n, k=k, n=n)


def test_missing_runs_are_refused():
    """Nine runs are not ten; the missing one is not guessed."""
    with pytest.raises(UsageError, match="9 runs were given where 10 are needed"):
        k_of_n([Verdict.REJECT] * 9, k=7, n=10)
