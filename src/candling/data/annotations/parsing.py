"""What every reader of annotations shares: bytes with a bound, numbers, states, names; knows no format.

A reader gives what it found and what it could not read, and raises nothing for one bad file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from candling.data.annotations.annotation import PERSON, AnnotatedImage, Problem, Review, Trouble
from candling.data.samples import natural_key
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "MAX_BYTES",
    "Found",
    "base_name",
    "files_of",
    "flag_of",
    "number_of",
    "read_bytes",
    "review_of",
    "score_of",
    "source_of",
]

MAX_BYTES: Final = 2**28
"""The largest annotation file read: 256 MiB."""


@dataclass
class Found:
    """What a reader has gathered so far."""

    images: list[AnnotatedImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def unreadable(self, where: object, why: object, *, so: str = "it is left out") -> None:
        """Note a file or an object that could not be read."""
        self.problems.append(Problem(Trouble.UNREADABLE, f"{where}: {why}; {so}"))


def files_of(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """Give a file itself, or the files of these suffixes anywhere in a folder, in natural order.

    Raises:
        SamplesError: there is neither such a file nor such a folder.
    """
    wanted = frozenset(suffixes)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SamplesError(f"{path}: no such file or folder of annotations; check the path")
    found = (file for file in path.rglob("*") if file.suffix.lower() in wanted and not file.name.startswith("."))
    return sorted((file for file in found if file.is_file()), key=natural_key)


def read_bytes(path: Path) -> bytes:
    """Read a file of at most :data:`MAX_BYTES`.

    Raises:
        SamplesError: it is larger or cannot be opened.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SamplesError(f"{path}: has {size} bytes, more than the {MAX_BYTES} an annotation file may have")
        return path.read_bytes()
    except OSError as error:
        raise SamplesError(f"{path}: cannot be read: {error.strerror or error}; check the file") from error


def base_name(path: str) -> str:
    r"""Give the file's name of a path written on any system.

    >>> base_name(r"C:\\Users\\lab\\Bild 7.tif"), base_name("/home/pi/a/b.jpg"), base_name("c.png")
    ('Bild 7.tif', 'b.jpg', 'c.png')
    """
    return PurePosixPath(path.strip().replace("\\", "/")).name


def number_of(text: object, name: str) -> float:
    """Read one coordinate.

    Raises:
        ValueError: it is no finite number.

    >>> number_of("12.5", "xmin")
    12.5
    """
    if isinstance(text, bool) or text is None or not isinstance(text, (str, int, float)):
        raise ValueError(f"{name} is {text!r}, not a number")
    try:
        value = float(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {str(text)[:40]!r}, not a number") from error
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}, not a finite number")
    return value


def score_of(text: object) -> float | None:
    """Read a score; nothing, an empty text and -1 (as some tools write) mean that there is none.

    Raises:
        ValueError: it is no number in [0, 1].
    """
    if text is None or text == "":
        return None
    value = number_of(text, "score")
    if value == -1.0:
        return None
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"score is {text!r}, which does not lie between 0 and 1")
    return value


def review_of(text: object) -> Review:
    """Read a review state; a file that says nothing was made by a person.

    Raises:
        ValueError: there is no such state.
    """
    if text is None or text == "":
        return Review.REVIEWED
    try:
        return Review(str(text).strip().lower())
    except ValueError as error:
        raise ValueError(f"review is {text!r}; it can be {', '.join(Review)}") from error


def source_of(text: object) -> str:
    """Read a source; nothing means a person."""
    return str(text).strip() if text else PERSON


def flag_of(text: object) -> bool:
    """Read yes or no as the formats write it.

    Raises:
        ValueError: it is neither.
    """
    if text is None or text == "":
        return False
    lowered = str(text).strip().lower()
    if lowered in {"1", "true", "yes"}:
        return True
    if lowered in {"0", "false", "no"}:
        return False
    raise ValueError(f"{text!r} is neither 0 nor 1")
