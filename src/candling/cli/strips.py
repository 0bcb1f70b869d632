"""Words of the command line to strips: tables of frames, grouped by product and run; judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from candling.data.samples import group_acquisitions, load_samples
from candling.data.samples.table import TABLE_FILE, TABLE_SUFFIXES
from candling.errors import DataError, ImageError, UsageError
from candling.pixels.read import read_image
from candling.workflow.strip_benchmark import SLOT_MS, StripTiming, drawn_strips, measure_strips
from candling.workflow.strips import frame_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from candling.data.samples import Acquisition
    from candling.runtime.inspector import Inspector
    from candling.types import Frame, Inspection

__all__ = ["StripFiles", "time_strips"]


@dataclass(frozen=True)
class StripFiles:
    """The frames of each acquisition, by its name."""

    named: tuple[tuple[str, tuple[Path, ...]], ...]

    @classmethod
    def find(cls, words: Sequence[str], frames: int) -> StripFiles:
        """Read the tables that are named; what training had is left out.

        Raises:
            UsageError: a word is no table.
            SamplesError: a table is not usable, or its rows do not name product and frame.
        """
        found = [one for word in words for one in _acquisitions(word, frames)]
        return cls(tuple((one.name, one.paths) for one in found))

    def frame_of(self, inspection: Inspection) -> Frame:
        """Read the frame that an inspection of one frame shows.

        Raises:
            ImageError: it cannot be read.
        """
        number = frame_number(inspection)
        paths = dict(self.named)[inspection.product]
        if number is None:
            raise ImageError(f"{inspection.product}: nothing of it was judged, so there is no frame to show")
        frame: Frame = read_image(paths[number - 1])
        return frame


def time_strips(
    inspector: Inspector,
    words: Sequence[str],
    *,
    seconds: float,
    slot_ms: float | None,
    progress: Callable[[int, int], None],
) -> StripTiming:
    """Time strips of a table, or drawn ones where none is given.

    Raises:
        UsageError: the bundle's product is no strip, or a word is no table.
        DataError: a frame cannot be read.
    """
    strip = inspector.recipe.strip
    if strip is None:
        raise UsageError(f"{inspector.bundle.path}: its recipe has no [strip]; bench it without --strip")
    files = [_bytes(one) for word in words for one in _acquisitions(word, strip.frames)][:64]
    return measure_strips(
        inspector,
        files or drawn_strips(strip, channels=inspector.recipe.prepare.shape[0]),
        seconds=seconds,
        slot_ms=SLOT_MS if slot_ms is None else slot_ms,
        progress=progress,
    )


def _acquisitions(word: str, frames: int) -> list[Acquisition]:
    path = Path(word)
    if path.suffix.lower() not in TABLE_SUFFIXES and not (path / TABLE_FILE).is_file():
        raise UsageError(
            f"{word}: this bundle judges {frames} frames at once; give a table with the columns path, label, product, "
            "run and frame"
        )
    samples = [sample for sample in load_samples(path) if sample.split != "train"]
    return list(group_acquisitions(samples, frames))


def _bytes(acquisition: Acquisition) -> list[bytes]:
    try:
        return [path.read_bytes() for path in acquisition.paths]
    except OSError as error:
        raise DataError(f"{acquisition.name}: a frame cannot be read: {error.strerror or error}") from error
