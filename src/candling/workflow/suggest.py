"""Which images to label next: those whose count is least sure, from every contrast group; opens no image."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from candling.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Unlabelled", "suggest"]


@dataclass(frozen=True)
class Unlabelled:
    """One image nobody has labelled.

    Attributes:
        image: its name.
        probabilities: float64 (N,), how likely each box the model gave is real, in [0, 1].
        group: its contrast group, or any other kind of image worth having in the training set.
    """

    image: str
    probabilities: NDArray[np.float64]
    group: str = ""

    @property
    def doubt(self) -> float:
        """The standard deviation of the count: half-sure boxes and many boxes both raise it (Poisson binomial).

        >>> Unlabelled("a", np.array([0.5, 0.5, 1.0, 0.0])).doubt
        0.7071067811865476
        """
        return math.sqrt(float(np.sum(self.probabilities * (1.0 - self.probabilities))))


def suggest(images: Sequence[Unlabelled], count: int, *, labelled: Sequence[str] = ()) -> tuple[str, ...]:
    """Name the images to label next, the most useful first.

    Each time the image with the largest doubt is taken, divided by how many of its group are labelled already, and one:
    a group nobody has labelled comes before a third image of a group that is well known.

    Args:
        images: to choose from.
        count: how many; fewer where there are not so many.
        labelled: the group of every image that is labelled already.

    Raises:
        UsageError: ``count`` is negative.

    >>> sure, unsure = np.array([0.99, 0.99]), np.array([0.5, 0.5])
    >>> suggest([Unlabelled("a", sure), Unlabelled("b", unsure), Unlabelled("c", unsure * 0.99)], 2)
    ('b', 'c')
    """
    if count < 0:
        raise UsageError(f"{count} images cannot be suggested; ask for 0 or more")
    known = Counter(labelled)
    left, chosen = list(images), []
    for _ in range(min(count, len(left))):
        best = max(range(len(left)), key=lambda at: (left[at].doubt / (1 + known[left[at].group]), -at))
        taken = left.pop(best)
        known[taken.group] += 1
        chosen.append(taken.image)
    return tuple(chosen)
