"""The facts of density.py: scikit-learn's log-densities, bandwidths, reductions, the graph's numbers, refusals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity

from candling.errors import TrainingError
from candling.runtime.engine import open_engine
from candling.train.density import (
    Density,
    DensityOptions,
    leave_one_out_bandwidth,
    log_density,
    scott_bandwidth,
)
from candling.train.export import export


def latents(count: int = 300, dimensions: int = 12, seed: int = 0) -> torch.Tensor:
    """Latents of a few directions of very different spread, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0.5, -1, dimensions)
    return 5.0 + torch.randn(count, dimensions, generator=generator) * spread


def fitted(values: torch.Tensor | None = None, **options) -> Density:
    values = latents() if values is None else values
    density = Density(values.shape[1], DensityOptions(**options))
    density.fit(values)
    return density


def sklearn_density(points: torch.Tensor, asked: torch.Tensor, bandwidth: float) -> np.ndarray:
    # one leaf: scikit-learn's tree loses tens of nats far from all points, even with rtol=0
    one_leaf = KernelDensity(bandwidth=bandwidth, leaf_size=len(points))
    return one_leaf.fit(points.double().numpy()).score_samples(asked.double().numpy())


@pytest.mark.parametrize("reduce", ["none", "standard", "principal", "principal_standard"])
@pytest.mark.parametrize("bandwidth", [0.2, 1.5])
def test_it_is_scikit_learn_s(reduce, bandwidth):
    """Near, between and far from what is remembered, the log-density is scikit-learn's within 1e-4 of its size."""
    density = fitted(reduce=reduce, components=5, bandwidth=bandwidth)
    asked = torch.cat((latents()[:20], latents(40, seed=1), latents(5, seed=2) * 3.0))
    expected = sklearn_density(density.reduced(latents()), density.reduced(asked), bandwidth)
    np.testing.assert_allclose(density(asked).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_graph_gives_the_same_with_ten_thousand_latents():
    """Exported, with 10,000 remembered vectors, the engine stays within 1e-4 of scikit-learn."""
    values = latents(10_000, 48)
    density = fitted(values, bandwidth=0.4, reduce="standard")

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.density = density

        def forward(self, image):
            return {"rarity": -self.density(image.flatten(1) * 10.0)}

    images = (latents(8, 48, seed=3) / 10.0).clamp(0, 1).view(8, 1, 6, 8)
    exported = export(Graph().eval(), images)
    asked = density.reduced(images.flatten(1) * 10.0)
    expected = -sklearn_density(density.reduced(values), asked, 0.4)
    with open_engine(exported.graph, engine="onnxruntime") as engine:
        given = engine.run(images.numpy()).scores["rarity"]
    np.testing.assert_allclose(given, expected, rtol=1e-4)


def test_the_published_limit_holds_for_4096_numbers_only():
    """At h = 0.2 the highest log-density is 2828.3 of 4096 numbers, 236.8 of 343, 17323 of 25088."""
    for dimensions, highest in ((4096, 2828.3), (343, 236.8), (25088, 17323)):
        density = Density(dimensions, DensityOptions())
        assert density.highest == pytest.approx(highest, abs=0.5)
        assert float(density(torch.zeros(1, dimensions))) == pytest.approx(density.highest, rel=1e-6)
    alone = 2828.3 - math.log(13338)  # one match among 13,338
    assert alone == pytest.approx(2818.8, abs=0.05)


def test_fewer_latents_than_numbers_are_remarked_on_the_card():
    """One sentence with its remedies says what a density of 8 points in 12 dimensions is; 300 points need none."""
    assert "8 latents are fewer than their 12 numbers" in str(fitted(latents(8)).facts()["density remark"])
    assert "density remark" not in fitted().facts()


def test_scott_s_rule_is_the_textbook_s():
    """For numbers of spread 1 it is n^(-1/(d+4)), as in scikit-learn; it grows with the spread."""
    points = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    points = (points - points.mean(dim=0)) / points.std(dim=0)
    assert scott_bandwidth(points) == pytest.approx(400 ** (-1 / 7), rel=1e-6)
    assert scott_bandwidth(7.0 * points) == pytest.approx(7.0 * 400 ** (-1 / 7), rel=1e-6)


def test_the_leave_one_out_bandwidth_is_the_likeliest():
    """No other bandwidth makes the left-out points clearly likelier, by scikit-learn's own densities."""
    points = latents(40, 4)

    def likelihood(bandwidth: float) -> float:
        values = points.double().numpy()
        left = [
            KernelDensity(bandwidth=bandwidth).fit(np.delete(values, at, 0)).score_samples(values[at : at + 1])[0]
            for at in range(len(values))
        ]
        return float(np.mean(left))

    chosen = leave_one_out_bandwidth(points)
    best = max(likelihood(chosen * factor) for factor in (0.5, 0.8, 1.25, 2.0))
    assert likelihood(chosen) > best - 0.02


def test_directions_without_spread_are_left_out():
    """A latent number that never varies has no standard unit: it is dropped instead of divided by zero."""
    values = torch.cat((latents(), torch.full((300, 2), 3.0)), dim=1)
    density = fitted(values, reduce="standard")
    assert density.points.shape == (300, 12)
    np.testing.assert_allclose(density.points.double().std(dim=0, correction=0).numpy(), 1.0, rtol=1e-5)


def test_what_a_value_depends_on_is_said():
    """The meaning names dimensions, bandwidth and number: a limit of another density has another meaning."""
    meanings = {
        fitted(**options).meaning
        for options in ({}, {"bandwidth": 0.3}, {"reduce": "principal", "components": 5}, {"remember": 100})
    }
    assert len(meanings) == 4
    assert "12 dimensions, bandwidth 0.2, 300 remembered" in fitted().meaning


@pytest.mark.parametrize("reduce", ["standard", "principal_standard"])
def test_what_varies_by_rounding_alone_is_not_blown_up(reduce):
    """A number that varies by a millionth does not come to count like the others: rounding moves no density."""
    generator = torch.Generator().manual_seed(0)
    still = 3.0 + 3e-6 * torch.randn(300, 1, generator=generator)
    values = torch.cat((torch.randn(300, 4, generator=generator), still), dim=1)
    density = fitted(values, reduce=reduce, components=5, bandwidth="scott")
    moved = values[:20] + torch.tensor([0.0, 0.0, 0.0, 0.0, 3e-6])
    torch.testing.assert_close(density(moved), density(values[:20]), rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("count", [30, 300])
def test_principal_directions_are_scikit_learn_s(count):
    """With fewer and with more latents than numbers, coordinates are those of its PCA but for their signs."""
    values = latents(count, 60)
    expected = PCA(5).fit_transform(values.double().numpy())
    for reduce, unit in (("principal", 1.0), ("principal_standard", expected.std(axis=0))):
        reduced = fitted(values, reduce=reduce, components=5).reduced(values).numpy()
        np.testing.assert_allclose(np.abs(reduced), np.abs(expected) / unit, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        (torch.ones(20, 6), {}, "one and the same latent"),
        (1.0 + 1e-7 * latents(20, 6), {}, "one and the same latent"),
        (torch.ones(1, 6), {}, "at least two"),
        (torch.full((20, 6), math.nan), {}, "not all finite"),
        (latents(10, 40), {"reduce": "principal", "components": 16}, "method.density.components.*at most 9"),
        (latents(10, 4).repeat(3, 1), {"bandwidth": "leave_one_out"}, "have a double"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_sentence(values, options, says):
    """Identical images, too few for the directions, doubles, no numbers: each is one sentence with a remedy."""
    with pytest.raises(TrainingError, match=says) as caught:
        fitted(values, **options)
    assert not re.search(r"\.\s", str(caught.value))


def test_many_far_points_do_not_underflow():
    """A latent far from all that is remembered has a very low, finite log-density."""
    far = log_density(torch.full((1, 3), 1e4), torch.zeros(5, 3), 0.2)
    assert float(far) == pytest.approx(-0.5 * 3e8 / 0.04, rel=1e-4)
