"""The facts of blocks.py: shapes mirror, norms fold, and a size that cannot be halved is refused with its remedy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from candling.errors import RecipeError
from candling.train import blocks


@pytest.mark.parametrize(
    ("kernel", "downsample"), [(3, "stride"), (4, "stride"), (5, "stride"), (3, "max_pool"), (5, "max_pool")]
)
def test_the_decoder_mirrors_the_encoder(kernel, downsample):
    """Every kernel and way of shrinking leads to the inner shape, and the decoder back to the image's."""
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
    assert not kinds & {nn.BatchNorm2d, blocks.Dropout}
    assert network.training
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(image), network.eval()(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_drops_its_share_and_keeps_the_mean(layout, dtype):
    """A tenth of the values become zero, in either memory format, and the mean stays within half a percent."""
    torch.manual_seed(0)
    values = torch.ones(4, 16, 63, 65, dtype=dtype).to(memory_format=layout)
    dropped = blocks.Dropout(0.1)(values)
    assert dropped.is_contiguous(memory_format=layout)
    assert (dropped == 0).float().mean().item() == pytest.approx(26 / 256, abs=2e-3)
    assert dropped.float().mean().item() == pytest.approx(1.0, abs=5e-3)


def test_dropout_drops_each_value_on_its_own():
    """Neighbours in a row, in a column, in a channel and in the batch drop independently of each other."""
    torch.manual_seed(0)
    zeros = (blocks.Dropout(0.5)(torch.ones(8, 32, 32, 32)) == 0).float() - 0.5
    for axis in range(4):
        assert (zeros * zeros.roll(1, axis)).mean().abs() < 2e-3  # four standard errors


def test_dropout_repeats_for_a_seed_and_rests_in_evaluation():
    """The global seed fixes what is dropped; in evaluation nothing is; gradients flow through what is kept."""
    layer, values = blocks.Dropout(0.3), torch.ones(2, 3, 5, 7, requires_grad=True)
    torch.manual_seed(4)
    first = layer(values)
    torch.manual_seed(4)
    assert torch.equal(first, layer(values))
    (gradient,) = torch.autograd.grad(first.sum(), values)
    assert torch.equal(gradient, first)
    assert layer.eval()(values) is values
    assert torch.equal(blocks.Dropout(0.0)(values), values)


@pytest.mark.parametrize("shape", [(10,), (3, 7), (2, 3, 5)])
def test_dropout_takes_any_shape(shape):
    """Tensors that are no images, and whose size is no multiple of eight, are dropped as well."""
    assert blocks.Dropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_phases_are_the_transposed_convolution(kernel, channels):
    """Four ordinary convolutions side by side compute what a transposed one does, borders and bias included."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(5, channels, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2)
    values = torch.randn(2, 5, 7, 9)
    phases = blocks.PhaseDoubling(layer)
    torch.testing.assert_close(phases(values), layer(values), atol=1e-6, rtol=1e-5)


def test_the_last_doubling_is_exported_as_phases():
    """Folding turns the layer that ends in the image, and only that one, into phases."""
    folded = blocks.fold(blocks.decoder(1, (8, 16)))
    kinds = [type(layer) for layer in folded if not isinstance(layer, nn.ReLU)]
    assert kinds == [nn.ConvTranspose2d, blocks.PhaseDoubling]
