"""The images a bundle was trained on: ``learned.csv``, so that nobody measures it on them; knows no graph.

Written where a method learns from labelled defects: their folders often state no splits, and the same data set serves
to train and to evaluate. An image is known by the hash of its bytes, wherever it lies.
"""

from __future__ import annotations

import csv
import hashlib
import io
from typing import TYPE_CHECKING, Final

from candling.errors import BundleError, SamplesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from candling.data.samples import Sample
    from candling.runtime.bundle import Bundle

__all__ = ["FIT", "HELD_OUT", "LEARNED", "encode_learned", "learned_hashes", "without_learned"]

LEARNED: Final = "learned.csv"
"""What the file is called in a bundle."""

FIT: Final = "fit"
HELD_OUT: Final = "held out"
"""The two parts."""

_HEAD: Final = ("sha256", "part", "label", "file")


def encode_learned(parts: Iterable[tuple[str, Sequence[Sample]]]) -> bytes:
    """Write one row an image: hash, part (:data:`FIT` or :data:`HELD_OUT`), label and file name.

    Raises:
        SamplesError: an image is gone.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_HEAD)
    rows.writerows((_hash(one), part, one.label, one.path.name) for part, samples in parts for one in samples)
    return text.getvalue().encode()


def learned_hashes(bundle: Bundle, *, held_out: bool = True) -> frozenset[str]:
    """Give the hashes of the images that a bundle was trained on; empty where it does not say.

    Those that were held out count as well unless ``held_out`` is False: nothing was learned from them, but
    probabilities and limits were fitted on them.

    Raises:
        BundleError: the file is damaged.
    """
    data = bundle.read_extra(LEARNED)
    if data is None:
        return frozenset()
    rows = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"))))
    if not rows or tuple(rows[0]) != _HEAD or any(len(row) != len(_HEAD) for row in rows):
        raise BundleError(f"{bundle.path / LEARNED}: is not the table of learned images; train again")
    return frozenset(row[0] for row in rows[1:] if held_out or row[1] == FIT)


def without_learned(
    samples: Sequence[Sample], bundle: Bundle, *, held_out: bool = True
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Leave out the images that a bundle was trained on, with a sentence that says so; see :func:`learned_hashes`.

    Raises:
        BundleError: as :func:`learned_hashes`.
        SamplesError: an image is gone, or none is left.
    """
    known = learned_hashes(bundle, held_out=held_out)
    if not known:
        return tuple(samples), ()
    left = tuple(sample for sample in samples if _hash(sample) not in known)
    gone = len(samples) - len(left)
    if not left:
        raise SamplesError(
            f"all {gone} images are among those that {bundle.path.name} learned from, so nothing can be measured on "
            "them; give others"
        )
    note = f"{gone} images were left out: the inspector learned from them, or was fitted on them."
    return left, (note,) if gone else ()


def _hash(sample: Sample) -> str:
    try:
        with sample.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SamplesError(f"{sample.path}: cannot be read: {error.strerror or error}; check the file") from error
