"""What a header says of an image, and the cap on it; knows no format."""

from __future__ import annotations

from dataclasses import dataclass

from candling.errors import ImageError

__all__ = ["MAX_PIXELS", "ImageFacts", "check_size", "check_stream"]

MAX_PIXELS = 2**26
"""The largest picture read unless told otherwise, in pixels: 8192 x 8192."""


@dataclass(frozen=True)
class ImageFacts:
    """What the header of an image declares, checked against its file's structure.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: of the decoded frame: 1 or 3; alpha is not counted, a palette counts as what its colours are.
        bits: of one sample of the decoded frame: 8 or 16.
        format: "png", "jpeg", "bmp" or "tiff".
        pages: pictures in the file.
    """

    width: int
    height: int
    channels: int
    bits: int
    format: str
    pages: int = 1


def check_size(width: int, height: int, *, max_pixels: int, where: str) -> None:
    """Refuse a declared size that is empty or above the cap, before a pixel is allocated.

    Raises:
        ImageError: it is.

    >>> check_size(30_000, 30_000, max_pixels=MAX_PIXELS, where="big.png")
    Traceback (most recent call last):
    candling.errors.ImageError: big.png: declares 30000 x 30000 px, more than the 67108864 px allowed; raise \
max_pixels if the picture is meant to be so large
    """
    if width < 1 or height < 1:
        raise ImageError(f"{where}: declares {width} x {height} px; the file is damaged, take the picture again")
    if width * height > max_pixels:
        raise ImageError(
            f"{where}: declares {width} x {height} px, more than the {max_pixels} px allowed; "
            "raise max_pixels if the picture is meant to be so large"
        )


def check_stream(compressed: int, needed: int, *, ratio: int, where: str) -> None:
    """Refuse a declared size that the compressed bytes could not fill even at the format's best ratio.

    Raises:
        ImageError: they could not.

    >>> check_stream(100, 1_000_000, ratio=1032, where="liar.png")
    Traceback (most recent call last):
    candling.errors.ImageError: liar.png: declares 1000000 bytes of pixels, which its 100 compressed bytes cannot \
hold; the file is damaged, copy or take the picture again
    """
    if compressed * ratio < needed:
        raise ImageError(
            f"{where}: declares {needed} bytes of pixels, which its {compressed} compressed bytes cannot hold; "
            "the file is damaged, copy or take the picture again"
        )
