"""Words of the command line to picture files: files, folders and patterns; opens none of them."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from candling.data.samples import natural_key
from candling.errors import UsageError
from candling.pixels.read import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find_pictures"]


def find_pictures(words: Sequence[str]) -> list[Path]:
    """Find what is meant: a file as it is, all pictures below a folder, all files a pattern fits; each once.

    A file that was named is taken whatever it is called: what cannot be read becomes a recorded reject.

    Raises:
        UsageError: nothing is there under a name, or a folder or pattern holds no picture.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_file():
            found[path] = None
            continue
        inside = path.rglob("*") if path.is_dir() else (Path(name) for name in glob.glob(word, recursive=True))  # noqa: PTH207
        pictures = sorted((each for each in inside if _is_picture(each)), key=lambda each: natural_key(str(each)))
        if not pictures:
            there = (
                "holds no picture" if path.is_dir() else "no such file or folder, and no picture fits it as a pattern"
            )
            raise UsageError(f"{word}: {there}; formats are {', '.join(sorted(SUFFIXES))}")
        found.update(dict.fromkeys(pictures))
    return list(found)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
