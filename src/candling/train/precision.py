"""Which number format to train in, decided by measuring both on real batches; knows no processor by name.

bfloat16 is considered only where the processor computes in it natively; elsewhere it is emulated and slow. The
measurement trains throw-away copies of the method and leaves nothing behind but its outcome.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from candling.train.devices import Precision, open_fabric, world_size
from candling.train.method import Batch, Method, Plan
from candling.train.seeds import MEASURE, START, generator_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from candling.recipe import Recipe
    from candling.train.data import PreparedSet
    from candling.train.progress import Progress

__all__ = ["Builder", "PrecisionChoice", "choose_precision", "has_bfloat16"]

SECONDS = 6.0
"""About so long a measurement may take."""

ROUNDS = 8
"""So many updates of each copy are enough; fewer when they are slow."""

FASTER = 1.1
"""bfloat16 must be at least so many times as fast to be worth it."""

AGREEING = 0.02
"""The losses of both copies may differ by this share."""

Builder = Callable[[str, Mapping[str, Any], Plan], Method]
"""Makes a method from its name, its options and the plan: ``method.build_method``."""


@dataclass(frozen=True)
class PrecisionChoice:
    """What was chosen, and the figures behind it; all None where nothing had to be measured.

    Attributes:
        chosen: the number format inside the networks; weights are float32 in both.
        why: in a few words.
        float32_ms: median time of one update, in milliseconds.
        bfloat16_ms: the same in bfloat16.
        loss_difference: median relative difference of the losses, update by update.
        updates: measured updates of each.
    """

    chosen: Precision
    why: str
    float32_ms: float | None = None
    bfloat16_ms: float | None = None
    loss_difference: float | None = None
    updates: int | None = None

    def as_numbers(self) -> dict[str, Any]:
        """Give what a checkpoint and a card keep."""
        return asdict(self)


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))


def choose_precision(
    recipe: Recipe,
    good: PreparedSet,
    *,
    build: Builder,
    progress: Progress,
    accelerator: str = "auto",
    clock: Callable[[], float] | None = None,
) -> PrecisionChoice:
    """Follow the recipe, or measure when it says "auto" and the processor knows bfloat16.

    On a CPU the time of the process counts, so that other work on the machine does not decide; elsewhere real time.
    """
    if recipe.training.precision != "auto":
        return PrecisionChoice(recipe.training.precision, "the recipe says so")
    # patches are drawn when training begins, not for a throw-away copy
    if good.masks is not None or good.boxes is not None:
        return PrecisionChoice("float32", "a method that learns defects is not measured")
    fabric = open_fabric("float32", accelerator=accelerator, alone=True)
    if not has_bfloat16(fabric.device):
        return PrecisionChoice("float32", "the processor has no native bfloat16")
    if world_size() > 1:  # ranks that measured differently would wait for each other for ever
        chosen: Precision = "bfloat16" if fabric.device.type == "cuda" else "float32"
        return PrecisionChoice(chosen, "the rule for several processes, unmeasured")
    if clock is None:
        clock = time.process_time if fabric.device.type == "cpu" else time.perf_counter
    progress.stage("measuring whether bfloat16 is faster and as good")
    half = open_fabric("bfloat16", accelerator=accelerator, alone=True)
    copies = [_Copy(recipe, one, build) for one in (fabric, half)]
    if not copies[0].method.optimizers:
        return PrecisionChoice("float32", "there is nothing to update")
    return _measure(copies, recipe, good, clock)


class _Copy:
    """A throw-away method in one precision, with its times and losses."""

    def __init__(self, recipe: Recipe, fabric: Fabric, build: Builder) -> None:
        generator_for(recipe.training.seed, START)
        self.fabric = fabric
        self.method = build(
            recipe.method.name, recipe.method.options, Plan(recipe.prepare.shape, recipe.training, fabric)
        )
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def update(self, batch: Batch, clock: Callable[[], float]) -> None:
        began = clock()
        self.losses.append(self.method.step(batch)["loss"])  # a float: the device has finished
        self.seconds.append(clock() - began)


def _measure(copies: list[_Copy], recipe: Recipe, good: PreparedSet, clock: Callable[[], float]) -> PrecisionChoice:
    """Update both copies in turn on the same batches; the first round warms up and is not counted."""
    size, seed = recipe.training.batch_size, recipe.training.seed
    began = clock()
    epoch = step = 0
    while step <= ROUNDS and (step < 3 or clock() - began < SECONDS):
        for images, indices in good.batches(epoch, seed=seed, batch_size=size):
            for copy in copies if step % 2 else reversed(copies):
                generator = generator_for(seed, MEASURE, step)
                batch = Batch(copy.fabric.to_device(images), copy.fabric.to_device(indices), generator)
                copy.update(batch, clock)
            step += 1
            if step > ROUNDS or (step >= 3 and clock() - began > SECONDS):
                break
        epoch += 1
    full, half = copies
    slow, fast = median(full.seconds[1:]), median(half.seconds[1:])
    pairs = zip(full.losses[1:], half.losses[1:], strict=True)
    difference = median(abs(a - b) / max(abs(a), 1e-12) for a, b in pairs)
    as_good = all(map(math.isfinite, half.losses)) and difference <= AGREEING
    chosen: Precision
    if not as_good:
        chosen, why = "float32", "measured: the losses of bfloat16 differ"
    elif slow / fast < FASTER:
        chosen, why = "float32", "measured: bfloat16 is not faster"
    else:
        chosen, why = "bfloat16", "measured: bfloat16 is faster and as good"
    shown = difference if math.isfinite(difference) else None
    return PrecisionChoice(chosen, why, 1e3 * slow, 1e3 * fast, shown, len(full.seconds) - 1)
