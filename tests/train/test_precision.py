"""bfloat16 is taken where it is native, faster and as good, and only there; measuring leaves no trace."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from candling.recipe import parse_recipe
from candling.train import fit as fitting
from candling.train import precision
from candling.train.data import PreparedSet
from candling.train.precision import choose_precision
from candling.train.progress import Silent


class Timed:
    """Takes a set time for an update on the clock it shares, and has a set loss."""

    def __init__(self, clock, seconds, loss):
        self.clock, self.seconds, self.loss = clock, seconds, loss
        self.optimizers = {"network": None}

    def step(self, _batch):
        self.clock.now += self.seconds
        return {"loss": self.loss}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def recipe(choice="auto"):
    return parse_recipe(
        "[story]\nproduct = 'x'\n[prepare]\nchannels = 1\nheight = 8\nwidth = 8\n[method]\nname = 'x'\n"
        f"[training]\nprecision = '{choice}'\nbatch_size = 4\n[limits]\nscores = ['error']\n",
        where="test",
    )


GOOD = PreparedSet(np.zeros((9, 8, 8), np.uint8))


def choose(monkeypatch, *, full, half, native=True, choice="auto"):
    """Measure two pretended methods, each (seconds an update, loss)."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: native)
    clock, turns = Clock(), itertools.cycle([full, half])
    return choose_precision(
        recipe(choice),
        GOOD,
        build=lambda *_: Timed(clock, *next(turns)),
        progress=Silent(),
        accelerator="cpu",
        clock=clock,
    )


def test_faster_and_as_good_is_taken(monkeypatch):
    """Twice as fast with losses that agree is chosen, and the figures are kept."""
    choice = choose(monkeypatch, full=(0.1, 1.0), half=(0.05, 1.01))
    assert choice.chosen == "bfloat16"
    assert (choice.float32_ms, choice.bfloat16_ms) == pytest.approx((100, 50))
    assert choice.loss_difference == pytest.approx(0.01)
    assert choice.updates == precision.ROUNDS


@pytest.mark.parametrize(
    ("half", "why"),
    [((0.1, 1.0), "not faster"), ((0.05, 1.1), "differ"), ((0.05, float("nan")), "differ")],
)
def test_slower_or_worse_is_not(monkeypatch, half, why):
    """No gain, other losses, or a loss that is no number: float32, and the reason says which."""
    choice = choose(monkeypatch, full=(0.1, 1.0), half=half)
    assert choice.chosen == "float32"
    assert why in choice.why


def test_slow_updates_are_measured_briefly(monkeypatch):
    """Where one update takes seconds, two measured ones of each must do."""
    assert choose(monkeypatch, full=(20.0, 1.0), half=(5.0, 1.0)).updates == 2


@pytest.mark.parametrize("choice", ["float32", "bfloat16"])
def test_the_recipe_decides_when_it_says_so(monkeypatch, choice):
    """A recipe that names a precision is followed unmeasured."""
    found = choose(monkeypatch, full=(0.1, 1.0), half=(0.01, 9.0), choice=choice)
    assert (found.chosen, found.updates) == (choice, None)


def test_emulated_bfloat16_is_not_considered(monkeypatch):
    """Without native bfloat16 nothing is measured."""
    found = choose(monkeypatch, full=(0.1, 1.0), half=(0.01, 1.0), native=False)
    assert (found.chosen, found.updates) == ("float32", None)


def test_nothing_is_measured_where_nothing_is_updated(monkeypatch):
    """A method without optimisers makes no update to be measured; it stays with float32."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    alone = SimpleNamespace(optimizers={}, step=lambda _: pytest.fail("updated"))
    found = choose_precision(recipe(), GOOD, build=lambda *_: alone, progress=Silent(), accelerator="cpu")
    assert (found.chosen, found.why, found.updates) == ("float32", "there is nothing to update", None)


def test_several_processes_follow_a_rule(monkeypatch):
    """Ranks that measured differently would wait for each other: a rule decides instead."""
    monkeypatch.setattr(precision, "world_size", lambda: 2)
    found = choose(monkeypatch, full=(0.1, 1.0), half=(0.01, 1.0))
    assert (found.chosen, found.updates) == ("float32", None)


def test_processors_tell_what_they_have():
    """The answer is the processor's own, and false for devices that nobody asked."""
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))
    assert precision.has_bfloat16(torch.device("cpu")) is native
    assert precision.has_bfloat16(torch.device("meta")) is False


CAPSULE_LIKE = (
    "[story]\nproduct = 'x'\n[prepare]\nchannels = 1\nheight = 32\nwidth = 32\n[method]\nname = 'autoencoder'\n"
    "widths = [4, 8]\n[training]\nprecision = '{}'\nepochs = 2\nbatch_size = 4\n[limits]\nscores = ['x']\n"
)


def test_measuring_leaves_no_trace(tmp_path, monkeypatch):
    """A training that measured first ends with the bits of one that was told its precision."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(precision, "FASTER", 1e9)
    good = PreparedSet(np.random.default_rng(0).integers(0, 256, (9, 32, 32), dtype=np.uint8))
    weights = []
    for choice in ("auto", "float32"):
        work = tmp_path / choice
        work.mkdir()
        chosen = parse_recipe(CAPSULE_LIKE.format(choice), where="test")
        fitted = fitting.fit(chosen, good, good, work=work, data="d", accelerator="cpu")
        assert fitted.precision.chosen == "float32"
        assert (fitted.precision.updates is None) == (choice == "float32")
        weights.append(fitting.checkpoint.network_weights(fitted.method))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_the_choice_is_not_made_twice(tmp_path, monkeypatch):
    """A resumed training goes on in the precision it began in, without measuring."""
    good = PreparedSet(np.random.default_rng(0).integers(0, 256, (9, 32, 32), dtype=np.uint8))
    chosen = parse_recipe(CAPSULE_LIKE.format("auto"), where="test")
    first = fitting.fit(chosen, good, good, work=tmp_path, data="d", accelerator="cpu")
    monkeypatch.setattr(fitting, "choose_precision", lambda *_, **__: pytest.fail("measured again"))
    assert fitting.fit(chosen, good, good, work=tmp_path, data="d", accelerator="cpu").precision == first.precision
