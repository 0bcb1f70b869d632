"""A drawn data set on disk in the MVTec layout, to train, calibrate and evaluate on; knows no drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.disk import replaced_folder
from candling.errors import DiskError, UsageError
from candling.scenes.capsules.draw import DEFECTS, Background, draw_capsule, draw_defect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["write_dataset"]

_TRAIN, _TEST = 0, 1
"""First words of the seeds of each split, so that no capsule can be in two."""


def write_dataset(
    folder: Path,
    *,
    seed: int,
    size: int = 256,
    good_train: int = 200,
    good_test: int = 20,
    per_defect: int = 8,
    difficulty: float = 0.3,
    background: Background = "light",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw capsules into ``train/good``, ``test/<class>`` and ``ground_truth/<class>/<stem>_mask.png``, all PNG.

    Every picture has a generator of its own, made from the seed, the split, the class and the number: a set with more
    pictures begins with those of a smaller one. The folder appears when it is complete. ``progress`` is told (pictures
    done, pictures in all). Returns the folder.

    Raises:
        UsageError: a count is negative, no training image is asked for, or size or difficulty is out of range.
        OutputExistsError: the folder exists, is not empty, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    if good_train < 1 or min(good_test, per_defect) < 0:
        raise UsageError("a data set needs at least 1 good training image, and no count may be negative")
    jobs = [(_TRAIN, "good", number) for number in range(good_train)]
    jobs += [(_TEST, "good", number) for number in range(good_test)]
    jobs += [(_TEST, kind, number) for kind in DEFECTS for number in range(per_defect)]
    with replaced_folder(folder, overwrite=overwrite) as fresh:
        for done, (split, kind, number) in enumerate(jobs, start=1):
            label = 0 if kind == "good" else 1 + DEFECTS.index(kind)
            rng = np.random.default_rng([seed, split, label, number])
            where = fresh / ("train" if split == _TRAIN else "test") / kind / f"{number:03d}.png"
            if kind == "good":
                frame = draw_capsule(rng, size=size, difficulty=difficulty, background=background)
            else:
                frame, mask = draw_defect(kind, rng, size=size, difficulty=difficulty, background=background)
                _write(fresh / "ground_truth" / kind / f"{number:03d}_mask.png", mask.astype(np.uint8) * 255)
            _write(where, frame)
            if progress is not None:
                progress(done, len(jobs))
    return folder


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:  # pragma: no cover
        raise DiskError(f"{path}: the picture could not be encoded as PNG")
    path.write_bytes(data.tobytes())
