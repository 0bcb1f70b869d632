"""Where a qualification comes from: kit, results, bundle and versions by name and hash; knows no figure, no clock."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

import candling
from candling.data.kit import table_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Provenance", "provenance_of_tables", "versions"]


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to find the same things again.

    Attributes:
        product: what was inspected.
        kit: the kit's name.
        kit_hash: its SHA-256.
        machine: the name of the machine's results.
        machine_hash: their SHA-256.
        manual: the name of the manual results; empty without any.
        manual_hash: their SHA-256.
        bundle: the bundle that judged; empty when the results came as a table.
        bundle_hash: SHA-256 of its manifest.
        date: when the test was made, in the caller's words; empty leaves a line to fill in by hand.
        versions: of what took part, by name.
    """

    product: str
    kit: str
    kit_hash: str
    machine: str = ""
    machine_hash: str = ""
    manual: str = ""
    manual_hash: str = ""
    bundle: str = ""
    bundle_hash: str = ""
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def provenance_of_tables(
    kit: Path, machine: Path, manual: Path | None, *, product: str = "", date: str = ""
) -> Provenance:
    """Name and hash three tables; only their file names are kept, not where they lie.

    Raises:
        KitError: a table cannot be read.
    """
    return Provenance(
        product=product or kit.stem,
        kit=kit.name,
        kit_hash=table_hash(kit),
        machine=machine.name,
        machine_hash=table_hash(machine),
        manual=manual.name if manual is not None else "",
        manual_hash=table_hash(manual) if manual is not None else "",
        date=date,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Give the versions behind the figures."""
    return {"candling": candling.__version__, "python": platform.python_version(), "numpy": np.__version__}
