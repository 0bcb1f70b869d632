"""The size of a pixel is read from OME-TIFF and ImageJ's TIFF, written by tifffile; nothing else is believed."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile

from candling.errors import ImageError
from candling.pixels.read.pixel_size import pixel_size

FRAME = np.zeros((8, 10), np.uint16)


def written(**options):
    file = io.BytesIO()
    tifffile.imwrite(file, FRAME, **options)
    return file.getvalue()


def ome(across, down, unit="µm", **more):
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit} if unit else {}
    metadata = {"axes": "YX", "PhysicalSizeX": across, "PhysicalSizeY": down, **units}
    return written(ome=True, metadata=metadata, **more)


@pytest.mark.parametrize("more", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}])
def test_ome_says_the_size(more):
    """Height first, in micrometres, whatever the byte order and the kind of TIFF."""
    assert pixel_size(ome(0.65, 0.325, **more)) == pytest.approx((0.325, 0.65))


@pytest.mark.parametrize(("unit", "wanted"), [(None, 2.0), ("nm", 0.002), ("mm", 2000.0), ("µm", 2.0)])
def test_units_of_ome(unit, wanted):
    """Without a unit OME means micrometres."""
    assert pixel_size(ome(2.0, 2.0, unit)) == pytest.approx((wanted, wanted))


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m"])
def test_imagej_says_the_size(unit):
    """Pixels a unit in the resolution, the unit in the description, as ImageJ writes them."""
    data = written(imagej=True, resolution=(4.0, 2.0), metadata={"unit": unit})
    assert pixel_size(data) == pytest.approx((0.5, 0.25))


def test_what_is_no_size_is_none():
    """Dots an inch, pixels without unit, unknown units, other formats, and OME without a size."""
    assert pixel_size(written(resolution=(72, 72), resolutionunit="INCH")) is None
    assert pixel_size(written(imagej=True, resolution=(4.0, 4.0))) is None
    assert pixel_size(written(imagej=True, resolution=(4.0, 4.0), metadata={"unit": "parsec"})) is None
    assert pixel_size(ome(2.0, 2.0, "pixel")) is None
    assert pixel_size(ome(0.0, 2.0)) is None
    assert pixel_size(written(ome=True, metadata={"axes": "YX"})) is None
    assert pixel_size(cv2.imencode(".png", FRAME)[1].tobytes()) is None


def test_hostile_descriptions_are_harmless():
    """Entities, torn XML and numbers that are none give no size and no error."""
    laughs = '<!DOCTYPE x [<!ENTITY a "aa">]><OME><Pixels PhysicalSizeX="&a;"/></OME>'
    for text in (laughs, "<OME", '<OME><Pixels PhysicalSizeX="x" PhysicalSizeY="1"/></OME>'):
        assert pixel_size(written(description=text)) is None
    assert pixel_size(written(description='<OME><Pixels PhysicalSizeX="inf" PhysicalSizeY="1"/></OME>')) is None


def test_torn_files_are_an_error_or_none():
    """Cut anywhere, the answer is no size or one sentence."""
    data = ome(0.65, 0.325)
    for length in range(4, len(data), 7):
        try:
            found = pixel_size(data[:length])
        except ImageError:
            continue
        assert found in (None, pytest.approx((0.325, 0.65)))
