"""The facts of methods/gradient_autoencoder.py: any size, exact resume, averaged weights, defects that stand out."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import RecipeError
from candling.recipe import Training, parse_recipe
from candling.train import checkpoint
from candling.train.data import PreparedSet
from candling.train.export import export
from candling.train.fit import fit
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.gradient_autoencoder import pad
from candling.train.progress import Silent
from candling.train.stopping import Stopped

SMALL = {"width": 8, "middle": 8}


def frames(count: int, *, height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """Grey bars that lean a little, with noise: uint8 (count, height, width)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    phases = rng.uniform(-0.3, 0.3, (count, 1, 1))
    bars = 0.5 + 0.3 * np.sin(columns / 4.0 + phases) * (rows > height // 4)
    return np.clip(255 * (bars + rng.normal(0, 0.02, bars.shape)), 0, 255).astype(np.uint8)


def images(count: int, **where) -> torch.Tensor:
    return PreparedSet(frames(count, **where)).images(np.arange(count))


def plan(shape: tuple[int, int, int]) -> Plan:
    torch.manual_seed(0)
    return Plan(shape, Training(), Fabric(accelerator="cpu", devices=1, precision="32-true"))


def batch(values: torch.Tensor, seed: int = 0) -> Batch:
    return Batch(values, torch.arange(len(values)), torch.Generator().manual_seed(seed))


def trained(values: torch.Tensor, steps: int = 3, **options):
    method = build_method("gradient_autoencoder", {**SMALL, **options}, plan(tuple(values.shape[1:])))
    for step in range(steps):
        method.step(batch(values, step))
    method.finish([batch(values)])
    return method


def scored(method, values: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return method.graph()(values)


def test_a_defect_stands_out_where_it_is():
    """A small patch of bars the wrong way is the highest place of the map, and lifts the score above all good ones."""
    method = trained(images(24))
    fresh = images(8, seed=1)
    broken = fresh[:1].clone()
    broken[:, :, 36:48, 20:32] = broken[:, :, 36:48, 20:32].transpose(2, 3)
    good, defect = scored(method, fresh), scored(method, broken)
    assert float(defect["anomaly"]) > float(good["anomaly"].max())
    assert float(defect["map_peak"]) > float(good["map_peak"].max())
    row, column = divmod(int(defect["anomaly_map"][0].argmax()), 64)
    assert 32 <= row < 52
    assert 16 <= column < 36


@pytest.mark.parametrize("shape", [(32, 32), (40, 70), (65, 33)])
def test_any_size_is_taken(shape):
    """Sides need be no multiple of 32: the graph pads inside, and what it gives has the image's size."""
    values = images(6, height=shape[0], width=shape[1])
    out = scored(trained(values, steps=1), values)
    assert out["anomaly_map"].shape == (6, *shape)
    assert out["reconstruction"].shape == values.shape
    assert all(torch.isfinite(value).all() for value in out.values())


def test_padding_repeats_the_border():
    """pad() fills up to multiples of 32 with the last row and column, and leaves a fitting image as it is."""
    values = torch.rand(1, 1, 33, 64)
    padded = pad(values)
    assert padded.shape == (1, 1, 64, 64)
    assert torch.equal(padded[:, :, :33], values)
    assert torch.equal(padded[:, :, 40], values[:, :, 32])
    assert pad(padded) is padded


def test_identical_good_images_do_not_divide_by_zero():
    """Good images without any variation, drawn ones say, still give finite scores, and a defect still counts."""
    values = torch.full((4, 1, 64, 64), 0.4)
    method = trained(values, steps=2)
    broken = values[:1].clone()
    broken[:, :, 20:30, 20:30] = 0.9
    good, defect = scored(method, values), scored(method, broken)
    assert all(torch.isfinite(value).all() for value in (*good.values(), *defect.values()))
    assert float(defect["anomaly"]) > float(good["anomaly"].max())


def test_an_odd_size_exports():
    """A padded colour graph equals the network in every engine."""
    values = images(3, height=40, width=72).expand(-1, 3, -1, -1).contiguous()
    assert export(trained(values).graph(), values, batches=(1, 3)).parity.images == 3


def test_without_the_mean_only_the_restoration_is_compared():
    """mean_too = false halves the statistics and gives another map of the same shape."""
    values = images(6)
    both, alone = trained(values), trained(values, mean_too=False)
    assert (len(both.graph().positions), len(alone.graph().positions)) == (4, 2)
    one, two = scored(both, values)["anomaly_map"], scored(alone, values)["anomaly_map"]
    assert one.shape == two.shape
    assert not torch.equal(one, two)


def test_the_exported_weights_are_the_averaged_ones():
    """After many updates, what is exported lies behind the trained weights; average = 0 exports them as they are."""
    values = images(8)
    for average, equal in ((0.0, True), (0.99, False)):
        method = trained(values, average=average)
        graph = method.graph()
        trained_weight = method.networks["restorer"].state_dict()["fine.weight"]
        assert torch.equal(graph.restorer.fine.weight, trained_weight) is equal


def test_unknown_skips_are_refused():
    """Connections exist at 1/8 and 1/16 of the size; at 1/4 a defect would be copied."""
    with pytest.raises(RecipeError, match=r"method\.skips"):
        build_method("gradient_autoencoder", {"skips": [4]}, plan((1, 64, 64)))


def recipe(**training):
    lines = "\n".join(
        f"{key} = {value!r}" for key, value in {"precision": "float32", "schedule": "cosine", **training}.items()
    )
    return parse_recipe(
        "[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 64\nwidth = 64\n"
        "[method]\nname = 'gradient_autoencoder'\nwidth = 8\nmiddle = 8\n"
        f"[training]\n{lines}\n[limits]\nscores = ['anomaly']\n",
        where="test",
    )


class StopAt(Silent):
    """Sends a signal after some update."""

    def __init__(self, step: int) -> None:
        self.at = step

    def stand(self, standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(signal.SIGINT)


def run(work, *, progress=None, **training):
    work.mkdir(exist_ok=True)
    return fit(
        recipe(**{"epochs": 3, "batch_size": 6, **training}),
        PreparedSet(frames(17)),
        PreparedSet(frames(3, seed=1)),
        work=work,
        data="drawn",
        progress=progress,
        accelerator="cpu",
    )


@pytest.mark.parametrize("keep", ["last", "validation"])
def test_resume_is_exact(tmp_path, keep):
    """Stopped in mid-epoch and resumed, weights, averages, observed moments and scores are those of one session."""
    whole = run(tmp_path / "whole", keep=keep)
    with pytest.raises(Stopped):
        run(tmp_path / "parts", keep=keep, progress=StopAt(4))
    resumed = run(tmp_path / "parts", keep=keep)
    one, two = checkpoint.network_weights(whole.method), checkpoint.network_weights(resumed.method)
    assert one.keys() == two.keys()
    assert {name.split("/")[1] for name in one} == {"restorer", "averaged", "observed"}
    assert all(torch.equal(one[name], two[name]) for name in one)
    values = images(4, seed=2)
    first, second = scored(whole.method, values), scored(resumed.method, values)
    assert all(torch.equal(first[name], second[name]) for name in first)
