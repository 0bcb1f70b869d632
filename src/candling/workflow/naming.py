"""File names for what strangers named: safe on every file system and never used twice; touches no disk."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

__all__ = ["FileNames"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)
_LONGEST = 100


class FileNames:
    r"""Makes one name a product: from its folder and its stem, with a part of its hash where that is taken.

    >>> names = FileNames()
    >>> names.make("test/crack/001.png"), names.make("test/good/001.png"), names.make("other/good/001.png")
    ('crack_001', 'good_001', 'good_001-06e61729')
    >>> names.make("../../etc/passwd"), names.make("C:\\data\\aux.png"), names.make("<b>.png")
    ('etc_passwd', 'data_aux', 'b')
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, product: str) -> str:
        """Give the name, without a suffix; the same product asked for twice gets two names."""
        stem = _readable(product)
        digest = hashlib.sha256(product.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name, turn = stem, 1
        while name.lower() in self._taken:  # some file systems do not tell cases apart
            name = f"{stem}-{digest}" if turn == 1 else f"{stem}-{digest}-{turn}"
            turn += 1
        self._taken.add(name.lower())
        return name


def _readable(product: str) -> str:
    path = PurePosixPath(product.replace("\\", "/"))
    words = [_UNSAFE.sub("_", word).strip("._-") for word in (path.parent.name, path.stem)]
    name = "_".join(word for word in words if word)[-_LONGEST:].lstrip("._-") or "image"
    return f"image_{name}" if _RESERVED.match(name) else name
