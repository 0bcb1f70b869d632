"""The memory with a network on top: when there is a network, what it is told, and that training repeats and resumes."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest
import torch

from candling.recipe import Recipe, parse_recipe
from candling.train import checkpoint
from candling.train.data import PreparedSet
from candling.train.devices import open_fabric
from candling.train.fit import fit
from candling.train.memory import pad_to_cells
from candling.train.method import Batch, Plan
from candling.train.methods.memory_unet import LEAST_MINUTES, MemoryUNet, Options, build
from candling.train.progress import Silent, Standing
from candling.train.stopping import Stopped

SHAPE = (1, 40, 64)


def recipe(*, options: str = "", **training) -> Recipe:
    given = {"precision": "float32", "batch_size": 4, "epochs": 2, "keep": "last", **training}
    lines = "\n".join(f"{key} = {value!r}" for key, value in given.items())
    return parse_recipe(
        "[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 40\nwidth = 64\n"
        f"[method]\nname = 'memory_unet'\nwidth = 4\n{options}\n[training]\n{lines}\n[limits]\nscores = ['anomaly']\n",
        where="test",
    )


def frames(count: int, *, seed: int = 0) -> np.ndarray:
    """Bright discs on a dark ground, each a little elsewhere, with fine noise: uint8 (N, 40, 64)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(-1, 1, 40)[:, None], np.linspace(-1, 1, 64)
    moves = 0.1 * rng.random((2, count, 1, 1))
    disc = 1 / (1 + np.exp(-12 * (0.5 - (rows - moves[0]) ** 2 - (columns - moves[1]) ** 2)))
    return np.round(255 * (0.2 + 0.6 * disc + 0.02 * rng.normal(size=(count, 40, 64)))).clip(0, 255).astype(np.uint8)


def images(count: int, *, seed: int = 0) -> torch.Tensor:
    return PreparedSet(frames(count, seed=seed)).images(np.arange(count))


def train(work, chosen: Recipe, *, good: int = 9, progress=None):
    work.mkdir(exist_ok=True)
    return fit(
        chosen,
        PreparedSet(frames(good)),
        PreparedSet(frames(4, seed=1)),
        work=work,
        data="data",
        progress=progress,
        accelerator="cpu",
    )


def begun(options: Options, *, precision: str = "float32", good: int = 8) -> MemoryUNet:
    torch.manual_seed(0)
    fabric = open_fabric(precision, accelerator="cpu", alone=True)
    method = build(options, Plan(SHAPE, recipe().training, fabric))
    batches = [Batch(images(n, seed=seed), torch.arange(n), torch.Generator()) for n, seed in ((good, 0), (3, 1))]
    method.begin(batches[:1], batches[1:], Silent())
    return method


def batch(step: int, count: int = 8) -> Batch:
    return Batch(images(count), torch.arange(count), torch.Generator().manual_seed(step))


@torch.no_grad()
def outputs(method: MemoryUNet, some: torch.Tensor) -> dict[str, torch.Tensor]:
    return method.graph()(some)


def same(first: MemoryUNet, second: MemoryUNet) -> bool:
    one, two = (outputs(method, images(3, seed=7)) for method in (first, second))
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One training that nobody disturbed: two epochs of three updates."""
    return train(tmp_path_factory.mktemp("whole"), recipe())


def test_under_half_a_minute_the_memory_stays_alone(tmp_path):
    """With too short a budget nothing is updated, and the map is the memory's own."""
    fitted = train(tmp_path, recipe(minutes=0.2))
    assert (fitted.steps, fitted.epochs, fitted.ended) == (0, 0, "nothing to update")
    method = fitted.method
    assert (method.networks, method.optimizers) == ({}, {})
    assert method.choices()["network"] is False
    assert not (tmp_path / checkpoint.NAME).exists()
    out = outputs(method, images(3, seed=7))
    torch.testing.assert_close(out["anomaly"], out["memory_anomaly"])


def test_with_epochs_there_is_a_network(whole):
    """Two epochs are six updates, and the network's word counts in the map."""
    assert (whole.steps, whole.ended) == (6, "epochs")
    assert whole.method.choices()["network"] is True
    assert "memory cell" in whole.method.choices()
    out = outputs(whole.method, images(3, seed=7))
    assert (out["anomaly"] != out["memory_anomaly"]).all()
    assert out["anomaly_map"].shape == (3, 40, 64)


def test_just_enough_minutes_give_a_network():
    """The budget from which on there is a network is half a minute."""
    for minutes, there in ((LEAST_MINUTES, True), (0.99 * LEAST_MINUTES, False), (None, True)):
        training = recipe().training.model_copy(update={"minutes": minutes})
        method = build(Options(width=4), Plan(SHAPE, training, open_fabric("float32", accelerator="cpu", alone=True)))
        assert bool(method.optimizers) is there


def test_the_same_seed_gives_the_same_graph(tmp_path, whole):
    """Trained again, every output has the same bits; with another seed it has not."""
    assert same(whole.method, train(tmp_path / "again", recipe()).method)
    assert not same(whole.method, train(tmp_path / "other", recipe(seed=1)).method)


class StopAt(Silent):
    """Presses Ctrl-C after some update, and counts how often something was remembered."""

    def __init__(self, step: int) -> None:
        self.at, self.remembered = step, 0

    def stage(self, sentence: str) -> None:
        self.remembered += sentence.startswith("remembering")

    def stand(self, standing: Standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [2, 3])
def test_resume_is_exact(tmp_path, whole, step):
    """Stopped inside an epoch or at its end, a training remembers again, goes on, and ends with the same bits."""
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), progress=StopAt(step))
    watcher = StopAt(-1)
    resumed = train(tmp_path, recipe(), progress=watcher)
    assert watcher.remembered == 1
    assert resumed.steps == 6
    assert same(whole.method, resumed.method)
    weights, others = (checkpoint.network_weights(one.method) for one in (whole, resumed))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_memory_alone_does_not_go_on_from_a_network(tmp_path):
    """Given too few minutes after an interrupted training, nothing of that training is taken for its own."""
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), progress=StopAt(4))
    fitted = train(tmp_path, recipe(minutes=0.2))
    assert (fitted.steps, fitted.epochs, fitted.seconds, fitted.ended) == (0, 0, 0.0, "nothing to update")
    assert not fitted.curves.read_text()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_losses_are_numbers(precision):
    """Losses and gradients are finite in both precisions, and those of bfloat16 are near those of float32."""
    method = begun(Options(width=4), precision=precision)
    for step in range(3):
        losses = method.step(batch(step))
        assert losses.keys() >= {"loss", "focal", "dice"}
        assert all(math.isfinite(value) and value >= 0 for value in losses.values()), losses
    assert all(weight.isfinite().all() for weight in method.networks["marker"].parameters())
    assert all(math.isfinite(value) for value in method.validate(batch(9)).values())
    exact = begun(Options(width=4)).step(batch(0))["loss"]
    assert begun(Options(width=4), precision=precision).step(batch(0))["loss"] == pytest.approx(exact, rel=0.05)


def test_no_image_finds_itself_in_training(monkeypatch):
    """An update leaves each image of its batch out of the memory; validation, on other images, leaves none out."""
    method = begun(Options(width=4))
    told: list[torch.Tensor | None] = []
    told_before = method._sharing.forward

    def forward(padded, leave_out=None):
        told.append(leave_out)
        return told_before(padded, leave_out)

    monkeypatch.setattr(method._sharing, "forward", forward)
    some = batch(0)
    method.step(Batch(some.images[:3], torch.tensor([5, 0, 2]), some.generator))
    method.validate(batch(1))
    assert told[0].tolist() == [5, 0, 2]
    assert told[1] is None


def test_without_evidence_the_network_is_told_nothing():
    """Told nothing, and with no trust in the memory, the map is the network's alone and the memory's score stays."""
    told, untold = (begun(Options(width=4, evidence=evidence, trust=0.0)) for evidence in (True, False))
    padded = pad_to_cells(images(2, seed=7))
    assert all(part.any() for part in told._sharing(padded)[:2])
    assert not any(part.any() for part in untold._sharing(padded)[:2])
    losses = [untold.step(batch(step))["loss"] for step in range(2)]
    assert all(map(math.isfinite, losses))
    out = outputs(untold, images(2, seed=7))
    assert out["anomaly_map"].min() >= 0.0
    assert out["anomaly_map"].max() <= 1.0
    assert {"memory_anomaly", "nearest"} <= out.keys()


def test_trust_weighs_the_memory():
    """The map is the network's at trust 0, and that times the memory's deviation at trust 1."""
    some = images(2, seed=7)
    some[..., 12:24, 20:32] = 0.0
    alone, both = (outputs(begun(Options(width=4, trust=trust)), some)["anomaly_map"] for trust in (0.0, 1.0))
    place = both.flatten(1).argmax(dim=1)
    assert ((place // 64 - 18).abs() < 12).all()
    assert both.max() > 5 * alone.max()


@pytest.mark.parametrize(("said", "unit"), [((0.0, 0.0, 0.3), 0.04), ((0.3, 0.3, 0.3), 0.94), ((0.0, 0.2, 0.3), 0.64)])
def test_a_network_that_marks_every_good_image_is_heard_less(monkeypatch, said, unit):
    """Its unit grows with what it says of the usual held-out good image; a single odd one changes nothing."""
    method = begun(Options(width=4))
    method.finish([])
    marking, asked = method._marking, iter(said)
    _, seen = marking.said(pad_to_cells(images(1, seed=1)))
    word = torch.zeros((1, 1, 32, 32))

    def saying(padded):
        word[:] = 0.0
        word[0, 0, :8, :8] = next(asked)
        return word, seen

    monkeypatch.setattr(marking, "said", saying)
    marking.measure(images(3, seed=1))
    assert float(marking.units[0]) == pytest.approx(unit, abs=1e-4)


@pytest.mark.parametrize("good", [1, 2, 5])
def test_few_good_images_can_be_trained_on(good):
    """With one image to remember, which is left out in training, everything is finite."""
    method = begun(Options(width=4), good=good)
    losses = method.step(batch(0, good))
    assert all(map(math.isfinite, losses.values()))
    assert all(values.isfinite().all() for values in outputs(method, images(2, seed=7)).values())


def test_learning_helps():
    """After some updates the loss on the same spoilings is lower than at first."""
    method = begun(Options(width=8))
    first = np.mean([method.validate(batch(step))["loss"] for step in range(100, 104)])
    for step in range(40):
        method.step(batch(step))
    assert np.mean([method.validate(batch(step))["loss"] for step in range(100, 104)]) < 0.8 * first
