"""The recipe's shape: everything chosen for one product, as TOML that never executes; knows no method's own options.

A recipe opens with its ``[story]``, then says how pixels are prepared, which method learns, how it is trained and how
limits are chosen. Unknown keys, wrong types and impossible values are refused with the key's path and, where a key is
misspelt, the nearest spelling. The options of a method (``[method]`` besides ``name``) are checked by the method's own
file when training starts; here they are plain TOML values.
"""

from __future__ import annotations

from candling.recipe.shapes import (
    FrameSize,
    Level,
    Limits,
    MethodChoice,
    Prepare,
    Recipe,
    RegionChoice,
    Story,
    Strip,
    Training,
)
from candling.recipe.text import dump_recipe, explain, load_recipe, parse_recipe, shipped_recipes

__all__ = [
    "FrameSize",
    "Level",
    "Limits",
    "MethodChoice",
    "Prepare",
    "Recipe",
    "RegionChoice",
    "Story",
    "Strip",
    "Training",
    "dump_recipe",
    "explain",
    "load_recipe",
    "parse_recipe",
    "shipped_recipes",
]
