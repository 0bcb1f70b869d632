"""Tests of the recipe's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from candling.errors import RecipeError
from candling.recipe import dump_recipe, load_recipe, parse_recipe, shipped_recipes

GOOD = """
[story]
product = "a cup"
[method]
name = "autoencoder"
widths = [8, 16]
[limits]
scores = ["mean_squared_error"]
"""


def test_written_recipe_reads_back_equal() -> None:
    """A recipe written as TOML and read again is the same recipe, method options and regions included."""
    region = '[[regions]]\nname = "neck"\ntop = 0\nleft = 1\nheight = 8\nwidth = 9\n'
    recipe = parse_recipe(GOOD + region, where="cup.toml")
    assert parse_recipe(dump_recipe(recipe), where="again") == recipe
    assert recipe.method.options == {"widths": [8, 16]}
    assert [place.name for place in recipe.places] == ["neck"]


def test_recipe_without_regions_has_the_whole_frame() -> None:
    """A product without geometry is one region, the whole frame."""
    (place,) = parse_recipe(GOOD, where="cup.toml").places
    assert (place.name, place.box) == ("whole", None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("[training]\nbatchsize = 4\n", "training.batchsize: unknown key; did you mean 'batch_size'?"),
        ('[training]\nepochs = "many"\n', "training.epochs: input should be a valid integer"),
        ("[training]\nhold_out = 1.5\n", "training.hold_out: input should be less than 1"),
        ("[prepare]\nheight = 4\n", "height must lie between 8 and 16384 px"),
        ("[prepare]\nchannels = 2\n", "prepare.channels"),
        ("[trianing]\nepochs = 3\n", "trianing: unknown key; did you mean 'training'?"),
        ("[training]\nlearning_rate = nan\n", "training.learning_rate"),
    ],
)
def test_wrong_key_or_value_is_one_sentence_with_its_path(change: str, sentence: str) -> None:
    """A misspelt key names the nearest spelling; a wrong value names its key."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD + change, where="cup.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("cup.toml: ")
    assert "\n" not in str(caught.value)


def test_missing_method_is_named() -> None:
    """A recipe without a method says so."""
    with pytest.raises(RecipeError, match=r"method: missing"):
        parse_recipe('[story]\nproduct = "x"\n[limits]\nscores = ["a"]\n', where="x.toml")


def test_broken_toml_names_the_line() -> None:
    """What is not TOML is refused with the place."""
    with pytest.raises(RecipeError, match=r"x.toml: not valid TOML: .*line 2"):
        parse_recipe("[story]\n= 3", where="x.toml")


def test_two_regions_of_one_name_are_refused() -> None:
    """Region names are unique, or limits would be ambiguous."""
    region = '[[regions]]\nname = "neck"\ntop = 0\nleft = 1\nheight = 8\nwidth = 9\n'
    with pytest.raises(RecipeError, match="two regions have one name"):
        parse_recipe(GOOD + region + region, where="x.toml")


def test_unknown_name_offers_the_nearest_shipped_recipe() -> None:
    """A misspelt shipped name is answered with the nearest one."""
    with pytest.raises(RecipeError, match="did you mean 'capsules'"):
        load_recipe("capsule")


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_tells_its_story(name: str) -> None:
    """A shipped recipe opens with product, source and command."""
    story = load_recipe(name).story
    assert story.product
    assert story.source
    assert story.command.startswith(f"candling train {name}")


def test_binary_file_is_not_a_recipe(tmp_path: Path) -> None:
    """A file that is no text is refused, not a traceback."""
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read as text"):
        load_recipe(path)
