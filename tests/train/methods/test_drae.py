"""The facts of methods/drae.py: the published losses and profiles, and what each option changes."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from candling.errors import RecipeError
from candling.recipe import Training
from candling.train.losses import ssim
from candling.train.method import Batch, Plan, build_method
from candling.train.methods.drae import PROFILES, Options, Weights

SHAPE = (1, 48, 64)
TINY = {"profile": "tiny", "latent": 8}


def plan(shape=SHAPE, **training) -> Plan:
    torch.manual_seed(0)
    return Plan(shape, Training(**training), Fabric(accelerator="cpu", devices=1, precision="32-true"))


def batch(count: int = 4, seed: int = 0) -> Batch:
    """Discs at slightly different places."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.linspace(-1, 1, SHAPE[1]).view(1, 1, -1, 1), torch.linspace(-1.3, 1.3, SHAPE[2])
    moves = 0.2 * torch.rand((count, 1, 1, 1), generator=generator)
    images = 0.2 + 0.6 * torch.sigmoid(15 * (0.5 - (rows - moves) ** 2 - columns**2))
    return Batch(images, torch.arange(count), torch.Generator().manual_seed(seed))


def trained(steps: int = 3, rate: float = 5e-3, **options):
    method = build_method("drae", {**TINY, **options}, plan(learning_rate=rate))
    for step in range(steps):
        losses = method.step(batch(seed=step))
    method.finish([batch()])
    return method, losses


def graph_of(method, images: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return method.graph()(images)


def test_the_paper_profile_is_the_published_network():
    """Four stages of three blocks of three convolutions, 128 to 1024 channels, a dense bottleneck of 64, no stem."""
    layout = Options(profile="paper").layout
    assert (layout.widths, layout.blocks, layout.convolutions, layout.stem) == ((128, 256, 512, 1024), 3, 3, 1)
    assert Options().latent == 64


def test_a_key_replaces_one_number_of_its_profile():
    """What is given counts, the rest is the profile's."""
    layout = Options(profile="line", blocks=3).layout
    assert layout.blocks == 3
    assert layout.widths == PROFILES["line"].widths


def test_the_default_weights_are_the_published_ones():
    """w_a 2, w_b 1, w1 1, w2 50, w3 1, w4 3, and noise with probability 0.75."""
    weights = Weights()
    assert (weights.huber, weights.dissimilarity) == (2.0, 1.0)
    assert (weights.adversarial, weights.contextual, weights.latent, weights.noise) == (1.0, 50.0, 1.0, 3.0)
    assert Options().noise == 0.75


def test_the_loss_is_the_published_sum():
    """Each weight is applied once, that of the noise included."""
    _, parts = trained(1)
    total = 50 * (2 * parts["huber"] + parts["dissimilarity"])
    total += parts["adversarial"] + parts["latent"] + 3 * parts["noise"]
    assert parts["loss"] == pytest.approx(total, rel=1e-5)


def test_both_opponents_have_their_own_adam():
    """Generator and discriminator: betas 0.5 and 0.999, the recipe's rate."""
    method = build_method("drae", TINY, plan(learning_rate=1.5e-4))
    assert set(method.optimizers) == {"generator", "discriminator"}
    for optimizer in method.optimizers.values():
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)
        assert optimizer.param_groups[0]["lr"] == 1.5e-4


def test_weights_of_zero_leave_networks_out():
    """Without adversarial and latent weight there is neither discriminator nor second encoder."""
    method, losses = trained(weights={"adversarial": 0.0, "latent": 0.0})
    assert set(method.networks) == {"generator", "averaged", "fitted"}
    assert set(method.optimizers) == {"generator"}
    assert losses["latent"] == 0.0
    assert "adversarial" not in losses
    assert method._generator.again is None


@pytest.mark.parametrize("kind", ["as_printed", "revised", "consistent", "off"])
def test_it_learns_with_every_noise_loss(kind):
    """Thirty updates on drawn discs lower the held-out loss, and the reconstruction comes near the good image."""
    method = build_method("drae", {**TINY, "noise_loss": kind, "average": 0.5}, plan(learning_rate=5e-3))
    before = method.validate(batch(seed=99))
    for step in range(30):
        method.step(batch(seed=step))
    after = method.validate(batch(seed=99))
    assert after["loss"] < 0.8 * before["loss"]
    assert after["huber"] < 0.5 * before["huber"]
    assert (after["noise"] == 0.0) is (kind == "off")


def test_the_score_and_the_map_are_the_published_ones():
    """``dissimilarity`` is 1 - SSIM of image and reconstruction, the map the absolute error as it is."""
    method, _ = trained()
    images = batch(seed=5).images
    out = graph_of(method, images)
    torch.testing.assert_close(out["dissimilarity"], 1 - ssim(images, out["reconstruction"]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out["anomaly_map"], (images - out["reconstruction"]).abs()[:, 0])


def test_a_defect_scores_higher():
    """A dark bar across the disc raises every score of the reconstruction."""
    method, _ = trained(30, average=0.5)
    good = batch(seed=50).images
    bad = good.clone()
    bad[..., 20:26, 20:44] = 0.1
    one, two = graph_of(method, good), graph_of(method, bad)
    for name in ("dissimilarity", "window_dissimilarity", "window_error", "map_top"):
        assert two[name].min() > one[name].max(), name


def test_the_latent_map_shows_what_is_unusual():
    """Where every number of the latent is usual it is 0; within a narrow reach something shows."""
    images = batch(seed=5).images
    wide, narrow = (
        graph_of(trained(15, average=0.5, latent_map=True, latent_reach=reach)[0], images)["anomaly_map"]
        for reach in (1e6, 0.1)
    )
    assert wide.abs().max() < 1e-6
    assert narrow.max() > 1e-4


def test_the_published_augmentations_can_be_asked_for():
    """Turned by 22.5 degrees either way, upside down half of the time, faint noise."""
    augment = {"turn_degrees": 22.5, "flip_up_down": 0.5, "noise": 0.03}
    _, losses = trained(2, augment=augment)
    assert losses["loss"] > 0.0


def test_sizes_that_do_not_fit_are_refused():
    """Sides must be multiples of the stride, and large enough for the windows."""
    with pytest.raises(RecipeError, match=r"prepare\.height: 50 px must be a multiple of 32"):
        build_method("drae", {}, plan((1, 50, 64)))
    with pytest.raises(RecipeError, match=r"method\.score"):
        build_method("drae", TINY, plan((1, 16, 64)))
