"""PASCAL VOC: one XML file an image, as LabelImg, CVAT and the counting thesis write it; knows no other format.

Two ways of counting are in use. Labelling tools write edges (``xmax - xmin`` is the width); the VOC kit itself writes
the first and the last pixel, counted from 1. A file does not say which; ``inclusive`` does.

Score, source and review state lie in elements of their own, which other tools ignore. Where such a tool saves the file
it drops them: a person has then looked at the boxes, and without a state a box counts as reviewed.
Entities and document types are refused: a few hundred bytes of them can fill the memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from defusedxml import ElementTree as Safe
from defusedxml.common import DefusedXmlException

from candling.data.annotations.annotation import AnnotatedImage, Annotation, Problem, Trouble
from candling.data.annotations.parsing import (
    Found,
    base_name,
    files_of,
    flag_of,
    number_of,
    read_bytes,
    review_of,
    score_of,
    source_of,
)
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from candling.data.annotations.annotation import AnnotationSet, Point

__all__ = ["read_voc", "write_voc"]

_SUFFIXES: Final = (".xml",)


def read_voc(path: Path, *, inclusive: bool = False) -> Found:
    """Read one XML file, or all of a folder.

    Args:
        path: of the file or folder.
        inclusive: coordinates are the first and last pixel counted from 1, as in the VOC kit, not edges.

    Raises:
        SamplesError: there is no such file or folder.
    """
    found, foreign = Found(), list[str]()
    for file in files_of(path, _SUFFIXES):
        try:
            root = Safe.fromstring(read_bytes(file), forbid_dtd=True)
        except DefusedXmlException:
            found.unreadable(file, "declares a document type or entities, which annotations never need")
            continue
        except (ET.ParseError, ValueError, LookupError) as error:
            found.unreadable(file, f"is not XML ({error})")
            continue
        except SamplesError as error:
            found.problems.append(Problem(Trouble.UNREADABLE, f"{error}; it is left out"))
            continue
        if root.tag != "annotation":
            found.unreadable(file, f"opens with <{root.tag}>, not <annotation>")
            continue
        path_text = root.findtext("path") or ""
        if path_text and base_name(path_text) != path_text and not _leads_home(path_text, file):
            foreign.append(path_text)
        _read_image(root, file, found, inclusive=inclusive)
    if foreign:
        found.problems.append(
            Problem(
                Trouble.FOREIGN_PATH,
                f"{path}: {len(foreign)} files name a path of another machine (the first is {foreign[0]!r}); images "
                "are found by their file name instead",
            )
        )
    return found


def _leads_home(path_text: str, file: Path) -> bool:
    """Tell whether a path ends at an image on this machine, in the data set the file belongs to."""
    image = Path(path_text)
    return image.is_absolute() and file.parent.parent in image.parents and image.is_file()


def _read_image(root: ET.Element, file: Path, found: Found, *, inclusive: bool) -> None:
    image = base_name(root.findtext("filename") or root.findtext("path") or "")
    if not image:
        found.unreadable(file, "names no image in <filename>")
        return
    width, height = (_size(root.findtext(f"size/{side}")) for side in ("width", "height"))
    objects = []
    for number, element in enumerate(root.iter("object"), start=1):
        try:
            objects.append(_read_object(element, inclusive=inclusive))
        except ValueError as error:
            found.unreadable(f"{file}, object {number}", error)
    found.images.append(AnnotatedImage(image, tuple(objects), width, height))


def _size(text: str | None) -> int | None:
    """Read a side of the image; LabelImg writes 0 for a size it does not know."""
    return int(text) if text is not None and text.strip().isdecimal() and int(text) > 0 else None


def _read_object(element: ET.Element, *, inclusive: bool) -> Annotation:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise ValueError("has no <name>")
    box = element.find("bndbox")
    if box is None:
        raise ValueError("has no <bndbox>")
    left, top, right, bottom = (number_of(box.findtext(key), key) for key in ("xmin", "ymin", "xmax", "ymax"))
    first = 1.0 if inclusive else 0.0
    corners = element.find("polygon")
    return Annotation(
        label,
        left - first,
        top - first,
        right,
        bottom,
        polygon=() if corners is None else _read_polygon(corners),
        score=score_of(element.findtext("score")),
        source=source_of(element.findtext("source")),
        review=review_of(element.findtext("review")),
        difficult=flag_of(element.findtext("difficult")),
    )


def _read_polygon(element: ET.Element) -> tuple[Point, ...]:
    """Read corners as CVAT's and labelme's converters write them: <x1>, <y1>, <x2>, ..."""
    count = len(element) // 2
    return tuple(
        (number_of(element.findtext(f"x{at}"), f"x{at}"), number_of(element.findtext(f"y{at}"), f"y{at}"))
        for at in range(1, count + 1)
    )


def write_voc(annotations: AnnotationSet, *, inclusive: bool = False) -> Mapping[str, bytes]:
    """Give the files of a folder: one XML file an image, named as the image.

    Boxes are rounded to whole pixels, as LabelImg opens nothing else, and stay at least one pixel wide and high.
    """
    return {f"{Path(image.image).stem}.xml": _image_file(image, inclusive=inclusive) for image in annotations.images}


def _image_file(image: AnnotatedImage, *, inclusive: bool) -> bytes:
    root = ET.Element("annotation")
    _add(root, "folder", "images")
    _add(root, "filename", image.image)
    if image.width is not None and image.height is not None:
        size = ET.SubElement(root, "size")
        for key, value in (("width", image.width), ("height", image.height), ("depth", 1)):
            _add(size, key, str(value))
    _add(root, "segmented", str(int(any(one.polygon for one in image.objects))))
    for one in image.objects:
        element = ET.SubElement(root, "object")
        texts = {"name": one.label, "pose": "Unspecified", "truncated": "0", "difficult": str(int(one.difficult))}
        texts |= {"source": one.source, "review": one.review.value}
        texts |= {} if one.score is None else {"score": repr(one.score)}
        for key, text in texts.items():
            _add(element, key, text)
        box = ET.SubElement(element, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), _whole(one, inclusive=inclusive), strict=True):
            _add(box, key, str(value))
        if one.polygon:
            polygon = ET.SubElement(element, "polygon")
            for at, (x, y) in enumerate(one.polygon, start=1):
                _add(polygon, f"x{at}", repr(x))
                _add(polygon, f"y{at}", repr(y))
    ET.indent(root, "\t")
    written: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written}\n'.encode()


def _add(parent: ET.Element, key: str, text: str) -> None:
    ET.SubElement(parent, key).text = text


def _whole(one: Annotation, *, inclusive: bool) -> tuple[int, int, int, int]:
    left, top = round(one.left), round(one.top)
    first = int(inclusive)
    return left + first, top + first, max(round(one.right), left + 1), max(round(one.bottom), top + 1)
