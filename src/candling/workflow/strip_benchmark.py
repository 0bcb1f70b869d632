"""Time the judging of whole strips on this machine: frames in memory to verdict and heatmaps; knows no method.

What a line waits for is measured strip after strip: check and cut, prepare, graph, judge, and the heatmaps of rejected
patches. Decoding is measured beside it, since a camera's frames come decoded. The 99th percentile without decoding is
held against the slot between two acquisitions.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.errors import UsageError
from candling.pixels.heatmap import encode_png, heatmap
from candling.pixels.read import decode
from candling.runtime.engine.flops import count_flops
from candling.scenes.vials import DEFECTS, GEOMETRY, INSPECTED, draw_frame, make_strip
from candling.types import Verdict
from candling.workflow.benchmark import Spread
from candling.workflow.maps import map_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from candling.recipe import Strip
    from candling.runtime.inspector import Inspector
    from candling.types import Frame, Inspection, Limit
    from candling.workflow.maps import MapScale

__all__ = ["StripTiming", "drawn_strips", "heatmaps_of_rejected", "measure_strips"]

SLOT_MS: Final = 500.0
"""Between two acquisitions (Ferrari et al. 2024)."""

_LEAST = 20  # strips, however short the time: fewer have no percentiles


@dataclass(frozen=True)
class StripTiming:
    """What was measured.

    Attributes:
        strips: how many were judged.
        patches: of one strip.
        whole: milliseconds from frames in memory to verdict and heatmaps.
        with_decode: the same from encoded files in memory.
        steps: by step: ``decode``, ``cut``, ``prepare``, ``predict``, ``judge``, ``heatmap``.
        heatmaps: drawn per strip, on average: one for each rejected patch.
        rejected: share of the strips that were rejected.
        flops_per_patch: operations of the graph on one patch, a multiplication and an addition as two.
        slot_ms: the slot.
        fits: whether the 99th percentile of ``whole`` lies within it.
        engine: what ran the graph.
        precision: in which it computed.
        threads: cores it used.
    """

    strips: int
    patches: int
    whole: Spread
    with_decode: Spread
    steps: dict[str, Spread]
    heatmaps: float
    rejected: float
    flops_per_patch: int
    slot_ms: float
    fits: bool
    engine: str
    precision: str
    threads: int

    @property
    def graph_ms_per_patch(self) -> float:
        """The graph's median time over a strip, divided by its patches."""
        return self.steps["predict"].p50 / self.patches

    def to_json(self) -> dict[str, Any]:
        """Give the same as plain values, percentiles of the whole at the top."""
        whole = {f"{name}_ms": value for name, value in asdict(self.whole).items()}
        return whole | asdict(self) | {"graph_ms_per_patch": self.graph_ms_per_patch}


def measure_strips(
    inspector: Inspector,
    acquisitions: Sequence[Sequence[bytes]],
    *,
    seconds: float = 10.0,
    slot_ms: float = SLOT_MS,
    progress: Callable[[int, int], None] | None = None,
) -> StripTiming:
    """Time a bundle over some strips, again and again for about ``seconds``, after a warm-up.

    Args:
        inspector: the bundle, loaded.
        acquisitions: of each strip, its frames as encoded files.
        seconds: how long; at least 20 strips are judged.
        slot_ms: what the 99th percentile is held against.
        progress: called with (done, total) tenths of a second.

    Raises:
        UsageError: the bundle's product is no strip, or no strip was given.
        ImageError: a frame cannot be decoded.
    """
    if inspector.recipe.strip is None:
        raise UsageError(f"{inspector.bundle.path}: its recipe has no [strip]; bench it without --strip")
    if not acquisitions:
        raise UsageError("bench --strip: no strip to time; give a table of frames")
    scale = map_scale(inspector.bundle)
    for files in acquisitions[:2]:
        _once(inspector, files, scale)
    steps: dict[str, list[float]] = {}
    drawn = rejected = done = 0
    began = time.perf_counter()
    for files in itertools.cycle(acquisitions):
        inspection, times, maps = _once(inspector, files, scale)
        for name, value in times.items():
            steps.setdefault(name, []).append(value)
        done, drawn, rejected = done + 1, drawn + maps, rejected + (inspection.verdict is not Verdict.ACCEPT)
        elapsed = time.perf_counter() - began
        if progress is not None:
            progress(round(10 * min(elapsed, seconds)), round(10 * seconds))
        if elapsed >= seconds and done >= _LEAST:
            break
    whole = Spread.of(steps.pop("whole"))
    return StripTiming(
        strips=done,
        patches=len(inspector.recipe.places) * inspector.recipe.frames,
        whole=whole,
        with_decode=Spread.of(steps.pop("with_decode")),
        steps={name: Spread.of(values) for name, values in steps.items()},
        heatmaps=drawn / done,
        rejected=rejected / done,
        flops_per_patch=count_flops(inspector.bundle.read_graph(), inspector.engine.input_shape),
        slot_ms=slot_ms,
        fits=whole.p99 <= slot_ms,
        engine=inspector.engine.name,
        precision=inspector.engine.precision,
        threads=inspector.engine.threads,
    )


def heatmaps_of_rejected(
    inspection: Inspection, limits: Mapping[tuple[str, str], Limit], scale: MapScale
) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Draw the heatmap of each patch that was not accepted: uint8 (H, W, 3) RGB at the graph's resolution."""
    return [
        heatmap(patch.anomaly_map, low=scale.low, high=scale.high)
        for patch in inspection.predictions
        if patch.anomaly_map is not None
        and any(
            not limit.admits(patch.scores[score]) for (region, score), limit in limits.items() if region == patch.region
        )
    ]


def drawn_strips(strip: Strip, *, channels: int = 1, count: int = 4, seed: int = 0) -> list[list[bytes]]:
    """Draw strips to time with, as PNG files in memory: every second with a defect, and one of noise at the end.

    A product of the drawn line's frame size is drawn as such, in three colours the inspected frames put together. Noise
    is unlike any product: its patches are the likeliest to be rejected all at once, each with a heatmap. Of another
    frame size all strips are noise.
    """
    shape = (strip.height, strip.width, *((3,) if channels == 3 else ()))
    rng = np.random.default_rng(seed)

    def noise() -> list[bytes]:
        return [encode_png(rng.integers(0, 256, shape, np.uint8)) for _ in range(strip.frames)]

    together = channels == 3 and strip.frames == 1
    ours = shape[:2] == (GEOMETRY.height, GEOMETRY.width)
    if not ours or not (together or (channels == 1 and strip.frames <= len(INSPECTED))):
        return [noise() for _ in range(count + 1)]
    drawn, kinds = [], list(DEFECTS)
    for at in range(count):
        one = make_strip(seed + at, defect=kinds[at % len(kinds)] if at % 2 else None)
        if together:
            drawn.append([encode_png(np.dstack([draw_frame(one, 0, frame) for frame in INSPECTED]))])
        else:
            drawn.append([encode_png(draw_frame(one, 0, frame)) for frame in INSPECTED[: strip.frames]])
    return [*drawn, noise()]


def _once(inspector: Inspector, files: Sequence[bytes], scale: MapScale) -> tuple[Inspection, dict[str, float], int]:
    """Judge one strip; give what was found, the times by step and how many heatmaps were drawn."""
    began = time.perf_counter()
    frames: list[Frame] = [decode(data, where="frame") for data in files]
    decoded = time.perf_counter()
    inspection = inspector.inspect_strip(frames)
    judged = time.perf_counter()
    maps = heatmaps_of_rejected(inspection, inspector.limits, scale)
    ended = time.perf_counter()
    times = {
        "decode": (decoded - began) * 1e3,
        **inspection.milliseconds,
        "heatmap": (ended - judged) * 1e3,
        "whole": (ended - decoded) * 1e3,
        "with_decode": (ended - began) * 1e3,
    }
    return inspection, times, len(maps)
