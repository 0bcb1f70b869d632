"""Limits are bound to what their scores mean: a density's values move with its dimensions; knows no disk.

What a score depends on beyond the image stands on the card (``scores``); each limit repeats it. A limit that was chosen
for another meaning, such as a log-density of another latent, is refused however it came into the bundle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.errors import BundleError

if TYPE_CHECKING:
    from candling.runtime.bundle.shapes import Card, LimitsFile

__all__ = ["bound", "check_meaning"]


def bound(limits: LimitsFile, card: Card, *, where: object) -> LimitsFile:
    """Give the same limits, each with the meaning its score has on the card.

    Raises:
        BundleError: one of them was chosen for another meaning.
    """
    check_meaning(limits, card, where=where)
    entries = tuple(
        entry.model_copy(update={"meaning": card.scores[entry.score]}) if entry.score in card.scores else entry
        for entry in limits.entries
    )
    return limits if entries == limits.entries else limits.model_copy(update={"entries": entries})


def check_meaning(limits: LimitsFile, card: Card, *, where: object) -> None:
    """Refuse limits that were chosen for a score of another meaning.

    Raises:
        BundleError: the sentence names both meanings.
    """
    for entry in limits.entries:
        meaning = card.scores.get(entry.score)
        if entry.meaning is not None and entry.meaning != meaning:
            raise BundleError(
                f"{where}: the limit of {entry.score!r} was chosen for {entry.meaning}, and here it is "
                f"{meaning or 'a score of another meaning'}; choose it anew with candling calibrate"
            )
