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

TEXTURE_PX = 9
"""The texture around a place is measured under a square of this side."""

LEAST_CHANGE = 0.03
"""No change weaker than this is a defect, however smooth its surroundings; white is 1."""

UNCHANGED = 0.004
"""A change weaker than this, one grey level of 255, is none."""


def visible(clean: Tensor, spoiled: Tensor, *, times: float) -> tuple[Tensor, Tensor]:
    """Say where a spoiling is a defect and where nothing should be taught.

    Args:
        clean: float32 (N, C, H, W) in [0, 1].
        spoiled: the same shape.
        times: a defect is where the change is more than so many times the texture of the good image there.

    Returns:
        defect and undecided, bool (N, 1, H, W), nowhere both; elsewhere the image is good.
    """
    change = _root_mean((spoiled - clean).square(), CHANGE_PX).amax(dim=1, keepdim=True)
    texture = _root_mean((clean - _mean(clean, CHANGE_PX)).square(), TEXTURE_PX).mean(dim=1, keepdim=True)
    defect = change > (times * texture).clamp(min=LEAST_CHANGE)
    return defect, (change > UNCHANGED) & ~defect


def marking_losses(
    logits: Tensor, defect: Tensor, undecided: Tensor, *, gamma: float, alpha: float | None
) -> tuple[Tensor, Tensor]:
    """Compare logits with labels: the focal loss, and one minus the Dice overlap of the batch, both scalars.

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
    overlap = (2.0 * (probability * target).sum() + 1.0) / (probability.sum() + target.sum() + 1.0)
    return focal_loss, 1.0 - overlap


def _mean(maps: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(maps, side, stride=1, padding=side // 2, count_include_pad=False)


def _root_mean(squares: Tensor, side: int) -> Tensor:
    return _mean(squares, side).clamp(min=0.0).sqrt()
