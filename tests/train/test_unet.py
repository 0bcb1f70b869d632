"""The facts of unet.py: sizes, places, and a map that can be learnt."""

from __future__ import annotations

import pytest
import torch

from candling.errors import RecipeError
from candling.train.unet import UNet


@pytest.mark.parametrize(("stem", "levels"), [(1, 3), (2, 4), (4, 2)])
def test_the_logits_have_the_size_of_the_blocks(stem, levels):
    """One float32 logit for each block of stem x stem pixels."""
    network = UNet((2, 32, 48), width=4, levels=levels, stem=stem, places=True)
    logits = network(torch.rand(3, 2, 32, 48))
    assert logits.shape == (3, 1, 32 // stem, 48 // stem)
    assert logits.dtype == torch.float32


def test_places_let_it_answer_by_position():
    """On a grey picture only a network that is told where it is can tell the upper half from the lower."""
    torch.manual_seed(0)
    image, wanted = torch.full((2, 1, 256, 16), 0.5), torch.zeros(2, 1, 128, 8)
    wanted[:, :, :64] = 1.0  # further from any border than it sees
    left = []
    for places in (True, False):
        network = UNet((1, 256, 16), width=4, levels=2, stem=2, places=places)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(60):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(image), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        left.append(loss.item())
    assert left[0] < 0.2 < 0.3 < left[1]


def test_a_size_that_cannot_be_halved_is_refused():
    """The message names the key and a size that fits."""
    with pytest.raises(RecipeError, match=r"prepare\.height: 40 px must be a multiple of 32"):
        UNet((1, 40, 64), width=4, levels=5, stem=2, places=False)
