"""The slot as a gate: what is timed, what is counted, and what fails."""

from __future__ import annotations

import pytest

from candling.errors import UsageError
from candling.pixels.heatmap import encode_png
from candling.pixels.read import decode
from candling.runtime.inspector import Inspector
from candling.scenes.vials import draw_strip
from candling.workflow.maps import MapScale
from candling.workflow.strip_benchmark import drawn_strips, heatmaps_of_rejected, measure_strips


@pytest.fixture
def inspector(building, tmp_path):
    return Inspector.load(building.strip_bundle(tmp_path / "b"), engine="onnxruntime", threads=1)


@pytest.fixture
def strips(building):
    """A good strip and one with a bad patch, encoded."""
    both = (building.strip_frames(), building.strip_frames(bright=(1, "body", 2, 200)))
    return [[encode_png(frame) for frame in frames] for frames in both]


def test_every_step_is_timed_and_the_whole_leaves_decoding_out(inspector, strips):
    """Half of the strips are rejected by one patch each, so half a heatmap a strip."""
    timing = measure_strips(inspector, strips, seconds=0.01, slot_ms=1e6)
    assert (timing.patches, timing.slot_ms, timing.fits) == (12, 1e6, True)
    assert timing.strips >= 20
    assert set(timing.steps) == {"decode", "cut", "prepare", "predict", "judge", "heatmap"}
    assert timing.heatmaps == pytest.approx(timing.rejected, abs=1e-9)
    assert 0.4 < timing.rejected < 0.6
    assert timing.whole.p50 < timing.with_decode.p50
    parts = sum(timing.steps[name].mean for name in ("cut", "prepare", "predict", "judge", "heatmap"))
    assert 0.0 < parts <= timing.whole.mean * 1.001  # a busy machine may be elsewhere between two steps
    data = timing.to_json()
    assert {"p50_ms", "p99_ms", "mean_ms", "max_ms", "p95_ms", "flops_per_patch"} <= set(data)
    assert data["p99_ms"] == timing.whole.p99
    assert data["flops_per_patch"] == 0  # a mean is no convolution


def test_a_slot_that_is_too_short_fails(inspector, strips):
    """A microsecond is none."""
    assert measure_strips(inspector, strips, seconds=0.01, slot_ms=0.001).fits is False


def test_only_rejected_patches_get_a_heatmap(inspector, building):
    """One patch of twelve."""
    scale = MapScale(0.0, 0.4, 0.6)
    inspection = inspector.inspect_strip(building.strip_frames(bright=(1, "body", 2, 200)))
    [drawn] = heatmaps_of_rejected(inspection, inspector.limits, scale)
    assert drawn.shape == (32, 32, 3)
    assert heatmaps_of_rejected(inspector.inspect_strip(building.strip_frames()), inspector.limits, scale) == []


def test_strips_to_time_with_are_drawn(building):
    """As the drawn line has them where the size is its own; at the end noise of the recipe's size, no frame twice."""
    small = building.strip_recipe().strip
    drawn = drawn_strips(small, count=1)
    assert [len(frames) for frames in drawn] == [3, 3]
    assert decode(drawn[0][0], where="frame").shape == (64, 64)
    assert len({data for frames in drawn for data in frames}) == 6
    line = small.model_copy(update={"height": 1024, "width": 1280, "frames": 1})
    [data], [defective], [noise] = drawn_strips(line, count=2)
    assert (decode(data, where="frame") == draw_strip(0, 0, 0)).all()
    assert (decode(defective, where="frame") != draw_strip(1, 0, 0)).any()
    assert (decode(noise, where="frame") != draw_strip(2, 0, 0)).mean() > 0.9
    [data], [noise] = drawn_strips(line, channels=3, count=1)
    together = decode(data, where="frame")
    assert all((together[..., at] == draw_strip(0, 0, frame)).all() for at, frame in enumerate((0, 7, 15)))
    assert decode(noise, where="frame").shape == (1024, 1280, 3)
    coloured = drawn_strips(small, channels=3, count=1)[0]
    assert [decode(data, where="frame").shape for data in coloured] == [(64, 64, 3)] * 3


def test_what_is_no_strip_cannot_be_timed_as_one(building, inspector, tmp_path):
    """In one sentence."""
    with pytest.raises(UsageError, match="no strip to time"):
        measure_strips(inspector, [])
    plain = Inspector.load(building.bundle(tmp_path / "plain"), engine="onnxruntime")
    with pytest.raises(UsageError, match=r"has no \[strip\]"):
        measure_strips(plain, [[b""]])
