"""Which images lie in a folder, how large they are, and which names mean two of them; decodes no pixel."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from candling.data.annotations.annotation import Problem, Trouble
from candling.data.samples import natural_key
from candling.errors import ImageError, SamplesError
from candling.pixels.read import MAX_BYTES, SUFFIXES, inspect_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Picture", "Pictures", "find_pictures"]


@dataclass(frozen=True)
class Picture:
    """One image file and its size in pixels."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The images of a folder.

    Attributes:
        by_name: each file name that means one image.
        twice: file names that mean several; none of those images is used.
        problems: those names, and images that cannot be read.
    """

    by_name: Mapping[str, Picture]
    twice: frozenset[str]
    problems: tuple[Problem, ...]

    def find(self, name: str) -> Picture | None:
        """Give the image of a file name, or the only one that differs from it in its suffix alone."""
        if name in self.by_name:
            return self.by_name[name]
        if name in self.twice:
            return None
        stems = {name, Path(name).stem}  # a name without a suffix may hold dots
        near = [picture for known, picture in self.by_name.items() if Path(known).stem in stems]
        return near[0] if len(near) == 1 else None


def find_pictures(folder: Path) -> Pictures:
    """Find the images of a folder and of the folders in it.

    Raises:
        SamplesError: there is no such folder.
    """
    if not folder.is_dir():
        raise SamplesError(f"{folder}: no such folder of images; check the path")
    files = (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files, key=natural_key):
        groups[file.name].append(file)
    problems = [
        Problem(Trouble.SAME_NAME, f"{_listed(paths)}: two images of one name; rename one of them; neither is used")
        for paths in groups.values()
        if len(paths) > 1
    ]
    found: dict[str, Picture] = {}
    for name, paths in groups.items():
        if len(paths) > 1:
            continue
        try:
            found[name] = _measured(paths[0])
        except ImageError as error:
            problems.append(Problem(Trouble.UNREADABLE, f"{error}; it is left out"))
    twice = frozenset(name for name, paths in groups.items() if len(paths) > 1)
    return Pictures(found, twice, tuple(problems))


def _measured(path: Path) -> Picture:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{path}: is larger than the {MAX_BYTES} bytes an image may have")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror or error})") from error
    facts = inspect_bytes(data, where=str(path))
    return Picture(path, facts.width, facts.height)


def _listed(paths: Iterable[Path]) -> str:
    return " and ".join(str(path) for path in paths)
