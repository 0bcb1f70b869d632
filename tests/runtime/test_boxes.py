"""What a counter of boxes promises: every object once whatever the tiles, at any scale, and bundles that say how."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from candling.errors import BundleError
from candling.measure.count_spread import CountSpread
from candling.recipe import Recipe
from candling.runtime.boxes import BoxCounter, Detecting, decode_detecting, encode_detecting, filled
from candling.runtime.engine import open_engine
from candling.train.export import export

SIDE = 9
FACTS = Detecting({"dim": 0.8, "bright": 0.8}, iou=0.5, scale=1.0, proposals=1000)


class Peaks(nn.Module):
    """Boxes every place; those in the middle of a square of grey or white are sure."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Class 0 is grey (0.5), class 1 white."""
        level, square = (nn.functional.avg_pool2d(each, SIDE, 1, SIDE // 2).flatten(1) for each in (image, image**2))
        rows, columns = image.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        half = SIDE / 2
        boxes = torch.stack((x - half, y - half, x + half, y + half), dim=2).flatten(0, 1)
        off = torch.stack(((level - 0.5).abs() + (square - 0.25).abs(), (level - 1.0).abs()), dim=2)
        sure = (1.0 - 8.0 * off).clamp(min=0.0)
        labels = torch.arange(2).repeat(rows * columns)
        return {
            "boxes": boxes.repeat_interleave(2, dim=0).expand(image.shape[0], -1, -1),
            "labels": labels.unsqueeze(0).expand(image.shape[0], -1),
            "confidences": sure.flatten(1),
            "largest_confidence": sure.flatten(1).amax(dim=1),
        }


def counter(height: int, width: int, facts: Detecting = FACTS) -> BoxCounter:
    """A counter whose tiles are of that size."""
    recipe = Recipe.model_validate(
        {
            "story": {"product": "drawn"},
            "prepare": {"channels": 1, "height": height, "width": width},
            "method": {"name": "faster_rcnn"},
            "limits": {"scores": ["largest_confidence"]},
        }
    )
    graph = export(Peaks(), torch.zeros(3, 1, height, width), batches=(1,)).graph
    return BoxCounter(recipe, open_engine(graph, engine="onnxruntime", threads=1), facts)


@pytest.fixture(scope="module")
def small() -> BoxCounter:
    """Tiles far smaller than the frames."""
    return counter(48, 40)


@pytest.fixture(scope="module")
def large() -> BoxCounter:
    """A tile larger than the frames."""
    return counter(160, 160)


def squares(seed: int, height: int = 130, width: int = 150) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    """Grey and white squares on black that do not touch, and left, top, right, bottom, class of each."""
    rng = np.random.default_rng(seed)
    frame, true = np.zeros((height, width), np.uint8), []
    for top in range(2, height - 12, 13):
        for left in range(2, width - 12, 13):
            if rng.random() < 0.5:
                label = int(rng.random() < 0.4)
                row, column = top + int(rng.integers(0, 3)), left + int(rng.integers(0, 3))
                frame[row : row + SIDE, column : column + SIDE] = 255 if label else 128
                true.append((column, row, column + SIDE, row + SIDE, label))
    return frame, true


def listed(seen) -> list[tuple[int, int, int, int, int]]:
    """The counted boxes, in one order."""
    kept = seen.found.scores >= 0.8
    found = np.column_stack([seen.found.boxes[kept].round(), seen.found.labels[kept]]).astype(int)
    return sorted(map(tuple, found.tolist()))


@pytest.mark.parametrize("seed", range(3))
def test_every_object_is_found_once_in_tiles_and_in_one(small, large, seed):
    """Small tiles and one large one give the same boxes and classes: none twice on a seam, none lost."""
    frame, true = squares(seed)
    assert len(true) > 30
    for one in (small, large):
        seen = one.look(frame)
        assert listed(seen) == sorted(true)
        assert seen.areas_px is None
        assert np.array_equal(seen.covered > 0, frame > 0)


def test_boxes_come_in_pixels_of_the_frame(large):
    """A frame seen at half its size has the same boxes at twice theirs."""
    frame, true = squares(4, 100, 120)
    double = np.kron(frame, np.ones((2, 2), np.uint8))
    half = BoxCounter(
        large.recipe, large.engine, Detecting(FACTS.scores, iou=0.5, scale=0.5, proposals=1000), matcher=None
    )
    assert listed(half.look(double)) == sorted((*(2 * side for side in edges), label) for *edges, label in true)


def test_what_lies_beyond_a_small_frame_is_nothing(large):
    """A frame smaller than a tile is continued in black; no box reaches beyond it, and an empty one has none."""
    frame, true = squares(5, 60, 80)
    seen = large.look(frame)
    assert listed(seen) == sorted(true)
    assert seen.found.boxes.max(axis=0)[2:].tolist() <= [80.0, 60.0]
    assert len(large.look(np.zeros((40, 40), np.uint16)).found) == 0
    assert filled(frame, 60, 80) is frame
    assert filled(frame, 70, 90)[60:].max() == 0


def test_a_full_tile_is_told(large):
    """Where a tile holds half as many objects as the graph has places for, somebody should look."""
    frame, _ = squares(6)
    assert large.look(frame).doubts == ()
    few = BoxCounter(large.recipe, large.engine, Detecting(FACTS.scores, iou=0.5, scale=1.0, proposals=60))
    (told,) = few.look(frame).doubts
    assert "60 regions" in told
    assert "method.proposals" in told


def test_a_graph_without_boxes_finds_nothing():
    """A graph that gives a score is no counter; one of another size is of another training."""

    class Other(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"brightness": image.mean(dim=(1, 2, 3))}

    good = counter(48, 48)
    graph = export(Other(), torch.rand(3, 1, 48, 48), batches=(1,)).graph
    with pytest.raises(BundleError, match="no boxes"):
        BoxCounter(good.recipe, open_engine(graph, engine="onnxruntime", threads=1), FACTS)
    prepare = good.recipe.prepare.model_copy(update={"width": 64})
    with pytest.raises(BundleError, match="not of one training"):
        BoxCounter(good.recipe.model_copy(update={"prepare": prepare}), good.engine, FACTS)


def test_how_objects_are_found_travels():
    """What a bundle holds comes back as it was."""
    facts = Detecting({"a": 0.25}, 0.4, 0.5, 300, least_px=7, spreads={"a": CountSpread(0.5, 0.9, 20)})
    assert decode_detecting(encode_detecting(facts), where="here") == facts


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {}},
        {"scores": {"cell": 2.0}},
        {"scores": [1]},
        {"iou": -0.1},
        {"scale": 0.0},
        {"proposals": 0},
        {"proposals": None},
        {"least_px": -1},
        {"spreads": {"cell": {"width": -1.0, "confidence": 0.9, "images": 3}}},
    ],
)
def test_damaged_facts_are_named(change):
    """A file that does not say how objects are found is refused by its place."""
    facts = json.loads(encode_detecting(FACTS)) | change
    with pytest.raises(BundleError, match="somewhere"):
        decode_detecting(json.dumps(facts).encode(), where="somewhere")
    with pytest.raises(BundleError, match="somewhere"):
        decode_detecting(b"\xff", where="somewhere")
