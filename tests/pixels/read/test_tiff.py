"""Facts about the pixels of TIFFs: every kind as another program wrote it, and that torn blocks are errors."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes


def test_every_kind_gives_the_drawn_pixels(tiffs):
    """Compressions, byte orders, strips, tiles, planes, palettes and differences give the pixels that were written."""
    for kind, (data, expected) in tiffs.items():
        frame = decode(data, where=kind)
        assert frame.dtype == expected.dtype, kind
        assert frame.dtype.isnative, kind
        np.testing.assert_array_equal(frame, expected, err_msg=kind)


def test_facts_agree_with_the_frame(tiffs, no_decoder):
    """The first directory foretells shape and bits of the frame."""
    for kind, (data, expected) in tiffs.items():
        facts = inspect_bytes(data)
        assert (facts.height, facts.width, facts.bits) == (41, 53, expected.dtype.itemsize * 8), kind
        assert facts.channels == (1 if expected.ndim == 2 else 3), kind


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_page_is_read_by_choice(drawn, compression):
    """Each page of a stack is read by its number, pages of different kinds among them."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for pixels in (drawn["grey"], drawn["wide"], drawn["grey"][:20]):
            writer.write(pixels, photometric="minisblack", compression=compression)
    data = buffer.getvalue()
    assert inspect_bytes(data).pages == 3
    np.testing.assert_array_equal(decode(data), drawn["grey"])
    np.testing.assert_array_equal(decode(data, page=1), drawn["wide"])
    np.testing.assert_array_equal(decode(data, page=2), drawn["grey"][:20])
    with pytest.raises(ImageError, match="there is no page 3 among 3"):
        decode(data, page=3)
    with pytest.raises(ImageError, match="there is no page -1 among 3"):
        decode(data, page=-1)


def shortened(data: bytes) -> bytes:
    """Declare half the bytes of each block, as a torn block inside a whole file."""
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages[0].tags[279]
        place, lengths = tag.valueoffset, tiff.pages[0].databytecounts
        size = {3: 2, 4: 4}[int(tag.dtype)]
    torn = bytearray(data)
    for index, length in enumerate(lengths):
        torn[place + index * size : place + (index + 1) * size] = (length // 2).to_bytes(size, "little")
    return bytes(torn)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("kind", ["grey", "colour", "wide", "palette", "alpha"])
def test_a_torn_block_is_an_error(tiffs, kind, compression):
    """Half a block is an error, where OpenCV's own reader gives a picture that is black from there on."""
    with pytest.raises(ImageError, match=r"damaged or cut short|cannot hold"):
        decode(shortened(tiffs[f"{kind} {compression}"][0]))


def test_an_odd_block_short_of_its_last_bytes_is_an_error(drawn):
    """An odd number of bytes in one row cannot be proven as 16-bit samples whole, but a few missing bytes are seen."""
    row = drawn["grey"][:1]
    packed = bytes([row.size - 1]) + row.tobytes()  # PackBits: one literal run
    tags = [(256, 53), (257, 1), (258, 8), (259, 32773), (262, 1), (273, 122), (277, 1), (278, 1), (279, 0)]

    def whole(length: int) -> bytes:
        entries = [struct.pack("<HHII", tag, 4, 1, length if tag == 279 else value) for tag, value in tags]
        return b"".join([b"II*\0", struct.pack("<IH", 8, len(tags)), *entries, bytes(4), packed])

    np.testing.assert_array_equal(decode(whole(len(packed))), row)
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(whole(len(packed) - 3))


@pytest.mark.parametrize(
    ("pixels", "options", "sentence"),
    [
        (np.zeros((8, 8), np.float32), {}, "unsigned 8 or 16 bits"),
        (np.zeros((8, 8), np.int16), {}, "unsigned 8 or 16 bits"),
        (np.zeros((8, 8), np.uint32), {}, "unsigned 8 or 16 bits"),
        (np.zeros((8, 8, 4), np.uint8), {"photometric": "separated"}, "colour model 5 is not read"),
        (np.zeros((8, 8, 5), np.uint8), {"photometric": "rgb"}, "5 channels"),
        (np.zeros((8, 8), np.uint8), {"compression": "lzma"}, "compression 34925 is not read"),
    ],
)
def test_kinds_that_are_not_read_are_named(pixels, options, sentence):
    """What is not read is refused with its name and a remedy, never guessed."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    with pytest.raises(ImageError, match=sentence):
        decode(buffer.getvalue())


def test_the_real_fibre_images_agree_with_tifffile(real_data):
    """The SEM images of the nanofibre set give what tifffile gives."""
    paths = sorted(real_data("nanofibre_sem").rglob("*.tif"))[:5]
    assert paths
    for path in paths:
        np.testing.assert_array_equal(decode(path.read_bytes()), tifffile.imread(path))
