"""Gives the runtime's tests a bundle."""

from __future__ import annotations

import pytest


@pytest.fixture
def bundle(building, tmp_path):
    """A bundle whose score is the mean grey value, with a limit at one half."""
    return building.bundle(tmp_path / "plate.bundle")
