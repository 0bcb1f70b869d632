"""The steps of a training that are others where cells are learned: what is read, and which cells will count.

Nothing is good or a defect there, so no limit is chosen; what is chosen is the least score of a counted cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from candling.data.samples import content_hash, split_hold_out
from candling.data.samples.numbered import cells_to_learn, load_cells
from candling.runtime.bundle import LimitsFile
from candling.runtime.cells import CellCounter
from candling.runtime.counting import Counting, encode_counting
from candling.runtime.engine import open_engine
from candling.runtime.learned import FIT, HELD_OUT, encode_learned
from candling.train.data import resolve_prepare
from candling.train.matching import resolve_matching
from candling.train.method import check_method
from candling.train.numbered import check_cells_recipe, prepare_cells
from candling.workflow.cell_figures import choose_least

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from candling.data.samples import Sample, SampleSet
    from candling.recipe import Recipe
    from candling.train.data import PreparedSet
    from candling.train.export import Exported
    from candling.train.facts import Fact
    from candling.train.matching import Matching
    from candling.train.numbered import CellOptions
    from candling.train.progress import Progress

__all__ = ["CellImages", "choose_counting", "load_cell_images", "no_limits"]


@dataclass(frozen=True)
class CellImages:
    """Images with numbered cells, read once.

    Attributes:
        recipe: with every "auto" decided.
        set: all that was found.
        good: tiles to learn from.
        held_out: tiles held out.
        held: the images held out.
        hash: of the content of both.
        matching: what their histograms were matched to.
        learned: the table of the images behind both.
    """

    recipe: Recipe
    set: SampleSet
    good: PreparedSet
    held_out: PreparedSet
    held: tuple[Sample, ...]
    hash: str
    matching: Matching
    learned: bytes

    @property
    def choices(self) -> Mapping[str, Fact]:
        """What was decided, for the card."""
        return self.matching.choices


def load_cell_images(recipe: Recipe, data: Path, *, progress: Progress) -> CellImages:
    """Read what a method learns cells from; a folder keeps a third of its wells for the test.

    Raises:
        RecipeError: the recipe aligns, crops or cuts.
        DataError: there are too few images, or one cannot be read.
    """
    check_cells_recipe(recipe)
    found = load_cells(data)
    for problem in found.problems:
        progress.stage(problem)
    samples = cells_to_learn(found.set, seed=recipe.training.seed)
    fit_samples, held = split_hold_out(samples, recipe.training.hold_out, seed=recipe.training.seed)
    progress.stage(f"reading {len(samples)} images with numbered cells, {len(held)} of them held out")
    matching = resolve_matching(recipe, fit_samples, folder=found.set.root)
    recipe = resolve_prepare(recipe, samples)
    options = _options(recipe)
    good, held_out = (
        prepare_cells(
            some,
            recipe,
            border_px=options.border_px,
            least_px=options.least_px,
            matcher=matching.matcher,
            progress=progress,
            centres=options.learns_density,
        )
        for some in (fit_samples, held)
    )
    learned = encode_learned(((FIT, fit_samples), (HELD_OUT, held)))
    return CellImages(recipe, found.set, good, held_out, held, content_hash(samples), matching, learned)


def choose_counting(images: CellImages, exported: Exported, *, progress: Progress) -> bytes:
    """Choose what parts cells and which of them count, on images that were not learned from; give the bundle's file.

    Raises:
        DataError: an image cannot be read.
        EngineError: the engine failed.
    """
    progress.stage(f"choosing what counts as a cell on {len(images.held)} images not learned from")
    options = _options(images.recipe)
    counting = Counting(
        scores={options.label: 0.0},
        least_inside=0.0,
        border_px=options.border_px,
        least_px=options.least_px,
        reach_px=options.reach_px,
        step_px=options.step_px,
    )
    with open_engine(exported.graph, witness=exported.witness) as engine:
        counter = CellCounter(images.recipe, engine, counting, images.matching.matcher)
        return encode_counting(choose_least(counter, images.held, progress=progress.count))


def no_limits(exported: Exported) -> LimitsFile:
    """Give no limits: a counter judges nothing until somebody sets some.

    Raises:
        EngineError: the engine does not run the graph.
    """
    with open_engine(exported.graph, witness=exported.witness) as engine:
        return LimitsFile(precision=engine.precision, engine=engine.name, entries=())


def _options(recipe: Recipe) -> CellOptions:
    return cast("CellOptions", check_method(recipe.method.name, recipe.method.options))
