"""What every method keeps, whatever it learns: one test for each promise, run for each file of ``train/methods/``.

A method that appears in that folder is tested here without a line of its own.
"""

from __future__ import annotations

import copy
import importlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import BaseModel

from candling.errors import MissingExtraError, RecipeError, TrainingError
from candling.recipe import Training
from candling.train.export import export
from candling.train.method import Batch, Begins, Method, Plan, Remembers, build_method, method_names, method_summary
from candling.train.progress import Silent

SHAPE = (1, 64, 96)
COUNT = 6
RESERVED = {"anomaly_map", "reconstruction", "nearest", "cells", "density", "boxes", "labels", "confidences"}
WHOLE = {"nearest", "labels"}
"""Outputs of whole numbers."""

pytestmark = pytest.mark.parametrize("name", method_names())


def build(name: str, *, seed: int = 0, shape: tuple[int, int, int] = SHAPE, precision: str = "32-true") -> Method:
    """Build a method, and let one that begins by looking at the good images look, as the loop does."""
    torch.manual_seed(seed)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    try:
        method = build_method(name, {}, Plan(shape, Training(learning_rate=1e-3, weight_decay=1e-5), fabric))
    except MissingExtraError as error:
        pytest.skip(str(error))
    if isinstance(method, Begins):
        generator = torch.Generator().manual_seed(98)
        held_out = Batch(
            good_images(4, shape, seed=11), torch.arange(4), generator, masks=marks(4, shape), boxes=boxes(4)
        )
        method.begin([batch(99, shape)], [held_out], Silent())
    return method


def good_images(count: int = COUNT, shape: tuple[int, int, int] = SHAPE, seed: int = 7) -> torch.Tensor:
    """Bright discs on a dark ground, a little different each: something that can be learnt."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(-1, 1, shape[1]).view(1, 1, -1, 1)
    columns = torch.linspace(-1.5, 1.5, shape[2]).view(1, 1, 1, -1)
    moves = 0.1 * torch.rand((2, count, 1, 1, 1), generator=generator)
    disc = torch.sigmoid(12 * (0.7 - (rows - moves[0]) ** 2 - (columns - moves[1]) ** 2))
    noise = 0.02 * torch.randn((count, *shape), generator=generator)
    return (0.2 + 0.6 * disc + noise).clamp(0, 1)


def marks(count: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Call the middle of every second image a defect, for methods that learn that."""
    masks = torch.zeros((count, *shape[1:]), dtype=torch.bool)
    masks[::2, 12:52, 30:70] = True
    return masks


def boxes(count: int) -> torch.Tensor:
    """Box the same, for methods that learn that; the other images have none."""
    found = torch.tensor([0.0, 0.0, 0.0, 0.0, -1.0]).repeat(count, 1, 1)
    found[::2, 0] = torch.tensor([30.0, 12.0, 70.0, 52.0, 0.0])
    return found


def batch(step: int = 0, shape: tuple[int, int, int] = SHAPE) -> Batch:
    """A batch as the loop makes it: generator and global generator seeded by the step."""
    torch.manual_seed(1000 + step)
    generator = torch.Generator().manual_seed(2000 + step)
    return Batch(
        good_images(shape=shape), torch.arange(COUNT), generator, masks=marks(COUNT, shape), boxes=boxes(COUNT)
    )


def updates(method: Method, steps: range, shape: tuple[int, int, int] = SHAPE) -> list[dict[str, float]]:
    """Make updates and give their losses; a method without optimisers is complete once it has begun."""
    return [dict(method.step(batch(step, shape))) for step in steps] if method.optimizers else []


def trained(name: str, steps: int = 2, **options) -> tuple[Method, list[dict[str, float]]]:
    method = build(name, **options)
    shape = options.get("shape", SHAPE)
    losses = updates(method, range(steps), shape)
    method.finish([batch(99, shape)])
    return method, losses


def outputs(method: Method, images: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return method.graph()(images)


def state(method: Method) -> dict[str, torch.Tensor]:
    """Every tensor of the networks, copied."""
    return {
        f"{name}.{key}": value.clone()
        for name, network in method.networks.items()
        for key, value in network.state_dict().items()
    }


def test_it_says_what_it_is(name):
    """The file's first docstring line is one sentence, and its options are a pydantic model that takes no other key."""
    assert method_summary(name).endswith(".")
    options = importlib.import_module(f"candling.train.methods.{name}").Options
    assert issubclass(options, BaseModel)
    with pytest.raises(RecipeError, match=r"method\.widhts"):
        build_method(name, {"widhts": [1]}, SimpleNamespace())


def test_its_options_have_defaults_and_are_frozen(name):
    """A recipe may name a method and nothing else, and options do not change once chosen."""
    module = importlib.import_module(f"candling.train.methods.{name}")
    options = module.Options()
    assert options.model_config.get("frozen")
    assert options.model_config.get("extra") == "forbid"


def test_steps_give_finite_losses_and_learn(name):
    """Every update names the same finite losses, "loss" among them, and the networks change; or there are none."""
    method = build(name)
    if not method.optimizers:
        assert isinstance(method, Begins), "it learns neither before an update nor in one"
        assert not method.networks
        for refused in (method.step, method.validate):
            with pytest.raises(TrainingError, match=name):
                refused(batch(0))
        return
    before = state(method)
    losses = [dict(method.step(batch(step))) for step in range(2)]
    for named in losses:
        assert "loss" in named
        assert named.keys() == losses[0].keys()
        assert all(isinstance(value, float) and math.isfinite(value) for value in named.values()), named
        assert all(value >= 0.0 for value in named.values()), named
    after = state(method)
    assert after.keys() == before.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_validation_changes_nothing(name):
    """Validation names the losses of an update, leaves every network and optimiser as it was, and repeats."""
    method = build(name)
    if not method.optimizers:
        return
    losses = method.step(batch(0))
    before, optimizers = state(method), repr([o.state_dict() for o in method.optimizers.values()])
    first, second = dict(method.validate(batch(1))), dict(method.validate(batch(1)))
    assert first.keys() == losses.keys()
    assert all(math.isfinite(value) for value in first.values())
    assert first == second
    after = state(method)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert repr([o.state_dict() for o in method.optimizers.values()]) == optimizers


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_keeps_the_contract(name, count):
    """The graph's outputs have the names, shapes and types of the graph contract, for one image and for three."""
    method, _ = trained(name)
    out = outputs(method, good_images(count, seed=3))
    shapes = {"anomaly_map": (count, *SHAPE[1:]), "reconstruction": (count, *SHAPE)}
    scores = out.keys() - RESERVED
    assert scores, "a graph without a score cannot be judged"
    for key, value in out.items():
        assert value.dtype == (torch.int64 if key in WHOLE else torch.float32), key
        assert torch.isfinite(value).all(), key
        assert value.device.type == "cpu", key
        if key in scores:
            assert value.shape == (count,), key
        elif key in shapes:
            assert value.shape == shapes[key], key
    if "reconstruction" in out:
        assert out["reconstruction"].min() >= 0.0
        assert out["reconstruction"].max() <= 1.0


def test_what_it_remembers_can_be_shown(name):
    """Where the graph names the nearest remembered cells, the method gives their pictures, at the prepared size."""
    method, _ = trained(name)
    out = outputs(method, good_images(3, seed=3))
    pictures = method.references() if isinstance(method, Remembers) else None
    if "nearest" not in out:
        assert pictures is None
        return
    cells = out["nearest"]
    assert pictures is not None
    assert pictures.dtype == np.uint8
    assert pictures.shape[1:3] == SHAPE[1:]
    assert (len(cells), cells.ndim) == (3, 3)
    assert cells.min() >= -1
    assert (cells // cells[0].numel()).max() < len(pictures)


def test_the_graph_is_a_plain_network_of_its_own(name):
    """graph() is in evaluation mode, float32, and a copy: training on does not change it."""
    method, _ = trained(name)
    graph = method.graph()
    assert isinstance(graph, torch.nn.Module)
    assert not any(module.training for module in graph.modules())
    assert not any("Fabric" in type(module).__name__ for module in graph.modules())
    tensors = [*graph.parameters(), *graph.buffers()]
    assert all(tensor.dtype == torch.float32 for tensor in tensors if tensor.is_floating_point())
    images = good_images(2, seed=3)
    with torch.no_grad():
        before = graph(images)
    updates(method, range(5, 6))
    with torch.no_grad():
        after = graph(images)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_image_is_scored_alike_in_any_company(name):
    """The scores of an image do not depend on the other images of its batch."""
    method, _ = trained(name)
    images = good_images(3, seed=3)
    together, alone = outputs(method, images), outputs(method, images[1:2])
    for key, value in alone.items():
        if key == "nearest":  # of two cells as near either may win
            continue
        torch.testing.assert_close(together[key][1:2], value, atol=1e-5, rtol=1e-4, msg=key)


def test_training_repeats_for_a_seed(name):
    """The same seeds give the same losses and the same graph, number by number."""
    (first, losses), (second, again) = trained(name), trained(name)
    assert losses == again
    one, two = (outputs(method, good_images(2, seed=3)) for method in (first, second))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_it_decided_can_be_told(name):
    """What a method decided from the good images are lines of a card: words and finite numbers, and they repeat."""
    method = build(name)
    if not isinstance(method, Begins):
        return
    facts = dict(method.choices())
    assert facts
    for key, value in facts.items():
        assert isinstance(key, str)
        assert isinstance(value, str | int) or math.isfinite(value), key
    assert dict(build(name, seed=1).choices()) == facts


def test_its_state_is_all_in_its_networks_and_optimizers(name):
    """A method built anew and given the state of another goes on as that one would: training can be resumed exactly.

    What it learned before its first update it learns again.
    """
    method = build(name)
    updates(method, range(2))
    resumed = build(name, seed=1)
    for key, network in method.networks.items():
        resumed.networks[key].load_state_dict(copy.deepcopy(network.state_dict()))
    for key, optimizer in method.optimizers.items():
        resumed.optimizers[key].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert updates(method, range(2, 4)) == updates(resumed, range(2, 4))
    if method.optimizers:
        assert method.validate(batch(9)) == resumed.validate(batch(9))
    for each in (method, resumed):
        each.finish([batch(99)])
    one, two = (outputs(each, good_images(2, seed=3)) for each in (method, resumed))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_half_precision_training_ends_in_a_float32_graph(name):
    """Trained under bfloat16 autocast, losses stay finite and the graph is float32 all the same."""
    method, losses = trained(name, precision="bf16-mixed")
    assert all(math.isfinite(value) for named in losses for value in named.values())
    given = outputs(method, good_images(2))
    assert all(value.dtype == torch.float32 for key, value in given.items() if key not in WHOLE)


def test_colour_works_as_grey_does(name):
    """Three channels need no other option."""
    shape = (3, *SHAPE[1:])
    method, losses = trained(name, shape=shape)
    assert all(math.isfinite(named["loss"]) for named in losses)
    out = outputs(method, good_images(2, shape))
    if isinstance(method, Remembers) and (pictures := method.references()) is not None:
        assert pictures.shape[1:] == (*SHAPE[1:], 3)
    assert all(torch.isfinite(value).all() for value in out.values())


def test_the_exported_graph_gives_the_same_numbers(name):
    """The graph exports, keeps the contract in every engine, and equals the network for one image, three and eight."""
    method, _ = trained(name)
    exported = export(method.graph(), good_images(8, seed=3))
    compared = {output for _, output in exported.parity.differences}
    assert compared == outputs(method, good_images(1)).keys() - {"nearest"}
