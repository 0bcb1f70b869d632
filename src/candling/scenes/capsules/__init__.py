"""Drawn drug capsules, good and defect; names only."""

from candling.scenes.capsules.dataset import write_dataset
from candling.scenes.capsules.draw import DEFECTS, draw_capsule, draw_defect

__all__ = ["DEFECTS", "draw_capsule", "draw_defect", "write_dataset"]
