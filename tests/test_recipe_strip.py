"""The geometry of a strip: places, coverage, and what is refused when a recipe is loaded."""

from __future__ import annotations

import pytest

from candling.errors import RecipeError
from candling.pixels.tiling import uncovered
from candling.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from candling.scenes.vials import GEOMETRY, INSPECTED
from candling.types import Box

TEXT = """
[story]
product = "a strip"
[method]
name = "drae"
[[regions]]
name = "neck"
top = 0
left = 4
height = 20
width = 30
[[regions]]
name = "body"
top = 20
left = 4
height = 30
width = 30
[strip]
vials = 3
pitch_px = 30
frames = 2
height = 60
width = 100
[limits]
scores = ["dissimilarity"]
level = "strip"
"""


def strip(old: str = "", new: str = "") -> Recipe:
    """The recipe with one change."""
    assert old in TEXT
    return parse_recipe(TEXT.replace(old, new, 1) if old else TEXT, where="strip.toml")


def test_places_are_the_regions_of_each_vial_in_turn():
    """Those of the first vial as they stand, the others a pitch further each."""
    places = strip().places
    assert [(place.vial, place.name) for place in places] == [(v, n) for v in (1, 2, 3) for n in ("neck", "body")]
    assert [place.box.left for place in places] == [4, 4, 34, 34, 64, 64]
    assert places[5].box == Box(20, 64, 30, 30)
    assert (strip().region_names, strip().frames) == (("neck", "body"), 2)


def test_the_published_geometry_is_sixty_patches_that_see_everything():
    """Five vials of four regions in three frames, laid as the drawn line is; no pixel of a frame goes unseen."""
    recipe = load_recipe("vials")
    assert len(recipe.places) * recipe.frames == 60
    assert uncovered([place.box for place in recipe.places], Box(0, 0, 1024, 1280)) == 0
    drawn = {(vial, name): box for vial in range(1, 6) for name, box in GEOMETRY.patches(vial)}
    assert {(place.vial, place.name): place.box for place in recipe.places} == drawn
    assert (recipe.strip.height, recipe.strip.width) == (GEOMETRY.height, GEOMETRY.width)
    assert recipe.frames == len(INSPECTED)


def test_a_strip_survives_being_written():
    """As TOML and back."""
    assert parse_recipe(dump_recipe(strip()), where="again") == strip()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("pitch_px = 30", "pitch_px = 31", r"100 pixels of the product lie in no patch"),
        ("top = 20", "top = 22", r"180 pixels of the product lie in no patch"),
        ("vials = 3", "vials = 4", r"reach row 50 and column 124, outside the frame of 60 x 100 px"),
        ("height = 60", "height = 49", r"outside the frame of 49 x 100 px"),
        ("frames = 2", "frames = 2\nagree = 5", r"5 of 10 runs decides nothing"),
        ("frames = 2", "frames = 2\npitch = 3", r"strip.pitch: unknown key; did you mean 'pitch_px'"),
        ("frames = 2", "frames = 0", r"strip.frames"),
        ('level = "strip"', 'level = "vial"', r"limits.level"),
    ],
)
def test_a_strip_that_cannot_be_is_refused(old, new, sentence):
    """With the key or the pixels that are wrong."""
    with pytest.raises(RecipeError, match=sentence):
        strip(old, new)


def test_levels_and_strips_need_each_other():
    """A level of strips without a strip, and a strip without regions, mean nothing."""
    body = TEXT[TEXT.index("[[regions]]") : TEXT.index("[strip]")]
    with pytest.raises(RecipeError, match=r"needs \[\[regions\]\], the boxes of its first vial"):
        strip(body, "")
    with pytest.raises(RecipeError, match=r"limits.level is 'strip', which needs a \[strip\]"):
        strip(TEXT[TEXT.index("[strip]") : TEXT.index("[limits]")], "")
