"""The remembered good pictures of a bundle: there and back, and every way of being damaged is one sentence."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile

from candling.errors import BundleError
from candling.runtime.bundle import load_bundle
from candling.runtime.references import REFERENCES, References, encode_references


@pytest.fixture(scope="module")
def pictures():
    smooth = np.add.outer(np.arange(32), np.arange(32)) * 2
    noise = np.random.default_rng(0).integers(0, 99, (4, 32, 32))
    return (smooth + noise).astype(np.uint8)


@pytest.fixture
def saved(building, tmp_path):
    """Save a bundle with these bytes as its references."""
    return lambda data: building.bundle(tmp_path / "b", extra={REFERENCES: data})


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_pictures_come_back_as_they_were(saved, pictures, kind):
    """Every page, to the last bit, grey and colour; the bundle is verified with the file in it."""
    given = pictures if kind == "grey" else np.stack([pictures, pictures[::-1], 255 - pictures], axis=-1)
    references = References.load(load_bundle(saved(encode_references(given)).path))
    assert (references.count, references.shape, references.channels) == (4, (32, 32), 1 if kind == "grey" else 3)
    for number, picture in enumerate(given):
        page = references.page(number)
        assert page.dtype == np.uint8
        np.testing.assert_array_equal(page, picture)


def test_any_program_reads_the_file(pictures):
    """The independent reader sees the same pages; they are compressed; the same pictures give the same bytes."""
    smooth = pictures // 99 * 99
    data = encode_references(smooth)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(np.stack([page.asarray() for page in file.pages]), smooth)
    assert len(encode_references(np.zeros((9, 256, 256), np.uint8))) < 9 * 256 * 256 / 20
    assert encode_references(smooth) == data
    assert b"tifffile" not in data


def test_one_picture_is_enough(saved, pictures):
    """A memory of one good picture is one page."""
    references = References.load(saved(encode_references(pictures[:1])))
    assert references.count == 1


def test_a_bundle_without_them_has_none(bundle):
    """Nothing is made up."""
    assert References.load(bundle) is None


@pytest.mark.parametrize("picture", [-1, 4, 10**9])
def test_a_picture_that_is_not_there_is_told(saved, pictures, picture):
    """Graph and references that do not belong together are told so."""
    references = References.load(saved(encode_references(pictures)))
    with pytest.raises(BundleError, match=rf"references\.tif: no picture {picture} among 4; graph and references"):
        references.page(picture)


def _png(pictures):
    return cv2.imencode(".png", pictures[0])[1].tobytes()


def _wide(pictures):
    return encode_references(pictures[:, :, :16])


def _deep(pictures):
    file = io.BytesIO()
    tifffile.imwrite(file, pictures.astype(np.uint16), photometric="minisblack")
    return file.getvalue()


DAMAGED = {
    "empty": (lambda _: b"", "references.tif: is empty"),
    "text": (lambda _: b"no picture", "references.tif: is no PNG, JPEG, BMP or TIFF image"),
    "cut": (lambda pictures: encode_references(pictures)[:200], "references.tif: "),
    "png": (_png, "references.tif: png of 32 x 32 px and 8 bits, but references are 8-bit tiff"),
    "size": (_wide, "references.tif: tiff of 32 x 16 px and 8 bits, but .*, 32 x 32 px; train again"),
    "large": (lambda _: encode_references(np.zeros((1, 64, 64), np.uint8)), "references.tif: declares 64 x 64 px"),
    "depth": (_deep, "references.tif: tiff of 32 x 32 px and 16 bits, but"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_such_file_is_refused_at_load(saved, pictures, kind):
    """Each in one sentence that names the file; nothing larger than the graph's input is unpacked."""
    make, told = DAMAGED[kind]
    with pytest.raises(BundleError, match=told) as caught:
        References.load(saved(make(pictures)))
    assert "\n" not in str(caught.value)


def test_a_damaged_page_is_told_when_it_is_asked_for(saved, pictures):
    """Pixels that do not unpack: the other pages are there."""
    data = bytearray(encode_references(pictures))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        offset, length = file.pages[2].dataoffsets[0], file.pages[2].databytecounts[0]
    data[offset : offset + length] = bytes(length)
    references = References.load(saved(bytes(data)))
    np.testing.assert_array_equal(references.page(1), pictures[1])
    with pytest.raises(BundleError, match=r"references\.tif, page 2: "):
        references.page(2)


def test_a_page_of_another_kind_is_told(saved, pictures):
    """Pages of mixed size or colour are no references."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(pictures[0], contiguous=False)
        writer.write(pictures[1][:, :20], contiguous=False)
        writer.write(np.stack([pictures[2]] * 3, axis=-1), photometric="rgb", contiguous=False)
    references = References.load(saved(file.getvalue()))
    for page, told in ((1, r"uint8 \(32, 20\) where the first has uint8 \(32, 32\)"), (2, r"uint8 \(32, 32, 3\)")):
        with pytest.raises(BundleError, match=told):
            references.page(page)


def test_a_file_changed_after_the_bundle_was_loaded_is_refused(saved, pictures):
    """What is shown is what the manifest names."""
    bundle = saved(encode_references(pictures))
    (bundle.path / REFERENCES).write_bytes(encode_references(pictures[::-1]))
    with pytest.raises(BundleError, match=r"references\.tif was changed after the bundle was made"):
        References.load(bundle)


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4, 4), (0, 4, 4), (2, 0, 4)], ids=str)
def test_other_arrays_are_no_references(shape):
    """The sentence says what is wanted."""
    with pytest.raises(ValueError, match=r"give uint8 of shape \(K, H, W\) or \(K, H, W, 3\)"):
        encode_references(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="references are float32"):
        encode_references(np.zeros((1, 4, 4), np.float32))


def test_more_than_a_bundle_takes_is_told_before_it_is_saved(pictures, monkeypatch):
    """The remedy is to remember fewer."""
    monkeypatch.setattr("candling.runtime.references.MAX_BYTES", 100)
    with pytest.raises(BundleError, match=r"4 remembered pictures take .* remember fewer"):
        encode_references(pictures)
