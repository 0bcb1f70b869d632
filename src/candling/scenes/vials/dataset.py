"""A drawn line on disk: frames of many strips, a table that lists them, and how they were made; knows no drawing.

Strips of different splits have different seeds, each from its own range: no strip is in two splits. Calibration and kit
hold the inspected frames only; training holds the frames asked for and, since they serve training alone, rank frames.
Put together, the three inspected frames of a run are red, green and blue of one picture: what stays is grey, what moves
is coloured.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.disk import replaced_folder
from candling.errors import DiskError, UsageError
from candling.scenes.vials.defects import DEFECTS
from candling.scenes.vials.geometry import GEOMETRY, INSPECTED, RUN_FRAMES
from candling.scenes.vials.strip import draw_frame, draw_mask, make_strip, rank_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from candling.scenes.vials.strip import Strip

__all__ = ["COLUMNS", "LINE_FILE", "TABLE_FILE", "write_line"]

TABLE_FILE = "samples.csv"
LINE_FILE = "line.json"

COLUMNS = (
    "path",
    "label",
    "split",
    "product",
    "run",
    "frame",
    "defect",
    "severity",
    "vial",
    "region",
    "mask",
    "contrast",
)
"""Columns of the table; the last six are empty for a good strip."""

_SPLITS = ("train", "calibration", "kit")
_RANGE = 100_000
"""Strips a split can have; the seeds of a split begin at a multiple of it."""

_CHOICE_WORD = 9
_RANKS = ("darkest", "lightest")
_TOGETHER = "together"
_FAST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY)
"""Noise cannot be packed tighter by searching for repetitions: half the time, and smaller files."""


@dataclass(frozen=True)
class _Job:
    """One strip to be drawn and written."""

    product: str
    split: str
    seed: int
    defect: str | None
    contrast: float
    runs: int
    frames: tuple[int, ...]
    ranks: bool
    together: bool

    @property
    def pictures(self) -> int:
        return self.runs * (1 if self.together else len(self.frames) + len(_RANKS) * self.ranks)


@dataclass(frozen=True)
class _Done:
    """What one strip adds to the table and to the line's record."""

    pictures: int
    rows: tuple[tuple[str, ...], ...]
    record: dict[str, object]


def write_line(
    folder: Path,
    *,
    seed: int,
    train_strips: int = 100,
    calibration_strips: int = 40,
    calibration_defects: int = 0,
    kit_good: int = 120,
    kit_defect: int = 141,
    runs: int = 10,
    train_runs: int = 2,
    calibration_runs: int = 3,
    frames: Sequence[int] = (0, 5, 10, 15),
    ranks: bool = True,
    together: bool = False,
    contrast: float | tuple[float, float] = (0.3, 1.0),
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw a line into ``train``, ``calibration``, ``kit`` and ``masks``, with ``samples.csv`` and ``line.json``.

    The picture of a frame is ``<split>/<product>/run<run>_<frame>.png``, 1024 x 1280 px, grey, 8 bits, or
    ``run<run>_together.png`` in colour. Kinds of defects take turns; good and defective strips of the kit follow each
    other in random order. The result depends on all numbers but ``workers``; the folder appears when it is complete.

    Args:
        folder: where to.
        seed: of everything random, at least 0.
        train_strips: good strips to learn from.
        calibration_strips: good strips to choose limits by.
        calibration_defects: defective strips beside them.
        kit_good: good strips of the kit.
        kit_defect: defective strips of the kit.
        runs: acquisitions of each strip of the kit.
        train_runs: the same for training.
        calibration_runs: the same for calibration.
        frames: which of a run's 16 frames training gets.
        ranks: whether training also gets the darkest and the lightest grey over the 16 frames of each run.
        together: write one picture a run in every split, its red, green and blue the three inspected frames; then
            ``frames`` and ``ranks`` choose nothing. A mask marks where the defect is in any of them.
        contrast: of every defect, or the bounds between which each strip's is drawn, equally often per factor.
        workers: processes that draw; results are the same with any number.
        overwrite: whether a folder that is there may be replaced.
        progress: told (pictures done, pictures in all).

    Returns:
        The folder.

    Raises:
        UsageError: a number is out of range.
        OutputExistsError: the folder exists, is not empty, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    counts = (train_strips, calibration_strips, calibration_defects, kit_good, kit_defect)
    _refuse(seed, counts, (runs, train_runs, calibration_runs), frames, contrast, workers)
    bounds = contrast if isinstance(contrast, tuple) else (contrast, contrast)
    learned = INSPECTED if together else tuple(sorted(set(frames)))
    jobs = _jobs(seed, "train", train_strips, 0, train_runs, learned, bounds, ranks=ranks and not together)
    jobs += _jobs(seed, "calibration", calibration_strips, calibration_defects, calibration_runs, INSPECTED, bounds)
    jobs += _jobs(seed, "kit", kit_good, kit_defect, runs, INSPECTED, bounds)
    jobs = [replace(job, together=together) for job in jobs]
    total, pictures, done = sum(job.pictures for job in jobs), 0, []
    with replaced_folder(folder, overwrite=overwrite) as fresh:
        with _spread(partial(_write_strip, fresh), jobs, workers) as results:
            for result in results:
                done.append(result)
                pictures += result.pictures
                if progress is not None:
                    progress(pictures, total)
        (fresh / TABLE_FILE).write_text(_table(done), encoding="utf-8")
        (fresh / LINE_FILE).write_text(json.dumps(_record(seed, bounds, done), indent=1) + "\n", encoding="utf-8")
    return folder


def _refuse(
    seed: int,
    counts: tuple[int, ...],
    runs: tuple[int, ...],
    frames: Sequence[int],
    contrast: float | tuple[float, float],
    workers: int,
) -> None:
    if seed < 0 or workers < 1:
        raise UsageError(f"the seed must be 0 or more and workers 1 or more; they are {seed} and {workers}")
    if counts[0] < 1 or min(counts) < 0 or max(counts[0], counts[1] + counts[2], counts[3] + counts[4]) > _RANGE:
        raise UsageError(
            f"a line needs 1 to {_RANGE} strips to train on, and as many at most, none negative, elsewhere"
        )
    if min(runs) < 1:
        raise UsageError(f"every strip needs at least 1 run; asked for are {', '.join(map(str, runs))}")
    if not frames or not all(0 <= frame < RUN_FRAMES for frame in frames):
        raise UsageError(
            f"frames must be some of 0 to {RUN_FRAMES - 1}; they are {', '.join(map(str, frames)) or 'none'}"
        )
    low, high = contrast if isinstance(contrast, tuple) else (contrast, contrast)
    if not (0.0 <= low <= high <= 1.0 and (low > 0.0 or high == 0.0)):
        raise UsageError(f"the contrast must lie between 0 and 1, its lower bound above 0; it is {contrast}")


def _jobs(
    seed: int,
    split: str,
    good: int,
    defective: int,
    runs: int,
    frames: tuple[int, ...],
    bounds: tuple[float, float],
    *,
    ranks: bool = False,
) -> list[_Job]:
    """Plan one split: which strips, with which seeds, defects and contrasts, in which order."""
    number = _SPLITS.index(split)
    rng = np.random.default_rng([seed, _CHOICE_WORD, number])
    kinds: list[str | None] = [None] * good
    kinds += [list(DEFECTS)[index % len(DEFECTS)] for index in range(defective)]
    shares = rng.uniform(size=len(kinds))
    first = (seed * len(_SPLITS) + number) * _RANGE
    jobs = []
    for place, index in enumerate(rng.permutation(len(kinds)) if defective else range(good)):
        kind = kinds[index]
        contrast = bounds[0] * (bounds[1] / bounds[0]) ** float(shares[index]) if kind and bounds[0] > 0 else 0.0
        product = f"S{number + 1}{place + 1:05d}"
        jobs.append(_Job(product, split, first + place, kind, contrast, runs, frames, ranks, together=False))
    return jobs


@contextmanager
def _spread(write: Callable[[_Job], _Done], jobs: Sequence[_Job], workers: int) -> Iterator[Iterable[_Done]]:
    """Give the results in the jobs' order, drawn here or by other processes; unfinished work ends with the block."""
    if min(workers, len(jobs)) == 1:
        yield map(write, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_draw_alone)
    try:
        yield pool.map(write, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_alone() -> None:
    cv2.setNumThreads(1)  # the processes share the cores
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_strip(folder: Path, job: _Job) -> _Done:
    """Draw and write all pictures of one strip."""
    strip = make_strip(job.seed, defect=job.defect, contrast=job.contrast)
    rows = []
    for run in range(job.runs):
        for name, picture in _pictures(job, strip, run).items():
            path = f"{job.split}/{job.product}/run{run:02d}_{name}.png"
            _write(folder / path, picture)
            mask = ""
            if strip.defect is not None:
                mask = f"masks/{job.product}/run{run:02d}_{name}_mask.png"
                shown = job.frames if job.together else (int(name),)
                _write(folder / mask, np.maximum.reduce([draw_mask(strip, run, frame) for frame in shown]))
            rows.append(_row(job, strip, path, run, name, mask))
    return _Done(job.pictures, tuple(rows), _strip_record(job, strip))


def _pictures(job: _Job, strip: Strip, run: int) -> dict[str, NDArray[np.uint8]]:
    """Draw what is written of one run, by the name of each frame."""
    stack = {frame: draw_frame(strip, run, frame) for frame in (range(RUN_FRAMES) if job.ranks else job.frames)}
    if job.together:
        return {_TOGETHER: np.dstack([stack[frame] for frame in reversed(job.frames)])}  # OpenCV writes blue first
    pictures = {f"{frame:02d}": stack[frame] for frame in job.frames}
    if job.ranks:
        pictures |= dict(zip(_RANKS, rank_frames(np.stack(list(stack.values()))), strict=True))
    return pictures


def _row(job: _Job, strip: Strip, path: str, run: int, name: str, mask: str) -> tuple[str, ...]:
    frame = name if name in _RANKS else "0" if name == _TOGETHER else str(int(name))
    head = (path, job.defect or "good", job.split, job.product, str(run), frame)
    if strip.defect is None:
        return (*head, *[""] * 6)
    known = strip.defect
    return (*head, known.kind, known.severity, str(known.vial), known.region, mask, f"{job.contrast:.4f}")


def _strip_record(job: _Job, strip: Strip) -> dict[str, object]:
    record: dict[str, object] = {"product": job.product, "split": job.split, "seed": job.seed, "runs": job.runs}
    if strip.defect is not None:
        record |= {"contrast": round(job.contrast, 4), "defect": asdict(strip.defect)}
    return record


def _record(seed: int, bounds: tuple[float, float], done: Sequence[_Done]) -> dict[str, object]:
    """Give what ``line.json`` holds: everything needed to draw any of its frames again."""
    boxes = {region.name: asdict(region.box) for region in GEOMETRY.regions if region.box}
    return {
        "seed": seed,
        "contrast": list(bounds),
        "frame": {"height": GEOMETRY.height, "width": GEOMETRY.width},
        "geometry": {"vials": GEOMETRY.vials, "pitch_px": GEOMETRY.pitch_px, "regions": boxes},
        "inspected_frames": list(INSPECTED),
        "strips": [one.record for one in done],
    }


def _table(done: Sequence[_Done]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in done:
        writer.writerows(one.rows)
    return text.getvalue()


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", picture, list(_FAST_PNG))
    if not encoded:  # pragma: no cover
        raise DiskError(f"{path}: the picture could not be encoded as PNG")
    path.write_bytes(data.tobytes())
