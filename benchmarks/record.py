"""Write a benchmark's figures where the README finds them: benchmarks/results/<name>.json, with date and machine.

``record`` is the only way a figure gets there, so no figure is without the machine it was measured on. Benchmarks of
many runs add them one by one with ``keep``, and leave out what ``done_before`` finds. ``CANDLING_RESULTS`` names
another folder, to try a benchmark out.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(os.environ.get("CANDLING_RESULTS", Path(__file__).parent / "results"))
DATA = Path(os.environ.get("CANDLING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

LIBRARIES = ("candling", "numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch", "lightning-fabric")


def record(name: str, figures: dict[str, Any], *, peer: dict[str, Any] | None = None, show: bool = True) -> Path:
    """Write figures as JSON and print them; ``peer`` holds quoted figures of others, with their source."""
    entry = {
        "name": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": hardware(),
        "versions": versions(),
        "figures": rounded(figures),
        **({"peer": peer} if peer else {}),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps(entry, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    if show:
        print(text, end="")
    return path


def runs(name: str) -> list[dict[str, Any]]:
    """Give the runs kept so far."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["figures"]["runs"] if path.exists() else []


def done_before(name: str, run: dict[str, Any]) -> bool:
    """Tell whether a run with all these keys and values is kept already."""
    return any(all(old.get(key) == value for key, value in run.items()) for old in runs(name))


def keep(name: str, run: dict[str, Any]) -> None:
    """Add one run, with its own date and machine; several processes may measure side by side."""
    machine = hardware()
    at = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **{key: machine[key] for key in ("processor", "cores", "load")},
    }
    with Path(tempfile.gettempdir(), f"candling-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record(name, {"runs": [*runs(name), {**run, "measured": at}]}, show=False)


def hardware() -> dict[str, str | int | float]:
    """Describe the processor: kind, cores this process may use, instruction sets that matter, memory, load."""
    flags = cpu_line("flags").split()
    return {
        "processor": cpu_line("model name") or platform.processor() or platform.machine(),
        "family": cpu_line("cpu family"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "instructions": " ".join(
            flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16") if flag in flags
        ),
        "memory_gb": round(memory_bytes() / 2**30, 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def versions() -> dict[str, str]:
    """Name the versions of Python and of the libraries that can matter, where installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def rounded(value: Any) -> Any:
    """Keep five significant digits: more is noise, and makes each run differ in every line."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value


def cpu_line(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")


def memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
