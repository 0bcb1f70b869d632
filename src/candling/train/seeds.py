"""Where every random number of a training comes from: a function of the seed and of what it is for; keeps no state."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["FINISH", "MEASURE", "START", "STEP", "VALIDATE", "generator_for"]

START, STEP, VALIDATE, FINISH, MEASURE = range(5)
"""What random numbers are for; each purpose has streams of its own."""


def generator_for(seed: int, purpose: int, *numbers: int) -> torch.Generator:
    """Seed torch's global generator (dropout uses it) and give a second one, both from the same numbers.

    The generator lives on the CPU, so that a method draws the same numbers whatever device it trains on.
    """
    first, second = np.random.SeedSequence([seed, purpose, *numbers]).generate_state(2, np.uint64).tolist()
    torch.manual_seed(first)
    return torch.Generator().manual_seed(second)
