"""From the logits of places to probabilities that mean what they say, and to the scores of an image; knows no network.

A network that learned from as many defects as good places takes defects for common. Two numbers, fitted on held-out
images with all their places, make its logits the logarithm of the real odds (Platt 1999; Guo et al. 2017, ICML).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Probability"]

_STEPS = 50
_LEAST_SLOPE = 0.05
"""A larger logit stays worse, whatever few images say."""


class Probability(nn.Module):
    """Turns logits into an anomaly map of probabilities and two scores.

    Attributes:
        slope: float32 (), by which a logit is multiplied.
        offset: float32 (), added after that.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, window_px: int) -> None:
        """Prepare; ``window_px`` is the side of the square whose mean probability judges an image."""
        super().__init__()
        self.window_px = window_px
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """Take float32 (N, 1, H, W) to the outputs of the graph contract.

        Returns:
            ``anomaly_map`` float32 (N, H, W), the probability of a defect at each pixel; ``defect_probability``
            float32 (N,), its largest mean over a square of ``window_px``; ``covered_share`` float32 (N,), its mean: the
            share of the image that is expected to be covered by defects. All in [0, 1].
        """
        probability = torch.sigmoid(self.slope * logits + self.offset)
        side = min(self.window_px, *probability.shape[2:])
        means = F.avg_pool2d(probability, side, stride=max(1, side // 2))
        return {
            "anomaly_map": probability[:, 0],
            "defect_probability": means.amax(dim=(1, 2, 3)),
            "covered_share": probability.mean(dim=3).mean(dim=(1, 2)),
        }

    @torch.no_grad()
    def fit(self, logits: Tensor, defect: Tensor) -> None:
        """Fit slope and offset by Newton's method on the cross entropy; nothing without places of both kinds.

        Args:
            logits: float (P,), of held-out places as they occur.
            defect: bool (P,).
        """
        if bool(defect.all()) or not bool(defect.any()):
            return
        inputs = torch.stack((logits.double(), torch.ones_like(logits, dtype=torch.float64)), dim=1)
        target = defect.to(inputs)
        found = torch.tensor([1.0, 0.0], dtype=torch.float64, device=inputs.device)
        ridge = 1e-6 * torch.eye(2, dtype=torch.float64, device=inputs.device)

        def loss(at: Tensor) -> float:
            return float(F.binary_cross_entropy_with_logits(inputs @ at, target))

        for _ in range(_STEPS):
            guess = torch.sigmoid(inputs @ found)
            gradient = inputs.T @ (guess - target) / len(target)
            curvature = (inputs * (guess * (1.0 - guess)).unsqueeze(1)).T @ inputs / len(target)
            step = torch.linalg.solve(curvature + ridge, gradient)
            before = loss(found)
            while loss(found - step) > before and float(step.abs().max()) > 1e-9:  # a step too far is halved
                step = step / 2.0
            found = found - step
            if float(step.abs().max()) < 1e-9:
                break
        self.slope.copy_(found[0].clamp(min=_LEAST_SLOPE))
        self.offset.copy_(found[1])
