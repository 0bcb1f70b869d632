"""Measure what an installation without training weighs: a fresh environment, with and without OpenVINO.

    python benchmarks/install_size.py

The peer (anomalib 2.7.0) weighs 6.3 GB (measured 2026-11-20, quoted).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from record import record

ROOT = Path(__file__).resolve().parents[1]


def weight(extra: str) -> dict[str, float | int]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        before = size_mb(Path(folder))
        wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
        words = [python, "-m", "pip", "install", "-q", "--no-compile", "-c", str(ROOT / "constraints.txt"), wanted]
        subprocess.run(words, check=True)
        packages = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
        )
        names = packages.stdout.split()
        assert not any(name.startswith("torch") for name in names), "torch came along"
        return {"mb": round(size_mb(Path(folder)) - before, 1), "packages": len(names)}


def size_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file()) / 2**20


def main() -> None:
    figures = {"core": weight(""), "core with OpenVINO": weight("openvino")}
    record("install_size", figures, peer={"anomalib, MB": 6300, "source": "anomalib 2.7.0 base install, 2026-11-20"})


if __name__ == "__main__":
    main()
