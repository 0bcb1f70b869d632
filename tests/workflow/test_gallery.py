"""Which images the gallery shows, and what is drawn of them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from candling.types import Box, Prediction
from candling.workflow.explanation import Cell, Pair, Place
from candling.workflow.gallery import SIDE, choose_examples, draw_pair, draw_panels, draw_scale
from candling.workflow.maps import MapScale

SCALE = MapScale.of_good_maps(0.1, 0.5)


def chosen(evaluation, most=24):
    """Give the names of the chosen images by group."""
    found: dict[str, list[str]] = {}
    for group, index in choose_examples(evaluation.images, most=most):
        found.setdefault(group, []).append(evaluation.images[index].name)
    return found


def test_the_worst_mistakes_come_first(make_evaluation):
    """Missed defects by rising severity, false rejects by falling, unreadable images not at all."""
    images = [("g1", "good", 1.5), ("g2", "good", 4.0), ("c1", "crack", 0.9), ("c2", "crack", 0.1)]
    found = chosen(make_evaluation([*images, ("torn", "good", math.inf), ("lost", "crack", math.inf)]))
    assert found == {"Missed defects": ["c2", "c1"], "False rejects": ["g2", "g1"]}


def test_many_mistakes_of_both_kinds_share_the_room(make_evaluation):
    """Of 24 places 16 go to mistakes, at least a third of these to the rarer kind, the rest to right ones."""
    missed = [(f"m{i}", "crack", 0.5) for i in range(50)]
    false = [(f"f{i}", "good", 1.5) for i in range(50)]
    right = [(f"r{i}", "good", 0.5) for i in range(50)] + [(f"d{i}", "crack", 1.5) for i in range(50)]
    found = chosen(make_evaluation([*missed, *false, *right]))
    assert {group: len(names) for group, names in found.items()} == {
        "Missed defects": 11,
        "False rejects": 5,
        "Defects found": 6,
        "Good images accepted": 2,
    }


def test_found_defects_take_turns_by_class(make_evaluation):
    """Each class shows its middling image first, so that one large class does not fill the gallery."""
    images = [(f"c{i}", "crack", 1.5 + i) for i in range(9)] + [("p", "poke", 9.0), ("s", "squeeze", 2.0)]
    found = chosen(make_evaluation(images))["Defects found"]
    assert found[:3] == ["c4", "p", "s"]


def test_never_more_than_asked_for(make_evaluation):
    """Whatever the mix, the gallery keeps its bound."""
    images = [(f"{i}", "good" if i % 2 else "crack", i / 20) for i in range(60)]
    for most in (0, 1, 2, 5, 24):
        assert len(choose_examples(make_evaluation(images).images, most=most)) <= most


def test_panels_are_small_jpegs_of_one_size():
    """A large 16-bit frame gives four pictures of at most SIDE pixels; a marked defect is outlined in white."""
    frame = np.zeros((900, 1200), np.uint16)
    frame[:, 600:] = 4000
    values = np.zeros((30, 40), np.float32)
    mask = np.zeros((900, 1200), bool)
    mask[300:600, 300:600] = True
    panels = draw_panels(frame, [Prediction("whole", Box(0, 0, 900, 1200), {}, values, values[None])], mask, SCALE)
    assert [panel.caption for panel in panels] == ["original", "reconstruction", "anomaly map", "overlay"]
    assert {(panel.width, panel.height) for panel in panels} == {(SIDE, SIDE * 3 // 4)}
    laid = cv2.imdecode(np.frombuffer(panels[3].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert laid[SIDE // 4, SIDE // 4 - 3 : SIDE // 4 + 4].max() > 180  # the outline's left or upper edge
    assert laid[SIDE * 3 // 8, SIDE * 3 // 8].max() < 100  # inside it nothing is drawn


def test_the_scale_is_told_in_numbers():
    """The bar's words name the three values the colours are tied to."""
    assert draw_scale(SCALE).caption == "from 0.1 (typical good) over 0.5 (highest good) to 0.7 and more"


def test_places_are_boxed_in_the_overlay_alone():
    """The overlay gets the box; the original and the map stay as they are without it."""
    frame, values = np.full((200, 200), 90, np.uint8), np.zeros((20, 20), np.float32)
    prediction = Prediction("whole", Box(0, 0, 200, 200), {}, values)
    box = Box(40, 60, 50, 50)
    pair = Pair(Place("whole", box, 1.0, Cell(0, 0, 0, Box(0, 0, 5, 5))), frame[:50, :50], frame[:5, :5])
    bare = draw_panels(frame, [prediction], None, SCALE)
    boxed = draw_panels(frame, [prediction], None, SCALE, pairs=[pair])
    assert [one == other for one, other in zip(bare, boxed, strict=True)] == [True, True, False]


def test_a_pair_is_two_panels_of_one_size():
    """Here and nearest good, whatever the sizes they were cut out at."""
    here, good = np.full((90, 90, 3), 200, np.uint8), np.full((9, 9), 50, np.uint8)
    pair = Pair(Place("whole", Box(0, 0, 90, 90), 1.0, Cell(0, 0, 0, Box(0, 0, 9, 9))), here, good)
    panels = draw_pair(pair)
    assert [panel.caption for panel in panels] == ["here", "nearest good"]
    assert panels[0].width == panels[1].width == panels[0].height == panels[1].height
    decoded = [cv2.imdecode(np.frombuffer(panel.jpeg, np.uint8), cv2.IMREAD_COLOR) for panel in panels]
    assert [int(picture.mean().round()) for picture in decoded] == [200, 50]
