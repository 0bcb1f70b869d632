"""The facts of pooled.py: the published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from candling.errors import RecipeError
from candling.train.pooled import network_of


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_the_published_network_has_its_published_size():
    """52,067 weights on 128 x 128 colour, 24,880 in the encoder, 16 x 16 x 16 inside (METHODS C-3, C-4)."""
    network = network_of("published", (3, 128, 128))
    assert (count(network), count(network.encoder)) == (52_067, 24_880)
    assert network.latent_shape == (16, 16, 16)
    assert network.latent(torch.rand(2, 3, 128, 128)).shape == (2, 4096)


def test_vgg16_has_thirteen_convolutions_and_seven_by_seven_by_seven_inside():
    """Its encoder is VGG16's convolutions (14,714,688 weights) and a 1 x 1 convolution to 7 channels."""
    with torch.device("meta"):
        network = network_of("vgg16", (3, 224, 224))
    convolutions = [layer for layer in network.encoder if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in convolutions] == [3] * 13 + [1]
    assert sum(count(layer) for layer in convolutions[:13]) == 14_714_688
    assert network.latent_shape == (7, 7, 7)


@pytest.mark.parametrize(("kind", "shape"), [("published", (1, 16, 24)), ("vgg16", (3, 32, 64))])
def test_the_decoder_gives_the_image_s_size_back(kind, shape):
    """What is halved is doubled as often, and stays in [0, 1]."""
    drawn = network_of(kind, shape, divisor=16, norm=True).eval()(torch.rand(2, *shape))
    assert drawn.shape == (2, *shape)
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0


def test_a_size_that_cannot_be_halved_is_refused():
    """50 px cannot be halved three times; the sentence names the key and the sizes next to it."""
    with pytest.raises(RecipeError, match=r"prepare\.height.*48 or 56"):
        network_of("published", (1, 50, 50))
