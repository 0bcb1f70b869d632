"""Facts about files to frames: the path stands in every message, and a mask is what is not black."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import tifffile

from candling.errors import ImageError
from candling.pixels.read import SUFFIXES, count_pages, decode, read_image, read_mask


def test_a_file_gives_what_its_bytes_give(tmp_path, pngs):
    """Reading a file is decoding its bytes."""
    path = tmp_path / "Ünï cödé.png"
    path.write_bytes(pngs["colour"][0])
    np.testing.assert_array_equal(read_image(path), decode(pngs["colour"][0]))


@pytest.mark.parametrize("kind", ["grey", "16-bit", "colour", "alpha", "1-bit", "palette"])
def test_a_mask_is_what_is_not_black(tmp_path, pngs, kind):
    """Whatever the depth, a pixel of a mask is defect when one of its channels is above 0."""
    data, expected = pngs[kind]
    (tmp_path / "mask.png").write_bytes(data)
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected.reshape(41, 53, -1).max(axis=2) > 0)


def test_the_real_palette_masks_hold_both_classes(real_data):
    """The 1-bit palette masks of the nanofibre set mark some of the picture and not all of it."""
    paths = sorted((real_data("nanofibre_sem") / "gt").glob("*.png"))
    assert paths
    shares = [read_mask(path).mean() for path in paths[:5]]
    assert all(0 < share < 0.5 for share in shares), shares


def test_pages_are_counted(tmp_path, pngs):
    """A stack has its pages, any other file one."""
    (tmp_path / "one.png").write_bytes(pngs["grey"][0])
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((7, 8, 9), np.uint8), photometric="minisblack")
    assert (count_pages(tmp_path / "one.png"), count_pages(tmp_path / "stack.tif")) == (1, 7)


def test_what_is_no_readable_file_is_one_sentence(tmp_path):
    """A missing path, a folder, a pipe and an impossible name are refused without waiting."""
    os.mkfifo(tmp_path / "pipe.png")
    for path, sentence in (
        (tmp_path / "none.png", "none.png: cannot be opened"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe.png", "pipe.png: is not a file"),
        (tmp_path / "nul\0.png", "cannot be opened"),
    ):
        with pytest.raises(ImageError, match=sentence):
            read_image(path)


def test_a_file_above_the_cap_is_not_read(tmp_path):
    """The size of the file is looked at before its bytes are."""
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(ImageError, match="8589934592 bytes, more than the 268435456 allowed"):
        read_image(tmp_path / "large.png")


def test_text_named_as_an_image_is_one_sentence(tmp_path):
    """A text file named .png is told by its bytes, with its path in front."""
    path = tmp_path / "notes.png"
    path.write_text("not a picture at all")
    for read in (read_image, read_mask, count_pages):
        with pytest.raises(ImageError, match="is no PNG, JPEG, BMP or TIFF") as caught:
            read(path)
        assert str(caught.value).startswith(str(path))


def test_the_suffixes_are_those_of_the_formats():
    """Suffixes are lower case with their dot."""
    assert {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"} == SUFFIXES


def test_an_encoded_buffer_of_tifffile_is_read(tmp_path, drawn):
    """Metadata that programs add to their TIFFs change nothing."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, drawn["wide"], imagej=True)
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), drawn["wide"])
