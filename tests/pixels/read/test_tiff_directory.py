"""Facts about TIFF directories: nothing they declare is believed before it is checked against the file."""

from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
import tifffile

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes
from candling.pixels.read.tiff_directory import page_offsets, read_page

pytestmark = pytest.mark.usefixtures("no_decoder")


def build(*, pixels: int = 64, **changes: int | None) -> bytes:
    """Give a grey uncompressed TIFF of 8 x 8 px in one strip, with some of its entries changed or left out."""
    entries = {"width": (256, 8), "height": (257, 8), "bits": (258, 8), "compression": (259, 1), "colour": (262, 1)}
    entries |= {"offset": (273, 1000), "samples": (277, 1), "rows": (278, 8), "bytes": (279, 64)}
    numbers = {"fill": 266, "planar": 284, "predictor": 317, "tile_width": 322, "tile_height": 323, "format": 339}
    table = {tag: changes.pop(name, value) for name, (tag, value) in entries.items()}
    table |= {numbers[name]: value for name, value in changes.items()}
    kept = sorted((tag, value) for tag, value in table.items() if value is not None)
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in kept)
    return (b"II*\0" + struct.pack("<IH", 8, len(kept)) + packed).ljust(1000, b"\0") + bytes(pixels)


def test_the_plain_one_is_read():
    """The picture the other tests change is sound."""
    assert decode(build()).shape == (8, 8)


def test_a_missing_length_of_a_single_strip_is_made_up_for():
    """Old writers leave it out; the strip then reaches to the end of the file."""
    assert decode(build(bytes=None)).shape == (8, 8)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0}, "declares 0 x 8 px"),
        ({"width": 30000, "height": 30000}, "more than the 67108864 px allowed"),
        ({"height": 9, "rows": 9}, "cannot hold"),
        ({"bytes": 65}, "outside the file of 1064 bytes"),
        ({"offset": 2**32 - 1}, "outside the file"),
        ({"bytes": 0}, "outside the file"),
        ({"rows": 4}, "in 2 blocks but lists 1"),
        ({"offset": None}, "directory of the TIFF is damaged"),
        ({"rows": 0}, "directory of the TIFF is damaged"),
        ({"compression": 4}, "compression 4 is not read"),
        ({"bits": 12}, "unsigned 8 or 16 bits"),
        ({"format": 3}, "unsigned 8 or 16 bits"),
        ({"colour": 6}, "colour model 6 is not read"),
        ({"colour": 3}, "no whole palette"),
        ({"samples": 3}, "3 channels of 8 bits"),
        ({"fill": 2}, "reverse order"),
        ({"predictor": 3, "compression": 5}, "predictor 3"),
        ({"width": 8000, "height": 8000, "rows": 8000, "compression": 5}, "cannot hold"),
        ({"tile_width": 2**16, "tile_height": 2**16}, "smaller tiles"),
        ({"tile_width": 16}, "directory of the TIFF is damaged"),
    ],
)
def test_a_lying_directory_is_refused(changes, sentence):
    """Sizes, blocks, kinds: each lie is one sentence, before a pixel is allocated."""
    with pytest.raises(ImageError, match=sentence):
        decode(build(**changes))


def test_every_cut_is_refused():
    """A TIFF cut anywhere is an error, were it by one byte."""
    data = build()
    for length in [*range(4, 130, 5), 500, len(data) - 64, len(data) - 1]:
        with pytest.raises(ImageError):
            decode(data[:length])


def test_a_circle_of_pages_is_refused():
    """A directory that names itself as the next page ends the walk."""
    data = bytearray(build())
    entries = struct.unpack_from("<H", data, 8)[0]
    struct.pack_into("<I", data, 10 + entries * 12, 8)
    with pytest.raises(ImageError, match="turn in a circle"):
        inspect_bytes(bytes(data))


def test_a_torn_chain_of_pages_is_refused_whole():
    """A stack whose last page lies outside the file is damaged, its first page included."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((5, 4, 4), np.uint8), photometric="minisblack", metadata=None)
    data = buffer.getvalue()
    offsets = page_offsets(data, "stack")
    assert len(offsets) == 5
    torn = data.replace(struct.pack("<I", offsets[-1]), struct.pack("<I", len(data)))
    assert torn != data
    with pytest.raises(ImageError, match="ends early"):
        decode(torn)


def test_far_offsets_of_bigtiff_are_refused():
    """64-bit offsets beyond any file are an error like others."""
    data = b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63)
    with pytest.raises(ImageError, match="ends early"):
        inspect_bytes(data)


def test_adjacent_strips_become_one_block():
    """Uncompressed strips that follow each other are read at once; strips in another order are not."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.arange(64, dtype=np.uint8).reshape(8, 8), rowsperstrip=2, metadata=None)
    data = buffer.getvalue()
    page = read_page(data, page_offsets(data, "strips")[0], max_pixels=64, where="strips")
    assert len(page.spans) == 1
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages[0].tags[273]
        first, second, *rest = tag.value
    swapped = bytearray(data)
    struct.pack_into(f"<4{'I' if int(tag.dtype) == 4 else 'H'}", swapped, tag.valueoffset, second, first, *rest)
    assert decode(bytes(swapped))[:, 0].tolist() == [16, 24, 0, 8, 32, 40, 48, 56]


def test_slivers_stored_as_whole_tiles_are_refused_in_time():
    """A few bytes that ask for gigabytes of tiles end within 200 ms, at the best of three tries."""
    data = build(width=1, height=2**26, tile_width=2**12, tile_height=16, compression=8)
    tries = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(ImageError, match="smaller tiles"):
            decode(data)
        tries.append(time.perf_counter() - began)
    assert min(tries) < 0.2
