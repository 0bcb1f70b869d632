"""The facts of losses.py: SSIM is the fixed definition, to its published digits and to two other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from candling.train.losses import mean_squared_error, reconstruction_losses, ssim, ssim_map


def places() -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and rows of a 64 x 64 image in [0, 1], float64."""
    v, u = torch.meshgrid(*(2 * [torch.arange(64, dtype=torch.float64) / 63]), indexing="ij")
    return u, v


def reference_image() -> torch.Tensor:
    """The 64 x 64 image of the reference fixture, float64."""
    u, v = places()
    return 0.5 + 0.25 * torch.sin(6 * torch.pi * u) * torch.cos(4 * torch.pi * v) + 0.2 * (u - 0.5)


def with_patch(image: torch.Tensor) -> torch.Tensor:
    patched = image.clone()
    patched[20:30, 30:40] = 0.1
    return patched


def with_waves(image: torch.Tensor) -> torch.Tensor:
    u, v = places()
    return (image + 0.05 * torch.sin(34 * torch.pi * u + 5 * v)).clamp(0, 1)


def batch(image: torch.Tensor) -> torch.Tensor:
    return image[None, None]


def noisy_pair(channels: int = 1, size: tuple[int, int] = (40, 57)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((3, channels, *size), generator=generator)
    return x, (x + 0.2 * torch.randn(x.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize(("change", "expected"), [(with_patch, 0.937500748), (with_waves, 0.853111843)])
def test_ssim_has_the_reference_value(change, expected):
    """SSIM of the published fixture pairs is the published number, to nine digits in float64."""
    x = reference_image()
    assert ssim(batch(x), batch(change(x))).item() == pytest.approx(expected, abs=1e-9)


def test_ssim_of_two_constants_is_their_luminance_term():
    """Constants 0.3 and 0.5 have no variance, so only (2ab + c1) / (a^2 + b^2 + c1) is left."""
    x = torch.full((1, 1, 64, 64), 0.3, dtype=torch.float64)
    assert ssim(x, torch.full_like(x, 0.5)).item() == pytest.approx(0.882387533, abs=1e-9)


@pytest.mark.parametrize("change", [with_patch, with_waves])
def test_float32_keeps_six_digits(change):
    """In float32, as trained and exported, SSIM keeps the reference value to 1e-6."""
    x = reference_image()
    exact = ssim(batch(x), batch(change(x)))
    assert ssim(batch(x).float(), batch(change(x)).float()).item() == pytest.approx(exact.item(), abs=1e-6)


def test_ssim_equals_skimage_and_its_map():
    """The map and its mean equal scikit-image's with Gaussian weights, population moments and a stated range."""
    x, y = (part.double() for part in noisy_pair())
    for i in range(len(x)):
        value, full = structural_similarity(
            x[i, 0].numpy(),
            y[i, 0].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        assert ssim(x, y)[i].item() == pytest.approx(value, abs=1e-9)
        np.testing.assert_allclose(ssim_map(x, y)[i, 0].numpy(), full[5:-5, 5:-5], atol=1e-9)


def test_ssim_equals_torchmetrics_in_colour():
    """With three channels SSIM is the mean over channels, as in torchmetrics with data_range=1.0, less its border.

    torchmetrics pads by reflection; some of its releases average the border in (1.9 does), some crop it.
    """
    x, y = noisy_pair(channels=3)
    _, full = structural_similarity_index_measure(y, x, data_range=1.0, reduction="none", return_full_image=True)
    inside = full[..., 5:-5, 5:-5]
    torch.testing.assert_close(ssim_map(x, y), inside, atol=2e-5, rtol=0)
    torch.testing.assert_close(ssim(x, y), inside.mean(dim=(1, 2, 3)), atol=2e-6, rtol=0)


def test_ssim_is_float32_inside_autocast():
    """Half-precision autocast does not reach SSIM: its variances would cancel."""
    x, y = noisy_pair()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ssim(x, y)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, ssim(x, y), atol=0, rtol=0)


def test_ssim_has_a_gradient_that_lowers_it():
    """A step up the gradient of SSIM makes two images more alike."""
    x, y = noisy_pair()
    y.requires_grad_()
    before = ssim(x, y).sum()
    (gradient,) = torch.autograd.grad(before, y)
    assert torch.isfinite(gradient).all()
    assert ssim(x, y + 1e-2 * gradient / gradient.abs().max()).sum() > before


@pytest.mark.parametrize("size", [(10, 40), (40, 10)])
def test_images_under_eleven_pixels_have_no_ssim(size):
    """A side shorter than the window is an error, not a padded guess."""
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(torch.zeros(1, 1, *size), torch.zeros(1, 1, *size))


def test_ssim_refuses_unequal_shapes():
    """Shapes that would broadcast are refused."""
    with pytest.raises(ValueError, match="equal shapes"):
        ssim(torch.zeros(1, 1, 20, 20), torch.zeros(1, 3, 20, 20))


def test_mean_squared_error_is_one_number_an_image():
    """The mean runs over channels and pixels of each image alone."""
    x = torch.zeros(2, 3, 4, 4)
    y = torch.stack((torch.full((3, 4, 4), 0.5), torch.zeros(3, 4, 4)))
    torch.testing.assert_close(mean_squared_error(x, y), torch.tensor([0.25, 0.0]))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mse", {"loss", "mean_squared_error"}),
        ("ssim", {"loss", "dissimilarity"}),
        ("mixed", {"loss", "mean_squared_error", "dissimilarity"}),
    ],
)
def test_a_loss_names_its_parts(kind, names):
    """Each kind of loss names exactly the parts it is made of, and the mixed one weighs them."""
    x, y = noisy_pair()
    losses = reconstruction_losses(x, y, kind=kind, mse_weight=2.0, ssim_weight=0.5)
    assert set(losses) == names
    weights = {"mean_squared_error": 2.0, "dissimilarity": 0.5} if kind == "mixed" else dict.fromkeys(names, 1.0)
    total = sum(weights[name] * value for name, value in losses.items() if name != "loss")
    torch.testing.assert_close(losses["loss"], total)


@pytest.mark.parametrize("kind", ["mse", "ssim", "mixed"])
def test_a_perfect_reconstruction_costs_nothing(kind):
    """Every loss is 0 where image and reconstruction are equal."""
    x, _ = noisy_pair()
    assert reconstruction_losses(x, x.clone(), kind=kind, mse_weight=2.0, ssim_weight=1.0)["loss"].abs() < 1e-6
