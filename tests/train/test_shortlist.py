"""The facts of shortlist.py: the near ones are found, a list is as long as it must be, or there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import idct
from sklearn.neighbors import KernelDensity

from candling.runtime.engine import open_engine
from candling.train.density import Density, DensityOptions
from candling.train.export import export
from candling.train.shortlist import DIRECTIONS, TOLERATED, Shortlist, shortlist_for

DIMENSIONS = 1024


def latents(count: int, *, falls: float, seed: int = 0) -> torch.Tensor:
    """Latents whose variance falls with the number k of a direction as k^-falls, mean square 1 a number."""
    spread = np.arange(1, DIMENSIONS + 1) ** (-0.5 * falls)
    spread *= np.sqrt(DIMENSIONS / np.sum(spread**2))
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)) * spread
    return torch.from_numpy(idct(drawn, norm="ortho", axis=1)).float()


def fitted(values: torch.Tensor, **options) -> Density:
    density = Density(DIMENSIONS, DensityOptions(**options))
    density.fit(values)
    return density


@pytest.fixture(scope="module")
def both() -> tuple[Density, Density]:
    """The density of 2,500 latents by a short list and by all."""
    values = latents(2500, falls=1.7)
    return fitted(values), fitted(values, compare="all")


def test_a_short_list_gives_the_sum_over_all(both):
    """Near, left out, far, and where no good latent ever lies, it stays within 1e-4; so few are read."""
    near, every = both
    assert near.near is not None
    assert near.near.length <= 128
    new = latents(30, falls=1.7, seed=1)
    asked = torch.cat((latents(2500, falls=1.7)[:9], new, 5.0 * new, torch.randn(9, DIMENSIONS)))
    with torch.no_grad():
        given, expected = near(asked), every(asked)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)
    assert every.near is None


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_engines_give_scikit_learn_s_density(both, name):
    """Exported, a short list gives scikit-learn's log-density over all, image by image and in batches, within 1e-4."""
    pytest.importorskip(name)
    near, every = both

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.density = near

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"rarity": -self.density(20.0 * (image.flatten(1) - 0.5))}

    asked = torch.cat((latents(2500, falls=1.7)[:2], latents(4, falls=1.7, seed=3)))
    images = (0.5 + asked / 20.0).clamp(0.0, 1.0).view(6, 1, 32, 32)
    exact = KernelDensity(bandwidth=0.2, leaf_size=2500).fit(every.points.double().numpy())
    shown = 20.0 * (images.flatten(1) - 0.5)
    expected = -exact.score_samples(every.reduced(shown).double().numpy())
    with open_engine(export(Graph().eval(), images).graph, engine=name, requests=1) as engine:
        single, together = (engine.run(images[:count].numpy()).scores["rarity"] for count in (1, 6))
    np.testing.assert_allclose(together, expected, rtol=1e-4)
    np.testing.assert_allclose(single, expected[:1], rtol=1e-4)


def test_what_is_left_out_can_only_make_an_image_look_rarer(both):
    """A list that is too short gives a density that is too low, never one too high."""
    _, every = both
    turn = torch.linalg.qr(torch.randn(DIMENSIONS, 4, generator=torch.Generator().manual_seed(0))).Q
    short = Shortlist(turn, every.points)
    short.length = 2
    asked = latents(50, falls=1.7, seed=2)
    with torch.no_grad():
        full = every(asked)
        every.near = short
        part = every(asked)
        every.near = None
    assert bool((part <= full + 1e-2).all())
    assert bool((part < full - 1.0).any())


def test_it_stands_on_the_card(both):
    """The card says how many are compared in full and what that changes; "all" says all."""
    near, every = (one.facts() for one in both)
    assert near["density compared in full"] == both[0].near.length
    assert near["density difference from all, at most"] <= TOLERATED
    assert every["density compared in full"] == "all"
    assert both[0].meaning == both[1].meaning


def test_where_no_few_directions_tell_there_is_no_list():
    """Latents that vary alike in all directions are all compared in full."""
    assert fitted(latents(2500, falls=0.0)).near is None


def test_where_many_count_the_list_is_longer_or_none():
    """Under a wide kernel many points count: a longer list, and at last all."""
    values = latents(2500, falls=1.7)
    narrow, wide = (fitted(values, bandwidth=width).near for width in (0.3, 9.0))
    assert narrow is not None
    assert wide is None


def test_few_numbers_are_read_as_they_are():
    """A list is no use where everything is read in no time."""
    assert shortlist_for(torch.randn(100, 512), lambda squares: squares.amin(dim=1)) is None
    assert shortlist_for(torch.randn(50_000, DIRECTIONS), lambda squares: squares.amin(dim=1)) is None
