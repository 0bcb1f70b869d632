"""The facts of methods/adversarial_autoencoder.py: the prior, the opponent, refinement, and the plain comparison."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch.distributions import Normal

from candling.recipe import Training
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.adversarial_autoencoder import prior_rarity
from candling.train.progress import Silent

SHAPE = (1, 16, 16)
SMALL = {"hidden": 64, "score": {"names": ["mean_squared_error", "map_peak"]}}


def batch(seed: int = 0, count: int = 64) -> Batch:
    """Images of two brightnesses each: two numbers describe them."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    left, right = 0.2 + 0.6 * torch.rand((2, count, 1, 1, 1), generator=generator)
    columns = torch.linspace(0, 1, SHAPE[2]).expand(count, *SHAPE)
    return Batch(left * (1 - columns) + right * columns, torch.arange(count), generator)


def build(*, epochs: int = 10, **options):
    torch.manual_seed(0)
    plan = Plan(SHAPE, Training(learning_rate=2e-3, epochs=epochs), Fabric(accelerator="cpu", devices=1))
    method = build_method("adversarial_autoencoder", {**SMALL, **options}, plan)
    method.begin([batch()], [], Silent())
    return method


def latents(method) -> torch.Tensor:
    with torch.no_grad():
        return method._network.eval().latent(batch().images)


def test_rarity_is_minus_the_log_of_the_prior():
    """It is that of independent N(0, 1), in nats."""
    some = torch.randn(7, 5)
    torch.testing.assert_close(prior_rarity(some), -Normal(0.0, 1.0).log_prob(some).sum(dim=1))


def test_the_opponent_pulls_the_latents_to_the_prior():
    """With the opponent the latents come to spread about 1 around 0; without one they go where they like."""
    method, plain = build(), build(adversarial=False)
    for step in range(200):
        for each in (method, plain):
            each.step(batch(step))
    pulled = latents(method)
    assert float(pulled.mean(dim=0).abs().max()) < 1.2
    assert 0.3 < float(pulled.std(dim=0).mean()) < 1.7
    off = (pulled.std(dim=0) - 1).abs().mean()
    assert float(off) < float((latents(plain).std(dim=0) - 1).abs().mean())


def test_both_opponents_learn():
    """An update moves encoder, decoder and discriminator; without a prior there is no discriminator."""
    method = build()
    before = {name: [weight.clone() for weight in net.parameters()] for name, net in method.networks.items()}
    losses = method.step(batch())
    assert {"loss", "discriminator", "deceit"} <= losses.keys()
    for name in ("network", "discriminator"):
        moved = zip(before[name], method.networks[name].parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in moved), name
    assert "discriminator" not in build(adversarial=False).networks


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_refinement_rejects_outsiders(network):
    """Strange images among the good ones are among the first to lie outside; the card counts them."""
    good = batch(count=60)
    good.images[-3:] = (torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    method = build(network=network, widths=(8, 8), latent=8, refine={"rounds": 3, "outside": 0.05}, epochs=40)
    method.begin([good], [], Silent())
    for _ in range(40):
        method.step(good)
    assert len(method.rejected()) == 9
    assert len({57, 58, 59} & set(method.rejected().tolist())) >= 2
    assert method.choices()["refinement rejected"] == 9


def test_images_that_do_not_count_do_not_teach():
    """With the weight of all but one image at 0, the gradient is that one image's."""
    method, alone = build(adversarial=False, hidden=8), build(adversarial=False, hidden=8)
    method._refining.weights.zero_()
    method._refining.weights[5] = 1.0
    given = batch()
    errors = (method._network(given.images)[0] - given.images).square().mean(dim=(1, 2, 3))
    expected = errors[5].detach() / len(errors)
    assert method.step(given)["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert alone.step(given)["loss"] != pytest.approx(float(expected), rel=1e-2)
