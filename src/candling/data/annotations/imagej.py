"""ImageJ regions of interest: one zip an image, one small binary file an object; knows no other format.

The layout is that of ``ij.io.RoiEncoder`` (ImageJ 1.53, public domain): a header of 64 bytes, corners, a second header
of 64 bytes, the name, and properties. Class, score, source and review state are properties, which ImageJ shows
and keeps. Rectangles, ovals and polygons are read; lines, points and texts hold no cell and are named.

The zip is named after the image, ``cells.tif.zip``; the format has no other place for it. Coordinates are float32.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from candling.data.annotations.annotation import AnnotatedImage, Annotation, Point, hull
from candling.data.annotations.parsing import (
    MAX_BYTES,
    Found,
    files_of,
    flag_of,
    read_bytes,
    review_of,
    score_of,
    source_of,
)
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from candling.data.annotations.annotation import AnnotationSet

__all__ = ["read_imagej", "write_imagej"]

_SUFFIXES: Final = (".zip", ".roi")
_UNNAMED: Final = "object"
"""The class of an object that has none in ImageJ."""

_MAGIC: Final = b"Iout"
_VERSION: Final = 228
_HEADER, _HEADER2 = 64, 64
_POLYGON, _RECTANGLE, _OVAL, _FREEHAND, _TRACED = 0, 1, 2, 7, 8
_KINDS: Final = {3: "line", 4: "freehand line", 5: "line of several parts", 6: "nothing", 9: "angle", 10: "point"}
_SUBPIXEL: Final = 128  # of the options at byte 50: coordinates as floats follow those as integers
_MOST_BYTES: Final = 2**24
"""The largest region unpacked: 16 MiB, some two million corners."""

_MOST_OBJECTS: Final = 2**20
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)
"""What reading a damaged zip can raise."""
_STAMP: Final = (1980, 1, 1, 0, 0, 0)  # the same objects give the same bytes


def read_imagej(path: Path) -> Found:
    """Read one zip or region file, or all of a folder; a zip holds the objects of one image.

    Raises:
        SamplesError: there is no such file or folder.
    """
    found = Found()
    for file in files_of(path, _SUFFIXES):
        objects: list[Annotation] = []
        try:
            for name, data in _members(file):
                try:
                    objects.append(_decode(data))
                except (ValueError, struct.error) as error:
                    found.unreadable(f"{file}, {name}", error)
        except (SamplesError, *_DAMAGED) as error:
            found.unreadable(file, str(error).removeprefix(f"{file}: "))
            continue
        found.images.append(AnnotatedImage(file.stem, tuple(objects)))
    return found


def _members(file: Path) -> Iterator[tuple[str, bytes]]:
    data = read_bytes(file)
    if data.startswith(_MAGIC):
        yield file.name, data
        return
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        members = [one for one in packed.infolist() if one.filename.lower().endswith(".roi")]
        large = next((one for one in members if one.file_size > _MOST_BYTES), None)
        if large is not None:
            raise SamplesError(f"{file}: {large.filename} would unpack to {large.file_size} bytes; it is no region")
        if len(members) > _MOST_OBJECTS or sum(one.file_size for one in members) > MAX_BYTES:
            raise SamplesError(f"{file}: its {len(members)} regions would unpack to more than {MAX_BYTES} bytes")
        for one in members:
            yield one.filename, packed.read(one)


def _decode(data: bytes) -> Annotation:
    """Read one region.

    Raises:
        ValueError: it is none, or of a kind without area.
        struct.error: it ends too early.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("is no ImageJ region")
    version, kind = struct.unpack_from(">HB", data, 4)
    top, left, bottom, right, count = struct.unpack_from(">hhhhH", data, 8)
    options, offset = struct.unpack_from(">H", data, 50)[0], struct.unpack_from(">i", data, 60)[0]
    if struct.unpack_from(">i", data, 36)[0] > 0:
        raise ValueError("is a composite of several parts; split it in ImageJ")
    if kind in _KINDS or kind not in (_POLYGON, _RECTANGLE, _OVAL, _FREEHAND, _TRACED):
        raise ValueError(f"is a {_KINDS.get(kind, f'region of kind {kind}')}, which has no area")
    floats = bool(options & _SUBPIXEL) and version >= (222 if kind not in (_RECTANGLE, _OVAL) else 223)
    polygon: tuple[Point, ...] = ()
    edges = float(left), float(top), float(right), float(bottom)
    if kind in (_RECTANGLE, _OVAL):
        if floats:
            x, y, width, height = struct.unpack_from(">4f", data, 18)
            edges = x, y, x + width, y + height
    else:
        polygon = _corners(data, count, floats=floats, left=left, top=top)
        edges = hull(polygon)
    facts = _properties(data, offset)
    found = Annotation(
        facts.get("class") or _UNNAMED,
        *edges,
        polygon=polygon,
        score=score_of(facts.get("score")),
        source=source_of(facts.get("source")),
        review=review_of(facts.get("review")),
        difficult=flag_of(facts.get("difficult")),
    )
    if not found.finite:
        raise ValueError("has a corner that is no finite number")
    return found


def _corners(data: bytes, count: int, *, floats: bool, left: int, top: int) -> tuple[Point, ...]:
    if count < 3:
        raise ValueError(f"has an outline of {count} corners")
    if floats:
        values = struct.unpack_from(f">{2 * count}f", data, _HEADER + 4 * count)
        return tuple(zip(values[:count], values[count:], strict=True))
    whole = struct.unpack_from(f">{2 * count}h", data, _HEADER)
    return tuple((float(left + x), float(top + y)) for x, y in zip(whole[:count], whole[count:], strict=True))


def _properties(data: bytes, offset: int) -> dict[str, str]:
    """Read the lines ``key: value`` that the second header points to; none in files of older versions."""
    if not _HEADER <= offset <= len(data) - _HEADER2:
        return {}
    start, length = struct.unpack_from(">ii", data, offset + 40)
    if start <= 0 or length <= 0 or start + 2 * length > len(data):
        return {}
    text = data[start : start + 2 * length].decode("utf-16-be", errors="replace")
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def write_imagej(annotations: AnnotationSet) -> Mapping[str, bytes]:
    """Give the files of a folder: one zip an image, named ``<image>.zip``; the same objects give the same bytes."""
    return {f"{image.image}.zip": _packed(image) for image in annotations.images}


def _packed(image: AnnotatedImage) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number, one in enumerate(image.objects, start=1):
            member = zipfile.ZipInfo(f"{number:05d}.roi", _STAMP)
            member.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(member, _encode(one, f"{one.label} {number:05d}"))
    return file.getvalue()


def _encode(one: Annotation, name: str) -> bytes:
    count = len(one.polygon)
    left, top, right, bottom = (_short(value) for value in (one.left, one.top, one.right, one.bottom))
    header = bytearray(_HEADER)
    struct.pack_into(">4sHB", header, 0, _MAGIC, _VERSION, _POLYGON if count else _RECTANGLE)
    struct.pack_into(">hhhhH", header, 8, top, left, bottom, right, count)
    if not count:
        struct.pack_into(">4f", header, 18, one.left, one.top, one.right - one.left, one.bottom - one.top)
    struct.pack_into(">H", header, 50, _SUBPIXEL)
    corners = b""
    if count:
        columns, rows = zip(*one.polygon, strict=True)
        whole = [_short(x - left) for x in columns] + [_short(y - top) for y in rows]
        corners = struct.pack(f">{2 * count}h", *whole) + struct.pack(f">{2 * count}f", *columns, *rows)
    struct.pack_into(">i", header, 60, _HEADER + len(corners))
    lines = {"class": one.label, "source": one.source, "review": one.review.value, "difficult": str(int(one.difficult))}
    lines |= {} if one.score is None else {"score": repr(one.score)}
    title = name.encode("utf-16-be")
    told = "".join(f"{key}: {value}\n" for key, value in lines.items()).encode("utf-16-be")
    texts = _HEADER + len(corners) + _HEADER2
    second = bytearray(_HEADER2)
    struct.pack_into(">ii", second, 16, texts, len(title) // 2)
    struct.pack_into(">ii", second, 40, texts + len(title), len(told) // 2)
    return bytes(header) + corners + bytes(second) + title + told


def _short(value: float) -> int:
    """Give the nearest integer that ImageJ's two bytes hold; the floats beside it are exact."""
    return min(max(round(value), -32768), 32767)
