"""The error tree: every failure a user can meet, by what it concerns; knows nothing of how it is printed.

    CandlingError                     exit code 1: failed for a reason outside the data (disk, engine)
    |-- UsageError                    exit code 2: the call itself is wrong
    |   |-- RecipeError               a recipe does not have the shape it must have
    |   `-- OutputExistsError         an output is there already and nobody said to replace it
    |-- DataError                     exit code 3: what was given cannot be used
    |   |-- ImageError                one image cannot be read safely
    |   |-- SamplesError              a folder or table of images is not usable
    |   |-- KitError                  a kit or its results are incomplete or contradict each other
    |   `-- BundleError               a bundle is damaged, foreign or incomplete
    |-- LimitError                    exit code 3: no limit can be chosen or applied
    |-- EngineError                   exit code 1: the engine refused the graph or its input
    |-- TrainingError                 exit code 1: training diverged or cannot go on
    |-- MissingExtraError             exit code 1: an optional part is not installed
    `-- DiskError                     exit code 1: writing failed (full, read-only)

A message says what is wrong, where, and what to do, in one sentence.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BundleError",
    "CandlingError",
    "DataError",
    "DiskError",
    "EngineError",
    "ImageError",
    "KitError",
    "LimitError",
    "MissingExtraError",
    "OutputExistsError",
    "RecipeError",
    "SamplesError",
    "TrainingError",
    "UsageError",
]


class CandlingError(Exception):
    """Any failure candling explains; ``exit_code`` is what the command line returns for it."""

    exit_code: ClassVar[int] = 1


class UsageError(CandlingError):
    """The call itself is wrong: an option, a name, a combination."""

    exit_code: ClassVar[int] = 2


class RecipeError(UsageError):
    """A recipe does not have the shape it must have; the message holds the key's path."""


class OutputExistsError(UsageError):
    """An output exists already and ``--overwrite`` was not given."""


class DataError(CandlingError):
    """What was given cannot be used."""

    exit_code: ClassVar[int] = 3


class ImageError(DataError):
    """One image cannot be read safely: damaged, lying about its size, too large, of a foreign format."""


class SamplesError(DataError):
    """A folder or table of images is empty, contradictory or incomplete."""


class KitError(DataError):
    """A qualification's kit, the machine's runs or the manual results are incomplete or contradict each other."""


class BundleError(DataError):
    """A bundle is damaged, foreign, incomplete or of another version."""


class LimitError(DataError):
    """No limit can be chosen from these scores, or none exists for a score that must be judged."""


class EngineError(CandlingError):
    """The engine refused the graph or its input, or is not there."""


class TrainingError(CandlingError):
    """Training diverged, ran out of memory, or cannot be resumed."""


class MissingExtraError(CandlingError):
    """An optional part is not installed; the message holds the command that installs it."""


class DiskError(CandlingError):
    """Writing failed: the disk is full, the folder is read-only."""
