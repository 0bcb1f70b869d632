"""Gives the runtime's tests their builders: graphs, recipes, bundles."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def building():
    """The module of builders beside this file; importlib mode puts no test folder on the import path."""
    spec = importlib.util.spec_from_file_location("candling_building", Path(__file__).with_name("building.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bundle(building, tmp_path):
    """A bundle whose score is the mean grey value, with a limit at one half."""
    return building.bundle(tmp_path / "plate.bundle")
