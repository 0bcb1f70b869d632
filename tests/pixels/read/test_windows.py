"""A TIFF seen through windows is the TIFF read whole, in every layout; damage and other formats are named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from candling.errors import ImageError
from candling.pixels.read import facts, read_image, windows
from candling.pixels.read.windows import TiffWindows, is_large
from candling.types import Box

PICTURE = np.random.default_rng(0).integers(0, 60000, (300, 410)).astype(np.uint16)
COLOURED = np.random.default_rng(1).integers(0, 255, (300, 410, 3)).astype(np.uint8)

LAYOUTS = {
    "tiles": {"tile": (64, 128)},
    "packed tiles": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "one strip": {},
    "bigtiff": {"tile": (64, 64), "bigtiff": True, "byteorder": ">"},
}


@pytest.fixture(params=[PICTURE, COLOURED], ids=["grey 16", "rgb 8"])
def picture(request: pytest.FixtureRequest) -> np.ndarray:
    """What is in the file."""
    return request.param


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("box", [Box(0, 0, 300, 410), Box(63, 127, 2, 3), Box(290, 400, 10, 10), Box(100, 5, 70, 300)])
def test_a_window_is_the_part_of_the_picture(tmp_path, picture, layout, box):
    """Pixel by pixel, at edges of blocks and of the picture."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture, photometric="rgb" if picture.ndim == 3 else "minisblack", **LAYOUTS[layout])
    np.testing.assert_array_equal(read_image(path), picture)
    with TiffWindows.open(path) as opened:
        assert opened.shape == (300, 410)
        seen = opened.window(box)
        np.testing.assert_array_equal(seen, picture[box.top : box.bottom, box.left : box.right])
        np.testing.assert_array_equal(opened.sample(100), picture[::5, ::5])
        np.testing.assert_array_equal(opened.sample(1000), picture)


def test_only_the_blocks_of_a_window_are_read(tmp_path, monkeypatch):
    """The rows of four tiles, and a few rows of a single strip."""
    read = []
    fetch = TiffWindows._fetch
    monkeypatch.setattr(TiffWindows, "_fetch", lambda self, at, length: read.append(length) or fetch(self, at, length))
    for layout, wanted in (("tiles", 4 * 2 * 128 * 2), ("one strip", 4 * 410 * 2)):
        path = tmp_path / f"{layout}.tif"
        tifffile.imwrite(path, PICTURE, **LAYOUTS[layout])
        read.clear()
        with TiffWindows.open(path) as opened:
            opened.window(Box(62, 126, 4, 4))
        assert sum(read) == wanted


def test_the_size_of_a_pixel_is_read_from_the_directory(tmp_path):
    """As from a file that is read whole."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, PICTURE, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25})
    with TiffWindows.open(path) as opened:
        assert opened.pixel_um == (0.25, 0.5)


def test_a_file_is_large_by_its_pixels(tmp_path, monkeypatch):
    """Only a TIFF of more pixels than are read whole; of what is no TIFF, is empty or is missing nothing is said."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE)
    assert not is_large(path)
    monkeypatch.setattr(windows, "MAX_PIXELS", 300 * 410 - 1)
    assert is_large(path)
    assert facts.MAX_PIXELS == 2**26
    for name in ("b.png", "empty.tif", "missing.tif"):
        if name == "b.png":
            cv2.imwrite(str(tmp_path / name), PICTURE)
        elif name == "empty.tif":
            (tmp_path / name).write_bytes(b"")
        assert not is_large(tmp_path / name)


def torn(path: Path) -> None:
    """Spoil the first block."""
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        offset, length = opened.pages[0].dataoffsets[0], opened.pages[0].databytecounts[0]
    data[offset : offset + length] = bytes(length)
    path.write_bytes(bytes(data))


def test_damage_is_named(tmp_path):
    """A torn block, a cut file, a window outside, a picture that is too large."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE, **LAYOUTS["packed tiles"])
    whole = path.read_bytes()
    with TiffWindows.open(path) as opened, pytest.raises(ImageError, match="lie outside"):
        opened.window(Box(0, 400, 10, 11))
    with pytest.raises(ImageError, match=r"a\.tif: declares"):
        TiffWindows.open(path, max_pixels=1000)
    torn(path)
    with TiffWindows.open(path) as opened:
        assert opened.window(Box(100, 100, 5, 5)).shape == (5, 5)
        with pytest.raises(ImageError, match=r"a\.tif: .*damaged"):
            opened.window(Box(0, 0, 5, 5))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"a\.tif"):
        TiffWindows.open(path)
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match="no TIFF"):
        TiffWindows.open(tmp_path / "b.png")
