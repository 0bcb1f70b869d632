"""The loop: exact resume, budgets, schedule, stopping, what is kept, and what it says when it cannot go on."""

from __future__ import annotations

import csv
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from candling.errors import DiskError, TrainingError
from candling.recipe import Recipe, parse_recipe
from candling.train import checkpoint, loop
from candling.train.data import PreparedSet
from candling.train.devices import open_fabric
from candling.train.fit import fit
from candling.train.method import Batch, Plan
from candling.train.progress import Silent, Standing
from candling.train.stopping import Stopped


class Tiny:
    """An autoencoder with batch norm, dropout and noise from the batch: all that a resume could get wrong."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        network = nn.Sequential(
            nn.Conv2d(plan.shape[0], 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ConvTranspose2d(8, plan.shape[0], 4, stride=2, padding=1),
            nn.Sigmoid(),
        ).to(memory_format=torch.channels_last)
        adam = torch.optim.Adam(network.parameters(), lr=plan.training.learning_rate, fused=True)
        network, adam = plan.fabric.setup(network, adam)
        self.networks, self.optimizers = {"network": network}, {"network": adam}
        self.rates: list[float] = []
        self.finished: list[int] = []

    def step(self, batch: Batch):
        network, adam = self.networks["network"].train(), self.optimizers["network"]
        self.rates.append(adam.param_groups[0]["lr"])
        noise = torch.randn(batch.images.shape, generator=batch.generator)
        loss = (network(batch.images + 0.1 * noise) - batch.images).square().mean()
        adam.zero_grad(set_to_none=True)
        self.plan.fabric.backward(loss)
        adam.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def validate(self, batch: Batch):
        self.networks["network"].eval()
        return {"loss": (self.networks["network"](batch.images) - batch.images).square().mean().item()}

    def finish(self, batches):
        self.finished = torch.cat([batch.indices for batch in batches]).tolist()

    def graph(self):
        return self.networks["network"]


def build_tiny(name, options, plan):
    return Tiny(plan)


def recipe(**training) -> Recipe:
    lines = "\n".join(f"{key} = {value!r}" for key, value in {"precision": "float32", **training}.items())
    return parse_recipe(
        f"[story]\nproduct = 'drawn'\n[prepare]\nchannels = 1\nheight = 16\nwidth = 16\n[method]\nname = 'tiny'\n"
        f"[training]\n{lines}\n[limits]\nscores = ['error']\n",
        where="test",
    )


def images(count: int, *, seed: int = 0) -> PreparedSet:
    return PreparedSet(np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8))


def run(work: Path, *, build=build_tiny, data="data", progress=None, resume=True, clock=time.monotonic, **training):
    """21 images in batches of 8 are 3 updates an epoch, 4 epochs are 12 updates."""
    work.mkdir(exist_ok=True)
    return fit(
        recipe(**{"epochs": 4, "batch_size": 8, **training}),
        images(21),
        images(5, seed=1),
        work=work,
        data=data,
        build=build,
        progress=progress,
        resume=resume,
        accelerator="cpu",
        clock=clock,
    )


def state(fitted) -> dict[str, torch.Tensor]:
    return checkpoint.network_weights(fitted.method)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rows(fitted) -> list[dict[str, str]]:
    """Give the curves without the seconds, which no two trainings share."""
    with fitted.curves.open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


class StopAt(Silent):
    """Sends a signal after some update, and remembers what it heard."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.at, self.number = step, number
        self.heard: list[str] = []

    def stage(self, sentence: str) -> None:
        self.heard.append(sentence)

    def stand(self, standing: Standing) -> None:
        if standing.step == self.at:
            signal.raise_signal(self.number)


@pytest.fixture(scope="module", params=["validation", "training", "last"])
def whole(request, tmp_path_factory):
    """One training that nobody disturbed, for each choice of what is kept."""
    return request.param, run(tmp_path_factory.mktemp("whole"), keep=request.param, schedule="cosine")


@pytest.mark.parametrize("step", [1, 3, 8, 12])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resume_after_a_signal_is_exact(tmp_path, whole, step, number):
    """Stopped within or at the end of an epoch, a training ends with the bits of one that was left alone."""
    keep, undisturbed = whole
    choice = {"keep": keep, "schedule": "cosine"}
    if step < 12:
        with pytest.raises(Stopped, match="the same command goes on from here"):
            run(tmp_path, progress=StopAt(step, number), **choice)
    resumed = run(tmp_path, **choice)
    assert same(state(undisturbed), state(resumed))
    assert (undisturbed.steps, undisturbed.kept_epoch, undisturbed.kept_loss) == (
        resumed.steps,
        resumed.kept_epoch,
        resumed.kept_loss,
    )
    assert rows(undisturbed) == rows(resumed)


def test_a_seed_gives_one_training(tmp_path, whole):
    """Another seed gives other weights: what the resume tests compare is not constant."""
    keep, undisturbed = whole
    assert not same(state(undisturbed), state(run(tmp_path, keep=keep, schedule="cosine", seed=1)))


def kill_rounds(folder: Path) -> None:
    """Train in children that are killed at random moments until one ends; runs in a process of its own, see below."""
    chance, killed = random.Random(0), 0
    for attempt in itertools.count():
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            fitted = run(folder / "parts", progress=Slow(), epochs=40, schedule="plateau", plateau_patience=2)
            save_file(state(fitted), folder / "parts.weights")
            os._exit(0)
        if attempt < 12:
            time.sleep(chance.uniform(0.15, 0.7))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
    (folder / "killed").write_text(str(killed))


class Slow(Silent):
    """Spreads 120 updates over more than a second, so that a random kill meets any of them."""

    def stand(self, standing: Standing) -> None:
        time.sleep(0.01)


def in_a_process(expression: str, **environment: str) -> subprocess.Popen:
    """Run an expression over this file's names; children of a test's own process would inherit its torch threads."""
    code = (
        "import importlib.util, sys, pathlib\n"
        f"spec = importlib.util.spec_from_file_location('test_fit', {__file__!r})\n"
        "module = sys.modules['test_fit'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"eval({expression!r}, vars(module))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_resume_after_kill_is_exact(tmp_path):
    """Killed without warning at random moments, again and again, a training ends with the very same weights."""
    process = in_a_process(f"kill_rounds(Path({str(tmp_path)!r}))")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert int((tmp_path / "killed").read_text()) >= 3, "the kills came too late to mean anything"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    undisturbed = run(tmp_path / "whole", epochs=40, schedule="plateau", plateau_patience=2)
    torch.set_num_threads(threads)
    assert same(state(undisturbed), load_file(tmp_path / "parts.weights"))
    assert [row["epoch"] for row in rows(undisturbed)] == [str(epoch) for epoch in range(1, 41)]


def train_as_a_rank(folder: Path) -> None:
    fitted = run(folder)
    save_file(state(fitted), folder / f"{fitted.fabric.global_rank}.weights")


def test_two_processes_train_one_network(tmp_path):
    """Under a DDP launcher both ranks end with the same weights, and the first one alone writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        in_a_process(
            f"train_as_a_rank(Path({str(tmp_path)!r}))",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            GROUP_RANK="0",
            TORCHELASTIC_RUN_ID="test",
        )
        for rank in range(2)
    ]
    for process in ranks:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    first, second = (load_file(tmp_path / f"{rank}.weights") for rank in range(2))
    trained = [name for name in first if "running" not in name]
    assert all(torch.equal(first[name], second[name]) for name in trained)
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 5


def test_a_resumed_training_says_so(tmp_path):
    """The watcher hears from where a resumed training goes on."""
    with pytest.raises(Stopped):
        run(tmp_path, progress=StopAt(4))
    watcher = StopAt(-1)
    run(tmp_path, progress=watcher)
    assert any(sentence.startswith("going on from the checkpoint: epoch 2 of 4") for sentence in watcher.heard)


def test_a_larger_budget_goes_on(tmp_path):
    """A training that used its epochs up goes on when it is given more, and equals one that had them at once."""
    run(tmp_path / "parts", epochs=2, keep="last")
    longer = run(tmp_path / "parts", epochs=4, keep="last")
    assert same(state(longer), state(run(tmp_path / "whole", epochs=4, keep="last")))


@pytest.mark.parametrize("other", [{"data": "other images"}, {"batch_size": 4}, {"seed": 3}])
def test_a_foreign_checkpoint_is_refused(tmp_path, other):
    """A checkpoint of other images or of another recipe is never mixed in; beginning anew is possible."""
    run(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match="another recipe or of other images"):
        run(tmp_path, epochs=1, **other)
    assert run(tmp_path, epochs=1, resume=False, **other).epochs == 1


@pytest.mark.parametrize("damage", [b"", b"\x00" * 64, None])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    """A checkpoint cut short or overwritten is refused in one sentence that names the file."""
    run(tmp_path, epochs=1)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors: is damaged"):
        run(tmp_path, epochs=1)


def test_minutes_end_training(tmp_path):
    """A budget of minutes ends training inside an epoch, and what was learned until then is judged and kept."""
    ticks = itertools.count(0.0, 6.0)  # the clock goes on 6 s whenever somebody looks at it
    fitted = run(tmp_path, minutes=1.0, epochs=100, clock=lambda: next(ticks))
    assert fitted.ended == "minutes"
    assert 60 <= fitted.seconds <= 72
    assert len(rows(fitted)) == fitted.epochs


def test_time_before_an_interruption_counts(tmp_path):
    """A resumed training has only the minutes that are left."""

    def clock():
        ticks = itertools.count(0.0, 6.0)
        return lambda: next(ticks)

    with pytest.raises(Stopped):
        run(tmp_path, minutes=1.0, epochs=100, clock=clock(), progress=StopAt(4))
    heard: list[float] = []
    watcher = Silent()
    watcher.stand = lambda standing: heard.append(standing.seconds)
    assert run(tmp_path, minutes=1.0, epochs=100, clock=clock(), progress=watcher).seconds <= 72
    assert heard[0] > 20


SCRIPT = {"held_out": [0.5, 0.2, 0.4, 0.3], "training": [0.4, 0.3, 0.1, 0.2]}


class Scripted(Tiny):
    """Its losses follow a script; it remembers the weights of each epoch."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.epochs: list[dict[str, torch.Tensor]] = []

    def step(self, batch: Batch):
        super().step(batch)
        return {"loss": SCRIPT["training"][len(self.epochs)]}

    def validate(self, batch: Batch):
        self.epochs.append(checkpoint.network_weights(self))
        return {"loss": SCRIPT["held_out"][len(self.epochs) - 1]}


@pytest.mark.parametrize(("keep", "epoch", "loss"), [("validation", 2, 0.2), ("training", 3, 0.1), ("last", 4, None)])
def test_the_best_epoch_is_kept(tmp_path, keep, epoch, loss):
    """The weights given back are those of the lowest held-out loss, of the lowest training loss, or the last."""
    fitted = run(tmp_path, build=lambda _name, _options, plan: Scripted(plan), keep=keep)
    assert same(state(fitted), fitted.method.epochs[epoch - 1])
    assert fitted.kept_epoch == epoch
    assert fitted.kept_loss == (None if loss is None else pytest.approx(loss))


def test_no_improvement_ends_training(tmp_path):
    """A rate that changes nothing ends training after stop_patience epochs without improvement."""
    fitted = run(tmp_path, epochs=50, stop_patience=3, learning_rate=1e-12)
    assert fitted.ended == "no improvement"
    assert fitted.epochs <= 12


def test_plateaus_lower_the_rate(tmp_path):
    """The rate falls by the factor each time the held-out loss stays, and the curves show it."""
    fitted = run(tmp_path, epochs=30, plateau_patience=2, plateau_factor=0.5, learning_rate=1e-12)
    rates = [float(row["rate"]) for row in rows(fitted)]
    assert rates[0] == 1.0
    assert set(rates) <= {0.5**n for n in range(30)}
    assert rates[-1] <= 0.5**3
    assert fitted.method.rates[-1] == pytest.approx(1e-12 * rates[-1])


def test_finish_sees_every_good_image_once(tmp_path):
    """What has no gradient is fitted on all good training images, in order, and on no held-out one."""
    assert run(tmp_path, epochs=1).method.finished == list(range(21))


class Diverging(Tiny):
    """Its loss is no number from some update on."""

    def step(self, batch: Batch):
        losses = super().step(batch)
        return losses if len(self.rates) < 6 else {"loss": float("nan")}


def test_a_loss_that_is_no_number_ends_training(tmp_path):
    """The sentence names the epoch and the remedy, and the last good checkpoint stays readable."""
    with pytest.raises(TrainingError, match=r"became nan in epoch 2, update 6; lower \[training\] learning_rate"):
        run(tmp_path, build=lambda name, options, plan: Diverging(plan))
    numbers = checkpoint.read_numbers(tmp_path / checkpoint.NAME)
    assert numbers["counters"]["epoch"] == 1
    assert run(tmp_path).epochs == 4


def test_weights_that_are_no_numbers_are_not_stored(tmp_path):
    """A checkpoint is never replaced by one whose weights are infinite or NaN."""
    fitted = run(tmp_path, epochs=1)
    path = tmp_path / checkpoint.NAME
    before = path.read_bytes()
    with torch.no_grad():
        next(fitted.method.networks["network"].parameters())[0] = float("inf")
    with pytest.raises(TrainingError, match="learning_rate"):
        checkpoint.save_checkpoint(path, fitted.method, {}, best=None)
    assert path.read_bytes() == before


def test_a_full_disk_warns_once_and_training_goes_on(tmp_path, monkeypatch):
    """A checkpoint that cannot be written on the way costs a warning; the last one, which must be, raises."""
    monkeypatch.setattr(checkpoint, "write_atomic", full_disk)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    watcher = StopAt(-1)
    with pytest.raises(DiskError, match="No space left"):
        run(tmp_path, progress=watcher)
    assert sum("training goes on" in sentence for sentence in watcher.heard) == 1
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 5


def full_disk(path: Path, data: bytes) -> None:
    raise DiskError(f"{path}: cannot be written: No space left on device")


def test_memory_that_does_not_suffice_is_explained(tmp_path):
    """Where memory runs out the sentence names the batch size, and other failures stay what they are."""

    class Greedy(Tiny):
        def step(self, batch):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB")

    class Broken(Tiny):
        def step(self, batch):
            raise RuntimeError("a bug of its own")

    with pytest.raises(TrainingError, match=r"lower \[training\] batch_size"):
        run(tmp_path, build=lambda name, options, plan: Greedy(plan))
    with pytest.raises(RuntimeError, match="a bug of its own"):
        run(tmp_path, build=lambda name, options, plan: Broken(plan))


def test_the_watcher_hears_where_the_loop_stands(tmp_path):
    """Each update is told with its epoch, losses, speed and the time that is left."""
    heard: list[Standing] = []
    watcher = Silent()
    watcher.stand = heard.append
    run(tmp_path, progress=watcher)
    assert [(at.epoch, at.epoch_step, at.step) for at in heard[:4]] == [(1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 4)]
    assert not heard[2].held_out
    assert heard[3].held_out["loss"] > 0
    assert heard[-1].seconds_left == 0.0
    assert heard[-1].images_per_second > 0
    assert all(at.epoch_steps == 3 and at.epochs == 4 for at in heard)


def test_moments_lie_in_memory_like_their_parameters(tmp_path):
    """A restored optimiser has its moments in the layout of the weights: a fused update pairs them blindly."""
    fitted = run(tmp_path, epochs=1)
    again = Tiny(fitted.method.plan)
    checkpoint.load_checkpoint(tmp_path / checkpoint.NAME, again)
    optimizer = again.optimizers["network"]
    moments = [(p, optimizer.state[p]["exp_avg"]) for group in optimizer.param_groups for p in group["params"]]
    assert any(p.ndim == 4 and not p.is_contiguous() for p, _ in moments), "no layout to get wrong"
    assert all(p.stride() == moment.stride() for p, moment in moments)


def test_networks_of_another_shape_are_refused(tmp_path):
    """A checkpoint that passed the hash but does not fit the networks is refused in one sentence."""
    run(tmp_path, epochs=1)
    fabric = open_fabric(accelerator="cpu")
    other = Tiny(Plan((3, 16, 16), recipe().training, fabric))
    with pytest.raises(TrainingError, match="of other networks"):
        checkpoint.load_checkpoint(tmp_path / checkpoint.NAME, other)
