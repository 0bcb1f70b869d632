"""Strips: vials, regions and frames become patches of one call, and whatever arrives leaves as a verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest

from candling.runtime.inspector import Inspector
from candling.types import Box, Verdict


@pytest.fixture
def inspector(building, tmp_path):
    return Inspector.load(building.strip_bundle(tmp_path / "b"), engine="onnxruntime", threads=1)


def test_all_patches_go_through_the_engine_in_one_call(inspector, building, monkeypatch):
    """Three frames of two vials of two regions are twelve images at once, frame by frame and vial by vial."""
    calls = []
    run = inspector.engine.run
    monkeypatch.setattr(inspector.engine, "run", lambda images, **how: calls.append(images.shape) or run(images, **how))
    predicted = inspector.predictor.attempt_frames(building.strip_frames(), product="S1 run 0")
    assert calls == [(12, 1, 32, 32)]
    keys = [(one.frame, one.vial, one.region) for one in predicted.predictions]
    assert keys == [(frame, vial, region) for frame in (1, 2, 3) for vial in (1, 2) for region in ("neck", "body")]
    assert predicted.predictions[3].box == Box(32, 32, 32, 32)
    assert {"cut", "prepare", "predict"} <= set(predicted.milliseconds)


def test_each_patch_has_the_score_of_its_own_pixels(inspector, building):
    """The number of vial 2, body, frame 3 is the grey value there, and no other patch sees it."""
    frames = building.strip_frames(bright=(2, "body", 3, 255 // 5))
    found = {(p.vial, p.region, p.frame): p.scores["brightness"] for p in inspector.inspect_strip(frames).predictions}
    assert found.pop((2, "body", 3)) == pytest.approx(0.2, abs=1e-5)
    np.testing.assert_allclose(list(found.values()), 100 / 255, atol=1e-5)


def test_a_good_strip_is_accepted_and_one_bad_patch_rejects_it(inspector, building):
    """The reason names vial, region and frame."""
    assert inspector.inspect_strip(building.strip_frames()).verdict is Verdict.ACCEPT
    inspection = inspector.inspect_strip(building.strip_frames(bright=(2, "neck", 3, 200)), product="S1 run 4")
    assert (inspection.verdict, inspection.product) == (Verdict.REJECT, "S1 run 4")
    [reason] = inspection.reasons
    assert reason.text == "vial 2, neck, frame 3: brightness 0.7843 above its limit 0.5 (1 of 3 frames)"
    assert (reason.vial, reason.region, reason.frame) == (2, "neck", 3)


def test_vials_speak_for_themselves(inspector, building):
    """Two bad vials are two reasons, the worse first."""
    frames = building.strip_frames(bright=(1, "body", 2, 150))
    frames[0][0:32, 32:64] = 220
    texts = [reason.text for reason in inspector.inspect_strip(frames).reasons]
    assert [text[:21] for text in texts] == ["vial 2, neck, frame 1", "vial 1, body, frame 2"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda given: given[:2], "2 frames came where one acquisition has 3"),
        (lambda given: [], "0 frames came"),
        (lambda given: [None, *given[1:]], "frame 1 of 3: no frame came in time"),
        (lambda given: [given[0], given[0].copy(), given[2]], "frames 1 and 2 of 3 are the same picture"),
        (lambda given: [given[0][:40], *given[1:]], "frame 1 of 3: the frame has 40 x 64 px"),
        (lambda given: [np.zeros_like(given[0]), *given[1:]], "frame 1 of 3: the frame is black"),
        (lambda given: [np.full_like(given[0], 255), *given[1:]], "frame 1 of 3: the frame is saturated"),
        (lambda given: [np.full((64, 64), np.nan, np.float32), *given[1:]], "frame 1 of 3: the frame is float32"),
    ],
)
def test_bad_input_is_a_reject_in_one_sentence(inspector, building, spoil, sentence):
    """Never an accept, and nothing escapes."""
    inspection = inspector.inspect_strip(spoil(building.strip_frames()))
    assert inspection.verdict is Verdict.REJECT
    assert math.isinf(inspection.severity)
    assert sentence in inspection.reasons[0].text
    assert len(inspection.reasons) == 1


def test_a_single_frame_of_a_strip_is_never_accepted(inspector, building):
    """Whoever asks for one frame gets its patches, and a reject that names what was not seen."""
    inspection = inspector.inspect(building.strip_frames()[0])
    assert inspection.verdict is Verdict.REJECT
    assert len(inspection.predictions) == 4
    texts = [reason.text for reason in inspection.reasons]
    assert "vial 1, neck, frame 2: not judged, it has no patch" in texts


def test_a_score_that_is_no_number_rejects(building, tmp_path):
    """Zero over zero in one patch of twelve."""
    bundle = building.strip_bundle(tmp_path / "b", graph=building.nan_when_black())
    frames = building.strip_frames(bright=(1, "body", 2, 0))
    inspection = Inspector.load(bundle, engine="onnxruntime").inspect_strip(frames)
    assert inspection.verdict is Verdict.REJECT
    assert inspection.reasons[0].text == "vial 1, body, frame 2: brightness is not a number (1 of 3 frames)"


def test_files_of_acquisitions_are_judged_in_order(inspector, building, tmp_path):
    """One that cannot be read is a reject between two others."""
    strips = []
    for at, grey in enumerate((100, 101, 200)):
        frames = building.strip_frames(grey=grey)
        strips.append((f"S{at}", [building.picture(tmp_path / f"{at}{n}.png", f) for n, f in enumerate(frames)]))
    strips[1][1][2].write_bytes(b"torn")
    found = list(inspector.inspect_acquisitions(strips))
    assert [(one.product, str(one.verdict)) for one in found] == [("S0", "accept"), ("S1", "reject"), ("S2", "reject")]
    assert "12.png" in found[1].reasons[0].text


def test_frames_of_a_product_that_is_no_strip(building, tmp_path):
    """One frame is the product as ever; two are refused."""
    inspector = Inspector.load(building.bundle(tmp_path / "b"), engine="onnxruntime")
    frame = np.full((32, 32), 40, np.uint8)
    assert inspector.inspect_strip([frame]).verdict is inspector.inspect(frame).verdict is Verdict.ACCEPT
    assert "2 frames came where one shows the product" in inspector.inspect_strip([frame, frame]).reasons[0].text


def test_a_strip_of_one_frame_has_vials_and_no_frame_number(building, tmp_path):
    """Vials are named, frames are not; a black frame is refused as for any strip."""
    recipe = building.strip_recipe(frames=1)
    inspector = Inspector.load(building.strip_bundle(tmp_path / "b", recipe_=recipe), engine="onnxruntime")
    [frame] = building.strip_frames(count=1, bright=(2, "body", 1, 200))
    inspection = inspector.inspect(frame)
    assert inspection.reasons[0].text == "vial 2, body: brightness 0.7843 above its limit 0.5"
    assert inspector.inspect_strip([frame]).reasons == inspection.reasons
    assert "black" in inspector.inspect(np.zeros((64, 64), np.uint8)).reasons[0].text
