"""Time ``candling --help`` and ``import candling`` against an empty Python, in turn.

    python benchmarks/startup.py [--rounds 9]

The peer (anomalib 2.7.0) needs 7.65 s at best for its own --help on a machine of this kind (measured 2026-11-20,
quoted, not re-run here: it needs 6.3 GB).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

from record import record

COMMANDS = {
    "empty Python": [sys.executable, "-c", "pass"],
    "import candling": [sys.executable, "-c", "import candling"],
    "candling --help": [sys.executable, "-c", "from candling.cli import main; main()", "--help"],
    "candling train --help": [sys.executable, "-c", "from candling.cli import main; main()", "train", "--help"],
}


def once(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, words in COMMANDS.items():
            spent = once(words)
            if turn:  # the first turn warms the disk's cache
                seconds[name].append(spent)
    figures = {
        name: {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}
        for name, values in seconds.items()
    }
    figures["peak_mb_of_any"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    record(
        "startup",
        figures,
        peer={"anomalib --help, min_s": 7.65, "source": "anomalib 2.7.0, same kind of machine, 2026-11-20"},
    )


if __name__ == "__main__":
    main()
