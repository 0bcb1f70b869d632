"""The facts of interest.py: rectangles in shares, pictures of any size, and refusals that say what to do."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from candling.errors import RecipeError
from candling.train.interest import Interest, InterestOptions


def interest(options: InterestOptions, size: tuple[int, int], *regions: str) -> torch.Tensor:
    return Interest(options, size).of(regions, torch.device("cpu"))


def test_without_a_region_everything_matters():
    """The default leaves no pixel out."""
    assert interest(InterestOptions(), (8, 12)).shape == (1, 1, 8, 12)
    assert interest(InterestOptions(), (8, 12)).all()


def test_rectangles_are_shares_of_the_patch():
    """The lower half and the left quarter of 8 x 12 pixels."""
    options = InterestOptions.model_validate({"rectangles": [{"top": 0.5}, {"right": 0.25}]})
    matters = interest(options, (8, 12))[0, 0]
    assert matters[4:].all()
    assert matters[:, :3].all()
    assert not matters[:4, 3:].any()


def test_a_picture_is_brought_to_the_patch(tmp_path):
    """A picture of twice the size marks the same place, and rectangles add to it."""
    picture = np.zeros((16, 24), np.uint8)
    picture[:, 16:] = 255
    cv2.imwrite(str(tmp_path / "roi.png"), picture)
    options = {"picture": str(tmp_path / "roi.png")}
    matters = interest(InterestOptions.model_validate(options), (8, 12))[0, 0]
    assert matters[:, 8:].all()
    assert not matters[:, :8].any()
    both = InterestOptions.model_validate({**options, "rectangles": [{"bottom": 0.25}]})
    assert interest(both, (8, 12))[0, 0, :2].all()


def test_regions_have_their_own_places():
    """A rectangle that names a region holds there only; where none holds, all of the patch matters."""
    options = InterestOptions.model_validate({"rectangles": [{"bottom": 0.5, "region": "neck"}]})
    matters = interest(options, (8, 12), "neck", "body", "neck")
    assert matters.shape == (3, 1, 8, 12)
    assert [float(each.float().mean()) for each in matters] == [0.5, 1.0, 0.5]
    shared = InterestOptions.model_validate(
        {"rectangles": [{"bottom": 0.5, "region": "neck"}, {"right": 0.25}]},
    )
    assert [float(each.float().mean()) for each in interest(shared, (8, 12), "neck", "body")] == [0.625, 0.25]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"picture": "nowhere.png"}, r"method\.roi\.picture: .*nowhere\.png"),
        ({"rectangles": [{"top": 0.6, "bottom": 0.4}]}, r"method\.roi: no pixel matters"),
        ({"rectangles": [{"top": 0.5, "bottom": 0.5, "region": "neck"}]}, r"no pixel of region 'neck' matters"),
    ],
)
def test_what_cannot_be_used_is_refused(options, said):
    """A missing picture and an empty region are recipe errors."""
    with pytest.raises(RecipeError, match=said):
        interest(InterestOptions.model_validate(options), (8, 8))
