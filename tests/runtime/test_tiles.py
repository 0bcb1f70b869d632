"""A large image tile by tile: the same map as at once, every pixel written, memory bounded by a tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from candling.errors import ImageError, UsageError
from candling.pixels.prepare import scale
from candling.runtime.engine import Engine, open_engine
from candling.runtime.tiles import write_tiled_map
from candling.train.classifying import ContextNetwork, PatchNetwork, Whole
from candling.train.export import _to_onnx
from candling.train.probability import Probability

TILE = (64, 72)


def opened(network: torch.nn.Module, size: tuple[int, int]) -> Engine:
    """Export a network for images of one size, and open it in ONNX Runtime."""
    whole = Whole(network.eval(), Probability(5)).eval()
    names = ["anomaly_map", "defect_probability", "covered_share"]
    graph = _to_onnx(whole, torch.rand(2, 1, *size), names=names, opset=18)
    return open_engine(graph, engine="onnxruntime", requests=1)


def frame_of(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size, np.uint8)


def test_tiles_of_the_patch_network_give_the_map_at_once(tmp_path: Path) -> None:
    """Cut into overlapping tiles, each pixel has the number that a graph of the whole image gives, within 1e-5."""

    def network(size: tuple[int, int]) -> PatchNetwork:
        torch.manual_seed(0)
        return PatchNetwork((1, *size), patch=29, dropout=0.0, stride=1)

    frame = frame_of((131, 150))
    at_once = opened(network(frame.shape), frame.shape).run(scale(frame[None])).anomaly_map[0]
    told = []
    engine = opened(network(TILE), TILE)
    path = write_tiled_map(engine, frame, tmp_path / "map.tiff", margin=14, progress=lambda *at: told.append(at))
    found = tifffile.imread(path)
    assert found.dtype == np.float32
    assert found.shape == frame.shape
    assert np.abs(found - at_once).max() < 1e-5
    assert np.ptp(at_once) > 1e-3
    assert told[-1] == (len(told), len(told))


def test_tiles_of_a_network_of_blocks_begin_at_blocks(tmp_path: Path) -> None:
    """A network that works in blocks gives the same numbers where tiles begin at multiples of a block."""

    def network(size: tuple[int, int]) -> ContextNetwork:
        torch.manual_seed(0)
        return ContextNetwork((1, *size), width=4, levels=2, stem=1, window=32)

    frame = frame_of((128, 136))
    at_once = opened(network(frame.shape), frame.shape).run(scale(frame[None])).anomaly_map[0]
    path = write_tiled_map(opened(network(TILE), TILE), frame, tmp_path / "map.tiff", margin=16, step=2)
    assert np.abs(tifffile.imread(path) - at_once).max() < 1e-5


def test_what_cannot_be_tiled_is_told(tmp_path: Path) -> None:
    """An image smaller than a tile, colour for a grey graph, a margin that leaves nothing."""
    engine = opened(PatchNetwork((1, *TILE), patch=29, dropout=0.0, stride=8), TILE)
    with pytest.raises(ImageError, match=r"60 x 150 px is smaller than the graph's tile of 64 x 72"):
        write_tiled_map(engine, frame_of((60, 150)), tmp_path / "a.tiff", margin=14)
    with pytest.raises(ImageError, match="takes 1 channels"):
        write_tiled_map(engine, frame_of((100, 100, 3)), tmp_path / "a.tiff", margin=14)
    with pytest.raises(UsageError, match="leave nothing of a tile of 64 px"):
        write_tiled_map(engine, frame_of((100, 100)), tmp_path / "a.tiff", margin=32)
    assert not (tmp_path / "a.tiff").exists()
