"""The Method protocol, and how a method is found: by its file name in ``methods/``; knows no method by name.

A method is one file ``train/methods/<name>.py`` that defines

    Options                      a pydantic model of its own recipe keys (extra forbidden, frozen)
    build(options, plan)         -> Method

The first docstring line of the file is what ``candling methods`` prints. A file that also says
``LEARNS_DEFECTS = True`` is given labelled defects with their masks, beside good images. One that says
``LEARNS_CELLS = True`` is given images with what each pixel is of a cell, and nothing else; one that says
``LEARNS_BOXES = True``, images with the boxes of their objects.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ValidationError

from candling.errors import RecipeError
from candling.recipe import Training, explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import torch
    from lightning_fabric import Fabric
    from numpy.typing import NDArray
    from torch import nn

    from candling.train.facts import Fact
    from candling.train.progress import Progress

__all__ = [
    "Batch",
    "Begins",
    "Explains",
    "Method",
    "Plan",
    "Rejects",
    "Remembers",
    "Thins",
    "build_method",
    "check_method",
    "for_moments",
    "learns_boxes",
    "learns_cells",
    "learns_defects",
    "method_names",
    "method_options",
    "method_summary",
]

MOMENTS_OF = 4096
"""Images whose mean and spread are those of all: the spread is 1 % off by chance."""


@dataclass(frozen=True)
class Batch:
    """What one update sees.

    Attributes:
        images: float32 (N, C, H, W) in [0, 1], prepared as on the line.
        indices: int64 (N,): which good image each one is, so that a memory can leave the image itself out.
        generator: the only source of randomness a method may use; seeded from (seed, step), so that a resumed
            training repeats the very same numbers. The global torch generator is seeded alike before each step
            (dropout uses it).
        regions: the name of the region each image shows, N of them; empty where nobody knows.
        masks: bool (N, H, W), what is defect in each, for a method that learns defects; uint8 (N, H, W), the kinds of
            ``pixels.instances`` and 255 where nobody knows, for one that learns cells; None for all others.
        boxes: float32 (N, M, 5), left, top, right, bottom in pixels and the class of each object, -1 where there is
            none, for a method that learns boxes; None for all others.
    """

    images: torch.Tensor
    indices: torch.Tensor
    generator: torch.Generator
    regions: tuple[str, ...] = ()
    masks: torch.Tensor | None = None
    boxes: torch.Tensor | None = None


@dataclass(frozen=True)
class Plan:
    """What a method is told when it is built.

    Attributes:
        shape: (C, H, W) of one prepared image.
        training: learning rate, weight decay and the rest of the recipe's ``[training]``.
        fabric: device and precision; networks and optimisers go through ``fabric.setup``, losses through
            ``fabric.backward``.
    """

    shape: tuple[int, int, int]
    training: Training
    fabric: Fabric


class Method(Protocol):
    """A way to learn a graph. The loop owns epochs, schedule, resume and stopping; the method owns its losses.

    Attributes:
        networks: every module with state, by name, as ``fabric.setup`` returned it: what a checkpoint holds.
        optimizers: every optimiser, by name: the loop moves their learning rates, a checkpoint holds their state.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Make one update and name its losses; ``"loss"`` is the one that is drawn and watched."""
        ...

    def validate(self, batch: Batch) -> Mapping[str, float]:
        """Name the same losses on held-out good images, without an update."""
        ...

    def finish(self, batches: Iterable[Batch]) -> None:
        """Fit what has no gradient, on all good training images: a density, a memory, a normalisation of the map.

        ``batches`` may be walked through more than once; each walk gives the same images in the same order.
        """
        ...

    def graph(self) -> nn.Module:
        """Give the network to export, in float32 on the CPU; it keeps the graph contract of ``runtime/engine``.

        Its ``forward(image)`` returns a dict of named outputs.
        """
        ...


@runtime_checkable
class Thins(Protocol):
    """Batches that can be had of fewer images."""

    def thinned(self, most: int) -> Iterable[Batch]:
        """Give ``most`` of the images, always the same; all where there are no more."""
        ...


def for_moments(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Give as many images as a mean and a spread need, from what ``finish`` is given; lists are given as they are."""
    return batches.thinned(MOMENTS_OF) if isinstance(batches, Thins) else batches


@runtime_checkable
class Begins(Protocol):
    """A method that looks at all good images before its first update, beside being a :class:`Method`.

    What it learns there is no part of a checkpoint: a resumed training looks again and finds the same. One that has no
    optimisers is then finished: the loop makes no update.
    """

    def begin(self, good: Iterable[Batch], held_out: Iterable[Batch], progress: Progress) -> None:
        """Look at the good images; each may be walked through more than once, in the same order."""
        ...

    def choices(self) -> Mapping[str, Fact]:
        """Say what was decided from the good images, with the figures that decided it: lines of the bundle's card."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A method that remembers good pictures and can show them, beside being a :class:`Method`.

    Its graph names them in the output ``nearest``, in the same order.
    """

    def references(self) -> NDArray[np.uint8] | None:
        """Give the remembered pictures once ``finish`` is done, for people: they go into the bundle.

        Returns:
            uint8 (K, H, W) grey or (K, H, W, 3) RGB at the prepared size; None when there are none to show.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """A method whose scores mean something only together with what it learned, beside being a :class:`Method`."""

    def notes(self) -> Mapping[str, str]:
        """Say by score what its values depend on, once ``finish`` is done: limits are bound to these words."""
        ...


@runtime_checkable
class Rejects(Protocol):
    """A method that may reject good training images, beside being a :class:`Method`."""

    def rejected(self) -> NDArray[np.int64]:
        """Number the good images it did not learn from, int64 (K,), in order."""
        ...


def method_names() -> list[str]:
    """Name every method: the files of ``methods/``."""
    package = importlib.import_module("candling.train.methods")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__))


def learns_defects(name: str) -> bool:
    """Tell whether a method learns from labelled defects with masks, beside good images."""
    return bool(getattr(importlib.import_module(f"candling.train.methods.{name}"), "LEARNS_DEFECTS", False))


def learns_boxes(name: str) -> bool:
    """Tell whether a method learns from images whose objects have boxes."""
    return bool(getattr(importlib.import_module(f"candling.train.methods.{name}"), "LEARNS_BOXES", False))


def learns_cells(name: str) -> bool:
    """Tell whether a method learns from images whose cells are numbered."""
    return bool(getattr(importlib.import_module(f"candling.train.methods.{name}"), "LEARNS_CELLS", False))


def method_summary(name: str) -> str:
    """Give the first docstring line of a method's file."""
    module = importlib.import_module(f"candling.train.methods.{name}")
    return (module.__doc__ or "").strip().splitlines()[0]


def method_options(name: str) -> dict[str, Any]:
    """Describe a method's own recipe keys as a JSON schema: names, types, defaults, bounds."""
    module = importlib.import_module(f"candling.train.methods.{name}")
    options: type[BaseModel] = module.Options
    return options.model_json_schema()


def check_method(name: str, options: Mapping[str, Any]) -> BaseModel:
    """Check a method's name and its recipe keys, and give its options; nothing is built.

    Raises:
        RecipeError: no such method, or options it does not take; the nearest spelling is offered.
    """
    if name not in method_names():
        near = difflib.get_close_matches(name, method_names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"method.name: no method {name!r}; {hint}there are: {', '.join(method_names())}")
    model: type[BaseModel] = importlib.import_module(f"candling.train.methods.{name}").Options
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise RecipeError(f"method.{explain(error, model)}") from error


def build_method(name: str, options: Mapping[str, Any], plan: Plan) -> Method:
    """Build a method from its name and its recipe keys.

    Raises:
        RecipeError: as :func:`check_method`, or the options do not fit the images' shape.
    """
    chosen = check_method(name, options)
    return importlib.import_module(f"candling.train.methods.{name}").build(chosen, plan)
