"""The loop: budgets, schedule, stopping, what is kept, and what it says when it cannot go on."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import pytest
import torch

from candling.errors import DiskError, TrainingError
from candling.train import checkpoint, loop
from candling.train.method import Batch, Plan
from candling.train.progress import Silent, Standing
from candling.train.stopping import Stopped

spec = importlib.util.spec_from_file_location("candling_fitting", Path(__file__).with_name("fitting.py"))
fitting = sys.modules["candling_fitting"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fitting)
Tiny, StopAt, run = fitting.Tiny, fitting.StopAt, fitting.run
state, same, rows = fitting.state, fitting.same, fitting.rows


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
