"""Ctrl-C and SIGTERM become a wish that the loop grants after the running update; knows nothing of what is stopped."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Stopped", "Wish", "listening"]


class Stopped(KeyboardInterrupt):
    """Training was stopped on demand and its state is on disk; the message says how to go on.

    It is no ``CandlingError``: nothing failed.
    """


class Wish:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.made = False

    def make(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; a second Ctrl-C does not wait for the running update."""
        if self.made and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        self.made = True


@contextmanager
def listening() -> Iterator[Wish]:
    """Give a wish that Ctrl-C or SIGTERM makes; outside the main thread, where Python forbids it, nothing makes it."""
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish.make) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
