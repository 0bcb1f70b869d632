"""What a person or a machine sees of a command: tables, JSON, progress bars; decides nothing.

Results go to standard output, progress and remarks to standard error, so that ``--json`` can be piped.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

__all__ = ["bar", "console", "remark", "say", "show_json", "show_table"]


def console(*, stderr: bool = False) -> Console:
    """Make the console that prints for people."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def show_json(answer: Any) -> None:
    """Print one JSON document; NaN and infinity, which JSON lacks, become null."""
    sys.stdout.write(json.dumps(_plain(answer), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return None
    return value


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) if title else None, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        words = any(not str(row[number])[:1].isdigit() for row in rows)
        table.add_column(column, justify="left" if words or number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console().print(table)


def say(sentence: str) -> None:
    """Print one line of the result."""
    from rich.markup import escape

    console().print(escape(sentence))


def remark(sentence: str) -> None:
    """Print one sentence beside the result."""
    from rich.markup import escape

    console(stderr=True).print(escape(sentence))


@contextmanager
def bar(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show done, total, rate and time left of one operation on standard error.

    Yields a function ``(done, total)``. Where standard error is no terminal, nothing is drawn.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def move(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield move
