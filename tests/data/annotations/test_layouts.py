"""Every format gives back what was written into it, and real data sets read as their authors counted them."""

from __future__ import annotations

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from candling.data.annotations import (
    AnnotatedImage,
    Annotation,
    AnnotationSet,
    Review,
    guess_layout,
    read_annotations,
    write_annotations,
)
from candling.data.annotations.table import THESIS
from candling.errors import OutputExistsError, SamplesError, UsageError

LAYOUTS = ("voc", "coco", "yolo", "csv", "qupath", "imagej")
FOLDERS = ("voc", "yolo", "qupath", "imagej")

TRIANGLE = ((4.25, 2.5), (20.75, 6.0), (9.5, 17.25))

SEEN = AnnotationSet(
    (
        AnnotatedImage(
            "first plate.tif",
            (
                Annotation("N", 3.0, 1.0, 13.0, 9.0),
                Annotation("N", 30.0, 20.0, 40.0, 30.0, score=0.875, source="cells v3", review=Review.UNREVIEWED),
                Annotation("dividing, µ", 50.0, 8.0, 64.0, 48.0, score=0.25, source="cells v3", review=Review.REJECTED),
                Annotation("N", 4.25, 2.5, 20.75, 17.25, polygon=TRIANGLE, difficult=True),
                Annotation("N", 4.25, 2.5, 20.75, 17.25, polygon=TRIANGLE, score=1.0, source="cells v3"),
            ),
            64,
            48,
        ),
        AnnotatedImage("nothing.png", (), 32, 16),
    )
)


@pytest.fixture
def images(tmp_path):
    """The images of ``SEEN``, as files."""
    folder = tmp_path / "images"
    folder.mkdir()
    for image in SEEN.images:
        cv2.imwrite(str(folder / image.image), np.zeros((image.height, image.width), np.uint16))
    return folder


def assert_same(found, wanted, *, tolerance=1e-4):
    assert [one.image for one in found.images] == [one.image for one in wanted.images]
    for got, want in zip(found.images, wanted.images, strict=True):
        assert (got.width, got.height) == (want.width, want.height)
        np.testing.assert_allclose(got.boxes, want.boxes, atol=tolerance)
        for one, other in zip(got.objects, want.objects, strict=True):
            edges = {"left": 0.0, "top": 0.0, "right": 0.0, "bottom": 0.0, "polygon": ()}
            assert replace(one, **edges) == replace(other, **edges)
            np.testing.assert_allclose(np.array(one.polygon), np.array(other.polygon), atol=tolerance)


def target(tmp_path, layout):
    return tmp_path / ("written" if layout in FOLDERS else {"coco": "written.json", "csv": "written.csv"}[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_read_again(layout, tmp_path, images):
    """Boxes, outlines, classes, scores, sources, states and empty images survive every format; so does guessing it."""
    path = write_annotations(SEEN, target(tmp_path, layout), layout=layout)
    assert guess_layout(path) == layout
    found = read_annotations(path, images=images)
    assert found.problems == ()
    assert_same(found, SEEN)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_formats_translate_into_each_other(layout, tmp_path, images):
    """From any format through VOC, the narrowest, and back: nothing is lost."""
    first = read_annotations(write_annotations(SEEN, target(tmp_path, layout), layout=layout), images=images)
    second = read_annotations(write_annotations(first, tmp_path / "voc again", layout="voc"), images=images)
    assert_same(second, SEEN)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_annotations_give_the_same_bytes(layout, tmp_path):
    """Writing twice writes the same, and never over something without being told."""
    written = []
    for _ in range(2):
        path = write_annotations(SEEN, target(tmp_path, layout), layout=layout, overwrite=True)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        written.append([(file.name, file.read_bytes()) for file in files])
    assert written[0] == written[1]
    with pytest.raises(OutputExistsError):
        write_annotations(SEEN, path, layout=layout)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in ("yolo", "imagej", "voc")])
def test_fractions_of_a_pixel_are_kept(layout, tmp_path, images):
    """Formats of edges and lengths keep any fraction to 1e-9; VOC rounds to whole pixels and keeps one at least."""
    fine = AnnotationSet((AnnotatedImage("nothing.png", (Annotation("N", 1.1, 2.7, 1.4, 9.3),), 32, 16),))
    path = write_annotations(fine, target(tmp_path, layout), layout=layout)
    np.testing.assert_allclose(read_annotations(path).images[0].boxes, fine.images[0].boxes, atol=1e-9)
    rounded = read_annotations(write_annotations(fine, tmp_path / "voc", layout="voc"))
    assert rounded.images[0].boxes.tolist() == [[1.0, 3.0, 2.0, 9.0]]


def test_voc_becomes_the_table_of_the_thesis(tmp_path):
    """A VOC file as LabelImg writes it gives the thesis' row: file name, four edges, class."""
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_text(
        "<annotation><folder>train</folder><filename>PAR50.50 92.tif</filename><path>C:\\lab\\PAR50.50 92.tif</path>"
        "<size><width>1280</width><height>1024</height><depth>1</depth></size><object><name>N</name>"
        "<bndbox><xmin>17</xmin><ymin>4</ymin><xmax>60</xmax><ymax>51</ymax></bndbox></object></annotation>"
    )
    path = write_annotations(read_annotations(tmp_path / "voc"), tmp_path / "train.csv", layout="csv")
    rows = list(csv.reader(path.read_text().splitlines()))
    assert tuple(rows[0][:6]) == THESIS == ("filename", "xmin", "ymin", "xmax", "ymax", "class")
    assert rows[1][:6] == ["PAR50.50 92.tif", "17", "4", "60", "51", "N"]


def test_first_and_last_pixel_are_not_edges(tmp_path):
    """In the VOC kit's own counting a box from 1 to 3 holds three pixels; both ways come back as they were."""
    one = AnnotationSet((AnnotatedImage("a.png", (Annotation("N", 0.0, 4.0, 3.0, 6.0),), 9, 9),))
    path = write_annotations(one, tmp_path / "voc", layout="voc", inclusive=True)
    assert "<xmin>1</xmin>" in (path / "a.xml").read_text()
    assert "<xmax>3</xmax>" in (path / "a.xml").read_text()
    assert read_annotations(path, inclusive=True) == one
    assert read_annotations(path).images[0].boxes.tolist() == [[1.0, 5.0, 3.0, 6.0]]


def test_what_cannot_be_written_is_said(tmp_path):
    """Masks are read only; YOLO needs sizes; two images of one stem would share a VOC file."""
    with pytest.raises(UsageError, match="'instances' is read only; write voc"):
        write_annotations(SEEN, tmp_path / "out", layout="instances")
    unsized = AnnotationSet((AnnotatedImage("a.png", (Annotation("N", 0.0, 0.0, 1.0, 1.0),)),))
    with pytest.raises(SamplesError, match=r"a\.png: its size is not known, and YOLO needs it"):
        write_annotations(unsized, tmp_path / "out", layout="yolo")
    twins = AnnotationSet((AnnotatedImage("a.png"), AnnotatedImage("a.tif")))
    with pytest.raises(SamplesError, match="differ in their suffix alone"):
        write_annotations(twins, tmp_path / "out", layout="voc")
    assert not (tmp_path / "out").exists()


def test_blood_cells_read_as_counted(real_data):
    """BCCD: 292 images, 3,943 boxes; the two without area are dropped by name, foreign paths are told once."""
    folder = real_data("bccd")
    found = read_annotations(folder / "Annotations", images=folder / "JPEGImages", classes=("RBC", "WBC", "Platelets"))
    dropped = [p.text.split(",")[0] for p in found.problems if p.trouble == "no area"]
    assert dropped == ["BloodImage_00338.jpg", "BloodImage_00343.jpg"]
    assert sum(p.trouble == "foreign path" for p in found.problems) == 1
    with (folder / "counts.csv").open() as file:
        wanted = {row["image"]: row for row in csv.DictReader(file)}
    assert len(found.images) == len(wanted) == 292
    for image in found.images:
        row = wanted[image.image.removesuffix(".jpg")]
        flat = image.image in dropped
        assert image.counts.get("RBC", 0) == int(row["RBC"]) - flat
        assert (image.counts.get("WBC", 0), image.counts.get("Platelets", 0)) == (
            int(row["WBC"]),
            int(row["Platelets"]),
        )


@pytest.mark.parametrize(
    ("name", "column", "least"), [("bbbc039_nuclei", "objects_area_ge_30px", 30), ("dsb2018_nuclei", "nuclei", 0)]
)
def test_nuclei_read_from_masks_are_those_of_voc(real_data, name, column, least):
    """Boxes of the numbered masks equal the VOC boxes of the same set (first to last pixel), and counts its table."""
    folder = real_data(name)
    with (folder / "counts.csv").open() as file:
        wanted = {row["image"]: int(row[column]) for row in list(csv.DictReader(file))[:12]}
    masks = {image: read_annotations(folder / "labels" / image, least_px=least) for image in wanted}
    for image, count in wanted.items():
        assert masks[image].images[0].counts.get("N", 0) == count
        voc = read_annotations((folder / "annotations" / image).with_suffix(".xml"), inclusive=True)
        assert sorted(voc.images[0].boxes.tolist()) == sorted(masks[image].images[0].boxes.tolist())


def test_dots_become_boxes(real_data):
    """VGG cells: one square around every dot, as many as the table says."""
    folder = real_data("vgg_cells")
    with (folder / "counts.csv").open() as file:
        wanted = {row["image"]: int(row["cells"]) for row in csv.DictReader(file)}
    found = read_annotations(folder / "dots", layout="dots", images=folder / "images")
    assert {image.image: image.counts["N"] for image in found.images} == wanted
    assert not found.problems
