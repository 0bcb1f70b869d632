"""Ways to spoil good images while training, so that a network must restore them; knows no network and no loss.

A spoiled image is not meant to look like a defect: it takes away the answer "copy what you see". The untouched image
stays the target. Everything is drawn for the whole batch at once, from one generator.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from candling.train.spoil.draw import Draw
from candling.train.spoil.painters import PAINTERS
from candling.train.spoil.perlin import perlin_mask, perlin_noise

__all__ = ["SpoilKind", "SpoilOptions", "perlin_mask", "perlin_noise", "spoil", "spoil_many", "spoil_often"]

SpoilKind = Literal[
    "perlin", "texture", "cutpaste", "scratch", "spot", "fill", "warp", "blister", "blur", "noise", "stain"
]


class SpoilOptions(BaseModel):
    """The recipe's ``[method.spoil]``.

    Attributes:
        probability: that an image is spoiled.
        kinds: one of these is drawn for each spoiled image, all equally likely: ``perlin`` (bright noise in clouds),
            ``texture`` (clouds of another place of the same or another image, turned and zoomed), ``cutpaste`` (a
            rectangle of it), ``scratch`` (a thin curve, dark or bright), ``spot`` (soft ellipses), ``fill`` (an
            ellipse of local mean), ``warp`` (a place is dragged aside), ``blister`` (a small round lens with a rim),
            ``blur`` and ``noise`` (an ellipse is smoothed, or grows rough), ``stain`` (clouds darker or lighter than
            what shines through them).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    probability: float = Field(default=0.0, ge=0, le=1)
    kinds: tuple[SpoilKind, ...] = Field(default=("perlin",), min_length=1, strict=False)


def spoil(
    images: Tensor,
    generator: torch.Generator,
    *,
    kinds: tuple[SpoilKind, ...],
    probability: float,
    upright: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spoil each image with a probability, in one of several ways.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        kinds: see :class:`SpoilOptions`.
        probability: in [0, 1]; 0 draws nothing and gives ``images`` itself.
        upright: what is pasted from elsewhere is only moved, neither turned nor zoomed.

    Returns:
        spoiled float32 (N, C, H, W) in [0, 1], and mask bool (N, 1, H, W), true where an image was painted over.
    """
    count, _, height, width = images.shape
    mask = torch.zeros((count, 1, height, width), dtype=torch.bool, device=images.device)
    if probability <= 0.0:
        return images, mask
    draw = Draw(generator, images.device, upright=upright)
    chosen = draw.uniform((count,)) < probability
    kind = draw.integers((count,), len(kinds))
    spoiled = images.clone()
    for index, name in enumerate(kinds):
        (which,) = torch.nonzero(chosen & (kind == index), as_tuple=True)
        if len(which):
            opacity, paint, region = PAINTERS[name](images, which, draw)
            spoiled[which] = torch.lerp(images[which], paint.expand(-1, images.shape[1], -1, -1), opacity).clamp_(
                0.0, 1.0
            )
            mask[which] = region
    return spoiled, mask


def spoil_often(images: Tensor, generator: torch.Generator, options: SpoilOptions, *, marks: int) -> Tensor:
    """Spoil each image up to ``marks`` times, the second and later ones half as likely as the one before.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        options: the kinds, and how likely the first one is.
        marks: at most so many spoilings of an image.
    """
    probability, spoiled = options.probability, images
    for _ in range(marks):
        spoiled, _ = spoil(spoiled, generator, kinds=options.kinds, probability=probability)
        probability *= 0.5
    return spoiled


def spoil_many(images: Tensor, generator: torch.Generator, options: SpoilOptions, *, most: int) -> Tensor:
    """Spoil each image from once to ``most`` times, all equally likely; with what is left of the probability, never.

    Args:
        images: float32 (N, C, H, W) in [0, 1]; not changed.
        generator: the only source of randomness.
        options: the kinds, and how likely an image is spoiled at all.
        most: at most so many spoilings of an image.
    """
    draw = Draw(generator, images.device)
    times = (1 + draw.integers((len(images),), most)) * (draw.uniform((len(images),)) < options.probability)
    spoiled = images.clone()
    for turn in range(int(times.max())):
        (which,) = torch.nonzero(times > turn, as_tuple=True)
        spoiled[which], _ = spoil(spoiled[which], generator, kinds=options.kinds, probability=1.0)
    return spoiled
