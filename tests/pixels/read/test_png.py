"""Facts about PNGs: what is read, what is refused, and that it is refused before anything is allocated."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes

KINDS = ["grey", "16-bit", "colour", "alpha", "grey and alpha", "1-bit", "palette"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_drawn_pixels(pngs, kind):
    """Each colour type decodes to exactly the pixels another program wrote; alpha is dropped."""
    data, expected = pngs[kind]
    frame = decode(data)
    assert frame.dtype == expected.dtype
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_facts_agree_with_the_frame(pngs, kind, no_decoder):
    """The header facts foretell shape and bits of the frame, without the decoder."""
    data, expected = pngs[kind]
    facts = inspect_bytes(data)
    assert (facts.height, facts.width) == expected.shape[:2]
    assert facts.channels == (1 if expected.ndim == 2 else 3)
    assert (facts.bits, facts.format, facts.pages) == (expected.dtype.itemsize * 8, "png", 1)


@pytest.mark.parametrize(("depth", "byte", "levels"), [(2, 0x1B, [0, 85, 170, 255]), (4, 0x1F, [17, 255])])
def test_small_depths_are_spread(make_png, depth, byte, levels):
    """Samples of 2 and 4 bits are spread over 0 to 255."""
    data = make_png(len(levels), 1, depth=depth, stream=zlib.compress(bytes([0, byte])))
    assert decode(data).tolist() == [levels]


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("name", ["slow73.png", "slow323.png", "slow443.png"])
def test_the_hostile_files_are_refused_before_decoding(real_data, name):
    """The files that stop OpenCV for seconds and take gigabytes cost less than 200 ms and reach no decoder."""
    data = (real_data("hostile") / name).read_bytes()
    began = time.perf_counter()
    with pytest.raises(ImageError, match="PNG chunk"):
        decode(data)
    assert time.perf_counter() - began < 0.2


@pytest.mark.usefixtures("no_decoder")
def test_a_chunk_longer_than_the_file_is_refused(pngs):
    """A declared chunk length is not believed."""
    data = bytearray(pngs["grey"][0])
    data[33:37] = (0x7F081049).to_bytes(4, "big")
    with pytest.raises(ImageError, match=r"where.png: a PNG chunk declares 2131234889 bytes"):
        decode(bytes(data), where="where.png")


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("colour", [0, 2])
def test_a_bomb_is_refused_by_the_cap(make_png, colour):
    """30,000 x 30,000 px is refused by the header, whatever the stream holds."""
    data = make_png(30_000, 30_000, colour=colour, stream=zlib.compress(bytes(2**20)))
    with pytest.raises(ImageError, match="30000 x 30000 px, more than the 67108864 px allowed"):
        decode(data)


@pytest.mark.usefixtures("no_decoder")
def test_a_size_the_stream_cannot_hold_is_refused(make_png):
    """A size below the cap that not even deflate's best ratio could fill allocates nothing."""
    with pytest.raises(ImageError, match="cannot hold"):
        decode(make_png(8000, 8000, stream=zlib.compress(bytes(100))))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_refused(pngs, kind):
    """A PNG cut anywhere is an error, never a part of a picture."""
    data = pngs[kind][0]
    for length in [*range(8, 80), *range(80, len(data), 37), len(data) - 1]:
        with pytest.raises(ImageError):
            decode(data[:length])


def test_every_flipped_bit_of_the_stream_is_refused(pngs):
    """The checksums see each single flipped bit."""
    data = pngs["grey"][0]
    for place in range(8, len(data), 11):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(ImageError):
            decode(bytes(damaged))


def test_a_stream_that_ends_early_is_refused(make_png):
    """A zlib stream of half the rows, with right checksums everywhere, is an error."""
    half = zlib.compress(np.random.default_rng(0).bytes(50 * 101))
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(make_png(100, 100, stream=half))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depth": 3}, "header is impossible"),
        ({"colour": 5}, "header is impossible"),
        ({"interlace": 2}, "header is impossible"),
        ({"colour": 3}, "no palette"),
        ({"stream": b""}, "no pixels"),
        ({"end": False}, "ends early"),
        ({"extra": [(b"PLTE", bytes(4))]}, "palette is damaged"),
        ({"extra": [(b"ABCD", b"")]}, "unknown extension"),
        ({"extra": [(b"IHDR", bytes(13))]}, "one header"),
        ({"extra": [(b"a\0bc", b"")]}, "no name"),
    ],
)
def test_a_structure_against_the_standard_is_refused(make_png, change, sentence):
    """Each broken rule of the standard is one sentence."""
    with pytest.raises(ImageError, match=sentence):
        decode(make_png(16, 16, **change))


def test_a_size_of_zero_is_refused(make_png):
    """A picture without pixels is damaged."""
    with pytest.raises(ImageError, match="declares 0 x 5 px"):
        inspect_bytes(make_png(0, 5))


def test_the_decoder_sees_only_chunks_that_hold_pixels(make_png, monkeypatch):
    """Text, profiles, EXIF and animation never reach libpng; the pixels are the same."""
    shown = []
    plain = make_png(16, 16)
    loaded = make_png(16, 16, extra=[(b"tEXt", b"a\0b"), (b"acTL", bytes(8)), (b"eXIf", bytes(30))])
    real = __import__("cv2").imdecode
    monkeypatch.setattr("cv2.imdecode", lambda array, flags: shown.append(array.tobytes()) or real(array, flags))
    assert decode(loaded).shape == (16, 16)
    assert shown == [plain]


def test_too_many_chunks_are_refused_in_time(make_png):
    """A file of 40,001 empty chunks ends the walk, within 200 ms at the better of three tries."""
    data = make_png(16, 16, extra=[(b"tEXt", b"")] * 40_001)
    tries = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(ImageError, match="more than 40000 chunks"):
            decode(data)
        tries.append(time.perf_counter() - began)
    assert min(tries) < 0.2
