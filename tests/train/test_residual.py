"""The facts of residual.py: the published network's size and cost, its blocks, and any size that fits."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from candling.errors import RecipeError
from candling.train.blocks import fold
from candling.train.residual import Block, Generator, Layout, Redraw, decoder, encoder, inner_shape

SMALL = Layout((4, 6), blocks=2, convolutions=2, stem=2)


@pytest.mark.parametrize(
    ("widths", "gigaflop", "millions"),
    [((128, 256, 512, 1024), 790, 261), ((16, 32, 64, 128), 12.4, 7.8), ((8, 16, 32, 64), 3.1, 3.0)],
)
def test_size_and_cost_are_those_worked_out_for_the_publication(widths, gigaflop, millions):
    """Encoder, dense bottleneck of 64 and decoder at 256 x 256 grey: weights and operations of an independent count."""
    with torch.device("meta"):
        network = Redraw((1, 256, 256), Layout(widths), bottleneck="dense", latent=64)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, 256, 256))
    assert counter.get_total_flops() / 1e9 == pytest.approx(gigaflop, rel=0.03)
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_published_encoder_ends_at_16_by_16_by_1024():
    """Four stages of three blocks take 256 x 256 to 16 x 16 with 1024 channels."""
    with torch.device("meta"):
        network = encoder(1, Layout((128, 256, 512, 1024)))
        assert network(torch.zeros(1, 1, 256, 256)).shape == (1, 1024, 16, 16)
    assert sum(isinstance(layer, Block) for layer in network) == 12


@pytest.mark.parametrize(("resize", "size"), [("same", (8, 12)), ("halve", (4, 6)), ("double", (16, 24))])
@pytest.mark.parametrize("convolutions", [2, 3])
def test_a_block_adds_its_branch_to_its_shortcut(resize, size, convolutions):
    """With a branch of zeros only the shortcut is left; its size is that of the branch."""
    block = Block(3, 5, convolutions=convolutions, resize=resize)
    maps = torch.randn(2, 3, 8, 12)
    assert block(maps).shape == (2, 5, *size)
    nn.init.zeros_(block.branch[-1].weight)
    torch.testing.assert_close(block(maps), block.shortcut(maps))


def test_a_block_that_changes_nothing_passes_its_input_on():
    """Block B has the identity as its shortcut: no weights beside the branch."""
    block = Block(4, 4, convolutions=3)
    assert not list(block.shortcut.parameters())
    nn.init.zeros_(block.branch[-1].weight)
    maps = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(maps), maps)


@pytest.mark.parametrize(("convolutions", "place"), [(2, 1), (3, 1)])
def test_the_size_changes_in_the_middle(convolutions, place):
    """Of three convolutions the middle one has the stride, of two the second."""
    convolution = [
        layer for layer in Block(2, 2, convolutions=convolutions, resize="halve").branch if isinstance(layer, nn.Conv2d)
    ]
    assert [layer.stride[0] for layer in convolution] == [2 if n == place else 1 for n in range(convolutions)]


@pytest.mark.parametrize("layout", [SMALL, Layout((3, 4, 5)), Layout((4,), blocks=4, convolutions=3, stem=4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_decoder_answers_the_encoder(layout, channels):
    """What goes in at some size comes out at that size."""
    maps = encoder(channels, layout)(torch.rand(2, channels, 32, 48))
    assert maps.shape[1:] == inner_shape((channels, 32, 48), layout)
    assert decoder(channels, layout)(maps).shape == (2, channels, 32, 48)


@pytest.mark.parametrize(("bottleneck", "shape"), [("dense", (3, 7)), ("narrow", (3, 7, 4, 6))])
def test_a_generator_redraws_and_encodes_again(bottleneck, shape):
    """Reconstruction in [0, 1], latent, and the second encoder's, which is another network of one shape."""
    generator = Generator((1, 32, 48), SMALL, bottleneck=bottleneck, latent=7)
    image = torch.rand(3, 1, 32, 48)
    reconstruction, latent, again = generator(image)
    assert reconstruction.shape == image.shape
    assert 0.0 <= reconstruction.min().item() <= reconstruction.max().item() <= 1.0
    assert latent.shape == again.shape == shape
    assert not torch.allclose(latent, again)
    single = Generator((1, 32, 48), SMALL, bottleneck=bottleneck, latent=7, second=False)
    assert single.again is None
    _, latent, again = single(image)
    assert torch.equal(latent, again)


def test_folding_keeps_the_function():
    """Norms inside the branches go into the convolutions before them, and the numbers stay."""
    torch.manual_seed(0)
    network = Redraw((1, 32, 48), SMALL, bottleneck="dense", latent=5)
    image = torch.rand(4, 1, 32, 48)
    for _ in range(3):
        network(image)
    network.eval()
    folded = fold(network)
    with torch.no_grad():
        torch.testing.assert_close(folded(image)[0], network(image)[0], atol=1e-5, rtol=1e-4)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in (network, folded)]
    assert norms == [18, 10]  # one a block and at each end stays: nothing is before it to fold into


def test_a_size_that_cannot_be_halved_is_refused():
    """The message names key, size and the nearest size that fits."""
    with pytest.raises(RecipeError, match=r"prepare\.width: 100 px must be a multiple of 32 .* set it to 96"):
        inner_shape((1, 256, 100), Layout((8, 8, 8), stem=4))
