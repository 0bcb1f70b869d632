"""The facts of methods/density_autoencoder.py: its two criteria, the double pass, the density's data, refinement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from sklearn.neighbors import KernelDensity

from candling.errors import TrainingError
from candling.recipe import Training
from candling.train.method import Batch, Plan, build_method
from candling.train.progress import Silent

SHAPE = (1, 16, 16)
SMALL = {"divisor": 8, "score": {"names": ["mean_squared_error", "map_peak"]}}


def images(count: int = 24, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + 0.5 * torch.rand((count, 1, 1, 1), generator=generator) * torch.ones(SHAPE)


def batch(seed: int = 0, count: int = 24) -> Batch:
    return Batch(images(count, seed), torch.arange(count), torch.Generator().manual_seed(seed))


def trained(*, steps: int = 4, epochs: int = 10, good: Batch | None = None, **options):
    torch.manual_seed(0)
    plan = Plan(SHAPE, Training(learning_rate=5e-3, epochs=epochs), Fabric(accelerator="cpu", devices=1))
    method = build_method("density_autoencoder", {**SMALL, **options}, plan)
    good = batch() if good is None else good
    method.begin([good], [], Silent())
    for _ in range(steps):
        method.step(good)
    method.finish([good])
    return method


def outputs(method, given: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return method.graph()(given)


def test_rarity_is_minus_the_density_of_the_training_latents():
    """The graph's rarity is scikit-learn's, with the density fitted on training images, never on those it scores."""
    method = trained()
    network = method._network.eval()
    with torch.no_grad():
        points, asked = (network.latent(images(seed=seed)).double().numpy() for seed in (0, 5))
    expected = -KernelDensity(bandwidth=0.2, leaf_size=99).fit(points).score_samples(asked)
    np.testing.assert_allclose(outputs(method, images(seed=5))["rarity"].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_double_pass_compares_the_image_with_what_is_redrawn_twice():
    """The error is MSE(x, G(G(x))); single, it is MSE(x, G(x)); the reconstruction shown is G(x) in both."""
    single, double = trained(), trained(double_pass=True)
    given = images(seed=3)
    network = single._network.eval()
    with torch.no_grad():
        once = network(given)
        twice = network(once)
    for method, compared in ((single, once), (double, twice)):
        out = outputs(method, given)
        expected = (given - compared).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(out["mean_squared_error"], expected, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(out["reconstruction"], once, rtol=1e-4, atol=1e-5)


def test_what_the_density_became_stands_on_the_card():
    """Dimensions, bandwidth and number are facts and the meaning of the score."""
    method = trained(density={"bandwidth": 0.3})
    numbers = method._density.points.shape
    assert method.choices()["density bandwidth"] == 0.3
    assert method.choices()["density dimensions"] == numbers[1]
    assert method.notes()["rarity"].endswith(f"in {numbers[1]} dimensions, bandwidth 0.3, 24 remembered latents")


def test_the_vgg16_network_is_a_choice():
    """With its widths divided it trains and gives the same outputs."""
    torch.manual_seed(0)
    plan = Plan((3, 32, 32), Training(), Fabric(accelerator="cpu", devices=1))
    options = {"network": "vgg16", "divisor": 32, "norm": True, "density": {"bandwidth": "scott"}}
    method = build_method("density_autoencoder", options, plan)
    given = Batch(torch.rand(6, 3, 32, 32), torch.arange(6), torch.Generator())
    method.begin([given], [], Silent())
    assert np.isfinite(method.step(given)["loss"])
    method.finish([given])
    assert method._density.points.shape == (6, 7)
    assert torch.isfinite(outputs(method, given.images)["rarity"]).all()


def test_refinement_leaves_outsiders_out_of_the_density():
    """Rejected images neither teach nor are remembered; the method numbers them."""
    good = batch(count=40)
    strange = good.images.clone()
    strange[-1:] = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(1)).round()
    good = Batch(strange, good.indices, good.generator)
    method = trained(steps=10, good=good, refine={"rounds": 2, "outside": 0.05})
    assert len(method.rejected()) == 4
    assert 39 in method.rejected()
    assert len(method._density.points) == 36
    assert method.choices()["refinement rejected"] == 4


def test_identical_images_are_refused():
    """Images without a difference have one latent and no density: one sentence."""
    same = Batch(torch.full((8, *SHAPE), 0.5), torch.arange(8), torch.Generator())
    with pytest.raises(TrainingError, match="one and the same latent"):
        trained(good=same)


def test_fewer_images_than_directions_are_refused():
    """Twenty-four images do not span 32 principal directions: one sentence with the key."""
    with pytest.raises(TrainingError, match=r"method\.density\.components.*at most"):
        trained(density={"reduce": "principal", "components": 32})
