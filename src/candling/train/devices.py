"""Which processors train: Lightning Fabric opened for one process or for one of several; knows no method and no loop.

One process is the rule. Started by ``torchrun`` (or any launcher that sets the same variables) each process becomes one
rank of a distributed data-parallel run.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Literal

from candling.errors import MissingExtraError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Precision", "is_first", "open_fabric", "world_size"]

Precision = Literal["float32", "bfloat16"]

_FABRIC_NAME = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def world_size() -> int:
    """Say how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    """Tell whether this is the one process that speaks and writes."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"


def open_fabric(precision: Precision = "float32", *, accelerator: str = "auto", alone: bool = False) -> Fabric:
    """Open Fabric on the best device there is.

    Args:
        precision: float32, or bfloat16 inside the networks with float32 weights (mixed).
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        alone: this process only, whatever launched it (for measurements).

    Raises:
        MissingExtraError: Lightning Fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtraError("training needs Lightning Fabric; run: pip install 'candling[train]'") from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision on every start
    world = 1 if alone else world_size()
    local = min(int(os.environ.get("LOCAL_WORLD_SIZE", world)), world)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")  # advice on devices that were left idle
        fabric = Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=world // local,
            strategy="ddp" if world > 1 else "auto",
            precision=_FABRIC_NAME[precision],
        )
        fabric.launch()
    return fabric
