"""Drawn images of every kind that is read, encoded by other programs than ours, each with the frame it must give."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[bytes, np.ndarray]


def encode(pixels: np.ndarray, fmt: str, mode: str | None = None, **options) -> bytes:
    picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, fmt, **options)
    return buffer.getvalue()


def encode_tiff(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def drawn() -> dict[str, np.ndarray]:
    """Noise of 41 x 53 px: odd sides, so that rows are padded and 16-bit views do not fit."""
    rng = np.random.default_rng(7)
    grey = np.clip(rng.normal(120, 30, (41, 53)), 0, 255).astype(np.uint8)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    wide = rng.integers(0, 65536, (41, 53), dtype=np.uint16)
    return {
        "grey": grey,
        "colour": colour,
        "wide": wide,
        "wide_colour": np.dstack([wide, wide[::-1], wide[:, ::-1]]),
        "mask": np.where(grey > 120, 255, 0).astype(np.uint8),
        "palette": np.array(Image.fromarray(colour).convert("P").convert("RGB")),
    }


@pytest.fixture(scope="session")
def pngs(drawn) -> dict[str, Pair]:
    grey, colour, wide, mask = (drawn[name] for name in ("grey", "colour", "wide", "mask"))
    alpha = np.dstack([colour, grey])
    return {
        "grey": (encode(grey, "PNG"), grey),
        "16-bit": (encode(wide, "PNG"), wide),
        "colour": (encode(colour, "PNG"), colour),
        "alpha": (encode(alpha, "PNG"), colour),
        "grey and alpha": (encode(np.dstack([grey, mask]), "PNG"), grey),
        "1-bit": (encode(mask, "PNG", "1"), mask),
        "palette": (encode(colour, "PNG", "P"), drawn["palette"]),
    }


@pytest.fixture(scope="session")
def jpegs(drawn) -> dict[str, bytes]:
    grey, colour = drawn["grey"], drawn["colour"]
    return {
        "grey": encode(grey, "JPEG", quality=95),
        "colour": encode(colour, "JPEG", quality=95),
        "full chroma": encode(colour, "JPEG", quality=95, subsampling=0),
        "progressive": encode(colour, "JPEG", quality=95, progressive=True),
        "restarts": encode(colour, "JPEG", quality=95, restart_marker_blocks=2),
    }


@pytest.fixture(scope="session")
def bmps(drawn) -> dict[str, Pair]:
    grey, colour, mask = drawn["grey"], drawn["colour"], drawn["mask"]
    return {
        "grey": (encode(grey, "BMP"), grey),
        "colour": (encode(colour, "BMP"), colour),
        "alpha": (encode(np.dstack([colour, grey]), "BMP"), colour),
        "1-bit": (encode(mask, "BMP", "1"), mask),
        "palette": (encode(colour, "BMP", "P"), drawn["palette"]),
    }


@pytest.fixture(scope="session")
def tiffs(drawn) -> dict[str, Pair]:
    """Pillow writes through libtiff, tifffile on its own: every compression, byte order, block and colour we read."""
    grey, colour, wide, deep, mask = (drawn[k] for k in ("grey", "colour", "wide", "wide_colour", "mask"))
    pairs: dict[str, Pair] = {}
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for name, pixels, mode in (("grey", grey, None), ("colour", colour, None), ("wide", wide, None)):
            pairs[f"{name} {compression}"] = (encode(pixels, "TIFF", mode, compression=compression), pixels)
        pairs[f"1-bit {compression}"] = (encode(mask, "TIFF", "1", compression=compression), mask)
        pairs[f"palette {compression}"] = (encode(colour, "TIFF", "P", compression=compression), drawn["palette"])
        alpha = encode(np.dstack([colour, grey]), "TIFF", compression=compression)
        pairs[f"alpha {compression}"] = (alpha, colour)
    for predictor in (False, True):
        for order in "<>":
            options = {"compression": "zlib", "predictor": predictor, "byteorder": order}
            pairs[f"deflate grey {options}"] = (encode_tiff(grey, **options), grey)
            pairs[f"deflate wide {options}"] = (encode_tiff(wide, **options), wide)
            pairs[f"deflate deep {options}"] = (encode_tiff(deep, photometric="rgb", **options), deep)
    lzw = {"compression": "tiff_lzw", "tiffinfo": {317: 2}}
    pairs["lzw grey with differences"] = (encode(grey, "TIFF", **lzw), grey)
    pairs["lzw colour with differences"] = (encode(colour, "TIFF", **lzw), colour)
    pairs["big-endian"] = (encode_tiff(wide, byteorder=">"), wide)
    pairs["bigtiff"] = (encode_tiff(grey, bigtiff=True), grey)
    pairs["white is zero"] = (encode_tiff(grey, photometric="miniswhite"), ~grey)
    pairs["16-bit white is zero"] = (encode_tiff(wide, photometric="miniswhite", compression="zlib"), ~wide)
    pairs["strips of 3 rows"] = (encode_tiff(colour, photometric="rgb", rowsperstrip=3), colour)
    planes = np.ascontiguousarray(deep.transpose(2, 0, 1))
    pairs["planes"] = (encode_tiff(planes, photometric="rgb", planarconfig="separate", compression="zlib"), deep)
    pairs["tiles"] = (encode_tiff(colour, photometric="rgb", tile=(16, 32), compression="zlib"), colour)
    return pairs


@pytest.fixture(scope="session")
def make_png() -> Callable[..., bytes]:
    """Give a maker of PNGs whose checksums are right, whatever the header says."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def make(width, height, *, depth=8, colour=0, stream=None, extra=(), interlace=0, end=True) -> bytes:
        stream = zlib.compress(bytes(height * (1 + (width * depth + 7) // 8))) if stream is None else stream
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
        parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *(chunk(*pair) for pair in extra)]
        return b"".join([*parts, chunk(b"IDAT", stream), chunk(b"IEND", b"") if end else b""])

    return make


@pytest.fixture
def no_decoder(monkeypatch) -> None:
    """Make every call of OpenCV's decoder a failure: what is refused now is refused before a pixel is allocated."""

    def refuse(*_args, **_options):
        raise AssertionError("the decoder was asked")

    monkeypatch.setattr("cv2.imdecode", refuse)
