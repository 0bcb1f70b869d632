"""Which bundles count, and how one is opened whatever it counts by: cells from a map, or boxes; knows no method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from candling.errors import BundleError
from candling.runtime.boxes import DETECTING, BoxCounter
from candling.runtime.cells import CellCounter
from candling.runtime.counting import COUNTING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from candling.measure.count_spread import CountSpread
    from candling.recipe import Recipe
    from candling.runtime.bundle import Bundle
    from candling.runtime.cells import SeenCells
    from candling.runtime.engine import EngineName
    from candling.types import Frame

__all__ = ["Counter", "Facts", "is_counter", "load_counter"]


class Facts(Protocol):
    """What every counter knows about which objects count."""

    @property
    def scores(self) -> Mapping[str, float]:
        """The least score of a counted object, by class."""
        ...

    @property
    def spreads(self) -> Mapping[str, CountSpread]:
        """How far a count may lie from the truth, by class."""
        ...


class Counter(Protocol):
    """What finds the objects of frames."""

    @property
    def recipe(self) -> Recipe:
        """Resolved; says how pixels are prepared."""
        ...

    @property
    def counting(self) -> Facts:
        """Which objects count."""
        ...

    def look(self, frame: Frame, *, progress: Callable[[int, int], None] | None = None) -> SeenCells:
        """Find the objects of one frame."""
        ...


def is_counter(bundle: Bundle) -> bool:
    """Tell whether a bundle counts."""
    return COUNTING in bundle.manifest.files or DETECTING in bundle.manifest.files


def load_counter(bundle: Bundle, *, engine: EngineName = "auto", threads: int | None = None) -> Counter:
    """Open a bundle for counting.

    Raises:
        BundleError: the bundle is damaged, or does not count.
        EngineError: the engine does not run its graph, or contradicts its witness.
    """
    if DETECTING in bundle.manifest.files:
        return BoxCounter.load(bundle, engine=engine, threads=threads)
    if COUNTING not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path}: does not count (there is neither {COUNTING} nor {DETECTING}); give one trained with a "
            "recipe that counts, such as nuclei or blood_cells"
        )
    return CellCounter.load(bundle, engine=engine, threads=threads)
