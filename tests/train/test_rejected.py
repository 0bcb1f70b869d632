"""The facts of rejected.py: the table names every image, the page shows them and runs nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from candling.data.samples import Sample, load_samples, split_hold_out
from candling.recipe import parse_recipe
from candling.train.data import PreparedSet
from candling.train.rejected import SHOWN, name_patches, rejected_files, rejected_page, rejected_table

RECIPE = "[story]\nproduct = 'p'\n{}[method]\nname = 'memory'\n[limits]\nscores = ['anomaly']\n"
REGIONS = "".join(
    f"[[regions]]\nname = '{name}'\ntop = {top}\nleft = 0\nheight = 9\nwidth = 9\n"
    for name, top in (("a", 0), ("b", 9))
)


def test_the_table_names_every_image():
    """One row an image, in order; a name with a comma stays one cell."""
    assert rejected_table(["1.png", "a, b.png"]) == b'image\n1.png\n"a, b.png"\n'


def test_names_of_files_are_escaped_and_nothing_runs():
    """A hostile name is text, and the page's policy forbids scripts and requests."""
    page = rejected_page(["<script>x</script>.png"], np.zeros((1, 8, 8), np.uint8), learned=9).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert "rejected 1 of 9" in page


def test_many_are_drawn_evenly():
    """Of more images than the page holds, the first and the last are shown, and it says so."""
    names = [f"{number}.png" for number in range(SHOWN + 100)]
    page = rejected_page(names, np.zeros((len(names), 8, 8), np.uint8), learned=999).decode()
    assert page.count("<img ") == SHOWN
    assert ">0.png<" in page
    assert f">{SHOWN + 99}.png<" in page
    assert "refinement.csv names all" in page


def test_patches_of_several_regions_are_named_apart():
    """A frame that is cut gives a name for each region; one that shows a region gives one."""
    whole, cut = parse_recipe(RECIPE.format(""), where="t"), parse_recipe(RECIPE.format(REGIONS), where="t")
    sample = Sample(Path("x/1.png"), "good", "train")
    assert name_patches([sample], whole) == ["1.png"]
    assert name_patches([sample], cut) == ["1.png a", "1.png b"]
    assert name_patches([Sample(Path("x/1.png"), "good", "train", region="b")], cut) == ["1.png b"]


def test_the_files_name_the_images_that_were_learned_from(tmp_path):
    """Numbers count the images left after holding out, in natural order; a method that rejects none leaves no file."""
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    samples = load_samples(tmp_path)
    recipe = parse_recipe(RECIPE.format(""), where="t")
    learned, _ = split_hold_out(samples.samples, recipe.training.hold_out, seed=recipe.training.seed)
    good = PreparedSet(np.zeros((len(learned), 8, 8), np.uint8))

    class Cleaning:
        def __init__(self, *numbers):
            self.numbers = np.array(numbers, np.int64)

        def rejected(self):
            return self.numbers

    files = rejected_files(Cleaning(2, 5), good, samples, recipe)
    assert files["refinement.csv"].decode().split() == ["image", learned[2].path.name, learned[5].path.name]
    assert f"of {len(learned)} good" in files["refinement.html"].decode()
    assert rejected_files(Cleaning(), good, samples, recipe) == {}
    assert rejected_files(object(), good, samples, recipe) == {}
