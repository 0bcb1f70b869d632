"""Facts about BMPs: what is read, and that a short one is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes

KINDS = ["grey", "colour", "alpha", "1-bit", "palette"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_drawn_pixels(bmps, kind):
    """Each depth decodes to exactly the pixels another program wrote."""
    data, expected = bmps[kind]
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", KINDS)
def test_facts_come_from_the_header(bmps, kind):
    """A grey palette counts as grey, another as colour."""
    facts = inspect_bytes(bmps[kind][0])
    assert (facts.width, facts.height, facts.channels) == (53, 41, 1 if kind in ("grey", "1-bit") else 3)


def test_rows_from_top_to_bottom_are_read(bmps):
    """A negative height turns the rows round."""
    data, expected = bmps["grey"]
    turned = bytearray(data)
    turned[22:26] = struct.pack("<i", -41)
    np.testing.assert_array_equal(decode(bytes(turned)), expected[::-1])


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_refused(bmps, kind):
    """A BMP shorter than declared is an error, were it by one byte."""
    data = bmps[kind][0]
    for length in [*range(2, len(data), 61), len(data) - 1]:
        with pytest.raises(ImageError):
            decode(data[:length])


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (14, 41, "no BMP header"),
        (18, 30000, r"30000 x 41 px of 8 bits but has"),
        (18, 2**31 - 1, "more than the 67108864 px allowed"),
        (30, 1, "save it uncompressed"),
        (46, 1000, "cut or damaged"),
        (10, 0, "cut or damaged"),
    ],
)
def test_a_lying_header_is_refused(bmps, place, value, sentence):
    """Size, kind, palette and offset are checked against the file."""
    data = bytearray(bmps["grey"][0])
    data[place : place + 4] = struct.pack("<I", value)
    with pytest.raises(ImageError, match=sentence):
        decode(bytes(data))


def test_text_that_begins_like_a_bmp_is_refused():
    """Two letters do not make a picture."""
    with pytest.raises(ImageError, match=r"notes.bmp: begins like a BMP but has no BMP header"):
        decode(b"BMW makes cars and motorcycles, says this text.", where="notes.bmp")
