"""The witness: one drawn picture and what the graph must say of it on every machine; knows no engine and no bundle.

A compiled graph can compute garbage from its first image on, without an error (decision 0009). So when a graph is made,
what the network itself says of the picture is kept, and when an engine is opened, each of its requests repeats it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from candling.runtime.contract import MAP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from candling.runtime.engine.order import Precision
    from candling.types import FloatArray

__all__ = ["TOLERANCE", "contradiction", "statement", "witness_picture"]

TOLERANCE: Final[Mapping[Precision, float]] = {"float32": 1e-3, "bfloat16": 3e-2}
"""A value may differ by this share of the witness's."""

SMALL: Final = 1e-3
"""A witness nearer to 0 allows as much as this one."""

_SEED: Final = b"candling witness 1"


def witness_picture(shape: tuple[int, int, int]) -> FloatArray:
    """Draw the picture: grey rising along both axes, differently in each channel, under noise.

    Whole numbers and a hash alone make it, so it is the same to the last bit on every machine and in every version.

    Args:
        shape: (C, H, W) of the graph's input.

    Returns:
        float32 (C, H, W) in [0, 1].

    >>> witness_picture((1, 2, 3)).shape
    (1, 2, 3)
    """
    channels, height, width = shape
    down = (np.arange(height) * 65536 // height)[:, None]
    right = (np.arange(width) * 65536 // width)[None, :]
    grey = np.stack([(down * (at + 1) + right * (channels - at)) // (channels + 1) for at in range(channels)])
    noise = np.frombuffer(hashlib.shake_128(_SEED).digest(grey.size), np.uint8).reshape(shape)
    picture: FloatArray = ((grey * 3 // 4 + noise * np.int64(64)) / 65536).astype(np.float32)
    return picture


def statement(answers: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Give the numbers that a witness consists of: each score, mean and largest value of the map, best confidence.

    Args:
        answers: the graph's outputs for one image, by name: N is 1. Others than those above are passed over.

    >>> statement({"error": np.array([0.5]), "anomaly_map": np.array([[[0.0, 2.0]]])})
    {'error': 0.5, 'anomaly_map mean': 1.0, 'anomaly_map max': 2.0}
    """
    values = {name: float(answer[0]) for name, answer in answers.items() if answer.ndim == 1}
    if MAP in answers:
        values[f"{MAP} mean"] = float(np.mean(answers[MAP], dtype=np.float64))
        values[f"{MAP} max"] = float(np.max(answers[MAP]))
    if "confidences" in answers:
        values["confidences max"] = float(np.max(answers["confidences"], initial=0.0))
    return values


def contradiction(given: Mapping[str, float], witness: Mapping[str, float], precision: Precision) -> str | None:
    """Say where an engine contradicts the witness; None where it does not. NaN always does.

    Args:
        given: what the engine says, from :func:`statement`.
        witness: what it must say.
        precision: in which it computes.

    >>> contradiction({"error": 0.5001}, {"error": 0.5}, "float32")
    >>> contradiction({"error": np.nan}, {"error": 0.5}, "float32")
    'error is nan where the witness says 0.5'
    """
    for name, value in witness.items():
        said = given.get(name, np.nan)
        if not abs(said - value) <= TOLERANCE[precision] * max(abs(value), SMALL):
            return f"{name} is {said:.6g} where the witness says {value:.6g}"
    return None
