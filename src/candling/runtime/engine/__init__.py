"""Runs a graph: OpenVINO and ONNX Runtime behind one call; only this folder names them; knows no method.

The graph contract, checked when a graph is opened:

    input   image           float32 (N, C, H, W) in [0, 1]; N free, or fixed where boxes are given
    output  anomaly_map     float32 (N, H, W)                          optional, larger is worse
    output  reconstruction  float32 (N, C, H, W)                       optional, for people
    output  nearest         int64 (N, h, w)                            optional, for people: which remembered good cell
                                                                       each cell of an h x w grid resembles most
    output  cells           float32 (N, 3, H, W) in [0, 1]             optional, how likely a pixel is background, the
                                                                       inside of a cell, and the rim of one; sums to 1
    output  density         float32 (N, H, W)                          optional, cells a pixel: the sum over an image
                                                                       is its count
    output  boxes, labels, confidences   float32 (N, K, 4), int64 (N, K), float32 (N, K)
                                                                       optional, padded with confidence 0
    output  any other name  float32 (N,): a score, larger is worse

A remembered cell is named by ``picture * h * w + row * w + column``, -1 where none is known; the pictures themselves
lie beside the graph (``references``).

C, H and W are fixed. There is at least one score, or boxes. Everything lies inside the file (``onnx_guard``).

How images are fed. Large batches are slower on CPUs than small ones: one image's intermediate maps fit the cache,
sixteen do not (measured: 60 patches in one request cost 25 to 40 % more each, and gigabytes). So every image is
a request of its own, ``requests`` of them run side by side on ``threads // requests`` cores each, and the graph is
compiled for exactly one image where its N is free (a fixed shape took a fifth off OpenVINO's time). Because an image
never shares a request with another, its numbers do not depend on the batch it came in. ``requests=1`` gives all cores
to one image: the shortest wait for a single large one.

What is judged must not depend on luck while a graph is compiled, so each request has a compilation of its own, and is
held against a witness when an engine is opened: what the network itself said of one drawn picture (``witness``,
decision 0009). That first image warms each request up as well.

Precision is always said, never an engine's default: OpenVINO takes bfloat16 by itself on processors that have it
(measured: 1 - SSIM moves by up to 0.002), and moved scores are worth nothing beside limits chosen without it.
"""

from candling.runtime.engine.opened import Engine, Outputs, available_threads, open_engine
from candling.runtime.engine.order import EngineName, Precision
from candling.runtime.engine.witness import contradiction, statement, witness_picture

__all__ = [
    "Engine",
    "EngineName",
    "Outputs",
    "Precision",
    "available_threads",
    "contradiction",
    "open_engine",
    "statement",
    "witness_picture",
]
