"""COCO: one JSON file a set, boxes as left, top, width and height; knows no other format.

Score, source and review state are keys of their own beside ``bbox``; other tools ignore them. An outline of several
parts or as run lengths is no single polygon: its box alone is kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from candling.data.annotations.annotation import AnnotatedImage, Annotation
from candling.data.annotations.parsing import (
    Found,
    base_name,
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
    from pathlib import Path

    from candling.data.annotations.annotation import AnnotationSet, Point

__all__ = ["load_json", "read_coco", "write_coco"]


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SamplesError: it cannot be read, is not JSON in UTF-8, or is nested beyond reason.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise SamplesError(f"{path}: is not JSON ({str(error) or 'nested too deep'}); export it again") from error


def read_coco(path: Path) -> Found:
    """Read a COCO file.

    Raises:
        SamplesError: it is no COCO file at all; a single bad object is a problem and raises nothing.
    """
    data = load_json(path)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise SamplesError(f"{path}: has no lists 'images' and 'annotations'; give a COCO file of objects")
    found = Found()
    labels = {one.get("id"): str(one.get("name")) for one in data.get("categories", []) if isinstance(one, dict)}
    objects: dict[Any, list[Annotation]] = {}
    images: dict[Any, tuple[str, int | None, int | None]] = {}
    for number, one in enumerate(data["images"], start=1):
        if not isinstance(one, dict) or not isinstance(one.get("id"), (int, str)) or not one.get("file_name"):
            found.unreadable(f"{path}, image {number}", "has no id or no file_name")
            continue
        images[one["id"]] = (base_name(str(one["file_name"])), _side(one.get("width")), _side(one.get("height")))
        objects[one["id"]] = []
    for number, one in enumerate(data["annotations"], start=1):
        try:
            objects[_image_id(one, images)].append(_read_object(one, labels))
        except ValueError as error:
            found.unreadable(f"{path}, annotation {number}", error)
    found.images += [
        AnnotatedImage(name, tuple(objects[key]), width, height) for key, (name, width, height) in images.items()
    ]
    return found


def _side(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _image_id(one: Any, images: Mapping[Any, Any]) -> Any:
    key = one.get("image_id") if isinstance(one, dict) else None
    if not isinstance(key, (int, str)) or key not in images:
        raise ValueError(f"belongs to image {key!r}, which the file does not list")
    return key


def _read_object(one: Any, labels: Mapping[Any, str]) -> Annotation:
    label = labels.get(one.get("category_id"))
    if label is None:
        raise ValueError(f"is of category {one.get('category_id')!r}, which the file does not list")
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"has no bbox of four numbers (it is {box!r})")
    left, top, width, height = (number_of(value, "bbox") for value in box)
    return Annotation(
        label,
        left,
        top,
        left + width,
        top + height,
        polygon=_read_polygon(one.get("segmentation")),
        score=score_of(one.get("score")),
        source=source_of(one.get("source")),
        review=review_of(one.get("review")),
        difficult=flag_of(one.get("iscrowd")),
    )


def _read_polygon(parts: Any) -> tuple[Point, ...]:
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], list):
        return ()
    flat = [number_of(value, "segmentation") for value in parts[0]]
    return tuple(zip(flat[0::2], flat[1::2], strict=False))


def write_coco(annotations: AnnotationSet) -> bytes:
    """Give the file; sizes that nobody said are left out."""
    numbers = {label: number for number, label in enumerate(annotations.classes, start=1)}
    images: list[dict[str, object]] = []
    objects: list[dict[str, object]] = []
    for number, image in enumerate(annotations.images, start=1):
        sides = {"width": image.width, "height": image.height}
        images.append(
            {"id": number, "file_name": image.image} | {key: side for key, side in sides.items() if side is not None}
        )
        objects += [
            {"id": len(objects) + at, "image_id": number, "category_id": numbers[one.label]} | _written(one)
            for at, one in enumerate(image.objects, start=1)
        ]
    data = {
        "images": images,
        "annotations": objects,
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def _written(one: Annotation) -> dict[str, object]:
    width, height = one.right - one.left, one.bottom - one.top
    outline = [value for corner in one.polygon for value in corner]
    return {
        "bbox": [one.left, one.top, width, height],
        "area": _enclosed(one),
        "segmentation": [outline] if outline else [],
        "iscrowd": int(one.difficult),
        "source": one.source,
        "review": one.review.value,
    } | ({} if one.score is None else {"score": one.score})


def _enclosed(one: Annotation) -> float:
    """Give the area inside the outline, by the shoelace formula."""
    corners = one.corners
    twice = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True))
    return abs(twice) / 2.0
