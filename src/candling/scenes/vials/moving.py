"""What moves in a strip from run to run and frame to frame: level, bubbles, drops, foam; all of it is normal.

The strip is carried through half a turn in 16 frames. Liquid sways and comes to rest, bubbles drift and rise, drops
slide. This file knows where things are and when; :mod:`sprites` knows what they look like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from candling.scenes.vials.geometry import GEOMETRY, RUN_FRAMES, body_half_width

__all__ = ["Floating", "Handling", "Sway", "foam_shift", "handle", "moment", "place"]

_SEED_WORD = 2
"""Second word of the seeds of what moves."""


@dataclass(frozen=True)
class Floating:
    """A bubble, a drop or a droplet in one vial.

    Attributes:
        kind: "bubble" in the liquid, "surface" for a bubble at its level, "drop" and "droplet" on the dry wall.
        across: distance from the vial's axis in px, in the middle of the movement.
        row: row at the beginning; for kind "surface" px below the level.
        radius: in px.
        drift: px across from the beginning of the movement to its end.
        sink: px down from the beginning to the end; a rising bubble's is negative.
        phase: of its wobble, in radians.
    """

    kind: str
    across: float
    row: float
    radius: float
    drift: float
    sink: float
    phase: float


@dataclass(frozen=True)
class Sway:
    """How the liquid of one vial moves.

    Attributes:
        slope: tilt of the level at the beginning, px down a px to the right.
        lag: of the liquid behind the strip, in radians.
        bob: px by which the level rises and falls.
        band: height of the meniscus' dark band in px.
        foam: seed of the foam on the level, or None.
        foam_share: how much of the level is under foam, in [0, 1].
        drift: px by which foam of any kind drifts across from the beginning to the end.
    """

    slope: float
    lag: float
    bob: float
    band: float
    foam: int | None
    foam_share: float
    drift: float


@dataclass(frozen=True)
class Handling:
    """One run: how the strip lies and what floats in its vials; tuples hold one item a vial.

    Attributes:
        right: px by which the strip lies right of its place.
        down: px by which it lies below.
        turn: in radians, about the frame's middle.
        sways: the liquids.
        floating: everything that floats or hangs.
    """

    right: float
    down: float
    turn: float
    sways: tuple[Sway, ...]
    floating: tuple[tuple[Floating, ...], ...]


def handle(seed: int, run: int) -> Handling:
    """Draw how a strip is handled in one run."""
    rng = np.random.default_rng([seed, _SEED_WORD, run])
    right, down = rng.uniform(-1.5, 1.5, size=2)
    vials = range(GEOMETRY.vials)
    return Handling(
        right=float(right),
        down=float(down),
        turn=float(rng.uniform(-3e-4, 3e-4)),
        sways=tuple(_sway(rng) for _ in vials),
        floating=tuple(_floating(rng) for _ in vials),
    )


def moment(sway: Sway, frame: int) -> tuple[float, float]:
    """Give (slope, rise in px) of a level at one frame: a swing that follows the strip and dies away."""
    angle = math.pi * frame / (RUN_FRAMES - 1)
    calm = math.exp(-0.35 * frame / (RUN_FRAMES - 1))
    return sway.slope * calm * math.cos(angle + sway.lag), sway.bob * calm * math.sin(2.0 * angle + sway.lag)


def foam_shift(sway: Sway, frame: int) -> float:
    """Give by how many px across foam lies away from its middle place at one frame."""
    return -0.5 * sway.drift * math.cos(math.pi * frame / (RUN_FRAMES - 1))


def place(thing: Floating, frame: int) -> tuple[float, float]:
    """Give (px across, row or px below the level) of something that floats, at one frame; it stays in its vial."""
    share = frame / (RUN_FRAMES - 1)
    swing = 0.5 - 0.5 * math.cos(math.pi * share)
    wobble = 0.06 * abs(thing.drift) * math.sin(5.0 * share + thing.phase)
    row = thing.row + thing.sink * share
    room = body_half_width(row if thing.kind in {"drop", "droplet"} else 700.0) * 0.97 - thing.radius
    across = thing.across + thing.drift * (swing - 0.5) + wobble
    return (math.copysign(min(abs(across), max(room, 0.0)), across), row)


def _sway(rng: np.random.Generator) -> Sway:
    foaming = rng.uniform() < 0.3
    return Sway(
        slope=float(rng.normal(0.0, 0.05)),
        lag=float(rng.uniform(-0.5, 0.9)),
        bob=float(rng.uniform(0.0, 3.0)),
        band=float(rng.uniform(7.0, 15.0)),
        foam=int(rng.integers(2**31)) if foaming else None,
        foam_share=float(rng.uniform(0.1, 0.65)),
        drift=float(np.clip(rng.normal(0.0, 10.0), -20.0, 20.0)),
    )


def _floating(rng: np.random.Generator) -> tuple[Floating, ...]:
    things = []
    for _ in range(min(rng.poisson(2.6), 9)):  # most bubbles are at the level
        radius = float(np.clip(rng.lognormal(1.9, 0.55), 3.0, 24.0))
        things.append(_thing(rng, "surface", radius, row=radius * rng.uniform(0.2, 0.9), drift=26.0, sink=0.0))
    for _ in range(min(rng.poisson(1.8), 7)):
        radius, row = float(np.clip(rng.lognormal(1.5, 0.6), 2.0, 18.0)), 640.0 + 320.0 * rng.uniform() ** 1.3
        rise = -min(rng.exponential(14.0) * (radius > 4.0), row - 630.0)  # small ones cling to the wall
        things.append(_thing(rng, "bubble", radius, row=row, drift=3.0 * radius, sink=rise))
    for _ in range(min(rng.poisson(1.2), 4)):
        radius, row = float(np.clip(rng.lognormal(1.9, 0.35), 4.0, 12.0)), rng.uniform(284.0, 420.0)
        things.append(_thing(rng, "drop", radius, row=row, drift=0.6, sink=rng.exponential(5.0)))
    for _ in range(min(rng.poisson(5.0), 18)):
        radius, row = float(np.clip(rng.lognormal(0.8, 0.4), 1.3, 5.0)), rng.uniform(390.0, 570.0)
        things.append(_thing(rng, "droplet", radius, row=row, drift=0.3, sink=rng.exponential(1.0)))
    return tuple(things)


def _thing(rng: np.random.Generator, kind: str, radius: float, *, row: float, drift: float, sink: float) -> Floating:
    room = body_half_width(row if kind in {"drop", "droplet"} else 700.0) - radius - 4.0
    across = rng.uniform(-1.0, 1.0) * max(room, 0.0)
    return Floating(
        kind=kind,
        across=float(across),
        row=float(row),
        radius=radius,
        drift=float(rng.normal(0.0, drift)),
        sink=float(sink),
        phase=float(rng.uniform(0.0, 2 * math.pi)),
    )
