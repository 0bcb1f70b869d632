"""How bundles that count are opened: graph and file of facts, and that they fit together; knows neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.errors import BundleError
from candling.runtime.bundle import Bundle, load_bundle
from candling.runtime.engine import Engine, EngineName, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from candling.recipe import Recipe

__all__ = ["check_input", "open_counting_bundle"]


def open_counting_bundle(
    path: Path | str | Bundle, name: str, *, refusal: str, engine: EngineName, threads: int | None
) -> tuple[Bundle, Engine, bytes]:
    """Open a bundle, its graph, and the file ``name`` in it.

    Raises:
        BundleError: the bundle is damaged, or has no such file (the rest of that sentence is ``refusal``).
        EngineError: the engine does not run its graph, or contradicts its witness.
    """
    bundle = path if isinstance(path, Bundle) else load_bundle(path)
    data = bundle.read_extra(name)
    if data is None:
        raise BundleError(f"{bundle.path}: {refusal}")
    opened = open_engine(
        bundle.read_graph(),
        engine=engine,
        precision=bundle.limits.precision,
        threads=threads,
        witness=bundle.card.witness,
    )
    return bundle, opened, data


def check_input(engine: Engine, recipe: Recipe) -> None:
    """Refuse a graph that takes other images than the recipe prepares."""
    if engine.input_shape != recipe.prepare.shape:
        raise BundleError(
            f"the graph takes images of {engine.input_shape} and the recipe prepares {recipe.prepare.shape}; "
            "they are not of one training"
        )
