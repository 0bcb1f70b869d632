"""Runs a graph: OpenVINO and ONNX Runtime behind one call, and the only file that names them; knows no method.

The graph contract, checked when a graph is opened:

    input   image           float32 (N, C, H, W) in [0, 1]; N free, or fixed where boxes are given
    output  anomaly_map     float32 (N, H, W)                          optional, larger is worse
    output  reconstruction  float32 (N, C, H, W)                       optional, for people
    output  boxes, labels, confidences   float32 (N, K, 4), int64 (N, K), float32 (N, K)
                                                                       optional, padded with confidence 0
    output  any other name  float32 (N,): a score, larger is worse

C, H and W are fixed. There is at least one score, or boxes. Everything lies inside the file (``onnx_guard``).

How images are fed. Large batches are slower on CPUs than small ones: one image's intermediate maps fit the cache,
sixteen do not (RUNTIME.md 0.2: 60 patches in one request cost 25 to 40 % more each, and gigabytes). So every image is
a request of its own, ``requests`` of them run side by side on ``threads // requests`` cores each, and the graph is
compiled for exactly one image where its N is free (a fixed shape took a fifth off OpenVINO's time). Because an image
never shares a request with another, its numbers do not depend on the batch it came in. ``requests=1`` gives all cores
to one image: the shortest wait for a single large one.

Precision is always said, never an engine's default: OpenVINO takes bfloat16 by itself on processors that have it
(RUNTIME.md, section 2, finding 3), and moved scores are worth nothing beside limits chosen without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from candling.errors import EngineError, MissingExtraError
from candling.runtime.contract import MAP, PARTS, RECONSTRUCTION, Port, check_contract
from candling.runtime.onnx_guard import check_graph_bytes

if TYPE_CHECKING:
    from types import ModuleType

    from candling.types import FloatArray

__all__ = ["Engine", "EngineName", "Outputs", "Precision", "available_threads", "open_engine"]

EngineName = Literal["auto", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]

_MOST_REQUESTS: Final = 4  # each holds its own intermediate maps


@dataclass(frozen=True)
class Outputs:
    """What the graph says of N images.

    Attributes:
        scores: float32 (N,) by name, larger is worse; NaN is possible and lies in no limit.
        anomaly_map: float32 (N, H, W), larger is worse; None when the graph has none or it was not asked for.
        reconstruction: float32 (N, C, H, W) in [0, 1]; None likewise.
        boxes: float32 (N, K, 4); None when the graph has none.
        labels: int64 (N, K); None when the graph has none.
        confidences: float32 (N, K), 0 is padding; None when the graph has none.
    """

    scores: Mapping[str, FloatArray]
    anomaly_map: FloatArray | None = None
    reconstruction: FloatArray | None = None
    boxes: FloatArray | None = None
    labels: NDArray[np.int64] | None = None
    confidences: FloatArray | None = None
