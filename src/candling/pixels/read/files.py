"""thin"""
from __future__ import annotations
from pathlib import Path
from candling.errors import ImageError
from candling.pixels.read.facts import MAX_PIXELS
from candling.pixels.read.frames import decode
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
def read_image(path: Path, *, page=0, max_pixels=MAX_PIXELS, max_bytes=2**28):
    try: data = Path(path).read_bytes()
    except OSError as e: raise ImageError(f"{path}: {e.strerror}") from e
    return decode(data, page=page, max_pixels=max_pixels, where=str(path))
def read_mask(path: Path, *, page=0, max_pixels=MAX_PIXELS, max_bytes=2**28):
    f = read_image(path); f = f.any(axis=2) if f.ndim == 3 else f
    return f > 0
def count_pages(path): return 1
