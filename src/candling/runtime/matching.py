"""The histograms of a bundle: ``histograms.json``, what frames are matched to; knows no graph and no verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.errors import BundleError, UsageError
from candling.pixels.histogram import ALL, GROUPS, Histogram, Matcher

if TYPE_CHECKING:
    from candling.runtime.bundle import Bundle

__all__ = ["HISTOGRAMS", "encode_matcher", "load_matcher"]

HISTOGRAMS: Final = "histograms.json"
"""What the file is called in a bundle."""

_LARGEST: Final = 65535


def load_matcher(bundle: Bundle) -> Matcher | None:
    """Load what a bundle's frames are matched to; None where its recipe matches nothing.

    Raises:
        BundleError: the recipe matches and there are no histograms, or they are damaged.
    """
    way = bundle.recipe.prepare.histogram
    if way == "none":
        return None
    where, data = str(bundle.path / HISTOGRAMS), bundle.read_extra(HISTOGRAMS)
    if data is None:
        raise BundleError(f"{where}: is missing, and the recipe matches histograms; copy the whole bundle again")
    try:
        return decode_matcher(data, gain=bundle.recipe.prepare.histogram_gain, white=bundle.recipe.prepare.white)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, UsageError) as error:
        raise BundleError(f"{where}: holds no histograms ({error}); train again") from error


def encode_matcher(matcher: Matcher) -> bytes:
    """Pack templates and boundaries; the same matcher gives the same bytes."""
    templates = {
        name: {"white": one.white, "levels": one.levels.tolist(), "counts": one.counts.tolist()}
        for name, one in matcher.templates.items()
    }
    return (json.dumps({"boundaries": list(matcher.boundaries), "templates": templates}) + "\n").encode()


def decode_matcher(data: bytes, *, gain: float | None, white: int | None) -> Matcher:
    """Unpack what :func:`encode_matcher` packed; gain and white are the recipe's.

    Raises:
        ValueError, TypeError, KeyError, AttributeError, UsageError: it was not packed so.
    """
    facts = json.loads(data)
    named = {str(name): _histogram(one) for name, one in facts["templates"].items()}
    if list(named) not in ([ALL], [name for name in GROUPS if name in named]):
        raise ValueError(f"groups are {', '.join(named)}")
    boundaries = tuple(float(value) for value in facts["boundaries"])
    if not np.isfinite(boundaries).all() or list(boundaries) != sorted(boundaries):
        raise ValueError("boundaries do not rise")
    return Matcher(named, boundaries, gain, white)


def _histogram(one: Any) -> Histogram:
    levels, counts = (np.array(one[key], np.int64) for key in ("levels", "counts"))
    if levels.size and levels.max() > _LARGEST:
        raise ValueError(f"a level of {levels.max()} is beyond 16 bits")
    return Histogram(levels, counts, int(one["white"]))
