"""Perlin noise laid over good images, and the losses that name it (Ferrari et al. 2024); knows no network.

``spoil`` hides what it painted; here the noise, its mask and its strength stay known, because a loss asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from candling.train.spoil import perlin_mask

__all__ = ["NoiseLoss", "Noisy", "noise_loss", "superimpose"]

NoiseLoss = Literal["as_printed", "revised", "consistent", "off"]

LEAST_OPACITY = 0.5
"""The noise's opacity is uniform between this and 1."""


@dataclass(frozen=True)
class Noisy:
    """Images with noise on them, and what was laid there.

    Attributes:
        images: float32 (N, C, H, W) in [0, 1], the perturbed images.
        noise: float32 (N, 1, H, W) in [0, 1], 0 outside the mask.
        mask: bool (N, 1, H, W); all false where an image stayed as it was.
        opacity: float32 (N, 1, 1, 1) in [0.5, 1].
    """

    images: Tensor
    noise: Tensor
    mask: Tensor
    opacity: Tensor


def superimpose(images: Tensor, generator: torch.Generator, *, probability: float) -> Noisy:
    """Lay Perlin noise over each image with a probability.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness; draws nothing at probability 0.
        probability: in [0, 1], that an image is perturbed.
    """
    count, _, height, width = images.shape
    noise = torch.zeros((count, 1, height, width), device=images.device)
    mask = torch.zeros((count, 1, height, width), dtype=torch.bool, device=images.device)
    opacity = torch.ones((count, 1, 1, 1), device=images.device)
    if probability <= 0.0:
        return Noisy(images, noise, mask, opacity)
    draws = torch.rand((2, count), generator=generator, device=generator.device).to(images.device)
    opacity = (LEAST_OPACITY + (1.0 - LEAST_OPACITY) * draws[0]).view(count, 1, 1, 1)
    (which,) = torch.nonzero(draws[1] < probability, as_tuple=True)
    if len(which):
        drawn, where = perlin_mask(len(which), (height, width), generator)
        mask[which] = where.to(images.device)
        noise[which] = (drawn * where).to(images.device)
    # Ferrari et al. 2024, revised text: X* = (1 - M) X + (1 - beta) M X + beta N with N = 0 outside M
    return Noisy(images * (1.0 - opacity * mask) + opacity * noise, noise, mask, opacity)


def noise_loss(kind: NoiseLoss, clean: Tensor, noisy: Noisy, reconstruction: Tensor) -> Tensor:
    """Ask that what was removed is the noise: a scalar.

    ``as_printed`` is mean | |X* - X^| - N |, which is not 0 for a perfect reconstruction. ``revised`` is the later
    text's mean (|(1 - beta) M X^ - M X*| - beta N)^2 with the perturbed X*, and ``consistent`` is
    mean | |X* - X^| - |X* - X| |; both are 0 where X^ = X. ``off`` is 0 everywhere.

    Args:
        kind: which of them.
        clean: X, float32 (N, C, H, W) in [0, 1].
        noisy: X*, N, M and beta.
        reconstruction: X^, as ``clean``.
    """
    if kind == "off":
        return reconstruction.new_zeros(())
    if kind == "revised":
        left = ((1.0 - noisy.opacity) * reconstruction - noisy.images) * noisy.mask
        return (left.abs() - noisy.opacity * noisy.noise).square().mean()
    removed = (noisy.images - reconstruction).abs()
    laid = noisy.noise if kind == "as_printed" else (noisy.images - clean).abs()
    return (removed - laid).abs().mean()
