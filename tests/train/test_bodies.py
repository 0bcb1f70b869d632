"""Maps of the size that was asked for, light that is doubled, and weights that are named where they stand."""

from __future__ import annotations

import pytest
import torch

from candling.errors import RecipeError, TrainingError
from candling.train import bodies
from candling.train.backbone import KEY
from candling.train.blocks import fold
from candling.train.bodies import LightBody, VggBody


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("size", [(64, 96), (48, 80)])
def test_the_light_body_has_a_place_every_stride(stride, size):
    """Also where a side is no multiple of its coarsest step."""
    body = LightBody(3, width=8, stride=stride).eval()
    assert body(torch.rand(2, 3, *size)).shape == (2, body.channels, size[0] // stride, size[1] // stride)


def test_it_sees_farther_than_an_object_is_large():
    """A pixel changes the map more than a hundred pixels away: large cells need what lies around them."""
    torch.manual_seed(0)
    body = LightBody(1, width=8, stride=8).eval()
    image = torch.rand(1, 1, 256, 256)
    other = image.clone()
    other[:, :, 0, 0] = 1.0 - other[:, :, 0, 0]
    with torch.no_grad():
        moved = (body(image) != body(other)).any(dim=1)[0].nonzero()
    assert int(moved.max()) * 8 > 100


def test_folding_changes_nothing():
    """What is exported is the body that was learned."""
    torch.manual_seed(0)
    body = LightBody(1, width=8, stride=8)
    for _ in range(3):
        body(torch.rand(4, 1, 32, 32))
    image = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fold(body)(image), body.eval()(image), atol=1e-4, rtol=1e-4)


def test_a_longer_exposure_only_adds_a_constant():
    """Well above the dark, twice the light moves what the network sees by the same amount everywhere."""
    body, given = LightBody(1, width=8, stride=8, dark=1e-4).eval(), []
    body.stem.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    image = 0.05 + 0.4 * torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        body(image)
        body(2.0 * image)
    difference = given[1] - given[0]
    assert float(difference.std()) < 1e-2 * float(difference.mean())


@pytest.mark.parametrize("kind", [RecipeError, TrainingError])
def test_weights_that_cannot_be_used_are_named_by_their_own_key(monkeypatch, kind):
    """The same loader serves another method; the sentence names the key of this one."""

    def refuse(options):
        assert options.online is False
        raise kind(f"{KEY}.weights: {options.weights} cannot be read; name a .pth file")

    monkeypatch.setattr(bodies, "load_body", refuse)
    with pytest.raises(kind, match=r"^method\.weights: gone\.pth cannot be read"):
        VggBody("gone.pth", online=False)
