"""What the U-Net for cells promises beyond every method: exposure, reach, three kinds, unknown pixels."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import RecipeError, TrainingError
from candling.pixels.instances import BORDER, CENTRE, INSIDE
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


def numbered(shape: tuple[int, int] = (64, 64), centres: int = 3) -> torch.Tensor:
    """Masks of some discs, the middle pixel of each marked."""
    masks = torch.zeros((2, *shape), dtype=torch.uint8)
    for at in range(centres):
        row, column = 10 + 17 * at, 14 + 15 * at
        masks[:, row - 4 : row + 5, column - 4 : column + 5] = BORDER
        masks[:, row - 2 : row + 3, column - 2 : column + 3] = INSIDE
        masks[:, row, column] = CENTRE
    return masks


def test_a_density_is_learned_whose_sum_is_the_count():
    """Squares of one kind, other numbers of them: soon two more squares are about two more in the sum."""
    one = method(density_px=2.0, density_weight=10.0, stem=1, levels=2, crop=64, exposure=0.0)
    given = []
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        masks = numbered(centres=1 + step % 3)
        images = 0.1 + 0.6 * (masks > 0).float()[:, None]
        given.append(one.step(Batch(images, torch.arange(2), generator, masks=masks)))
    assert given[-1]["density"] < 0.3 * given[0]["density"]
    graph = one.graph()
    sums = [float(graph(0.1 + 0.6 * (numbered(centres=n) > 0).float()[:, None])["density"][0].sum()) for n in (1, 3)]
    assert sums[1] - sums[0] == pytest.approx(2.0, abs=0.7)


def test_a_middle_pixel_is_inside_for_everything_else():
    """Marking it changes no loss but that of the density; without one the graph has no such output."""
    plain = method()
    marked = numbered()
    unmarked = torch.where(marked == CENTRE, torch.full_like(marked, INSIDE), marked)
    assert plain.validate(batch(marked)) == plain.validate(batch(unmarked))
    assert "density" not in plain.graph()(torch.rand(1, 1, 64, 64))


def test_a_density_is_not_learned_from_stretched_pieces():
    """A stretched piece holds another number of cells; the sentence names the keys."""
    with pytest.raises(RecipeError, match=r"vary\.zoom"):
        method(density_px=2.0, vary={"zoom": 0.2})
