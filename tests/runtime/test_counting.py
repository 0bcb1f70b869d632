"""What a bundle says of how its cells are counted comes back as it was, and damage is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from candling.errors import BundleError
from candling.measure.count_spread import CountSpread
from candling.runtime.counting import Counting, decode_counting, encode_counting

COUNTING = Counting({"cell": 0.5}, 0.0, border_px=1, least_px=4, reach_px=4, step_px=2)


def test_how_cells_are_counted_travels():
    """What a bundle holds comes back as it was."""
    full = replace(COUNTING, density_factor=1.25, spreads={"cell": CountSpread(0.5, 0.9, 12)})
    for counting in (COUNTING, full):
        assert decode_counting(encode_counting(counting), where="here") == counting


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {}},
        {"scores": {"cell": 2.0}},
        {"scores": [1]},
        {"step_px": 0},
        {"least_inside": 1.5},
        {"border_px": 0},
        {"least_px": None},
        {"density_factor": 0},
        {"spreads": {"cell": {"width": -1.0, "confidence": 0.9, "images": 12}}},
        {"spreads": {"cell": {"width": 1.0}}},
    ],
)
def test_damaged_facts_are_named(change):
    """A file that does not say how cells are counted is refused by its place."""
    facts = json.loads(encode_counting(COUNTING)) | change
    with pytest.raises(BundleError, match="somewhere"):
        decode_counting(json.dumps(facts).encode(), where="somewhere")
    with pytest.raises(BundleError, match="somewhere"):
        decode_counting(b"\xff", where="somewhere")


def test_a_file_of_before_intervals_is_read():
    """Bundles made before there were intervals and densities count as they did."""
    facts = json.loads(encode_counting(COUNTING))
    del facts["spreads"], facts["density_factor"]
    assert decode_counting(json.dumps(facts).encode(), where="here") == COUNTING
