"""What of a spoiling a person could see: labels for a network that marks defects; knows no network and no spoiling.

A change weaker than the texture around it teaches a network to fire at texture. So a place counts as defect only where
the change stands out from the texture, and where it changed less nothing is taught at all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["marking_losses", "visible"]

CHANGE_PX = 3
"""A change is averaged under a square of this side."""

FINE_PX = 5
"""Texture is what differs from the mean under a square of this side."""

TEXTURE_PX = 15
"""The texture around a place is averaged under a square of this side."""

SPREAD = 2.0
"""Texture swings to both sides: a change must be compared with twice its mean."""

LEAST_CHANGE = 0.012
"""Added to what a change must exceed, three grey levels of 255: a smooth ground has some noise as well."""

UNCHANGED = 0.006
"""A change weaker than this, one and a half grey levels of 255, is none."""

SMOOTH = 5.0
"""Added to both sides of an overlap, in blocks: an image without a defect has one."""


def visible(clean: Tensor, spoiled: Tensor, *, times: float) -> tuple[Tensor, Tensor]:
    """Say where a spoiling is a defect and where nothing should be taught.

    Args:
        clean: float32 (N, C, H, W) in [0, 1].
        spoiled: the same shape.
        times: a defect is where the change is more than so many times the swing of the good image's texture there.

    Returns:
        defect and undecided, bool (N, 1, H, W), nowhere both; elsewhere the image is good.
    """
    change = _mean((spoiled - clean).abs().amax(dim=1, keepdim=True), CHANGE_PX)
    texture = _mean((clean - _mean(clean, FINE_PX)).abs().mean(dim=1, keepdim=True), TEXTURE_PX)
    defect = change > SPREAD * times * texture + LEAST_CHANGE
    return defect, (change > UNCHANGED) & ~defect


def marking_losses(
    logits: Tensor, defect: Tensor, undecided: Tensor, *, gamma: float, alpha: float | None
) -> tuple[Tensor, Tensor]:
    """Compare logits with labels: the focal loss, and one minus the Dice overlap, the mean over images; both scalars.

    Args:
        logits: float32 (N, 1, h, w).
        defect: bool (N, 1, H, W), H and W whole multiples of h and w: a block with one defective pixel is defective.
        undecided: the same shape; blocks that count for nothing, unless a defect is in them.
        gamma: the focal exponent; what is nearly right counts little (Lin et al. 2017, eq. 5).
        alpha: weight of defects, one minus this of good places; None weighs them alike.
    """
    block = defect.shape[2] // logits.shape[2]
    target = F.max_pool2d(defect.float(), block)
    counted = torch.maximum(target, 1.0 - F.max_pool2d(undecided.float(), block))
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (1.0 - torch.exp(-cross_entropy)) ** gamma * cross_entropy
    if alpha is not None:
        focal = focal * (alpha * target + (1.0 - alpha) * (1.0 - target))
    focal_loss = (focal * counted).sum() / counted.sum().clamp(min=1.0)
    probability = torch.sigmoid(logits) * counted
    inside, marked, there = (part.sum(dim=(1, 2, 3)) for part in (probability * target, probability, target))
    overlap = (2.0 * inside + SMOOTH) / (marked + there + SMOOTH)
    return focal_loss, 1.0 - overlap.mean()


def _mean(maps: Tensor, side: int) -> Tensor:
    """Average under a square, over what lies inside: rows first, then columns."""
    return _along(_along(maps, side, dim=2), side, dim=3)


def _along(maps: Tensor, side: int, *, dim: int) -> Tensor:
    """Average over ``side`` neighbours along one axis, by running sums: any side takes the same time."""
    size, reach = maps.shape[dim], side // 2
    wide = F.pad(maps, (reach + 1, reach) if dim == 3 else (0, 0, reach + 1, reach))
    sums = wide.cumsum(dim)
    at = torch.arange(size, device=maps.device)
    inside = ((at + reach + 1).clamp(max=size) - (at - reach).clamp(min=0)).to(maps)
    return (sums.narrow(dim, side, size) - sums.narrow(dim, 0, size)) / (inside if dim == 3 else inside[:, None])
