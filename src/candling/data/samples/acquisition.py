"""Which images belong to one acquisition of one product: the frames of one run; opens no image.

A line judges acquisitions. Where one frame shows the whole product, every image is an acquisition of its own; where a
product is seen in several frames, a table's columns ``product``, ``run`` and ``frame`` say which belong together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from candling.data.samples.sample import natural_key
from candling.errors import SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from candling.data.samples.sample import Sample

__all__ = ["Acquisition", "group_acquisitions", "inspected_frames"]


@dataclass(frozen=True)
class Acquisition:
    """What is judged at once.

    Attributes:
        samples: its frames in the order they were taken; all of one product, one run and one label.
    """

    samples: tuple[Sample, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of its frames."""
        return tuple(sample.path for sample in self.samples)

    @property
    def label(self) -> str:
        """``"good"``, or the name of the defect class."""
        return self.samples[0].label

    @property
    def is_good(self) -> bool:
        """True for a good product."""
        return self.samples[0].is_good

    @property
    def product(self) -> str | None:
        """The product's name; None when it has none."""
        return self.samples[0].product

    @property
    def run(self) -> str | None:
        """Which repetition; None when there is one only."""
        return self.samples[0].run

    @property
    def name(self) -> str:
        """What it is called in records: product and run, or the file where neither is known.

        >>> from pathlib import Path
        >>> from candling.data.samples.sample import Sample
        >>> Acquisition((Sample(Path("a.png"), "good", "test", product="S17", run="3"),)).name
        'S17 run 3'
        """
        if self.product is None or (self.run is None and len(self.samples) == 1):
            return str(self.samples[0].path)
        return self.product if self.run is None else f"{self.product} run {self.run}"


def group_acquisitions(samples: Iterable[Sample], frames: int, *, choose: bool = False) -> tuple[Acquisition, ...]:
    """Bring the frames of each acquisition together, in the order of their first appearance.

    With one frame a product, each image is an acquisition. With more, the frames of one (split, product, run) are, in
    the order of their numbers; frames with a name instead of a number (ranks over a run) are of training alone and are
    left out. An acquisition with too few or too many frames stays as it is: judging it is a reject with its reason.

    Args:
        samples: images of any number of products.
        frames: how many frames a product is judged from.
        choose: take ``frames`` of those that have more, evenly spread from first to last.

    Raises:
        SamplesError: an image names no product or no frame where several frames make one product, two images are the
            same frame, or the frames of one product do not agree on what is wrong with it.
    """
    if frames == 1:
        return tuple(Acquisition((sample,)) for sample in samples)
    groups: dict[tuple[str, str, str | None], list[Sample]] = {}
    for sample in samples:
        if sample.product is None or sample.frame is None:
            raise SamplesError(
                f"{sample.path}: names no product or no frame, and {frames} frames make one acquisition; "
                "give a table with the columns product, run and frame"
            )
        if sample.frame.isdecimal():
            groups.setdefault((sample.split, sample.product, sample.run), []).append(sample)
    made = [Acquisition(tuple(sorted(group, key=_number))) for group in groups.values()]
    for acquisition in made:
        _refuse_contradictions(acquisition)
    return tuple(inspected_frames(one, frames) for one in made) if choose else tuple(made)


def inspected_frames(acquisition: Acquisition, frames: int) -> Acquisition:
    """Take so many frames, evenly spread from the first to the last; first, eighth and last of 16 for 3.

    An acquisition that has no more than these stays as it is.
    """
    there = len(acquisition.samples)
    if there <= frames:
        return acquisition
    chosen: Sequence[int] = [at * (there - 1) // max(frames - 1, 1) for at in range(frames)]
    return Acquisition(tuple(acquisition.samples[at] for at in chosen))


def _number(sample: Sample) -> tuple[int, object]:
    return int(sample.frame or 0), natural_key(sample.path)


def _refuse_contradictions(acquisition: Acquisition) -> None:
    first = acquisition.samples[0]
    run = "" if first.run is None else f", run {first.run}"
    frames = Counter(int(sample.frame or 0) for sample in acquisition.samples)
    twice = next((frame for frame, count in frames.items() if count > 1), None)
    if twice is not None:
        raise SamplesError(f"product {first.product!r}{run}: frame {twice} is there twice; keep one of the rows")
    labels = sorted({sample.label for sample in acquisition.samples})
    if len(labels) > 1:
        raise SamplesError(f"product {first.product!r}{run}: its frames are labelled {' and '.join(labels)}; keep one")
