"""The table of contrast groups: read by image, and refused with its row."""

from __future__ import annotations

import pytest

from candling.data.contrast import read_contrast_groups
from candling.errors import SamplesError


def test_groups_are_read(tmp_path):
    """By file name, in any case, one an image."""
    path = tmp_path / "contrast.csv"
    path.write_text("Image;Group\na.tif;LOW\nb 2.tif;high\na.tif;low\n")
    assert read_contrast_groups(path) == {"a.tif": "low", "b 2.tif": "high"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,group\na,low\n", "no column 'image'"),
        ("image,group\na,bright\n", "row 1: no group 'bright'; it can be low, medium, high"),
        ("image,group\na,low\na,high\n", "row 2: a has two groups"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, sentence):
    """A missing column, an unknown group, two groups for one image."""
    (tmp_path / "contrast.csv").write_text(text)
    with pytest.raises(SamplesError, match=sentence):
        read_contrast_groups(tmp_path / "contrast.csv")
