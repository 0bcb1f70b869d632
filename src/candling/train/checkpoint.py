"""The state of a training on disk: one file, replaced whole, without pickle; knows no loop and no schedule.

Tensors (networks, optimisers, the best networks so far) are a safetensors file; everything else is JSON in that file's
header. One file means that tensors and numbers always belong together, whenever the process was killed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from candling.disk import write_atomic
from candling.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.train.method import Method

__all__ = ["NAME", "Numbers", "Weights", "load_checkpoint", "network_weights", "put_weights", "save_checkpoint"]

NAME = "checkpoint.safetensors"
"""The file's name in the work folder."""

FORMAT = 1

Weights = dict[str, torch.Tensor]
"""Every tensor of all networks of a method, by ``network/<name>/<key>``; copies on the CPU."""

Numbers = dict[str, Any]
"""What JSON can hold."""


def network_weights(method: Method) -> Weights:
    """Copy every parameter and buffer of a method's networks."""
    return {
        f"network/{name}/{key}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, network in method.networks.items()
        for key, value in network.state_dict().items()
    }


def put_weights(method: Method, weights: Mapping[str, torch.Tensor]) -> None:
    """Put weights of :func:`network_weights` back, in place."""
    for name, network in method.networks.items():
        prefix = f"network/{name}/"
        network.load_state_dict({key.removeprefix(prefix): v for key, v in weights.items() if key.startswith(prefix)})


def save_checkpoint(path: Path, method: Method, numbers: Numbers, *, best: Weights | None) -> None:
    """Write the whole state so that a reader finds the old state or this one.

    Args:
        path: the file.
        method: its networks and optimisers are stored.
        numbers: everything else, given back by :func:`load_checkpoint`.
        best: the weights to export when training ended now; None where they are the method's own.

    Raises:
        DiskError: the file cannot be written; the old one is untouched.
        TrainingError: a weight is not a number; the old one is untouched.
    """
    tensors = network_weights(method)
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TrainingError(
                f"the weights became infinite or not a number ({name}); lower [training] learning_rate and train again"
            )
    tensors |= {f"best/{name}": value for name, value in (best or {}).items()}
    rest: dict[str, Any] = {}
    for name, optimizer in method.optimizers.items():
        rest[name] = _split_optimizer(name, optimizer.state_dict(), tensors)
    header = {"format": FORMAT, "numbers": numbers, "optimizers": rest}
    write_atomic(path, save(tensors, metadata={"candling": json.dumps(header, allow_nan=False)}))


def read_numbers(path: Path) -> Numbers:
    """Read the numbers of a checkpoint and leave its tensors on disk.

    Raises:
        TrainingError: the file is damaged or of another version.
    """
    return _read_header(path)["numbers"]


def load_checkpoint(path: Path, method: Method) -> tuple[Numbers, Weights | None]:
    """Put a stored state into a method built alike; give the numbers, and the best weights where they were stored.

    Raises:
        TrainingError: the file is damaged, of another version, or of other networks.
    """
    header = _read_header(path)
    with safe_open(path, framework="pt", device="cpu") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - safe_open is no mapping
    try:
        put_weights(method, tensors)
        for name, optimizer in method.optimizers.items():
            optimizer.load_state_dict(_join_optimizer(name, optimizer, header["optimizers"][name], tensors))
    except (KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: is of other networks ({str(error).splitlines()[0]}); delete its folder to start anew"
        ) from error
    best = {name.removeprefix("best/"): value for name, value in tensors.items() if name.startswith("best/")}
    return header["numbers"], best or None


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            header = json.loads((opened.metadata() or {})["candling"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path}: is damaged or no checkpoint ({error}); delete its folder to start anew"
        ) from error
    if header.get("format") != FORMAT:
        raise TrainingError(
            f"{path}: is of version {header.get('format')}, this candling reads {FORMAT}; delete it to start anew"
        )
    return header


def _split_optimizer(name: str, state: dict[str, Any], tensors: Weights) -> dict[str, Any]:
    """Move an optimiser's tensors to ``tensors``; give what is left, for JSON."""
    values: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{name}/{index}/{key}"] = value.detach().cpu().contiguous()
            else:
                values.setdefault(str(index), {})[key] = value
    return {"values": values, "groups": state["param_groups"]}


def _join_optimizer(
    name: str, optimizer: torch.optim.Optimizer, rest: dict[str, Any], tensors: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """Undo :func:`_split_optimizer`, each tensor laid out in memory like its parameter.

    A fused optimiser walks parameter, gradient and moments side by side in memory order; moments in another order
    than their parameter would be mixed up without an error.
    """
    parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in rest["values"].items()}
    prefix = f"optimizer/{name}/"
    for path, value in tensors.items():
        if path.startswith(prefix):
            index, key = path.removeprefix(prefix).split("/", 1)
            parameter = parameters[int(index)]
            same = value.shape == parameter.shape
            laid = torch.empty_like(parameter, dtype=value.dtype, device="cpu").copy_(value) if same else value
            state.setdefault(int(index), {})[key] = laid
    groups = [
        {key: tuple(value) if isinstance(value, list) and key != "params" else value for key, value in group.items()}
        for group in rest["groups"]
    ]
    return {"state": state, "param_groups": groups}
