"""Bytes to frames, safely; the names other rooms may use."""

from candling.pixels.read.facts import MAX_PIXELS, ImageFacts
from candling.pixels.read.frames import decode, inspect_bytes
from candling.pixels.read.files import SUFFIXES, count_pages, read_image, read_mask

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageFacts",
    "count_pages",
    "decode",
    "inspect_bytes",
    "read_image",
    "read_mask",
]
