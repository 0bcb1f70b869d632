"""Strips in evaluation and results: one row an acquisition, the worst frame shown, each vial's worst told."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from candling.data.samples import load_samples
from candling.pixels.read import read_image
from candling.runtime.inspector import Inspector
from candling.types import Box, Inspection, Limit, Prediction, Verdict
from candling.workflow.evaluate import evaluate
from candling.workflow.maps import MapScale
from candling.workflow.results import write_results
from candling.workflow.strips import frame_number, of_frame, of_worst_frame, vial_results

LIMITS = {("neck", "brightness"): Limit(high=0.5), ("body", "brightness"): Limit(high=0.4, typical=0.2)}


def strip(values):
    """A strip's inspection from {(vial, region, frame): score}."""
    patches = tuple(
        Prediction(region, Box(0, 0, 8, 8), {"brightness": value}, vial=vial, frame=frame)
        for (vial, region, frame), value in values.items()
    )
    return Inspection("S1 run 0", Verdict.REJECT, 1.0, (), patches)


def test_each_vial_has_its_worst_severity_and_its_score_over_the_limit():
    """Eq. 13 with each region's own limit: 0.45 / 0.5 is less than 0.38 / 0.4, whatever is larger by itself."""
    found = strip({(1, "neck", 1): 0.45, (1, "body", 2): 0.38, (2, "neck", 1): 0.1, (2, "body", 2): 0.44})
    first, second = vial_results(found, LIMITS)
    assert (first.vial, second.vial) == (1, 2)
    assert first.score_over_limit == pytest.approx(0.38 / 0.4)
    assert first.severity == pytest.approx(0.9)
    assert (second.score_over_limit, second.severity) == (pytest.approx(1.1), pytest.approx(1.2))


def test_a_score_that_is_no_number_is_infinitely_bad():
    """On both scales."""
    [vial] = vial_results(strip({(1, "neck", 1): math.nan, (1, "body", 1): 0.3}), LIMITS)
    assert (vial.severity, vial.score_over_limit) == (math.inf, math.inf)


def test_the_worst_frame_is_that_of_the_worst_patch():
    """A product of one frame passes through as it is."""
    found = strip({(1, "neck", 1): 0.2, (2, "body", 3): 0.39, (1, "body", 3): 0.1})
    shown = of_worst_frame(found, LIMITS)
    assert (frame_number(shown), len(shown.predictions)) == (3, 2)
    assert of_frame(found, 1).predictions == found.predictions[:1]
    plain = Inspection("a.png", Verdict.ACCEPT, 0.1, (), (Prediction("whole", Box(0, 0, 8, 8), {}),))
    assert of_worst_frame(plain, LIMITS) is plain
    assert frame_number(plain) is None
    assert vial_results(plain, LIMITS) == ()


@pytest.fixture
def inspector(building, tmp_path):
    return Inspector.load(building.strip_bundle(tmp_path / "b"), engine="onnxruntime", threads=1)


@pytest.fixture
def table(building, tmp_path):
    """Two good strips and one with a bright patch, two runs each; the last run of the bad one lacks a frame."""
    bright = (2, "neck", 3, 220)
    strips = [
        (product, "good", "kit", run, building.strip_frames(grey=grey + run))
        for product, grey in (("G1", 90), ("G2", 100))
        for run in (0, 1)
    ]
    strips += [("D1", "burn", "kit", 0, building.strip_frames(bright=bright), (2, "neck"))]
    strips += [("D1", "burn", "kit", 1, building.strip_frames(bright=bright)[:2], (2, "neck"))]
    return load_samples(building.strip_table(tmp_path / "line", strips))


def test_an_evaluation_has_one_result_an_acquisition(inspector, table):
    """Four good runs accepted, both bad ones rejected: one by its patch, one because a frame is missing."""
    found = evaluate(inspector, table, rounds=100)
    assert [image.name for image in found.images] == [f"{p} run {r}" for p in ("G1", "G2", "D1") for r in (0, 1)]
    assert [str(image.verdict) for image in found.images] == ["accept"] * 4 + ["reject"] * 2
    assert found.images[4].reason.startswith("vial 2, neck, frame 3: brightness 0.8627 above its limit 0.5")
    assert "2 frames came where one acquisition has 3" in found.images[5].reason
    assert [c.label for c in found.classes] == ["burn"]
    shown = {example.result.name: example for example in found.examples}
    assert set(shown) >= {"D1 run 0"}
    assert [panel.caption for panel in shown["D1 run 0"].panels][-1] == "overlay"


def test_masks_are_compared_frame_by_frame(building, inspector, tmp_path):
    """Every frame of a defect with a mask counts; the map stands where the patch was cut."""
    folder = tmp_path / "line"
    table = building.strip_table(
        folder,
        [
            ("G1", "good", "kit", 0, building.strip_frames()),
            ("D1", "burn", "kit", 0, building.strip_frames(bright=(2, "body", 2, 250)), (2, "body")),
        ],
    )
    mask = np.zeros((64, 64), np.uint8)
    mask[32:, 32:] = 255
    building.picture(folder / "mask.png", mask)
    head, *rows = table.read_text().splitlines()
    table.write_text(
        "\n".join([f"{head},mask", *(f"{r},{'mask.png' if '_07' in r and 'D1' in r else ''}" for r in rows)])
    )
    found = evaluate(inspector, load_samples(table), rounds=100)
    assert found.figures["pixel_auroc"].value == pytest.approx(1.0)
    assert found.images[1].has_mask


def test_results_show_the_worst_frame_and_tell_each_vial(inspector, table, tmp_path):
    """The overlay is of frame 3, where the patch is; the record names vial and frame, and every vial's worst."""
    named = {}
    for sample in table:
        named.setdefault(f"{sample.product} run {sample.run}", []).append(sample.path)
    asked = []

    def frame_of(inspection):
        asked.append((inspection.product, frame_number(inspection)))
        return read_image(named[inspection.product][frame_number(inspection) - 1])

    out = tmp_path / "results"
    summary = write_results(
        inspector.inspect_acquisitions(named.items()),
        out,
        limits=inspector.limits,
        scale=MapScale(0.0, 0.4, 0.6),
        frame_of=frame_of,
        raw_maps=True,
    )
    assert (summary.images, summary.rejected, summary.unreadable, summary.overlays) == (6, 2, 1, 1)
    assert asked == [("D1 run 0", 3)]
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    [reason] = lines[4]["reasons"]
    assert (reason["vial"], reason["frame"], reason["region"]) == (2, 3, "neck")
    assert [vial["vial"] for vial in lines[4]["vials"]] == [1, 2]
    assert lines[4]["vials"][1]["score_over_limit"] == pytest.approx(220 / 255 / 0.5, abs=1e-4)
    assert "vials" not in lines[5]  # nothing of it was judged
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert rows[4]["overlay"] == "overlays/D1_run_0.jpg"
