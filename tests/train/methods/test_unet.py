"""What the U-Net for cells promises beyond every method: exposure, reach, three kinds, unknown pixels."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import RecipeError, TrainingError
from candling.recipe import Training
from candling.train.method import Batch, Plan, build_method, learns_cells
from candling.train.methods.unet import Options


def method(shape: tuple[int, int, int] = (1, 64, 64), **options: object):
    """A small network."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    small = {"width": 4, "levels": 3, "crop": 32, **options}
    return build_method("unet", small, Plan(shape, Training(learning_rate=1e-2), fabric))


def batch(masks: torch.Tensor | None, count: int = 2) -> Batch:
    """Noise."""
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand((count, 1, 64, 64), generator=generator), torch.arange(count), generator, masks=masks)


def test_it_learns_cells_and_says_so():
    """It is given numbered cells, and asks for them where none came."""
    assert learns_cells("unet")
    with pytest.raises(TrainingError, match="labels"):
        method().step(batch(None))


def test_the_graph_gives_shares_of_three_kinds():
    """At every pixel of the image they add up to 1, and the covered share is what is no background."""
    out = method().graph()(torch.rand(2, 1, 64, 64))
    assert out["cells"].shape == (2, 3, 64, 64)
    torch.testing.assert_close(out["cells"].sum(dim=1), torch.ones(2, 64, 64))
    torch.testing.assert_close(out["covered_share"], 1.0 - out["cells"][:, 0].mean(dim=(1, 2)))


@pytest.mark.parametrize(("stem", "levels"), [(1, 3), (2, 3), (2, 2)])
def test_no_pixel_reaches_further_than_it_says(stem: int, levels: int):
    """A changed pixel changes nothing beyond the reach, whatever block it lies in; tiles of that margin are exact."""
    options = Options(width=4, levels=levels, stem=stem)
    side = 4 * options.reach_px // options.step_px * options.step_px
    graph = method((1, side, side), stem=stem, levels=levels).graph()
    image = torch.rand(1, 1, side, side)
    reached = 0
    with torch.no_grad():
        before = graph(image)["cells"]
        for at in range(side // 2, side // 2 + options.step_px):
            other = image.clone()
            other[0, 0, at, at] = 1.0 - other[0, 0, at, at]
            moved = (graph(other)["cells"] != before).any(dim=1)[0].nonzero()
            reached = max(reached, int((moved - at).abs().max()))
    assert 0 < reached <= options.reach_px


def test_a_longer_exposure_only_adds_a_constant():
    """Well above the dark, twice the light moves what the network sees by the same amount everywhere."""
    seen = method(dark=1e-4)._network
    given = []
    seen.unet.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    image = 0.05 + 0.4 * torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        seen(image)
        seen(2.0 * image)
    difference = given[1] - given[0]
    assert float(difference.std()) < 1e-3 * float(difference.mean())


def test_unknown_pixels_teach_nothing():
    """Where nobody knows, the loss does not see what the network says."""
    known = torch.zeros((2, 64, 64), dtype=torch.uint8)
    one = method()
    losses = []
    for kind in (1, 255):
        masks = known.clone()
        masks[:, 16:48, 16:48] = kind
        losses.append(one.validate(batch(masks))["loss"])
    nothing = one.validate(batch(torch.full((2, 64, 64), 255, dtype=torch.uint8)))
    assert losses[0] != losses[1]
    assert nothing["kinds"] == 0.0
    assert nothing["area"] == pytest.approx(0.0, abs=1e-6)


def test_images_smaller_than_a_block_are_refused():
    """The sentence names the option."""
    with pytest.raises(RecipeError, match=r"method\.levels"):
        method((1, 4, 4))
