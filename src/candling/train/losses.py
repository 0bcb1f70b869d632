"""Differences between an image and its reconstruction: squared error and SSIM; knows no network, no score, no training.

SSIM is fixed here once: an 11 x 11 Gaussian window of sigma 1.5, population moments, valid positions only, data range
1.0 (Wang et al. 2004 with their constants). It equals ``skimage.metrics.structural_similarity`` with
``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0``, and torchmetrics with
``data_range=1.0`` inside its padded border. Limits chosen with one variant are worthless with another, so there are no
options.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from candling.train.windows import gaussian_taps, smooth_valid

__all__ = [
    "SSIM_DEFINITION",
    "SSIM_MARGIN",
    "SSIM_SIZE",
    "ReconstructionLoss",
    "mean_squared_error",
    "reconstruction_losses",
    "ssim",
    "ssim_map",
]

SSIM_DEFINITION = (
    "11 x 11 Gaussian of sigma 1.5, weights normalised to 1, population moments, constants (0.01)^2 and (0.03)^2 for "
    "the data range 1, valid positions only, mean over positions and then channels, not clipped"
)
"""What a bundle's card says of its SSIM, so that a limit is never compared with another variant's score."""

SSIM_SIZE = 11
"""Rows and columns of the SSIM window; a smaller image has no SSIM."""

SSIM_MARGIN = SSIM_SIZE // 2
"""How many pixels the valid SSIM map lacks on each side."""

_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
_CENTRE = 0.5

ReconstructionLoss = Literal["mse", "ssim", "mixed"]


def mean_squared_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Average the squared difference over all pixels of each image.

    Args:
        image: float32 (N, C, H, W) in [0, 1].
        reconstruction: the same shape.

    Returns:
        float32 (N,) in [0, 1], 0 where they are equal.
    """
    return (image - reconstruction).square().mean(dim=(1, 2, 3))


def ssim(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Average the structural similarity over all valid positions and channels of each image.

    Args:
        image: float (N, C, H, W) in [0, 1], H and W at least 11.
        reconstruction: the same shape.

    Returns:
        float (N,) in [-1, 1], 1 where they are equal.
    """
    return _ssim_columns_first(image, reconstruction).mean(dim=(1, 2, 3))


def ssim_map(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Measure the structural similarity at each valid position.

    Args:
        image: float (N, C, H, W) in [0, 1], H and W at least 11.
        reconstruction: the same shape.

    Returns:
        float (N, C, H - 10, W - 10) in [-1, 1]; entry (i, j) belongs to the window centred on pixel (i + 5, j + 5).
    """
    return _ssim_columns_first(image, reconstruction).transpose(2, 3)


def reconstruction_losses(
    image: Tensor, reconstruction: Tensor, *, kind: ReconstructionLoss, mse_weight: float, ssim_weight: float
) -> dict[str, Tensor]:
    """Name the parts of a training loss and their sum ``"loss"``, each a scalar averaged over the batch.

    ``"mixed"`` is ``mse_weight * mean squared error + ssim_weight * (1 - SSIM)``; the other kinds are one part alone,
    unweighted.
    """
    parts = {}
    if kind != "ssim":
        parts["mean_squared_error"] = mean_squared_error(image, reconstruction).mean()
    if kind != "mse":
        parts["dissimilarity"] = 1.0 - ssim(image, reconstruction).mean()
    if kind == "mixed":
        total = mse_weight * parts["mean_squared_error"] + ssim_weight * parts["dissimilarity"]
    else:
        (total,) = parts.values()
    return {"loss": total, **parts}


def _ssim_columns_first(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Give the SSIM map with its last two axes exchanged: (N, C, W - 10, H - 10)."""
    if image.shape != reconstruction.shape:
        raise ValueError(f"SSIM compares equal shapes, not {tuple(image.shape)} and {tuple(reconstruction.shape)}")
    height, width = image.shape[-2:]
    if min(height, width) < SSIM_SIZE:
        raise ValueError(f"SSIM needs at least {SSIM_SIZE} x {SSIM_SIZE} px, not {height} x {width}")
    if torch.is_autocast_enabled(image.device.type):
        # the variances are small differences of large means: half precision would cancel them away
        with torch.autocast(image.device.type, enabled=False):
            return _ssim_columns_first(image.float(), reconstruction.float())
    x, y = image - _CENTRE, reconstruction - _CENTRE  # variances do not see a shift; near 0 they cancel less
    maps = torch.stack((x, y, x * x + y * y, x * y))
    moments = smooth_valid(maps.flatten(0, 2), gaussian_taps(_SIGMA, SSIM_SIZE))
    mean_x, mean_y, sum_squares, product = moments.unflatten(0, maps.shape[:3]).unbind(0)
    mean_product = mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    # Wang et al. 2004, eq. 13; the two variances enter only as their sum, so four windowed maps suffice
    contrast = (2.0 * (product - mean_product) + _C2) / (sum_squares - mean_squares + _C2)
    shift = _CENTRE * (mean_x + mean_y) + _CENTRE * _CENTRE
    luminance = (2.0 * (mean_product + shift) + _C1) / (mean_squares + 2.0 * shift + _C1)
    return luminance * contrast
