"""Learn most from the good places that are taken for defects; knows no network and no loss."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["keep_hardest"]


def keep_hardest(losses: Tensor, target: Tensor, share: float) -> Tensor:
    """Weigh places: every defect, and of the good ones the share with the largest loss.

    Args:
        losses: float (...), detached.
        target: float of the same shape, 0 where a place is good.
        share: in (0, 1]; 1 keeps all.

    Returns:
        of the losses' type: 1 or 0.

    >>> keep_hardest(torch.tensor([3.0, 1.0, 2.0, 0.5]), torch.tensor([0.0, 0.0, 0.0, 1.0]), 0.5).tolist()
    [1.0, 0.0, 1.0, 1.0]
    """
    good = target == 0
    if share >= 1.0 or not bool(good.any()):
        return torch.ones_like(losses)
    values = losses[good]
    least = values.kthvalue(max(1, round((1.0 - share) * len(values)))).values
    return (~good | (losses >= least)).to(losses)
