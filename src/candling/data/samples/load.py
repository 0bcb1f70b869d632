"""A folder or table given by the user becomes a set of samples; knows no pixel and no split rule.

Folders are read by :mod:`candling.data.samples.folders`, tables by :mod:`candling.data.samples.table`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.data.samples.folders import find_in_folder
from candling.data.samples.sample import SampleSet, natural_key
from candling.data.samples.table import TABLE_FILE, TABLE_SUFFIXES, read_table
from candling.errors import SamplesError

if TYPE_CHECKING:
    from pathlib import Path

    from candling.data.samples.sample import Sample

__all__ = ["load_samples"]


def load_samples(root: Path, *, limit: int | None = None) -> SampleSet:
    """Find every image of a data set, with its label, split, product, region and mask.

    Understood are the MVTec layout (``train/good``, ``test/<class>``, ``ground_truth/<class>/<stem>_mask.png``), a
    folder ``good`` or ``normal`` beside one folder per defect class (good images are for training, defects for
    testing), a plain folder of good images, and a CSV or Parquet table, which is also found as ``samples.csv`` in the
    folder that is given. Class folders are searched through all their
    subfolders; hidden files are left out.

    ``limit`` keeps at most so many images of each split and label, evenly spread over the natural order.

    Raises:
        SamplesError: nothing is there, no layout is recognised, no image is good, or a table contradicts the disk.
        MissingExtraError: a Parquet table, and pyarrow is not installed.
    """
    if not root.exists():
        raise SamplesError(f"{root}: no such folder or table; check the path")
    if (root / TABLE_FILE).is_file():
        layout, samples = "table", read_table(root / TABLE_FILE)
    elif root.is_dir():
        layout, samples = find_in_folder(root)
    elif root.suffix.lower() in TABLE_SUFFIXES:
        layout, samples = "table", read_table(root)
    else:
        known = ", ".join(sorted(TABLE_SUFFIXES))
        raise SamplesError(f"{root}: neither a folder nor a table ({known}); give the folder that holds the images")
    if not any(sample.is_good for sample in samples):
        classes = ", ".join(sorted({sample.label for sample in samples}, key=natural_key)[:5])
        where = "label the good rows 'good'" if layout == "table" else "put good images into train/good or good"
        raise SamplesError(f"{root}: none of the {len(samples)} images is good (found: {classes}); {where}")
    return SampleSet(root, layout, tuple(_spread(samples, limit)))


def _spread(samples: list[Sample], limit: int | None) -> list[Sample]:
    if limit is None:
        return samples
    if limit < 1:
        raise SamplesError(f"a limit of {limit} images leaves nothing; give at least 1")
    groups: dict[tuple[str, str], list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault((sample.split, sample.label), []).append(index)
    kept = {
        indices[position * len(indices) // min(limit, len(indices))]
        for indices in groups.values()
        for position in range(min(limit, len(indices)))
    }
    return [samples[index] for index in sorted(kept)]
