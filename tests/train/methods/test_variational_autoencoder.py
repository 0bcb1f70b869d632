"""The facts of methods/variational_autoencoder.py: the divergence, its warm-up, and the rarity of an image."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch.distributions import Normal, kl_divergence

from candling.recipe import Training
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.variational_autoencoder import Network, Options

SHAPE = (1, 32, 48)
SMALL = {"widths": [4, 8, 8], "latent": 5, "score": {"window_px": 5}}


def build(**options):
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return build_method(
        "variational_autoencoder", {**SMALL, **options}, Plan(SHAPE, Training(learning_rate=5e-3), fabric)
    )


def batch(seed: int = 0, count: int = 8) -> Batch:
    """Images of one brightness each: a single number describes them."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 + 0.4 * torch.rand((count, 1, 1, 1), generator=generator) * torch.ones(SHAPE)
    return Batch(images, torch.arange(count), generator)


@pytest.mark.parametrize("layout", ["dense", "spatial"])
def test_the_divergence_is_that_of_normal_distributions(layout):
    """The second output is the KL divergence of N(mean, deviation) from N(0, 1), summed over each image's latent."""
    torch.manual_seed(0)
    network = Network(SHAPE, Options.model_validate({**SMALL, "layout": layout})).eval()
    images = torch.rand(3, *SHAPE)
    with torch.no_grad():
        mean, log_variance = network.describe(network.encoder(images)).chunk(2, dim=1)
        expected = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0)).flatten(1).sum(dim=1)
        reconstruction, divergence = network(images)
    assert mean.shape[1:] == network.latent_shape
    assert reconstruction.shape == images.shape
    torch.testing.assert_close(divergence, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["dense", "spatial"])
def test_it_learns_in_both_layouts(layout):
    """Training lowers the loss of one batch, with a latent for the image and with one for each position."""
    method = build(layout=layout, warm_up_steps=5)
    losses = [method.step(batch())["loss"] for _ in range(40)]
    assert losses[-1] < 0.5 * losses[1]


def test_the_weight_of_the_divergence_warms_up():
    """At update k of n the weight is beta k / n, then beta; validation always takes beta."""
    method = build(beta=0.5, warm_up_steps=4)
    pixels = SHAPE[1] * SHAPE[2]
    weights = []
    for _ in range(6):
        losses = method.step(batch())
        weights.append((losses["loss"] - losses["mean_squared_error"]) * pixels / losses["divergence"])
    assert weights == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5], rel=2e-2)
    losses = build(beta=0.5, warm_up_steps=4).validate(batch())
    weight = (losses["loss"] - losses["mean_squared_error"]) * pixels / losses["divergence"]
    assert weight == pytest.approx(0.5, rel=2e-2)


def test_the_latent_is_drawn_from_the_batch_s_generator_only():
    """The same generator repeats the update, another changes it, whatever the global generator does."""
    losses = []
    for seed in (3, 3, 4):
        method, given = build(), batch()
        torch.manual_seed(len(losses))
        losses.append(method.step(Batch(given.images, given.indices, torch.Generator().manual_seed(seed)))["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_a_strong_divergence_silences_the_latent():
    """With a huge beta the latent of every image becomes the prior: rarity falls towards 0."""
    loud, silent = build(beta=0.0, warm_up_steps=0), build(beta=1e4, warm_up_steps=0)
    for step in range(60):
        loud.step(batch(step))
        silent.step(batch(step))
    with torch.no_grad():
        rarity = {
            name: method.graph()(batch().images)["rarity"].mean() for name, method in (("l", loud), ("s", silent))
        }
    assert rarity["s"] < 0.1
    assert rarity["l"] > 10 * rarity["s"]


def test_what_was_never_seen_is_rarer():
    """After training on flat images, a chequerboard's latent lies farther from the prior than a flat image's."""
    method = build(beta=0.05, warm_up_steps=10)
    for step in range(150):
        method.step(batch(step))
    rows, columns = torch.arange(SHAPE[1])[:, None], torch.arange(SHAPE[2])
    board = ((rows // 8 + columns // 8) % 2).float().expand(1, 1, -1, -1)
    with torch.no_grad():
        graph = method.graph()
        assert graph(board)["rarity"].item() > graph(batch(7).images)["rarity"].max().item()
