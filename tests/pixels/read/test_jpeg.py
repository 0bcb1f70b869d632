"""Facts about JPEGs: what is read, and that a cut one is never a half-grey picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes

KINDS = ["grey", "colour", "full chroma", "progressive", "restarts"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_agrees_with_pillow(jpegs, kind):
    """Each kind decodes in RGB order to what Pillow gives, to the rounding of two builds of libjpeg."""
    expected = np.array(Image.open(io.BytesIO(jpegs[kind])))
    frame = decode(jpegs[kind])
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).max() <= 2


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", KINDS)
def test_facts_come_from_the_header(jpegs, kind):
    """Size and channels are known without the decoder."""
    facts = inspect_bytes(jpegs[kind])
    assert (facts.width, facts.height, facts.bits) == (53, 41, 8)
    assert (facts.channels, facts.format) == (1 if kind == "grey" else 3, "jpeg")


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_refused(jpegs, kind):
    """A JPEG cut anywhere is an error before it is decoded."""
    data = jpegs[kind]
    for length in [*range(3, len(data), 23), len(data) - 2, len(data) - 1]:
        with pytest.raises(ImageError, match=r"ends early|damaged"):
            decode(data[:length])


@pytest.mark.parametrize("kind", ["grey", "colour", "full chroma"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.85])
def test_a_cut_with_a_forged_end_is_refused(jpegs, kind, share):
    """The grey that libjpeg paints where data are missing is noticed even when an end marker was put behind the cut."""
    data = jpegs[kind]
    with pytest.raises(ImageError, match="end before the picture does"):
        decode(data[: int(len(data) * share)] + b"\xff\xd9")


def test_missing_progressive_scans_are_refused(jpegs):
    """A progressive JPEG without its last scans is a blurred picture, so it is an error."""
    data = jpegs["progressive"]
    with pytest.raises(ImageError, match="last scans"):
        decode(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9")


def test_a_truly_grey_picture_is_read():
    """A picture that is 128 everywhere looks like missing data and is none."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 50), 128, np.uint8)).save(buffer, "JPEG")
    assert (decode(buffer.getvalue()) == 128).all()


def test_the_thumbnail_inside_is_no_end(jpegs):
    """An end marker inside application data is not taken for the end of the picture, nor does it make up for it."""
    data = jpegs["grey"]
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    loaded = data[:2] + thumbnail + data[2:]
    np.testing.assert_array_equal(decode(loaded), decode(data))
    with pytest.raises(ImageError, match="ends early"):
        decode(loaded[: 2 + len(thumbnail) + 40])


def test_orientation_is_ignored(drawn):
    """EXIF orientation turns nothing: regions stay where the recipe puts them."""
    picture, buffer = Image.fromarray(drawn["grey"]), io.BytesIO()
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(buffer, "JPEG", exif=exif)
    assert decode(buffer.getvalue()).shape == drawn["grey"].shape


def test_bytes_behind_the_end_are_ignored(jpegs):
    """Cameras append their own data; the picture ends at its end marker."""
    np.testing.assert_array_equal(decode(jpegs["colour"] + b"maker notes" * 9), decode(jpegs["colour"]))


@pytest.mark.usefixtures("no_decoder")
def test_a_lying_size_is_refused(jpegs):
    """A declared size the data could not fill is an error before it is allocated."""
    data = bytearray(jpegs["grey"])
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = (8000).to_bytes(2, "big") * 2
    with pytest.raises(ImageError, match="8000 x 8000 px, which its"):
        decode(bytes(data))
    data[place + 5 : place + 9] = (30000).to_bytes(2, "big") * 2
    with pytest.raises(ImageError, match="more than the 67108864 px allowed"):
        decode(bytes(data))


@pytest.mark.usefixtures("no_decoder")
def test_unusual_kinds_are_named(jpegs, drawn):
    """Lossless and CMYK JPEGs are refused with a remedy."""
    lossless = jpegs["grey"].replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(ImageError, match=r"unusual kind.*save it as PNG"):
        decode(lossless)
    buffer = io.BytesIO()
    Image.fromarray(drawn["colour"]).convert("CMYK").save(buffer, "JPEG")
    with pytest.raises(ImageError, match="4 channels; save it as 8-bit grey or RGB"):
        decode(buffer.getvalue())


@pytest.mark.usefixtures("no_decoder")
def test_what_would_keep_a_decoder_busy_is_refused(jpegs):
    """A thousand scans of nothing, and megabytes of fill bytes, are no work."""
    data = jpegs["progressive"]
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="more than 64 scans"):
        decode(data[:-2] + scan * 1000 + b"\xff\xd9")
    with pytest.raises(ImageError, match="ends early"):
        decode(data[:2] + b"\xff" * 10_000_000)


def test_fill_bytes_before_a_marker_are_read(jpegs):
    """The standard allows any number of them."""
    data = jpegs["grey"]
    np.testing.assert_array_equal(decode(data[:2] + b"\xff" * 9 + data[2:]), decode(data))
