"""Time a bundle on this machine: latency of single products and throughput of a folder; knows no method.

Latency is measured one file after the other, decode to verdict, as a line would call it. Throughput lets the decoding
of the next file overlap the engine, as ``candling inspect`` does.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from candling.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from candling.runtime.inspector import Inspector

__all__ = ["Spread", "Timing", "measure"]


@dataclass(frozen=True)
class Spread:
    """How a time in milliseconds is distributed over products."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Spread:
        """Summarise a series of times.

        >>> Spread.of([1.0, 2.0, 3.0]).p50
        2.0
        """
        values = np.asarray(milliseconds, dtype=np.float64)
        p50, p95, p99 = (float(value) for value in np.percentile(values, [50, 95, 99]))
        return cls(float(values.mean()), p50, p95, p99, float(values.max()))


@dataclass(frozen=True)
class Timing:
    """What was measured.

    Attributes:
        products: how many were judged for the latency.
        latency: whole time of one product, decode to verdict.
        steps: the same by step (``read``, ``prepare``, ``predict``, ``judge``).
        images_per_second: throughput over a folder.
        graph_share: share of the throughput's time spent inside the graph, over the requests run side by side.
        slot_ms: the slot that was asked for.
        fits: whether the 99th percentile lies within the slot; None without a slot.
        engine: engine and precision.
    """

    products: int
    latency: Spread
    steps: dict[str, Spread]
    images_per_second: float
    graph_share: float
    slot_ms: float | None
    fits: bool | None
    engine: str
    precision: str

    def to_json(self) -> dict[str, Any]:
        """Give the same as plain values."""
        return asdict(self)


def measure(
    inspector: Inspector,
    paths: Sequence[Path],
    *,
    seconds: float = 10.0,
    slot_ms: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Timing:
    """Time a bundle over some pictures, again and again for about ``seconds``, after a warm-up.

    Raises:
        UsageError: no picture was given.
    """
    if not paths:
        raise UsageError("bench: no picture to time; give files or a folder")
    for path in paths[:3]:
        inspector.inspect_file(path)
    half = seconds / 2.0
    whole: list[float] = []
    steps: dict[str, list[float]] = {}
    start = time.perf_counter()
    for path in itertools.cycle(paths):
        began = time.perf_counter()
        inspection = inspector.inspect_file(path)
        whole.append((time.perf_counter() - began) * 1e3)
        for name, value in inspection.milliseconds.items():
            steps.setdefault(name, []).append(value)
        elapsed = time.perf_counter() - start
        if progress is not None:
            progress(round(10 * min(elapsed, half)), round(10 * seconds))
        if elapsed >= half:
            break
    rate, share = _throughput(inspector, paths, seconds=half)
    if progress is not None:
        progress(round(10 * seconds), round(10 * seconds))
    latency = Spread.of(whole)
    return Timing(
        products=len(whole),
        latency=latency,
        steps={name: Spread.of(values) for name, values in steps.items()},
        images_per_second=rate,
        graph_share=share,
        slot_ms=slot_ms,
        fits=None if slot_ms is None else latency.p99 <= slot_ms,
        engine=inspector.engine.name,
        precision=inspector.engine.precision,
    )


def _throughput(inspector: Inspector, paths: Sequence[Path], *, seconds: float) -> tuple[float, float]:
    done, inside = 0, 0.0
    start = time.perf_counter()

    def endless() -> itertools.takewhile[Path]:
        return itertools.takewhile(lambda _: time.perf_counter() - start < seconds, itertools.cycle(paths))

    for inspection in inspector.inspect_files(endless()):
        done += 1
        inside += inspection.milliseconds.get("predict", 0.0)
    wall = time.perf_counter() - start
    return done / wall, inside / 1e3 / (wall * inspector.engine.requests)
