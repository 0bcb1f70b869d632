"""Run every benchmark that takes minutes; ``quality.py`` takes hours and is started by itself.

python benchmarks/all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ["startup", "install_size", "cold_start", "inspect_speed", "training_speed"]


def main() -> None:
    for name in NAMES:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=True)


if __name__ == "__main__":
    main()
