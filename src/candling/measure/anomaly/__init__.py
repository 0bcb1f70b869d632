"""Metrics of anomaly detection, of images and of pixels, each with its interval."""

from candling.measure.anomaly.images import (
    Curve,
    average_precision,
    best_f1,
    bootstrap,
    f1_at,
    false_reject_rate,
    image_auroc,
    missed_defect_rate,
    pr_curve,
    roc_curve,
)
from candling.measure.anomaly.pixels import PixelEstimates, PixelScores, aupro, pixel_auroc, pixel_average_precision

__all__ = [
    "Curve",
    "PixelEstimates",
    "PixelScores",
    "aupro",
    "average_precision",
    "best_f1",
    "bootstrap",
    "f1_at",
    "false_reject_rate",
    "image_auroc",
    "missed_defect_rate",
    "pixel_auroc",
    "pixel_average_precision",
    "pr_curve",
    "roc_curve",
]
