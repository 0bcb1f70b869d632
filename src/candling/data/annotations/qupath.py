"""QuPath's GeoJSON: one file an image, one feature an object; knows no other format.

The score is a measurement (a mapping from names to numbers, as QuPath itself writes it), source and review state are
metadata. The file is named after the image, ``cells.tif.geojson``; GeoJSON has no other place for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from candling.data.annotations.annotation import AnnotatedImage, Annotation, Point, hull
from candling.data.annotations.coco import load_json
from candling.data.annotations.parsing import Found, files_of, flag_of, number_of, review_of, score_of, source_of
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.data.annotations.annotation import AnnotationSet

__all__ = ["read_qupath", "write_qupath"]

_SUFFIXES: Final = (".geojson",)
_UNNAMED: Final = "object"
"""The class of an object that has none in QuPath."""


def read_qupath(path: Path) -> Found:
    """Read one file, or all of a folder.

    Raises:
        SamplesError: there is no such file or folder.
    """
    found = Found()
    for file in files_of(path, _SUFFIXES):
        try:
            features = _features(load_json(file), file)
        except SamplesError as error:
            found.unreadable(file, str(error).removeprefix(f"{file}: "))
            continue
        objects = []
        for number, feature in enumerate(features, start=1):
            try:
                objects.append(_read_object(feature))
            except ValueError as error:
                found.unreadable(f"{file}, feature {number}", error)
        found.images.append(AnnotatedImage(file.stem, tuple(objects)))
    return found


def _features(data: Any, file: Path) -> list[Any]:
    """Give the features of a collection, of a bare list (as older QuPath wrote), or the only one."""
    if isinstance(data, dict) and data.get("type") == "Feature":
        return [data]
    features: object = data.get("features") if isinstance(data, dict) else data
    if not isinstance(features, list):
        raise SamplesError(f"{file}: holds no features; export objects as GeoJSON from QuPath")
    return features


def _read_object(feature: Any) -> Annotation:
    geometry = _mapping(_mapping(feature).get("geometry"))
    if not geometry:
        raise ValueError("has no geometry")
    ring = _ring(geometry)
    edges = hull(ring)
    facts = _mapping(_mapping(feature).get("properties"))
    kind, metadata, measured = (
        _mapping(facts.get("classification")),
        _mapping(facts.get("metadata")),
        facts.get("measurements"),
    )
    return Annotation(
        str(kind.get("name") or _UNNAMED),
        *edges,
        polygon=() if _is_box(ring, edges) else ring,
        score=score_of(_measured(measured, "score")),
        source=source_of(metadata.get("source")),
        review=review_of(metadata.get("review")),
        difficult=flag_of(metadata.get("difficult")),
    )


def _mapping(value: Any) -> dict[str, Any]:
    """Give a mapping itself, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _measured(measured: Any, name: str) -> Any:
    """Find a measurement in a mapping, or in the list of names and values of older files."""
    if isinstance(measured, dict):
        return measured.get(name)
    pairs = measured if isinstance(measured, list) else []
    return next((one.get("value") for one in pairs if isinstance(one, dict) and one.get("name") == name), None)


def _ring(geometry: Mapping[str, Any]) -> tuple[Point, ...]:
    """Give the outer ring, of several parts the largest; holes are left out."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"is a {kind}, which has no area")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not all(isinstance(part, list) and part for part in parts) or not parts:
        raise ValueError("has no coordinates")
    rings = [_corners(part[0]) for part in parts]
    return max(rings, key=_box_area)


def _corners(ring: Any) -> tuple[Point, ...]:
    if not isinstance(ring, list) or len(ring) < 4 or not all(isinstance(one, list) and len(one) >= 2 for one in ring):
        raise ValueError("has an outline of fewer than three corners")
    corners = tuple((number_of(one[0], "x"), number_of(one[1], "y")) for one in ring)
    return corners[:-1] if corners[0] == corners[-1] else corners


def _box_area(ring: tuple[Point, ...]) -> float:
    left, top, right, bottom = hull(ring)
    return (right - left) * (bottom - top)


def _is_box(ring: tuple[Point, ...], edges: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = edges
    return len(ring) == 4 and set(ring) == {(left, top), (right, top), (right, bottom), (left, bottom)}


def write_qupath(annotations: AnnotationSet) -> Mapping[str, bytes]:
    """Give the files of a folder: one an image, named ``<image>.geojson``."""
    return {
        f"{image.image}.geojson": (
            json.dumps({"type": "FeatureCollection", "features": [_feature(one) for one in image.objects]}, indent=1)
            + "\n"
        ).encode()
        for image in annotations.images
    }


def _feature(one: Annotation) -> dict[str, object]:
    corners = [list(corner) for corner in one.corners]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": one.label},
            "measurements": {} if one.score is None else {"score": one.score},
            "metadata": {"source": one.source, "review": one.review.value, "difficult": str(int(one.difficult))},
        },
    }
