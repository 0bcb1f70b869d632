"""Every bad input is named, and none costs the rest; with ``strict`` the first one stops."""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile

import cv2
import numpy as np
import pytest

from candling.data.annotations import (
    AnnotatedImage,
    Annotation,
    AnnotationSet,
    Review,
    Trouble,
    read_annotations,
    write_annotations,
)
from candling.data.annotations.imagej import write_imagej
from candling.errors import SamplesError

OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


@pytest.fixture
def voc(tmp_path):
    """Write VOC files of one good image and whatever else, and images for them."""
    (tmp_path / "voc").mkdir()
    (tmp_path / "images").mkdir()

    def image(name, *, width=40, height=30):
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((height, width), np.uint8))

    def write(name, *objects, path="", size=""):
        body = "".join(OBJECT.format(*one) for one in objects)
        text = f"<annotation><filename>{name}</filename><path>{path}</path>{size}{body}</annotation>"
        (tmp_path / "voc" / f"{name}.xml").write_text(text)

    image("good.png")
    write("good.png", ("N", 1, 2, 5, 9))
    write.image = image
    write.folder = tmp_path / "voc"
    return write


def read(voc, **options):
    return read_annotations(voc.folder, layout="voc", images=voc.folder.parent / "images", **options)


def the_good_one_is_there(found):
    assert "good.png" in [image.image for image in found.images]
    assert next(image for image in found.images if image.image == "good.png").boxes.tolist() == [[1, 2, 5, 9]]


def test_a_foreign_path_is_told_and_the_name_used(voc):
    """An annotator's own path, of whatever system, changes nothing but a sentence."""
    voc.image("b.png")
    voc("b.png", ("N", 0, 0, 3, 3), path="C:\\Users\\me\\b.png")
    found = read(voc)
    assert [image.image for image in found.images] == ["b.png", "good.png"]
    assert "1 files name a path of another machine (the first is 'C:" in found.troubles(Trouble.FOREIGN_PATH)[0]


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 10))
    + "]><annotation><filename>&lol9;</filename></annotation>"
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "declares a document type or entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "declares a document"),
        ("<annotation><filename>good", "is not XML"),
        ("", "is not XML"),
        ("<svg/>", "opens with <svg>"),
        ("<annotation/>", "names no image"),
    ],
)
def test_files_that_are_no_annotation_are_named(voc, text, sentence):
    """Entities, a billion laughs, torn and foreign XML: refused at once, each by its path; the rest is read."""
    (voc.folder / "evil.xml").write_text(text)
    began = time.perf_counter()
    found = read(voc)
    assert time.perf_counter() - began < 1.0
    the_good_one_is_there(found)
    assert found.troubles(Trouble.UNREADABLE)[0].startswith(f"{voc.folder / 'evil.xml'}: {sentence}")
    with pytest.raises(SamplesError, match=r"evil\.xml"):
        read(voc, strict=True)


@pytest.mark.parametrize(
    ("edges", "kept", "sentence"),
    [
        ((30, 20, 50, 29), [[30, 20, 40, 29]], "reaches 10 px outside the image of 40 x 30 px"),
        ((-3, 20, 8, 29), [[0, 20, 8, 29]], "reaches 3 px outside"),
        ((100, 20, 120, 29), [], "dropped, as nothing of it is inside"),
    ],
)
def test_boxes_outside_the_image(voc, edges, kept, sentence):
    """A box that reaches outside is cut, one wholly outside dropped; both by name."""
    voc.image("b.png")
    voc("b.png", ("N", *edges))
    found = read(voc)
    the_good_one_is_there(found)
    assert found.images[0].boxes.tolist() == kept
    assert sentence in found.troubles(Trouble.OUTSIDE)[0]
    assert "b.png, object 1 (N)" in found.troubles(Trouble.OUTSIDE)[0]


@pytest.mark.parametrize("edges", [(7, 8, 7, 12), (7, 8, 9, 8), (7, 8, 7, 8), (9, 8, 7, 12)])
def test_boxes_without_area_are_dropped_by_name(voc, edges):
    """A line, a point, and edges in the wrong order; the other objects of the image stay."""
    voc.image("b.png")
    voc("b.png", ("N", 0, 0, 3, 3), ("RBC", *edges))
    found = read(voc)
    assert found.images[0].boxes.tolist() == [[0, 0, 3, 3]]
    assert found.troubles(Trouble.NO_AREA)[0].startswith("b.png, object 2 (RBC): no area (columns ")


def test_an_unknown_class_is_named_with_its_neighbour(voc):
    """Misspelt classes are left out, and the likely one is said."""
    voc.image("b.png")
    voc("b.png", ("RCB", 0, 0, 3, 3), ("N", 0, 0, 4, 4))
    found = read(voc, classes=("RBC", "N"))
    assert found.images[0].boxes.tolist() == [[0, 0, 4, 4]]
    (text,) = found.troubles(Trouble.UNKNOWN_CLASS)
    assert "b.png, object 1 (RCB): unknown class; did you mean 'RBC'? known are: RBC, N" in text


def test_coordinates_that_are_no_numbers(voc):
    """Words, NaN and a missing box cost their object alone."""
    voc.image("b.png")
    voc("b.png", ("N", "x", 0, 3, 3), ("N", "nan", 0, 3, 3), ("N", 0, 0, 4, 4), ("", 0, 0, 1, 1))
    found = read(voc)
    assert found.images[0].boxes.tolist() == [[0, 0, 4, 4]]
    texts = found.troubles(Trouble.UNREADABLE)
    assert "object 1: xmin is 'x', not a number" in texts[0]
    assert "object 2: xmin is 'nan', not a finite number" in texts[1]
    assert "object 4: has no <name>" in texts[2]


def test_images_and_annotations_that_miss_each_other(voc):
    """An image nobody annotated is not an empty image; an annotation without its image is no use."""
    voc.image("alone.png")
    voc("gone.png", ("N", 0, 0, 3, 3))
    found = read(voc)
    assert [image.image for image in found.images] == ["good.png"]
    assert found.troubles(Trouble.NO_ANNOTATION)[0].endswith(
        "alone.png: has no annotation, which is not the same as no object; it is left out"
    )
    assert found.troubles(Trouble.NO_IMAGE) == ("gone.png: annotated, but no such image; it is left out",)


def test_two_images_of_one_name(voc):
    """Neither is used, as nobody knows which one was annotated; two annotations of one image likewise."""
    voc.image("left/b.png")
    voc.image("right/b.png")
    voc("b.png", ("N", 0, 0, 3, 3))
    voc.image("c.png")
    voc("c.png", ("N", 0, 0, 3, 3))
    (voc.folder / "other.xml").write_text((voc.folder / "c.png.xml").read_text())
    found = read(voc)
    assert [image.image for image in found.images] == ["good.png"]
    first, second = found.troubles(Trouble.SAME_NAME)
    assert "left/b.png and " in first
    assert second == "c.png: annotated 2 times; keep one of them; none is used"
    assert not found.troubles(Trouble.NO_IMAGE)
    assert not found.troubles(Trouble.NO_ANNOTATION)


def test_an_annotation_of_another_size(voc):
    """Boxes drawn on a picture of another size are not boxes of this one."""
    voc.image("b.png")
    voc("b.png", ("N", 0, 0, 3, 3), size="<size><width>80</width><height>60</height></size>")
    assert "annotated at 80 x 60 px, but the image has 40 x 30" in read(voc).troubles(Trouble.OTHER_SIZE)[0]


def test_yolo_without_its_class_list(tmp_path):
    """Numbers without names mean nothing: the list is asked for; also one that is too short is told."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((50, 100), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n3 0.5 0.5 0.2 0.4\n0 0.5\n0 .5 .5 .2 .4 7\n\n")
    with pytest.raises(SamplesError, match=r"no class list; YOLO files hold class numbers only: put classes\.txt"):
        read_annotations(tmp_path / "labels", images=tmp_path / "images")
    (tmp_path / "labels" / "classes.txt").write_text("N\n")
    with pytest.raises(SamplesError, match="say where the images are"):
        read_annotations(tmp_path / "labels")
    found = read_annotations(tmp_path / "labels", images=tmp_path / "images")
    np.testing.assert_allclose(found.images[0].boxes, [[40, 15, 60, 35]])
    assert "a.txt, line 2: class 3 is not in the class list of 1" in found.troubles(Trouble.UNKNOWN_CLASS)[0]
    assert "a.txt, line 3: has 1 numbers after the class; a box has four" in found.troubles(Trouble.UNREADABLE)[0]
    assert "line 4: score is 7.0, which does not lie between 0 and 1" in found.troubles(Trouble.UNREADABLE)[1]


def test_a_line_changed_in_yolo_is_a_persons(tmp_path):
    """Source and state belong to the line as it was written; who moves a box has looked at it."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((50, 100), np.uint8))
    boxes = [
        Annotation("N", 0.0, top, 10.0, top + 5.0, score=0.5, source="m", review=Review.UNREVIEWED) for top in (0.0, 20)
    ]
    one = AnnotationSet((AnnotatedImage("a.png", tuple(boxes), 100, 50),))
    path = write_annotations(one, tmp_path / "labels", layout="yolo")
    lines = (path / "a.txt").read_text().splitlines()
    (path / "a.txt").write_text(f"{lines[0]}\n0 0.05 0.5 0.1 0.1\n")
    found = read_annotations(path, images=tmp_path / "images")
    assert [(box.source, box.review.value) for box in found.images[0].objects] == [
        ("m", "unreviewed"),
        ("person", "reviewed"),
    ]
    assert found.unreviewed == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has no lists 'images' and 'annotations'"),
    ],
)
def test_a_file_that_is_no_coco(tmp_path, data, sentence):
    """Torn, foreign and endlessly nested JSON is refused with its path."""
    (tmp_path / "a.json").write_text(data)
    with pytest.raises(SamplesError, match=sentence):
        read_annotations(tmp_path / "a.json")


def test_bad_objects_of_coco(tmp_path):
    """An unknown category, an unknown image, a short box: each named by its place."""
    good = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}
    bad = [{"category_id": 7}, {"image_id": 9}, {"bbox": [1, 2]}, {"bbox": [0, 0, True, 2]}, {"image_id": [1]}]
    bad.append({"bbox": [0, 0, 10**400, 2]})
    data = {
        "images": [{"id": 1, "file_name": "sub/a.png"}, {"file_name": "b.png"}],
        "categories": [{"id": 1, "name": "N"}],
        "annotations": [good, *({**good, **one} for one in bad), 5],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = read_annotations(tmp_path / "a.json")
    assert [(one.image, one.counts) for one in found.images] == [("a.png", {"N": 1})]
    texts = " | ".join(found.troubles(Trouble.UNREADABLE))
    for sentence in ("image 2: has no id", "category 7", "image 9", "bbox of four numbers", "True, not a number"):
        assert sentence in texts
    assert len(found.problems) == 8


def test_a_table_without_its_header(tmp_path):
    """The columns are known by name only."""
    (tmp_path / "a.csv").write_text("a.png,1,2,3,4,N\n")
    with pytest.raises(SamplesError, match="the first line must name filename, xmin, ymin, xmax, ymax, class"):
        read_annotations(tmp_path / "a.csv")


def test_geojson_of_other_programs(tmp_path):
    """Points have no area; several parts give the largest; measurements may be a list; a bare list is read."""
    square = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    triangle = [[10, 10], [30, 10], [10, 40], [10, 10]]
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[square], [triangle]]}},
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [square]},
            "properties": {"classification": {"name": "N"}, "measurements": [{"name": "score", "value": 0.5}]},
        },
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], ["a", 0], [0, 1], [0, 0]]]}},
    ]
    (tmp_path / "a.png.geojson").write_text(json.dumps(features))
    found = read_annotations(tmp_path / "a.png.geojson")
    large, small = found.images[0].objects
    assert (large.label, large.polygon) == ("object", ((10, 10), (30, 10), (10, 40)))
    assert (small.label, small.score, small.polygon) == ("N", 0.5, ())
    texts = found.troubles(Trouble.UNREADABLE)
    assert "feature 1: is a Point, which has no area" in texts[0]
    assert "feature 4: x is 'a', not a number" in texts[1]


def imagej_file(kind, *, count=0, corners=b"", version=227, options=0):
    """A region as ImageJ itself writes it: integers only, no second header."""
    head = bytearray(64)
    struct.pack_into(">4sHBxhhhhH", head, 0, b"Iout", version, kind, 5, 3, 25, 43, count)
    struct.pack_into(">H", head, 50, options)
    return bytes(head) + corners


def test_regions_as_imagej_draws_them(tmp_path):
    """Whole-number rectangles, ovals and traced outlines are read; lines, points and torn files named."""
    traced = struct.pack(">6h", 0, 40, 0, 0, 0, 20)
    members = {
        "rectangle.roi": imagej_file(1),
        "oval.roi": imagej_file(2),
        "traced.roi": imagej_file(8, count=3, corners=traced),
        "line.roi": imagej_file(3),
        "points.roi": imagej_file(10, count=2),
        "torn.roi": imagej_file(0, count=9),
        "nan.roi": imagej_file(
            0, count=3, corners=bytes(12) + struct.pack(">6f", 0, 9, 9, 0, float("nan"), 9), options=128
        ),
        "text.roi": b"hello",
    }
    with zipfile.ZipFile(tmp_path / "a.png.zip", "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    found = read_annotations(tmp_path / "a.png.zip")
    assert found.images[0].image == "a.png"
    assert found.images[0].boxes.tolist() == [[3, 5, 43, 25]] * 3
    assert found.images[0].objects[2].polygon == ((3, 5), (43, 5), (3, 25))
    texts = " | ".join(found.troubles(Trouble.UNREADABLE))
    for sentence in (
        "line.roi: is a line",
        "points.roi: is a point",
        "torn.roi",
        "text.roi: is no ImageJ region",
        "nan.roi: has a corner",
    ):
        assert sentence in texts


def test_a_zip_that_would_fill_the_memory(tmp_path):
    """A member of 64 MiB of zeros is refused by its declared size, a torn zip by name."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.roi", bytes(2**26))
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    texts = read_annotations(tmp_path).troubles(Trouble.UNREADABLE)
    assert "bomb.zip: a.roi would unpack to 67108864 bytes" in texts[0]
    assert "torn.zip: " in texts[1]


def test_the_imagej_header_is_the_documented_one():
    """Magic, version, kind, bounds, options and the pointer to the second header lie where ImageJ reads them."""
    one = AnnotationSet((AnnotatedImage("a.png", (Annotation("N", 3.0, 5.0, 43.0, 25.0),)),))
    (data,) = write_imagej(one).values()
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        region = packed.read(packed.namelist()[0])
    assert region[:4] == b"Iout"
    assert struct.unpack_from(">HBxhhhh", region, 4) == (228, 1, 5, 3, 25, 43)
    assert struct.unpack_from(">4f", region, 18) == (3.0, 5.0, 40.0, 20.0)
    second = struct.unpack_from(">i", region, 60)[0]
    start, length = struct.unpack_from(">ii", region, second + 16)
    assert region[start : start + 2 * length].decode("utf-16-be") == "N 00001"


def test_there_is_nothing_there(tmp_path):
    """A missing path and a folder of other things are told apart."""
    with pytest.raises(SamplesError, match="holds no annotations of a known kind; say one of voc, coco"):
        read_annotations(tmp_path)
    with pytest.raises(SamplesError, match="no such file or folder of annotations"):
        read_annotations(tmp_path / "gone", layout="voc")
    with pytest.raises(SamplesError, match="no such folder of images"):
        read_annotations(tmp_path, layout="voc", images=tmp_path / "gone")
