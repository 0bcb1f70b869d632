"""What moves in a run stays in its vial, differs from run to run, and comes to rest."""

from __future__ import annotations

import numpy as np

from candling.scenes.vials.geometry import body_half_width
from candling.scenes.vials.moving import Sway, handle, moment, place


def test_handling_repeats_and_differs_from_run_to_run():
    """Equal (strip, run) is equal handling; another run or strip is another."""
    assert handle(3, 1) == handle(3, 1)
    assert len({handle(seed, run) for seed in range(3) for run in range(3)}) == 9


def test_everything_stays_in_its_vial():
    """No bubble or drop leaves the body, in any frame of many runs."""
    for run in range(40):
        for things in handle(1, run).floating:
            for thing in things:
                for frame in range(16):
                    across, row = place(thing, frame)
                    here = row if thing.kind in {"drop", "droplet"} else 700.0
                    assert abs(across) + thing.radius <= max(body_half_width(here), thing.radius)
                    assert thing.kind == "surface" or 284 <= row < 1000


def test_bubbles_are_mostly_at_the_level():
    """Of all bubbles of many runs, more are at the level than anywhere below it, and some move by many pixels."""
    things = [thing for run in range(60) for vial in handle(2, run).floating for thing in vial]
    kinds = [thing.kind for thing in things]
    assert kinds.count("surface") > kinds.count("bubble") > 0
    assert {"drop", "droplet"} < set(kinds)
    ways = [abs(place(thing, 15)[0] - place(thing, 0)[0]) for thing in things if thing.kind == "surface"]
    assert np.percentile(ways, 90) > 15


def test_a_level_swings_to_the_other_side():
    """The tilt changes its sign within half a turn and is smaller at the end."""
    sway = Sway(slope=0.1, lag=0.0, bob=2.0, band=10.0, foam=None, foam_share=0.0, drift=0.0)
    slopes = [moment(sway, frame)[0] for frame in range(16)]
    assert slopes[0] == 0.1
    assert slopes[0] > -slopes[15] > 0
    assert slopes[:12] == sorted(slopes[:12], reverse=True)  # later it begins to come to rest
