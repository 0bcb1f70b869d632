"""Figures of defects as an evaluation holds them: with and without probabilities, and in sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest

from candling.measure.anomaly import PixelScores
from candling.workflow.defect_figures import PatchCounts, defect_figures, defect_notes
from candling.workflow.figures import Resampling


def images() -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Three images with a square defect that a map of probabilities finds in two of them, and a good one."""
    rng = np.random.default_rng(0)
    found: list[tuple[np.ndarray, np.ndarray | None]] = []
    for number in range(4):
        mask = np.zeros((80, 90), bool)
        mask[10:60, 20:80] = number < 3
        values = rng.uniform(0.0, 0.2, mask.shape).astype(np.float32)
        values[mask] += 0.7 if number < 2 else 0.0
        found.append((values, mask if number < 3 else None))
    return found


def resampling() -> Resampling:
    return Resampling(np.random.default_rng(1), 100, 0.95)


def test_probabilities_are_cut_at_one_half() -> None:
    """Two of three defects are found: coverage, covered percentages and patches say so, and all of it is JSON."""
    counts = PatchCounts(wanted=True)
    for values, mask in images():
        counts.see(values, mask)
    figures = defect_figures(PixelScores.gather(images()), counts, resampling=resampling())
    assert figures["defects"] == 3
    assert figures["coverage"]["value"] == pytest.approx((1 + 1 + 0.05) / 3, abs=0.02)
    share = 100 * 50 * 60 / (80 * 90)
    assert figures["covered_percent"]["by_masks"]["value"] == pytest.approx(0.75 * share)
    assert figures["covered_percent"]["judged"]["value"] == pytest.approx(0.5 * share)
    assert figures["covered_percent"]["mean_error"]["value"] == pytest.approx(0.25 * share)
    patches = figures["patches"]
    assert patches["missed_defect"] * 2 == patches["found"] > 0
    assert patches["false_alarm"] == 0
    assert patches["missed_defect_rate"]["value"] == pytest.approx(1 / 3)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert len(list(defect_notes(figures))) == 3


def test_other_maps_give_coverage_alone() -> None:
    """A map that is no probability is cut nowhere; without a defect there is nothing to say."""
    counts = PatchCounts(wanted=False)
    for values, mask in images():
        counts.see(values, mask)
    assert not counts.images
    figures = defect_figures(PixelScores.gather(images()), counts, resampling=resampling())
    assert set(figures) == {"defects", "coverage", "false_alarms", "limit", "by_size_px"}
    assert len(list(defect_notes(figures))) == 1
    clean = PixelScores.gather([(np.zeros((9, 9), np.float32), None)])
    assert defect_figures(clean, counts, resampling=resampling()) == {}
    assert defect_figures(None, counts, resampling=resampling()) == {}
    assert list(defect_notes({})) == []
