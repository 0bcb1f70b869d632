"""A training that is killed, stopped or given more time ends with the very bits of one that was left alone."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from candling.errors import TrainingError
from candling.train import checkpoint, method
from candling.train.devices import open_fabric
from candling.train.method import Batch, Plan
from candling.train.progress import Silent, Standing
from candling.train.stopping import Stopped

spec = importlib.util.spec_from_file_location("candling_fitting", Path(__file__).with_name("fitting.py"))
fitting = sys.modules["candling_fitting"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fitting)
Tiny, StopAt, recipe, run = fitting.Tiny, fitting.StopAt, fitting.recipe, fitting.run
state, same, rows = fitting.state, fitting.same, fitting.rows


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


class Beginning(Tiny):
    """Looks at the good images first and adds what it saw to its loss; what it saw is no part of its networks."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.seen: list[list[int]] = []
        self.bright = 0.0

    def begin(self, good, held_out, progress) -> None:
        assert not self.rates, "it began after an update"
        progress.stage("looking at the good images")
        for some in (good, held_out):
            walks = [torch.cat([batch.indices for batch in some]).tolist() for _ in range(2)]
            assert walks[0] == walks[1], "a second walk shows other images"
            self.seen.append(walks[0])
        self.bright = float(torch.cat([batch.images for batch in good]).mean())

    def choices(self):
        return {"brightness": self.bright}

    def step(self, batch: Batch):
        assert self.bright > 0.0, "an update came first"
        losses = super().step(replace(batch, images=batch.images * self.bright))
        return {"loss": losses["loss"] + self.bright}


def beginning(name, options, plan):
    return Beginning(plan)


def test_a_method_may_begin_by_looking(tmp_path):
    """Before the first update it sees every good and every held-out image, in order, as often as it likes."""
    fitted = run(tmp_path, build=beginning, epochs=1)
    assert fitted.method.seen == [list(range(21)), list(range(5))]
    assert fitted.method.finished == list(range(21))


class Sampling(Tiny):
    """Finishes on as many images as moments need."""

    def finish(self, batches) -> None:
        some = method.for_moments(batches)
        super().finish(some)
        self.again = torch.cat([batch.indices for batch in some]).tolist()


def test_a_method_may_finish_on_some_of_the_images(tmp_path, monkeypatch):
    """They are no more than was asked for, from the whole set, and the same at every walk."""
    monkeypatch.setattr(method, "MOMENTS_OF", 9)
    sampled = run(tmp_path, build=lambda name, options, plan: Sampling(plan), epochs=1).method
    finished = sampled.finished
    assert sampled.again == finished
    assert len(finished) == len(set(finished)) == 9
    assert max(finished) > 9


def test_a_resumed_training_looks_again(tmp_path):
    """What was seen before the first update lies in no checkpoint: it is looked at anew, and the bits are the same."""
    undisturbed = run(tmp_path / "whole", build=beginning, keep="last")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", build=beginning, keep="last", progress=StopAt(5))
    watcher = StopAt(-1)
    resumed = run(tmp_path / "parts", build=beginning, keep="last", progress=watcher)
    assert "looking at the good images" in watcher.heard
    assert same(state(undisturbed), state(resumed))
    assert rows(undisturbed) == rows(resumed)


class Looking(Beginning):
    """Is complete once it has begun."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.networks, self.optimizers = {}, {}

    def step(self, batch: Batch):
        raise TrainingError("no update was announced")

    validate = step


def test_without_optimisers_no_update_is_made(tmp_path):
    """A method that learned all before its first update is finished then; nothing is stored that could be resumed."""
    fitted = run(tmp_path, build=lambda name, options, plan: Looking(plan))
    assert (fitted.steps, fitted.epochs, fitted.kept_loss) == (0, 0, None)
    assert fitted.ended == "nothing to update"
    assert fitted.method.finished == list(range(21))
    assert not (tmp_path / checkpoint.NAME).exists()
    assert not fitted.curves.exists()
