"""Which labelled defects may be learned from, and which stay for the test; opens no image, splits no product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from candling.data.samples.split import split_hold_out
from candling.errors import SamplesError

if TYPE_CHECKING:
    from candling.data.samples.sample import Sample, SampleSet

__all__ = ["LEFT_SHARE", "defects_to_learn"]

LEFT_SHARE: Final = 1 / 3
"""Share of the defects that is left for the test where the data state no splits."""


def defects_to_learn(samples: SampleSet, *, seed: int) -> tuple[Sample, ...]:
    """Choose the defects that a method may learn from: those with a mask, of split ``train``.

    Where folders state no splits (``good`` or ``normal`` beside a folder per class), two thirds are taken at random,
    all images of a product or none, and the rest stays unseen.

    Args:
        samples: what lies on disk.
        seed: of that choice.

    Raises:
        SamplesError: there is no defect with a mask to learn from.
    """
    marked = [sample for sample in samples if not sample.is_good and sample.mask is not None]
    if not marked:
        raise SamplesError(
            f"{samples.root}: no defect has a mask, and this method learns from masks; put them into a folder gt "
            "(<stem>_gt.png) or name them in the table's column mask, or choose a method that needs good images only"
        )
    if samples.layout != "folders":
        chosen = tuple(sample for sample in marked if sample.split == "train")
        if not chosen:
            raise SamplesError(
                f"{samples.root}: none of the {len(marked)} defects with a mask is of split 'train'; move those that "
                "may be learned from to that split, images of one product together"
            )
        return chosen
    if len(marked) < 2:
        raise SamplesError(f"{samples.root}: one defect with a mask cannot be split; give at least 2, better 20")
    return split_hold_out(marked, LEFT_SHARE, seed=seed)[0]
