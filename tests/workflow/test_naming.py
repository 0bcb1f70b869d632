"""File names that are safe everywhere and never used twice."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from candling.workflow.naming import FileNames


@given(st.lists(st.text(max_size=300), max_size=20))
def test_names_are_safe_and_unique_whatever_the_products_are_called(products):
    """Letters, digits, dot, dash and underscore only; no leading dot, not too long, no two alike in any case."""
    names = FileNames()
    made = [names.make(product) for product in products]
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", name) for name in made)
    assert len({name.lower() for name in made}) == len(products)


def test_a_name_does_not_depend_on_what_came_long_before():
    """The part that tells equal names apart comes from the path, so it is the same in every run."""
    one, two = FileNames(), FileNames()
    one.make("a/good/1.png")
    two.make("b/good/1.png")
    two.make("c/other/7.png")
    assert one.make("z/good/1.png") == two.make("z/good/1.png")


def test_names_that_differ_in_case_only_are_told_apart():
    """Windows and macOS would write them into one file."""
    names = FileNames()
    assert names.make("good/A.png") == "good_A"
    assert names.make("good/a.png") != "good_a"


def test_names_windows_reserves_are_avoided():
    """CON, NUL and the ports are devices there, with any suffix."""
    names = FileNames()
    assert names.make("CON.png") == "image_CON"
    assert names.make("com1.tar.png") == "image_com1.tar"
