"""Bytes to frames, safely; the names other rooms may use."""

from candling.pixels.read.facts import MAX_PIXELS, ImageFacts
from candling.pixels.read.files import MAX_BYTES, SUFFIXES, count_pages, inspect_file, read_image, read_mask
from candling.pixels.read.frames import decode, inspect_bytes

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageFacts",
    "count_pages",
    "decode",
    "inspect_bytes",
    "inspect_file",
    "read_image",
    "read_mask",
]
