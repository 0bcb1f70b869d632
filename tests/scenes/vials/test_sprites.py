"""Sprites are laid as they say: smooth, cut at borders, one over another; a meniscus divides air from liquid."""

from __future__ import annotations

import numpy as np
import pytest

from candling.scenes.vials.sprites import foam_sprite, level_shade, put, sprite


@pytest.mark.parametrize("kind", ["bubble", "surface", "drop", "droplet"])
def test_a_sprite_darkens_its_edge_and_keeps_its_surroundings(kind):
    """Far from a sprite nothing changes; on its rim it is darker than in its middle."""
    picture = np.full((81, 81), 200.0, np.float32)
    put(picture, sprite(kind, 12.0, 40.0, 40.0), row=40.0, column=40.0, light=200.0)
    assert np.all(picture[:20] == 200)
    assert np.all(picture[:, :20] == 200)
    rim = min(picture[40, 28:33].min(), picture[40, 48:53].min())
    assert rim < 130 < 180 < picture[40, 40] < 250


def test_a_sprite_over_the_border_is_cut_off():
    """Part of a sprite beyond the picture is not drawn, and the rest is as in a larger picture."""
    large, small = np.full((60, 60), 100.0, np.float32), np.full((30, 30), 100.0, np.float32)
    one = sprite("bubble", 8.0, 28.0, 2.0)
    put(large, one, row=28.0, column=32.0, light=90.0)
    put(small, one, row=28.0, column=2.0, light=90.0)
    assert np.array_equal(small, large[:30, 30:])
    put(small, one, row=-500.0, column=2.0, light=90.0)
    assert np.array_equal(small, large[:30, 30:])


def test_foam_is_bubbles_laid_one_over_another():
    """Foam is no lighter than nothing and hides what is behind it in part; dirty foam hides more and lies higher."""
    clean, dirty = (foam_sprite(4, 0.5, 97, dirty=kind) for kind in (False, True))
    for kept, own in (clean, dirty):
        assert kept.shape == own.shape == (81, 195)
        assert kept.min() >= 0
        assert np.all(kept + own < 1.2)
    assert np.mean(clean[0] < 0.85) < np.mean(dirty[0] < 0.85)
    assert np.nonzero((dirty[0] < 0.85).any(axis=1))[0][0] < np.nonzero((clean[0] < 0.85).any(axis=1))[0][0]


def test_a_meniscus_is_a_dark_band_above_liquid():
    """Far above is air, far below is liquid, both as bright as ever; a dark band of its height lies between."""
    below = np.arange(-40.0, 40.0, 0.25, dtype=np.float32)[None]
    liquid, gain = level_shade(below, 12.0)
    assert liquid[0, 0] == 0
    assert liquid[0, -1] == 1
    assert abs(gain[0, 0] - 1) < 1e-3 > abs(gain[0, -1] - 1)
    dark = below[0][gain[0] < 0.75]
    assert -16 < dark.min() < -12
    assert -2 < dark.max() < 2
