"""One pass over labelled images: what counts in pixel figures and what is told of the rest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from candling.data.samples import Sample
from candling.pixels.heatmap import encode_png
from candling.types import Box, Inspection, Limit, Prediction, Verdict
from candling.workflow.passage import fits, pass_over, relative_name

LIMITS = {("top", "error"): Limit(high=1.0), ("low", "error"): Limit(high=1.0)}


def inspector_of(*inspections: Inspection) -> SimpleNamespace:
    """An inspector that gives these, whatever it is asked for."""
    recipe = SimpleNamespace(frames=1)
    return SimpleNamespace(limits=LIMITS, recipe=recipe, inspect_files=lambda _paths, **_: iter(inspections))


def two_regions(value: float) -> Inspection:
    """A product of two regions, each with its own map; a strip between them is not inspected."""
    boxes = {"top": Box(0, 0, 10, 20), "low": Box(20, 0, 10, 20)}
    patches = [
        Prediction(name, box, {"error": value}, np.full((5, 10), value, np.float32)) for name, box in boxes.items()
    ]
    return Inspection("x", Verdict.ACCEPT, value, (), tuple(patches))


def test_maps_of_regions_stand_where_they_were_cut(tmp_path):
    """The frame's size comes from the file; the mask's pixels meet the map of their region."""
    image, mask = tmp_path / "a.png", tmp_path / "mask.png"
    image.write_bytes(encode_png(np.zeros((30, 20), np.uint8)))
    marked = np.zeros((30, 20), np.uint8)
    marked[22:28, 5:15] = 255
    mask.write_bytes(encode_png(marked))
    found = pass_over(inspector_of(two_regions(0.7)), tmp_path, [Sample(image, "dent", "test", mask=mask)])
    assert found.pixel_reason == ""
    assert found.pixels.defect.size == 60
    np.testing.assert_allclose(found.pixels.defect, 0.7)
    assert np.concatenate(found.pixels.good).min() == 0.0  # the strip between the regions


def test_defects_without_a_mask_are_counted_out(tmp_path):
    """Where some defects have masks, those without are left out of the pixel figures, and told."""
    image = tmp_path / "a.png"
    image.write_bytes(encode_png(np.zeros((30, 20), np.uint8)))
    samples = [Sample(image, "dent", "test"), Sample(image, "dent", "test", mask=tmp_path / "none.png")]
    found = pass_over(inspector_of(two_regions(0.1), two_regions(0.2)), tmp_path, samples)
    assert found.notes[0] == "1 defect without a mask left out of the pixel figures."
    assert "none.png" in found.notes[1]
    assert found.pixel_reason == "no mask that can be used marks a defect"
    assert not any(result.has_mask for result in found.results)


def test_a_graph_without_maps_is_the_reason(tmp_path):
    """Masks there are, maps there are none: the reason names the graph."""
    bare = Inspection("x", Verdict.ACCEPT, 0.1, (), (Prediction("top", Box(0, 0, 4, 4), {"error": 0.1}),))
    samples = [Sample(tmp_path / "a.png", "dent", "test", mask=tmp_path / "mask.png")]
    assert pass_over(inspector_of(bare), tmp_path, samples).pixel_reason == "the bundle's graph gives no anomaly map"


def test_a_map_that_is_not_finite_is_counted_out(tmp_path):
    """One NaN in a map would spoil every pixel figure: the image is left out, and told."""
    image, mask = tmp_path / "a.png", tmp_path / "mask.png"
    for path in (image, mask):
        path.write_bytes(encode_png(np.full((30, 20), 255, np.uint8)))
    found = pass_over(inspector_of(two_regions(float("nan"))), tmp_path, [Sample(image, "dent", "test", mask=mask)])
    assert any("not finite" in note for note in found.notes)


def test_masks_may_have_another_resolution_but_not_other_proportions():
    """Half a mask's size is fine, a square mask of a long image is not; rounding by a pixel is forgiven."""
    assert fits((500, 1250), (1000, 2500))
    assert fits((333, 1000), (1000, 3000))
    assert not fits((500, 500), (1000, 2500))


def test_names_are_told_below_the_data(tmp_path):
    """A folder's images by their path below it, a table's below the table's folder, foreign ones in full."""
    table = tmp_path / "t.csv"
    table.write_text("")
    assert relative_name(tmp_path / "test" / "a.png", tmp_path) == "test/a.png"
    assert relative_name(tmp_path / "x" / "a.png", table) == "x/a.png"
    assert relative_name(Path("/else/a.png"), tmp_path) == "/else/a.png"
