"""Drawn strips of five vials, good and defect, in motion before a camera; names only."""

from candling.scenes.vials.dataset import write_line
from candling.scenes.vials.defects import DEFECTS, SEVERITIES, Defect
from candling.scenes.vials.geometry import GEOMETRY, INSPECTED, RUN_FRAMES
from candling.scenes.vials.strip import Strip, draw_frame, draw_mask, draw_strip, make_strip, rank_frames

__all__ = [
    "DEFECTS",
    "GEOMETRY",
    "INSPECTED",
    "RUN_FRAMES",
    "SEVERITIES",
    "Defect",
    "Strip",
    "draw_frame",
    "draw_mask",
    "draw_strip",
    "make_strip",
    "rank_frames",
    "write_line",
]
