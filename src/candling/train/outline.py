"""Where a picture shows the product, and how far inside its outline; knows no network and no score.

For products on a dark ground. An outline is where a network redraws worst, good product or not, so whatever looks at
a few pixels looks at the outline unless that is left out.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["inside", "well_inside"]


def inside(image: Tensor, ground: float) -> Tensor:
    """Mark with 1 the pixels of float32 (N, C, H, W) in [0, 1] above ``ground`` in any channel: float32 (N, H, W)."""
    return (image.amax(dim=1) > ground).to(image.dtype)


def well_inside(shown: Tensor, margin_px: int, *, fills: bool) -> Tensor:
    """Leave of marked pixels (N, H, W) those more than ``margin_px`` away from any other, across or diagonally.

    Args:
        shown: 1 where the product is, else 0.
        margin_px: 0 leaves all.
        fills: the product goes on beyond the picture's border, which is then no outline.
    """
    if not margin_px:
        return shown
    framed = F.pad(shown.unsqueeze(1), (margin_px,) * 4, value=1.0 if fills else 0.0)
    side = 2 * margin_px + 1
    return 1.0 - F.max_pool2d(F.max_pool2d(1.0 - framed, (side, 1), stride=1), (1, side), stride=1).squeeze(1)
