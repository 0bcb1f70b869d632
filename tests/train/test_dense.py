"""The same patch network at every place: fragments against the patches themselves, borders included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from candling.errors import RecipeError
from candling.train.classifying import ContextNetwork, PatchNetwork, Whole
from candling.train.dense import inner_side
from candling.train.probability import Probability

PATCH = 29


def network(size: tuple[int, int], *, stride: int = 1, channels: int = 1, seed: int = 0) -> PatchNetwork:
    torch.manual_seed(seed)
    return PatchNetwork((channels, *size), patch=PATCH, dropout=0.6, stride=stride).eval()


@pytest.mark.parametrize("size", [(41, 52), (29, 29), (64, 40)])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_every_pixel_has_the_number_of_its_patch(size: tuple[int, int], stride: int) -> None:
    """The map of a whole image equals the network on each patch alone, to the last row and column, within 1e-5."""
    net = network(size, stride=stride)
    image = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1))
    padded = functional.pad(image, (PATCH // 2,) * 4, mode="reflect")
    with torch.no_grad():
        found = net.dense()(image)
        assert found.shape == (2, 1, *size)
        middle = (stride - 1) // 2
        for row in {0, 1, 7, size[0] // 2, size[0] - 1}:
            for column in {0, 3, size[1] // 2, size[1] - 2, size[1] - 1}:
                top, left = (place // stride * stride + middle for place in (row, column))
                if top >= size[0] or left >= size[1]:
                    continue  # the middle of a block that the border cuts
                patch = padded[:, :, top : top + PATCH, left : left + PATCH]
                torch.testing.assert_close(net(patch), found[:, 0, row, column], atol=1e-5, rtol=0)


def test_the_published_network_has_its_published_size() -> None:
    """36,769 weights, a flat vector of 64 numbers before the 64 units."""
    net = network((64, 64))
    assert sum(weight.numel() for weight in net.parameters()) == 36_769
    assert net.stages(torch.rand(1, 3, PATCH, PATCH)).shape == (1, 64, 1, 1)
    assert inner_side(PATCH, (5, 5, 3)) == 1


def test_colour_is_not_summed() -> None:
    """Of three channels each has its own kernels; of grey the sum of the kernels is exported."""
    net = network((40, 40), channels=3)
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        centre = net.dense()(image)[0, 0, 14, 14]
        torch.testing.assert_close(net(image[:, :, :PATCH, :PATCH])[0], centre, atol=1e-5, rtol=0)
        assert (net.dense()(image.flip(1)) - net.dense()(image)).abs().max() > 1e-4


def test_an_image_smaller_than_the_patch_is_refused() -> None:
    """The sentence names both sizes and the keys to change."""
    with pytest.raises(RecipeError, match=r"28 x 64 px are smaller than a patch of 29 px.*method\.patches\.size"):
        network((28, 64))
    with pytest.raises(RecipeError, match=r"method\.patches\.size: 20 px are too few"):
        PatchNetwork((1, 64, 64), patch=20, dropout=0.0, stride=1)
    with pytest.raises(RecipeError, match=r"smaller than method\.window = 96"):
        ContextNetwork((1, 64, 128), width=4, levels=2, stem=1, window=96)


def test_context_judges_every_pixel_of_any_size() -> None:
    """A side that is no multiple of the network's blocks is continued and cut again; both scores are probabilities."""
    torch.manual_seed(0)
    net = ContextNetwork((1, 50, 70), width=4, levels=3, stem=2, window=48).eval()
    out = Whole(net, Probability(5))(torch.rand(2, 1, 50, 70))
    assert out["anomaly_map"].shape == (2, 50, 70)
    for name in ("defect_probability", "covered_share"):
        assert out[name].shape == (2,)
        assert ((out[name] > 0) & (out[name] < 1)).all()


def test_probabilities_are_fitted_to_what_occurs() -> None:
    """Logits of a network that saw as many defects as good places become the shares that occur."""
    rng = np.random.default_rng(0)
    defect = rng.random(60_000) < 0.03
    logits = torch.from_numpy(2.0 * np.where(defect, 1.0, -1.0) + rng.normal(0.0, 2.0, defect.size))
    probability = Probability(15)
    probability.fit(logits, torch.from_numpy(defect))
    # two normals of one spread: the log odds are linear in the logit, slope 2 m / s^2 = 1, offset log(prior odds)
    assert probability.slope.item() == pytest.approx(1.0, abs=0.06)
    assert probability.offset.item() == pytest.approx(np.log(0.03 / 0.97), abs=0.15)
    guess = torch.sigmoid(probability.slope * logits + probability.offset)
    assert guess.mean().item() == pytest.approx(defect.mean(), rel=0.01)
    untouched = Probability(15)
    untouched.fit(logits, torch.zeros(len(logits), dtype=torch.bool))
    assert (untouched.slope.item(), untouched.offset.item()) == (1.0, 0.0)
