"""The optimiser and one update, as methods share them; knows no network and no loss by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightning_fabric import Fabric

    from candling.recipe import Training

__all__ = ["numbers", "set_up", "update", "update_all"]

FUSED = {"cpu", "cuda"}
"""Kinds of device where torch has Adam as one kernel."""


def set_up(
    fabric: Fabric, network: nn.Module, training: Training, *, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Place a network on its device, channels last, and give it Adam with L2 weight decay.

    Channels last and the fused Adam change rounding and speed, nothing else. ``betas`` are Adam's two memories: of the
    gradient, and of its square.

    Returns:
        the network and its optimiser as ``fabric.setup`` wraps them; ``network`` itself shares their weights.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=training.learning_rate,
        betas=betas,
        weight_decay=training.weight_decay,
        fused=True if fabric.device.type in FUSED else None,
    )
    wrapped, wrapped_optimizer = fabric.setup(network, optimizer)
    return wrapped, wrapped_optimizer


def update(
    fabric: Fabric, optimizer: torch.optim.Optimizer, losses: Mapping[str, Tensor], *, longest: float | None = None
) -> dict[str, float]:
    """Take one step down the gradient of ``losses["loss"]`` and name all of them as numbers.

    A gradient whose norm over all weights exceeds ``longest`` is shortened to it.
    """
    return update_all(fabric, [(optimizer, longest)], losses)


def update_all(
    fabric: Fabric, optimizers: Sequence[tuple[torch.optim.Optimizer, float | None]], losses: Mapping[str, Tensor]
) -> dict[str, float]:
    """Take one step of several optimisers down one gradient; each shortens its own weights' part of it."""
    for optimizer, _ in optimizers:
        optimizer.zero_grad(set_to_none=True)
    fabric.backward(losses["loss"])
    for optimizer, longest in optimizers:
        if longest is not None:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, longest)
        optimizer.step()
    return numbers(losses)


def numbers(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Take scalar tensors as plain numbers."""
    return {name: float(value.detach()) for name, value in losses.items()}
