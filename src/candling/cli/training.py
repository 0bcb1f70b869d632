"""What a person sees while something is trained: stages, a bar, losses, speed, time left; trains nothing."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from candling.cli.output import console, remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from candling.train.progress import Progress as Watcher
    from candling.train.progress import Standing

__all__ = ["watched"]


class _Bar:
    """Draws what training tells."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, facts="")

    def stage(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False)
        self._progress.update(self._task, completed=0, total=None, facts="", description="")

    def count(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total, description="images", facts=f"{done}/{total}")

    def stand(self, standing: Standing) -> None:
        used = standing.seconds / max(standing.seconds + standing.seconds_left, 1e-9)
        held_out = f", held out {standing.held_out['loss']:.6f}" if "loss" in standing.held_out else ""
        facts = (
            f"loss {standing.losses.get('loss', float('nan')):.6f}{held_out}, "
            f"{standing.images_per_second:.1f} images/s, {_clock(standing.seconds_left)} left"
        )
        self._progress.update(
            self._task, completed=used, total=1.0, description=f"epoch {standing.epoch}/{standing.epochs}", facts=facts
        )


def _clock(seconds: float) -> str:
    """Write a time as minutes and seconds.

    >>> _clock(125.4)
    '2:05'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class _Lines:
    """Says each stage in a line, for logs; nothing at all where only JSON is wanted."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def stage(self, sentence: str) -> None:
        """Say a stage."""
        if not self._quiet:
            remark(sentence)

    def count(self, done: int, total: int) -> None:
        """Ignore a count."""

    def stand(self, standing: Standing) -> None:
        """Ignore where the loop stands."""


@contextmanager
def watched(*, quiet: bool) -> Iterator[Watcher]:
    """Give a watcher for training that draws on standard error."""
    if quiet or not sys.stderr.isatty():
        yield _Lines(quiet=quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        yield _Bar(progress)
