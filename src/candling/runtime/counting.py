"""How a bundle's cells are made from what its graph says: ``counting.json``, written and read; knows no graph."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from candling.errors import BundleError, UsageError
from candling.measure.count_spread import CountSpread

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COUNTING", "MISREAD", "Counting", "decode_classes", "decode_counting", "encode_counting"]

COUNTING: Final = "counting.json"
"""What the file is called in a bundle."""

MISREAD: Final = (UsageError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What reading a foreign file of facts may raise."""


@dataclass(frozen=True)
class Counting:
    """How cells are made from what a graph says, and which of them count.

    Attributes:
        scores: the least score of a counted cell, by class; these are the classes, in order.
        least_inside: how likely a pixel must be the inside of a cell to part it from its neighbours, in [0, 1].
        border_px: width of the rims the graph learned.
        least_px: a smaller object is debris.
        reach_px: how far from a pixel lies what its values are computed from.
        step_px: tiles that begin at multiples of this are seen alike.
        density_factor: what the sum of a density is multiplied by, so that held-out images have their true sum.
        spreads: how far a count may lie from the truth, by class; none where too few images were held out.
    """

    scores: Mapping[str, float]
    least_inside: float
    border_px: int
    least_px: int
    reach_px: int
    step_px: int
    density_factor: float = 1.0
    spreads: Mapping[str, CountSpread] = field(default_factory=dict)


def encode_counting(counting: Counting) -> bytes:
    """Pack; the same facts give the same bytes."""
    return (json.dumps(asdict(counting), indent=2) + "\n").encode()


def decode_classes(facts: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, CountSpread]]:
    """Take the least score of each class, and how far its counts may lie from the truth; raises :data:`MISREAD`."""
    scores = {str(name): float(score) for name, score in facts["scores"].items()}
    return scores, {str(name): CountSpread(**spread) for name, spread in facts.get("spreads", {}).items()}


def decode_counting(data: bytes, *, where: str) -> Counting:
    """Unpack what :func:`encode_counting` packed.

    Raises:
        BundleError: it was not packed so.
    """
    try:
        facts = json.loads(data)
        scores, spreads = decode_classes(facts)
        least_inside = float(facts["least_inside"])
        sizes = {name: int(facts[name]) for name in ("border_px", "least_px", "reach_px", "step_px")}
        factor = float(facts.get("density_factor", 1.0))
    except MISREAD as error:
        raise BundleError(f"{where}: does not say how cells are counted ({error}); train again") from error
    usable = scores and all(0.0 <= score <= 1.0 for score in (least_inside, *scores.values()))
    if (
        not usable
        or not 0.0 < factor < math.inf
        or sizes["border_px"] < 1
        or sizes["step_px"] < 1
        or min(sizes.values()) < 0
    ):
        raise BundleError(f"{where}: holds impossible sizes or scores; train again")
    return Counting(scores, least_inside, **sizes, density_factor=factor, spreads=spreads)
