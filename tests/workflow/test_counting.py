"""Counts, densities, areas and annotations follow from boxes; tables have the columns they promise."""

from __future__ import annotations

import csv
import io

import cv2
import numpy as np
import pytest

from candling.data.annotations import Review, read_annotations, write_annotations
from candling.errors import UsageError
from candling.measure.count_spread import CountSpread
from candling.pixels.boxes import BoxSet
from candling.pixels.histogram import Contrast
from candling.pixels.read import read_image
from candling.scenes.cells import draw_cells
from candling.workflow.counting import (
    CELLS_COLUMNS,
    COLOURS,
    COUNTS_COLUMNS,
    annotations_of,
    cells_csv,
    count_image,
    counts_csv,
    draw_boxes,
    frame_warnings,
)

BOXES = np.array([[10.0, 10, 20, 20], [15, 15, 25, 25], [0, 40, 8, 48], [50, 30, 60, 44], [70, 5, 80, 15]])
SCORES = np.array([0.9, 0.8, 0.7, 0.95, 0.3])
LABELS = np.array([0, 0, 1, 1, 0])
FRAME = np.tile(np.arange(100, dtype=np.uint16) * 400, (50, 1))


def counted(**more):
    options = {"names": ("N", "RBC"), "scores": {"N": 0.5, "RBC": 0.5}, **more}
    return count_image("a b.tif", FRAME, BoxSet(BOXES, SCORES, LABELS), **options)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_counts_say_everything():
    """Count, density, area and score of each class, with an interval where probabilities were given."""
    image = counted(
        probabilities=np.array([1.0, 1.0, 1.0, 1.0, 0.3]),
        pixel_um=(0.5, 2.0),
        contrast=Contrast("low", 9.0, 0.1),
    )
    nuclei, red = table(counts_csv([image]))
    assert tuple(nuclei) == COUNTS_COLUMNS
    assert (nuclei["image"], nuclei["class"], nuclei["count"]) == ("a b.tif", "N", "2")
    assert (nuclei["count_low"], nuclei["count_high"]) == ("2", "3")  # the doubtful third box
    assert (red["count_low"], red["count_high"]) == ("2", "2")
    assert float(nuclei["per_1000_px"]) == 1000 * 2 / 5000
    assert float(nuclei["per_mm2"]) == pytest.approx(2 / (5000e-6))
    assert nuclei["covered_px"] == "175"  # two boxes of 100 px that share 25
    assert float(nuclei["covered_share"]) == 175 / 5000
    assert float(nuclei["covered_um2"]) == 175.0
    assert float(nuclei["mean_score"]) == pytest.approx(0.85)
    assert nuclei["contrast_group"] == "low"
    assert nuclei["warnings"] == "contrast lies close to another group's (0.10 doublings)"


def test_unknown_things_are_empty_cells():
    """Without pixel size, probabilities and groups their cells are empty; a class nobody saw has its row."""
    image = counted(names=("N", "RBC", "WBC"), scores={"N": 2.0, "RBC": 0.5, "WBC": 0.5})
    rows = table(counts_csv([image]))
    assert [(row["class"], row["count"]) for row in rows] == [("N", "0"), ("RBC", "2"), ("WBC", "0")]
    for name in ("count_low", "count_high", "per_mm2", "covered_um2", "contrast_group", "warnings"):
        assert {row[name] for row in rows} == {""}
    assert rows[0]["mean_score"] == ""


def test_cells_have_a_row_each():
    """Centre, box, area and whether the edge cuts them; a mask gives real areas."""
    rows = table(cells_csv([counted(pixel_um=(0.5, 0.5))]))
    assert tuple(rows[0]) == CELLS_COLUMNS
    assert [(row["cell"], row["class"], row["at_edge"]) for row in rows] == [
        ("1", "N", "no"),
        ("2", "N", "no"),
        ("3", "RBC", "yes"),
        ("4", "RBC", "no"),
    ]
    assert (rows[3]["x"], rows[3]["y"], rows[3]["area_px"], rows[3]["area_um2"]) == ("55.0", "37.0", "140", "35.0")
    mask = np.zeros((50, 100), np.uint16)
    mask[12:18, 12:18], mask[32:40, 52:58] = 1, 4
    image = counted(labels=mask)
    assert [row["area_px"] for row in table(cells_csv([image]))] == ["36", "0", "0", "48"]
    assert [one.covered_px for one in image.classes] == [36, 48]


def test_a_formula_in_a_name_is_text():
    """File names come from strangers."""
    image = count_image(
        "=HYPERLINK(1)", FRAME, BoxSet(BOXES, SCORES, LABELS), names=("N", "R"), scores={"N": 0, "R": 0}
    )
    assert table(counts_csv([image]))[0]["image"] == "'=HYPERLINK(1)"
    assert table(cells_csv([image]))[0]["image"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("layout", ["voc", "coco", "csv"])
def test_counted_boxes_go_to_a_labelling_tool(tmp_path, layout):
    """As annotations nobody has looked at, with score and source, through a file and back."""
    field = draw_cells(np.random.default_rng(0), cells=30)
    found = BoxSet(field.boxes, np.linspace(0.5, 1.0, field.count), np.zeros(field.count, np.intp))
    image = count_image("field.png", field.frame, found, names=("N",), scores={"N": 0.5})
    path = tmp_path / {"voc": "voc", "coco": "a.json", "csv": "a.csv"}[layout]
    back = read_annotations(write_annotations(annotations_of([image], source="cells 1a2b"), path, layout=layout))
    (one,) = back.images
    assert back.unreviewed == len(one.objects) == field.count
    assert {box.source for box in one.objects} == {"cells 1a2b"}
    assert {box.review for box in one.objects} == {Review.UNREVIEWED}
    assert np.array_equal(one.boxes, field.boxes)
    np.testing.assert_allclose([box.score for box in one.objects], found.scores)


def test_warnings_name_what_is_strange():
    """8-bit data in 16 bits, saturation, a black frame, many cells at the edge."""
    assert frame_warnings(np.zeros((4, 4), np.uint8)) == ("every pixel has the same value: is the lamp on?",)
    bright = np.full((10, 10), 4095, np.uint16)
    bright[0] = 5
    assert frame_warnings(bright, white=4095)[0].startswith("90 % of the pixels are saturated")
    assert frame_warnings(FRAME) == ()
    edge = BoxSet(np.array([[0.0, y, 5, y + 5] for y in (1, 10, 20)]), np.ones(3), np.zeros(3, np.intp))
    image = count_image("a", FRAME, edge, names=("N",), scores={"N": 0.5})
    assert image.warnings == ("3 of 3 cells reach the image's edge",)


def test_the_picture_shows_every_box():
    """Each class in its colour, on the border of its boxes; the frame is not changed; large ones are shrunk."""
    before = FRAME.copy()
    picture = draw_boxes(FRAME, counted())
    assert picture.shape == (50, 100, 3)
    assert tuple(picture[10, 12]) == (0, 158, 115)
    assert tuple(picture[30, 55]) == (230, 159, 0)
    assert np.array_equal(FRAME, before)
    assert draw_boxes(FRAME, counted(), longest=50).shape == (25, 50, 3)


def test_an_empty_image_counts_nothing():
    """No candidate: zero, with an interval of zero, and an annotation that says so."""
    nothing = BoxSet(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.intp))
    image = count_image("e", FRAME, nothing, names=("N",), scores={"N": 0.5}, probabilities=np.zeros(0))
    (row,) = table(counts_csv([image]))
    assert (row["count"], row["count_low"], row["count_high"], row["covered_px"]) == ("0", "0", "0", "0")
    assert cells_csv([image]).splitlines() == [",".join(CELLS_COLUMNS)]
    assert annotations_of([image], source="m").images[0].objects == ()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scores": {"N": 0.5}}, "no least score for class 'RBC'"),
        ({"names": ("N",)}, "a box is of class 1 and there are 1"),
        ({"probabilities": np.ones(2)}, "probabilities for 5 boxes"),
        ({"labels": np.zeros((9, 9), np.uint16)}, r"the mask is \(9, 9\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, sentence):
    """Before anything is counted."""
    with pytest.raises(UsageError, match=sentence):
        counted(**options)


def test_a_count_has_the_interval_of_its_class():
    """As wide as counts of held-out images were off; before probabilities; the other class has none."""
    spreads = {"N": CountSpread(1.5, 0.9, 12)}
    nuclei, red = table(counts_csv([counted(spreads=spreads, probabilities=np.full(5, 0.5))]))
    assert (nuclei["count"], nuclei["count_low"], nuclei["count_high"]) == ("2", "0", "4")  # 2 -+ 1.5 x 1.41
    assert (red["count_low"], red["count_high"]) != ("", "")
    _, red = table(counts_csv([counted(spreads=spreads)]))
    assert (red["count_low"], red["count_high"]) == ("", "")


def test_a_density_counts_instead_of_boxes():
    """Boxes that merged are still the rows of cells.csv; count, density and interval are of the sum."""
    image = counted(expected={"N": 6.7}, spreads={"N": CountSpread(1.0, 0.9, 12)})
    nuclei, red = table(counts_csv([image]))
    assert (nuclei["count"], nuclei["count_low"], nuclei["count_high"]) == ("7", "5", "9")
    assert float(nuclei["per_1000_px"]) == 1000 * 7 / 5000
    assert red["count"] == "2"
    assert len(table(cells_csv([image]))) == 4


def test_a_sample_of_a_large_image_keeps_its_shape():
    """Densities, edges and overlays are of the image, not of the pixels that were kept for people."""
    image = count_image(
        "a",
        FRAME[::2, ::2],
        BoxSet(BOXES, SCORES, LABELS),
        names=("N", "RBC"),
        scores={"N": 0.5, "RBC": 0.5},
        areas_px=np.array([100, 100, 64, 140, 100]),
        shape=FRAME.shape,
    )
    assert image.shape == FRAME.shape
    assert table(counts_csv([image]))[0]["per_1000_px"] == str(1000 * 2 / 5000)
    assert tuple(draw_boxes(FRAME[::2, ::2], image)[5, 5]) == COLOURS[0] == tuple(draw_boxes(FRAME, image)[10, 10])


def test_values_of_8_bits_in_a_file_of_16_are_told(tmp_path):
    """Read as they are, neither wrapped nor spread; and the table says what looks wrong."""
    levels = np.tile(np.arange(0, 600, 2, dtype=np.uint16), (40, 1))
    for name, frame in (("deep", levels), ("flat", levels // 3)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), frame)
        read = read_image(tmp_path / f"{name}.png")
        assert read.dtype == np.uint16
        assert np.array_equal(read, frame)
        image = count_image(name, read, BoxSet(BOXES[:0], SCORES[:0], LABELS[:0]), names=("N",), scores={"N": 0.5})
        warned = "saved from 8 bits" in table(counts_csv([image]))[0]["warnings"]
        assert warned == (name == "flat")
