"""Drawn fields are reproducible, numbered without gaps, of three contrasts and two depths, and lie on disk as a set."""

from __future__ import annotations

import csv
import time

import cv2
import numpy as np
import pytest

from candling.data.annotations import read_annotations
from candling.errors import OutputExistsError, UsageError
from candling.pixels.histogram import learn_matcher
from candling.pixels.instances import boxes_of_instances
from candling.pixels.read import read_image
from candling.scenes.cells import CONTRASTS, draw_cells, write_dataset


def rng(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("contrast", CONTRASTS)
def test_nuclei_stand_out_as_their_contrast_says(contrast, bits):
    """Every nucleus is brighter than its ground, by the share of white that its contrast names."""
    field = draw_cells(rng(1), contrast=contrast, bits=bits)
    assert field.frame.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert field.frame.shape == field.labels.shape == (256, 256)
    white = 255 if bits == 8 else 4095
    ground = np.median(field.frame[field.labels == 0])
    means = [field.frame[field.labels == number].mean() for number in range(1, field.count + 1)]
    assert min(means) > ground
    assert (np.median(means) - ground) / white == pytest.approx(CONTRASTS[contrast], rel=0.35)
    assert field.frame.max() <= white


def test_every_nucleus_is_one_numbered_piece():
    """Numbers run from 1 without gaps, each a single piece of 30 px or more, and boxes follow from them."""
    field = draw_cells(rng(2), cells=80)
    boxes, sizes = boxes_of_instances(field.labels)
    assert np.unique(field.labels).tolist() == list(range(field.count + 1))
    assert sizes.min() >= 30
    assert np.array_equal(field.boxes, boxes)
    for number in range(1, field.count + 1):
        assert cv2.connectedComponents((field.labels == number).astype(np.uint8))[0] == 2


def test_touching_nuclei_touch():
    """Asked for, many nuclei share a border, so that counting pieces falls short; else none does."""
    counted = {}
    for touching in (0.0, 0.6):
        field = draw_cells(rng(3), cells=40, touching=touching)
        pieces = cv2.connectedComponents((field.labels > 0).astype(np.uint8))[0] - 1
        counted[touching] = pieces / field.count
    assert counted[0.0] > 0.97
    assert counted[0.6] < 0.7


def test_an_empty_field_holds_nothing():
    """No nucleus, no box, only ground and noise."""
    field = draw_cells(rng(4), cells=0)
    assert field.count == 0
    assert field.boxes.shape == (0, 4)
    assert field.frame.std() < 0.01 * 4095


def test_one_seed_is_one_field():
    """Equal generators give equal fields, others do not; a field takes a few milliseconds."""
    began = time.perf_counter()
    one, same, other = (draw_cells(rng(seed)) for seed in (5, 5, 6))
    assert time.perf_counter() - began < 1.0
    assert np.array_equal(one.frame, same.frame)
    assert np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("size", [(64, 300), (520, 696)])
def test_every_size_can_be_drawn(size):
    """Also narrow ones; more nuclei than fit are fewer nuclei."""
    field = draw_cells(rng(7), height=size[0], width=size[1], cells=400 if size[0] == 64 else 120)
    assert field.frame.shape == size
    assert 0 < field.count < 400


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"height": 32}, "a height of 32 px cannot be drawn; choose one from 64 to 8192"),
        ({"cells": -1}, "-1 cells of 8 px"),
        ({"touching": 1.5}, "1.5 of them touching"),
        ({"radius_px": float("nan")}, "cells of nan px"),
        ({"contrast": "dim"}, "no contrast 'dim' of 16 bits; choose low, medium, high"),
        ({"bits": 12}, "of 12 bits"),
    ],
)
def test_impossible_fields_are_refused(options, sentence):
    """With what is possible."""
    with pytest.raises(UsageError, match=sentence):
        draw_cells(rng(0), **options)


def test_a_set_is_read_as_it_was_drawn(tmp_path):
    """Counts of the table are those of the masks; contrasts are found again; empty fields come last."""
    folder = write_dataset(tmp_path / "cells", seed=1, images=9, empty=1, height=128, width=128, cells=(10, 20))
    with (folder / "counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = read_annotations(folder / "labels", images=folder / "images")
    assert not found.problems
    assert [image.counts.get("N", 0) for image in found.images] == [int(row["cells"]) for row in rows]
    assert rows[-1]["cells"] == "0"
    frames = [read_image(folder / "images" / row["image"]) for row in rows[:-1]]
    matcher = learn_matcher(frames, "selective", white=4095)
    assert [matcher.group(frame).group for frame in frames] == [row["contrast"] for row in rows[:-1]]
    with pytest.raises(OutputExistsError):
        write_dataset(folder, seed=1)
    with pytest.raises(UsageError, match="no more empty ones than that"):
        write_dataset(tmp_path / "other", seed=1, images=2, empty=3)
