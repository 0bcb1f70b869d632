"""A network that learns from drawn lumps finds foreign matter it never saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError

from candling.errors import RecipeError
from candling.measure.anomaly import PixelScores
from candling.recipe import Training
from candling.scenes.fibres import draw_mat
from candling.train.method import Batch, Plan
from candling.train.methods.lumps import Options, build

SHAPE = (1, 96, 128)


def _plan(shape: tuple[int, int, int] = SHAPE) -> Plan:
    return Plan(shape, Training(learning_rate=4e-3), Fabric(accelerator="cpu", devices=1, precision="32-true"))


def _mats(count: int, *defects: str) -> tuple[torch.Tensor, list[np.ndarray]]:
    drawn = [draw_mat(np.random.default_rng(n), size=SHAPE[1:], fibre_px=5, defects=defects) for n in range(count)]
    frames = np.stack([frame for frame, _ in drawn])[:, None].astype(np.float32) / 255
    return torch.from_numpy(frames), [mask for _, mask in drawn]


def test_it_finds_drops_that_nobody_showed_it() -> None:
    """After some updates on mats without a defect, beads and crumbs stand out pixel by pixel: 0.5 is chance."""
    torch.manual_seed(0)
    method = build(Options(width=8, levels=3, window=64, lumps={"largest_px": 15}), _plan())
    images, _ = _mats(4)
    for step in range(60):
        method.step(Batch(images, torch.arange(4), torch.Generator().manual_seed(step)))
    defects, masks = _mats(4, "bead", "dust")
    with torch.no_grad():
        maps = method.graph()(defects)["anomaly_map"].numpy()
    assert PixelScores.gather(zip(maps, masks, strict=True)).auroc() > 0.85


def test_windows_that_do_not_fit_are_refused() -> None:
    """Images smaller than a window, and a window that does not divide, each in one sentence."""
    with pytest.raises(RecipeError, match=r"smaller than method\.window = 128"):
        build(Options(window=128), _plan())
    with pytest.raises(ValidationError, match="window must be a multiple of 16"):
        Options(window=72)


def test_its_scores_are_what_the_map_says() -> None:
    """The score is the largest mean over a square, the share the mean of the map."""
    torch.manual_seed(0)
    graph = build(Options(judge_px=9), _plan()).graph()
    images, _ = _mats(2)
    with torch.no_grad():
        given = graph(images)
    values = given["anomaly_map"]
    torch.testing.assert_close(given["covered_share"], values.mean(dim=(1, 2)))
    assert (given["anomaly"] <= values.amax(dim=(1, 2))).all()
    assert (given["anomaly"] >= given["covered_share"] * 0.99).all()
