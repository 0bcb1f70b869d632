"""A bundle's limits: each change is logged for good and touches nothing else; impossible ones are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from candling.errors import BundleError, DiskError, UsageError
from candling.runtime.bundle import LimitsFile, Range, load_bundle, replace_limits, save_bundle
from candling.types import Interval


def test_new_limits_are_logged_for_good(building, bundle):
    """Each change says when, why, by whom, from what, to what; none is lost."""
    first = LimitsFile(entries=(building.entry(high=0.6),))
    second = LimitsFile(entries=(building.entry(high=0.4),), precision="bfloat16", engine="openvino")
    noon = datetime(2026, 3, 2, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    once = replace_limits(bundle, first, reason=" new lamp ", by="A. Keller", at=noon)
    twice = replace_limits(once, second, reason="bfloat16", by="B. Frei")
    assert load_bundle(bundle.path) == twice
    assert [change.reason for change in twice.limits.history] == ["new lamp", "bfloat16"]
    assert [change.by for change in twice.limits.history] == ["A. Keller", "B. Frei"]
    assert twice.limits.history[0].at == datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert [change.old[0].high for change in twice.limits.history] == [0.5, 0.6]
    assert [change.new[0].high for change in twice.limits.history] == [0.6, 0.4]
    assert twice.limits.limits()["whole", "brightness"].high == 0.4
    assert (twice.limits.precision, twice.limits.engine) == ("bfloat16", "openvino")
    assert len({bundle.sha256, once.sha256, twice.sha256}) == 3


def test_new_limits_leave_the_rest_alone(building, tmp_path):
    """Graph, recipe, card and extra files keep their bytes; nothing else stays in the folder or beside it."""
    old = building.bundle(tmp_path / "a.bundle", extra={"curves.csv": b"1,2\n"})
    before = {path.name: path.read_bytes() for path in old.path.iterdir()}
    new = replace_limits(old, LimitsFile(entries=(building.entry(high=0.7),)), reason="r", by="b")
    after = {path.name: path.read_bytes() for path in new.path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"limits.json", "manifest.json"}
    assert after.keys() == before.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


def test_two_changes_at_once_do_not_lose_each_other(building, bundle):
    """The second one is told to load again, and the first one's history stays."""
    limits = LimitsFile(entries=(building.entry(high=0.6),))
    replace_limits(bundle, limits, reason="first", by="a")
    with pytest.raises(BundleError, match="was changed by someone else meanwhile; load it again"):
        replace_limits(bundle, limits, reason="second", by="b")
    assert [change.reason for change in load_bundle(bundle.path).limits.history] == ["first"]


def test_a_change_that_fails_leaves_the_old_bundle(building, bundle, tmp_path, monkeypatch):
    """A full disk in the middle: the old limits hold, and nothing is left over."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(DiskError):
        replace_limits(bundle, LimitsFile(entries=(building.entry(high=0.9),)), reason="r", by="b")
    assert load_bundle(bundle.path) == bundle
    assert [path.name for path in tmp_path.iterdir()] == ["plate.bundle"]


@pytest.mark.parametrize(
    "missing",
    [{"reason": " "}, {"by": ""}, {"limits": LimitsFile(entries=())}, {"at": datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_a_change_needs_all_its_facts(building, bundle, missing):
    """No reason, no name, no limits or no time zone: nothing is written."""
    wish = {"limits": LimitsFile(entries=(building.entry(),)), "reason": "r", "by": "b", **missing}
    with pytest.raises(UsageError, match="a change of limits needs"):
        replace_limits(bundle, wish.pop("limits"), **wish)
    assert load_bundle(bundle.path) == bundle


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"low": None, "high": None}, "admits everything"),
        ({"low": 2.0, "high": 1.0}, "the ends must rise"),
        ({"high": 1.0, "reject_high": 0.5}, "the ends must rise"),
        ({"high": float("nan")}, "finite"),
        ({"high": float("inf")}, "finite"),
        ({"high": "0.5"}, "valid number"),
        ({"region": "Whole Thing"}, "pattern"),
        ({"confidence": 1.0}, "less than 1"),
    ],
)
def test_an_impossible_limit_is_refused(building, wrong, told):
    """Open on both ends, falling, infinite, or of another type."""
    with pytest.raises(ValidationError, match=told):
        type(building.entry()).model_validate({**dict(building.entry()), **wrong})


def test_two_limits_for_one_score_are_refused(building):
    """Which of them would hold?"""
    with pytest.raises(ValidationError, match="two limits for score 'brightness' in region 'whole'"):
        LimitsFile(entries=(building.entry(), building.entry(high=0.7)))


def test_a_range_is_an_interval():
    """The JSON shape and the house's noun hold the same three numbers."""
    interval = Interval(0.1, 0.05, 0.2)
    assert Range.of(interval).interval() == interval


def test_a_limit_of_another_meaning_is_refused(building, tmp_path):
    """A limit repeats what its score depends on; one chosen for another density is refused however it comes in."""
    card = building.card()
    here, there = (
        card.model_copy(update={"scores": {"brightness": f"log-density in {count} dimensions"}})
        for count in (343, 4096)
    )
    parts = {"graph": building.brightness().SerializeToString(), "recipe": building.recipe()}
    limits = LimitsFile(entries=(building.entry(),))
    bundle = save_bundle(tmp_path / "a.bundle", limits=limits, card=here, **parts)
    other = save_bundle(tmp_path / "b.bundle", limits=limits, card=there, **parts)
    assert bundle.limits.entries[0].meaning == "log-density in 343 dimensions"
    with pytest.raises(BundleError, match=r"chosen for log-density in 4096 dimensions.*here it is .*343.*calibrate"):
        replace_limits(bundle, other.limits, reason="copied", by="a test")
    with pytest.raises(BundleError, match="4096"):
        save_bundle(tmp_path / "c.bundle", limits=other.limits, card=here, **parts)
    again = replace_limits(bundle, limits, reason="calibrated", by="a test")
    assert again.limits.entries[0].meaning == "log-density in 343 dimensions"
