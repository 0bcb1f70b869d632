"""The facts of methods/autoencoder.py: its defaults are the published system, and each option does what it says."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from candling.errors import RecipeError
from candling.recipe import Training
from candling.train.blocks import Dropout
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.autoencoder import Network, Options

SHAPE = (1, 32, 48)
SMALL = {"widths": [4, 8, 8], "score": {"window_px": 5}}


def plan(shape=SHAPE, **training) -> Plan:
    torch.manual_seed(0)
    return Plan(shape, Training(**training), Fabric(accelerator="cpu", devices=1, precision="32-true"))


def batch(count: int = 4, shape=SHAPE, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 + 0.4 * torch.rand((count, shape[0], 1, 1), generator=generator) * torch.ones(shape)
    return Batch(images, torch.arange(count), generator)


def layers(network: nn.Module, kind: type) -> list:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def test_the_defaults_are_the_published_network():
    """1-32-64-128 by convolutions of stride 2, norm and dropout after each, mirrored, no norm last: 0.19 M weights."""
    network = Network((1, 512, 512), Options())
    down, up = layers(network, nn.Conv2d), layers(network, nn.ConvTranspose2d)
    assert [(c.in_channels, c.out_channels, c.stride) for c in down] == [
        (1, 32, (2, 2)),
        (32, 64, (2, 2)),
        (64, 128, (2, 2)),
    ]
    assert [(c.in_channels, c.out_channels, c.stride) for c in up] == [
        (128, 64, (2, 2)),
        (64, 32, (2, 2)),
        (32, 1, (2, 2)),
    ]
    assert len(layers(network, nn.BatchNorm2d)) == 5
    assert len(layers(network, Dropout)) == 3
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert weights == pytest.approx(0.19e6, rel=0.03)


def test_the_published_network_is_wider_inside_than_its_image():
    """Without a bottleneck the code has twice as many numbers as the image has pixels; "dense" has as many as asked."""
    network = Network((1, 64, 64), Options())
    code = network.stages[0](torch.zeros(1, 1, 64, 64))
    assert code.numel() == 2 * 64 * 64
    dense = Network((1, 64, 64), Options(bottleneck="dense", latent=7))
    assert [layer.out_features for layer in layers(dense, nn.Linear)] == [7, 128 * 8 * 8]


def test_the_optimiser_is_adam_with_the_recipe_s_rate_and_decay():
    """Adam carries the learning rate and the L2 weight decay of ``[training]``."""
    method = build_method("autoencoder", SMALL, plan(learning_rate=3e-4, weight_decay=2e-5))
    (group,) = method.optimizers["network"].param_groups
    assert isinstance(method.optimizers["network"], torch.optim.Adam)
    assert (group["lr"], group["weight_decay"]) == (3e-4, 2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"downsample": "max_pool"},
        {"kernel": 4},
        {"kernel": 5, "downsample": "max_pool"},
        {"bottleneck": "narrow", "latent": 3},
        {"bottleneck": "dense", "latent": 3},
        {"loss": "ssim"},
        {"loss": "mixed"},
        {"recursion": 3},
        {"dropout": 0.0},
        {"spoil": {"probability": 1.0, "kinds": ["perlin", "texture", "cutpaste", "scratch", "spot", "fill"]}},
        {"augment": {"flip_left_right": 0.5, "flip_up_down": 0.5, "shift_px": 2, "brightness": 0.1}},
        {"score": {"map": "mixed", "normalise": True, "smooth_px": 1.5, "window_px": 5, "names": ["map_peak"]}},
    ],
    ids=str,
)
def test_every_option_learns(options):
    """With each option, training on one batch lowers its loss, and the graph gives finite outputs."""
    method = build_method("autoencoder", {**SMALL, "dropout": 0.0, **options}, plan(learning_rate=5e-3))
    losses = [method.step(batch())["loss"] for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    method.finish([batch()])
    with torch.no_grad():
        out = method.graph()(batch().images)
    assert all(torch.isfinite(value).all() for value in out.values())


def test_the_graph_redraws_as_often_as_the_recipe_says():
    """With recursion 3 the exported reconstruction is the third redrawing; each is the network applied once."""
    method = build_method("autoencoder", {**SMALL, "recursion": 3}, plan())
    image = batch().images
    with torch.no_grad():
        graph = method.graph()
        once = image
        for _ in range(3):
            once = graph.redraw(once, 1)
        torch.testing.assert_close(graph(image)["reconstruction"], once)


def test_training_draws_its_depth_of_recursion():
    """While training, each update applies the network 1 to N times, from the batch's generator."""
    method = build_method("autoencoder", {**SMALL, "recursion": 3}, plan())
    depths = []
    wrapped = method.networks["network"]
    wrapped.register_forward_pre_hook(lambda _, arguments: depths.append(arguments[1]))
    for seed in range(20):
        method.step(batch(seed=seed))
    assert set(depths) == {1, 2, 3}


def test_a_spoiled_image_is_restored_to_the_clean_one():
    """The loss compares with the clean image: an identity network would pay for every spoiled pixel."""
    options = {**SMALL, "spoil": {"probability": 1.0, "kinds": ["cutpaste"]}}
    method = build_method("autoencoder", options, plan())
    seen = []
    method.networks["network"].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].clone()))
    given = batch()
    method.step(given)
    assert not torch.equal(seen[0], given.images)


def test_the_map_s_normalisation_travels_in_the_graph():
    """finish() learns the usual map of the good images, and the graph holds it."""
    options = {**SMALL, "score": {"normalise": True, "window_px": 5, "names": ["map_mean"]}}
    method = build_method("autoencoder", options, plan())
    method.step(batch())
    torch.manual_seed(0)
    method.finish([batch(8, seed=1), batch(8, seed=2)])
    graph = method.graph()
    assert not torch.equal(graph.scorer.sharpness, torch.ones(SHAPE[1:]))
    with torch.no_grad():
        assert graph(batch(8, seed=1).images)["map_mean"].abs().mean() < 2.0


def test_a_size_the_stages_cannot_halve_is_refused():
    """500 columns cannot be halved three times; the message says what to set."""
    with pytest.raises(RecipeError, match=r"prepare\.width.*multiple of 8; set it to 496 or 504"):
        build_method("autoencoder", {}, plan((1, 512, 500)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": []}, r"method\.widths"),
        ({"widths": [0]}, r"method\.widths"),
        ({"kernel": 4, "downsample": "max_pool"}, "odd kernel"),
        ({"score": {"mao": "mixed"}}, r"method\.score\.mao: unknown key; did you mean 'map'"),
        ({"spoil": {"kinds": ["perlon"]}}, r"method\.spoil\.kinds"),
        ({"loss": "mean"}, r"method\.loss"),
    ],
    ids=str,
)
def test_impossible_options_are_refused_with_their_key(options, message):
    """A wrong option is named by its path in the recipe."""
    with pytest.raises(RecipeError, match=message):
        build_method("autoencoder", options, plan())
