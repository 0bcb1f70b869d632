"""What an engine is asked to run, and how; knows no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EngineName", "Order", "Precision", "first_line"]

EngineName = Literal["auto", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Order:
    """What an engine is asked to run, and how."""

    graph: bytes
    precision: Precision
    threads: int
    requests: int
    chunk: int
    where: str

    @property
    def threads_each(self) -> int:
        """Cores for one request."""
        return max(1, self.threads // self.requests)


def first_line(error: Exception) -> str:
    """Give the first line of a foreign message that says something, at most 200 characters of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    spoken = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return ((spoken or lines or [type(error).__name__])[0])[:200].rstrip(".")
