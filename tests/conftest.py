"""Fixtures that every room's tests share: where the real images are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores; and results repeat


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Give the folder of one real data set, or skip with a reason; where it is required, a missing set is a failure."""
    root = Path(os.environ.get("CANDLING_DATA", Path(__file__).parents[1].parent / "shared" / "data"))

    def find(name: str) -> Path:
        folder = root / name
        if not folder.is_dir():
            reason = f"no real images at {folder}; set CANDLING_DATA to the folder that holds {name}"
            if os.environ.get("CANDLING_REQUIRE_DATA") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return folder

    return find
