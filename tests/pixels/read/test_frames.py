"""Facts about bytes to frames that hold for every format."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89",
        b"GIF89a" + bytes(50),
        b"plain text of some length",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"II*\0",
    ],
)
def test_what_is_no_image_is_one_sentence(data):
    """Empty, foreign and bare beginnings are refused with the name of the image in front."""
    for read in (decode, inspect_bytes):
        with pytest.raises(ImageError, match=r"^notes.png: .*(convert|copy|take|save)"):
            read(data, where="notes.png")


def test_the_name_of_a_format_does_not_matter(bmps, jpegs):
    """What a file is, its bytes say: a BMP is read whatever it is called."""
    assert inspect_bytes(bmps["grey"][0], where="a.png").format == "bmp"
    assert inspect_bytes(jpegs["grey"], where="a.bmp").format == "jpeg"


@pytest.mark.usefixtures("no_decoder")
def test_the_cap_holds_for_every_format(pngs, jpegs, bmps, tiffs):
    """A picture of one pixel more than allowed is refused by its header, in every format."""
    for data in (pngs["colour"][0], jpegs["colour"], bmps["colour"][0], tiffs["colour raw"][0]):
        assert inspect_bytes(data, max_pixels=41 * 53).width == 53
        with pytest.raises(ImageError, match="53 x 41 px, more than the 2172 px allowed"):
            decode(data, max_pixels=41 * 53 - 1)


@pytest.mark.usefixtures("no_decoder")
def test_other_formats_have_one_page(pngs):
    """Asking a PNG for its second page is an error, not its first page."""
    with pytest.raises(ImageError, match="has one page, so there is no page 1"):
        decode(pngs["grey"][0], page=1)


@pytest.mark.parametrize("answer", [None, np.zeros((41, 54), np.uint8), np.zeros((41, 53), np.uint16)])
def test_a_decoder_that_answers_otherwise_is_not_believed(pngs, monkeypatch, answer):
    """A frame of another shape or type than the header declared is refused."""
    monkeypatch.setattr("cv2.imdecode", lambda *_: answer)
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(pngs["grey"][0])


@pytest.mark.parametrize("error", [cv2.error("inside"), MemoryError()])
def test_foreign_errors_become_ours(pngs, monkeypatch, error):
    """OpenCV's own error and a full memory are an ImageError with the image's name."""

    def fail(*_args):
        raise error

    monkeypatch.setattr("cv2.imdecode", fail)
    with pytest.raises(ImageError, match=r"^a.png: "):
        decode(pngs["grey"][0], where="a.png")


def test_frames_can_be_written_to(pngs, jpegs, bmps, tiffs):
    """Every frame owns contiguous memory of its own, in this machine's byte order."""
    for data in (pngs["alpha"][0], jpegs["colour"], bmps["colour"][0], *(data for data, _ in tiffs.values())):
        frame = decode(data)
        assert frame.flags.c_contiguous
        assert frame.flags.writeable


def test_nothing_is_printed_by_opencv(tmp_path, drawn):
    """A TIFF that libtiff complains about leaves stderr empty, and no heavy module is loaded to say so."""
    script = (
        "import sys, cv2, numpy as np\n"
        "from candling.pixels.read import decode\n"
        "assert cv2.imdecode(np.frombuffer(b'II*\\0' + bytes(90), np.uint8), -1) is None\n"
        "assert 'tifffile' not in sys.modules and 'pydantic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
