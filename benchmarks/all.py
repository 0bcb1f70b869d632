"""Run every benchmark that takes minutes; ``quality.py``, ``detector.py`` and ``contaminated.py`` take hours.

python benchmarks/all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ["startup", "install_size", "cold_start", "inspect_speed", "training_speed", "memory_speed", "strip_speed"]


def main() -> None:
    for name in NAMES:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=True)


if __name__ == "__main__":
    main()
