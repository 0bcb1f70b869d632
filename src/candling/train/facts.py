"""What a card says of the software and the machine a training ran on: names and sizes, never paths or host names."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

__all__ = ["Fact", "hardware", "versions"]

Fact = str | int | float | bool | None
"""One line of a card."""

PACKAGES = (
    "torch",
    "lightning-fabric",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "numpy",
    "opencv-python-headless",
)


def versions() -> dict[str, str]:
    """Give the versions of Python and of the libraries that take part; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device) -> dict[str, Fact]:
    """Describe the machine: system, processor, cores, threads of torch, memory in GB, and the accelerator used."""
    facts: dict[str, Fact] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_gb"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    if device.type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


def _processor() -> str:
    """Read the processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a kernel's table, not a path of ours
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
