"""Frames repeat to the bit, look like backlit vials, and move as a strip under a camera does."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from candling.errors import UsageError
from candling.scenes.vials import GEOMETRY, draw_frame, draw_strip, make_strip, rank_frames
from candling.scenes.vials.moving import handle
from candling.scenes.vials.strip import _pose


@pytest.fixture(scope="module")
def strip():
    """Give one good strip, which several tests look at."""
    return make_strip(3)


@pytest.fixture(scope="module")
def run(strip):
    """Give the 16 frames of one run."""
    return np.stack([draw_frame(strip, 2, frame) for frame in range(16)])


def test_a_frame_is_a_function_of_strip_run_and_frame(strip):
    """Drawn again, alone or after others, a frame has the same bytes; each of the three numbers changes it."""
    first = draw_frame(strip, 0, 0)
    assert (first.shape, first.dtype) == ((GEOMETRY.height, GEOMETRY.width), np.uint8)
    assert np.array_equal(first, draw_strip(3, 0, 0))
    others = [draw_strip(4, 0, 0), draw_frame(strip, 1, 0), draw_frame(strip, 0, 1)]
    assert len({hashlib.sha256(frame.tobytes()).digest() for frame in (first, *others)}) == 4


def test_a_strip_looks_like_vials_against_light(run):
    """Light around, grey plastic, liquid brighter than the empty wall, dark where a full vial bends light away."""
    frame = run[0]
    assert frame[:20].mean() > 195
    assert np.mean(frame == 255) < 1e-4
    for vial in range(1, 6):
        axis = int(GEOMETRY.axis(vial))
        empty, liquid = frame[450:500, axis - 30 : axis + 30].mean(), frame[700:860, axis - 30 : axis + 30].mean()
        assert 140 < empty < liquid < 215
        assert frame[720:860, axis - 96 : axis - 88].mean() < 110
        assert frame[700:860, axis - 128 : axis - 116].mean() > 150


def test_good_strips_differ_by_more_than_noise():
    """Two good strips differ in moulds, plastic and fill where nothing moves; smoothed, by several greys."""
    pair = [cv2.GaussianBlur(draw_strip(seed, 0, 0)[740:980], (0, 0), 3).astype(float) for seed in (3, 8)]
    assert 1.0 < np.abs(pair[0] - pair[1]).mean() < 15


def test_only_what_is_loose_moves(run):
    """Within a run flag and web keep their place up to half a pixel; around the level grey changes by much more."""
    still = np.ptp(run[:, 215:250, :60].astype(int), axis=0)
    level = np.ptp(run[:, 560:630].astype(int), axis=0)
    assert still.mean() < 12
    assert np.mean(level > 60) > 0.02


def test_rank_frames_are_least_and_greatest(run):
    """The rank frames agree with sorting the run, pixel by pixel."""
    ordered = np.sort(run[:, 500:700, 300:500], axis=0)
    darkest, lightest = rank_frames(run)
    assert np.array_equal(darkest[500:700, 300:500], ordered[0])
    assert np.array_equal(lightest[500:700, 300:500], ordered[-1])


def test_a_strip_lies_within_two_pixels_of_its_place():
    """No corner of any frame is moved by more than 2 px either way, and poses use most of that."""
    corners = np.array([[x, y, 1.0] for x in (0, 1280) for y in (0, 1024)])
    moves = [
        corners @ _pose(handle(seed, run), np.random.default_rng(run)).T - corners[:, :2]
        for seed in range(10)
        for run in range(20)
    ]
    assert 1.5 < np.abs(moves).max() < 2.0


def test_the_sensor_is_noisier_where_there_is_light(strip):
    """Two frames of one pose differ by noise alone at the border: near one grey where it is bright."""
    frames = [draw_frame(strip, 0, frame)[2:18, 600:680].astype(float) for frame in (0, 1)]
    assert 0.8 < np.std(frames[0] - frames[1]) / np.sqrt(2) < 1.8


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: make_strip(-1), "seed must be 0 or more; it is -1"),
        (lambda: make_strip(1, contrast=1.5), "between 0 and 1; it is 1.5"),
        (lambda: make_strip(1, contrast=float("nan")), "between 0 and 1"),
        (lambda: draw_strip(1, 0, 16), "no frame 16 of run 0.*0 to 15"),
        (lambda: draw_strip(1, -1, 0), "no frame 0 of run -1"),
    ],
)
def test_impossible_wishes_are_told(call, sentence):
    """Seeds, contrasts, runs and frames out of range are usage errors of one sentence."""
    with pytest.raises(UsageError, match=sentence):
        call()
