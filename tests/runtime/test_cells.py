"""What the counter promises: a frame in tiles or blocks is the frame, every cell once, and bundles that say how."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from candling.errors import BundleError, EngineError, ImageError, UsageError
from candling.pixels.instances import inside_and_border
from candling.recipe import Recipe
from candling.runtime.cells import CellCounter, Counting, decode_counting, encode_counting
from candling.runtime.contract import Port, check_contract
from candling.runtime.engine import open_engine
from candling.scenes.cells import draw_cells
from candling.train.export import export

COUNTING = Counting({"cell": 0.5}, 0.0, border_px=1, least_px=4, reach_px=4, step_px=2)


class Levels(nn.Module):
    """Reads the kind of a pixel from its grey level, after a blur that makes every value depend on its neighbours."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Kinds 0, 1 and 2 were painted as 0, 0.5 and 1."""
        near = nn.functional.avg_pool2d(image[:, :1], 3, 1, 1, count_include_pad=False)
        blurred = 0.98 * image[:, :1] + 0.02 * near
        wanted = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
        cells = torch.softmax(-40.0 * (blurred - wanted).square(), dim=1)
        return {"cells": cells, "covered_share": 1.0 - cells[:, 0].mean(dim=(1, 2))}


def recipe(side: int) -> Recipe:
    """A recipe whose graph sees tiles of ``side`` px."""
    return Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": side, "width": side},
            "method": {"name": "unet"},
            "limits": {"scores": ["covered_share"]},
        }
    )


def counter(side: int, counting: Counting = COUNTING) -> CellCounter:
    """A counter whose tiles are ``side`` px."""
    graph = export(Levels(), torch.rand(3, 1, side, side), batches=(1,)).graph
    return CellCounter(recipe(side), open_engine(graph, engine="onnxruntime", threads=1), counting)


@pytest.fixture(scope="module")
def small() -> CellCounter:
    """Tiles far smaller than the frames."""
    return counter(64)


@pytest.fixture(scope="module")
def large() -> CellCounter:
    """A tile larger than the frames."""
    return counter(256)


def painted(seed: int, height: int = 150, width: int = 210) -> tuple[np.ndarray, np.ndarray]:
    """A field of cells, and the frame the network above reads without a mistake."""
    field = draw_cells(np.random.default_rng(seed), height=height, width=width, cells=40, radius_px=6.0, touching=0.6)
    kinds = inside_and_border(field.labels, border_px=1)
    return field.labels, (kinds.astype(np.float64) * 127.5).round().astype(np.uint8)


def test_every_cell_is_found_once_with_its_box_and_its_area(small):
    """What was painted is counted: touching cells apart, boxes and areas their own."""
    labels, frame = painted(1)
    seen = small.look(frame)
    wanted = np.bincount(labels.ravel())[1:]
    wanted = wanted[wanted >= COUNTING.least_px]
    assert len(seen.found) == len(wanted)
    np.testing.assert_allclose(np.sort(seen.areas_px), np.sort(wanted), atol=4)  # a pixel between two rims is either's
    assert np.array_equal(seen.covered > 0, labels > 0)
    assert seen.found.scores.min() > 0.5


def test_tiles_say_what_the_whole_says(small, large):
    """Small tiles give the probabilities of one large one, number by number, up to the frame's edges."""
    _, frame = painted(2)
    np.testing.assert_allclose(small.probabilities(frame), large.probabilities(frame), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_count_every_cell_once(small, seed):
    """A frame gone through in blocks has the cells of the whole: none twice on a seam, none lost."""
    _, frame = painted(seed, 180, 260)
    whole, parted = small.look(frame), small.look(frame, block_px=96, overlap_px=48)
    assert len(whole.found) > 20
    order = [np.lexsort(one.found.boxes.T) for one in (whole, parted)]
    assert np.array_equal(whole.found.boxes[order[0]], parted.found.boxes[order[1]])
    np.testing.assert_allclose(whole.areas_px[order[0]], parted.areas_px[order[1]], atol=4)
    assert np.array_equal(whole.covered, parted.covered)


def test_a_frame_smaller_than_a_tile_keeps_its_size(large):
    """It is continued by reflection, and only what lies in it is given."""
    labels, frame = painted(4, 70, 90)
    seen = large.look(frame)
    assert seen.covered.shape == (70, 90)
    assert np.array_equal(seen.covered > 0, labels > 0)


def test_an_empty_frame_has_no_cell(small):
    """No cell is no error: nothing is counted and nothing covered."""
    seen = small.look(np.zeros((100, 100), np.uint16))
    assert len(seen.found) == 0
    assert seen.areas_px.shape == (0,)
    assert not seen.covered.any()


def test_debris_is_not_counted(small):
    """An object smaller than the least size is left out, and covers nothing."""
    frame = np.zeros((80, 80), np.uint8)
    frame[10:11, 10:12] = 127
    assert len(small.look(frame).found) == 0


def test_what_is_no_frame_is_refused(small):
    """One sentence says what came."""
    with pytest.raises(ImageError, match="float64"):
        small.look(np.zeros((8, 8)))
    with pytest.raises(UsageError, match="overlap"):
        small.look(np.zeros((80, 80), np.uint8), block_px=32, overlap_px=32)


def test_how_cells_are_counted_travels():
    """What a bundle holds comes back as it was."""
    assert decode_counting(encode_counting(COUNTING), where="here") == COUNTING


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {}},
        {"scores": {"cell": 2.0}},
        {"scores": [1]},
        {"step_px": 0},
        {"least_inside": 1.5},
        {"border_px": 0},
        {"least_px": None},
    ],
)
def test_damaged_facts_are_named(change):
    """A file that does not say how cells are counted is refused by its place."""
    facts = json.loads(encode_counting(COUNTING)) | change
    with pytest.raises(BundleError, match="somewhere"):
        decode_counting(json.dumps(facts).encode(), where="somewhere")
    with pytest.raises(BundleError, match="somewhere"):
        decode_counting(b"\xff", where="somewhere")


def test_a_graph_without_cells_counts_nothing():
    """A graph that gives an anomaly map is no counter."""

    class Other(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"brightness": image.mean(dim=(1, 2, 3))}

    graph = export(Other(), torch.rand(3, 1, 64, 64), batches=(1,)).graph
    with pytest.raises(BundleError, match="cells"):
        CellCounter(recipe(64), open_engine(graph, engine="onnxruntime", threads=1), COUNTING)


def test_the_contract_wants_three_kinds_at_every_pixel():
    """Cells of another shape break the contract; of the right one they are no score."""
    image = Port("image", "float32", (None, 1, 64, 96))
    score = Port("covered_share", "float32", (None,))
    kept = check_contract([image], [Port("cells", "float32", (None, 3, 64, 96)), score])
    assert kept.scores == ("covered_share",)
    with pytest.raises(EngineError, match="cells"):
        check_contract([image], [Port("cells", "float32", (None, 2, 64, 96)), score])
