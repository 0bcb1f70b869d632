"""What the counter promises: a frame in tiles or blocks is the frame, every cell once, and bundles that say how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from candling.errors import BundleError, EngineError, ImageError, UsageError
from candling.pixels.histogram import learn_matcher
from candling.pixels.instances import inside_and_border
from candling.recipe import Recipe
from candling.runtime.cells import CellCounter
from candling.runtime.contract import Port, check_contract
from candling.runtime.counting import Counting
from candling.runtime.engine import open_engine
from candling.scenes.cells import draw_cells
from candling.train.export import export
from candling.types import Box

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


class Parts:
    """A frame that is only given in parts, and remembers the largest."""

    def __init__(self, frame: np.ndarray) -> None:
        self.frame, self.shape, self.largest = frame, frame.shape, 0

    def window(self, box: Box) -> np.ndarray:
        """Give a part."""
        self.largest = max(self.largest, box.height, box.width)
        return self.frame[box.top : box.bottom, box.left : box.right]


def test_a_frame_read_in_parts_has_the_cells_of_the_whole(small):
    """No part is larger than a block, and boxes, areas and scores are those of the frame in memory."""
    _, frame = painted(5, 180, 260)
    parts = Parts(frame)
    whole, seen = small.look(frame), small.look_through(parts, block_px=96, overlap_px=48)
    assert parts.largest == 96
    assert seen.covered is None
    order = [np.lexsort(one.found.boxes.T) for one in (whole, seen)]
    assert np.array_equal(whole.found.boxes[order[0]], seen.found.boxes[order[1]])
    np.testing.assert_allclose(whole.areas_px[order[0]], seen.areas_px[order[1]], atol=4)


def test_a_frame_read_in_parts_cannot_be_matched(small):
    """A histogram is of a whole frame; the sentence says what to do."""
    frame = painted(6)[1]
    other = CellCounter(small.recipe, small.engine, COUNTING, learn_matcher([frame], "global"))
    with pytest.raises(ImageError, match="cut the image"):
        other.look_through(Parts(frame))


def test_a_density_adds_up_over_tiles_and_blocks():
    """The count is the sum of every pixel once, times the factor of held-out images; never below 0."""

    class Spread(Levels):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {**super().forward(image), "density": 0.01 * image[:, 0] - 0.0001}

    graph = export(Spread(), torch.rand(3, 1, 64, 64), batches=(1,)).graph
    facts = replace(COUNTING, density_factor=2.0)
    found = CellCounter(recipe(64), open_engine(graph, engine="onnxruntime", threads=1), facts)
    _, frame = painted(7, 180, 260)
    wanted = 2.0 * float((0.01 * frame / 255.0 - 0.0001).sum())
    assert wanted > 5.0
    assert found.look(frame).expected == pytest.approx(wanted, rel=1e-4)
    assert found.look_through(Parts(frame), block_px=96, overlap_px=48).expected == pytest.approx(wanted, rel=1e-4)
    assert found.answers(frame)[1] == pytest.approx(wanted, rel=1e-4)
    assert found.look(np.zeros((80, 80), np.uint8)).expected == 0.0


def test_a_graph_without_density_gives_no_other_count(small):
    """There the cells are counted."""
    assert small.look(painted(1)[1]).expected is None


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
    kept = check_contract([image], [Port("density", "float32", (None, 64, 96)), score])
    assert kept.scores == ("covered_share",)
    with pytest.raises(EngineError, match="density"):
        check_contract([image], [Port("density", "float32", (None, 1, 64, 96)), score])
