"""Bring a product that lies shifted or turned to where a template shows it, and bring maps back."""

from candling.pixels.align.aligner import Aligner, shape_aligned
from candling.pixels.align.movement import Movement, Way, move, move_back
from candling.pixels.align.template import Decision, decide, learn_template

__all__ = [
    "Aligner",
    "Decision",
    "Movement",
    "Way",
    "decide",
    "learn_template",
    "move",
    "move_back",
    "shape_aligned",
]
