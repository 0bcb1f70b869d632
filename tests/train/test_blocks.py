"""The facts of blocks.py: shapes mirror, norms fold, and a size that cannot be halved is refused with its remedy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from candling.errors import RecipeError
from candling.train import blocks


@pytest.mark.parametrize("downsample", ["stride", "max_pool"])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_the_decoder_mirrors_the_encoder(kernel, downsample):
    """Every kernel and way of shrinking leads to the inner shape, and the decoder back to the image's."""
    if downsample == "max_pool" and kernel == 4:
        pytest.skip("refused, see below")
    widths = (4, 6, 8)
    image = torch.rand(2, 3, 40, 24)
    inner = blocks.encoder(3, widths, kernel=kernel, downsample=downsample)(image)
    assert inner.shape[1:] == blocks.inner_shape((3, 40, 24), widths) == (8, 5, 3)
    assert blocks.decoder(3, widths, kernel=kernel)(inner).shape == image.shape


def test_an_even_kernel_is_refused_with_max_pooling():
    """A 4 x 4 convolution of stride 1 would move the image by half a pixel."""
    with pytest.raises(RecipeError, match="odd kernel"):
        blocks.encoder(1, (4,), kernel=4, downsample="max_pool")


def test_a_size_that_cannot_be_halved_is_refused_with_its_remedy():
    """The message names the key, the multiple, and the sizes next to the one given."""
    with pytest.raises(RecipeError, match=r"prepare\.width: 3 stages .* multiple of 8; set it to 496 or 504"):
        blocks.inner_shape((1, 512, 500), (32, 64, 128))


@pytest.mark.parametrize("ends", [lambda: blocks.narrow_ends(8, 6, 3), lambda: blocks.dense_ends((8, 5, 3), 6, 3)])
def test_a_bottleneck_gives_what_it_is_asked_for(ends):
    """The outward end gives 6 numbers, the inward end takes 3 and restores the map's shape."""
    squeeze, widen = ends()
    outward = squeeze(torch.rand(2, 8, 5, 3))
    assert outward.shape[1] == 6
    assert widen(outward[:, :3]).shape == (2, 8, 5, 3)


def test_folding_keeps_the_function_and_leaves_no_norm():
    """The folded copy has neither batch norm nor dropout and computes the same; the original keeps both."""
    torch.manual_seed(0)
    network = nn.Sequential(
        blocks.encoder(1, (4, 6), dropout=0.3), *blocks.narrow_ends(6, 2, 2), blocks.decoder(1, (4, 6), kernel=4)
    )
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.uniform_(layer.bias, -1.0, 1.0)
            nn.init.uniform_(layer.running_mean, -1.0, 1.0)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    image = torch.rand(2, 1, 16, 16)
    folded = blocks.fold(network)
    kinds = {type(layer) for layer in folded.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.Dropout}
    assert network.training
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(image), network.eval()(image), atol=1e-5, rtol=1e-5)
