"""Fixtures that every room's tests share: where the real images are, and builders of graphs and bundles."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("untimed")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores; and results repeat


@pytest.fixture(scope="session")
def building() -> ModuleType:
    """The builders of ``runtime/building.py``; importlib mode puts no test folder on the import path."""
    path = Path(__file__).parent / "runtime" / "building.py"
    spec = importlib.util.spec_from_file_location("candling_building", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
