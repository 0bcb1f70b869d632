"""From a trained method to a bundle: export, proof, first limits, card; knows no loop and no method by name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from candling import __version__
from candling.data.samples import group_acquisitions
from candling.decide.limits import LABELLED_GOALS
from candling.runtime.aligning import TEMPLATE, encode_aligners
from candling.runtime.boxes import DETECTING
from candling.runtime.bundle import Card, DataFacts, LimitsFile, save_bundle
from candling.runtime.counting import COUNTING
from candling.runtime.engine import open_engine
from candling.runtime.learned import LEARNED
from candling.runtime.matching import HISTOGRAMS, encode_matcher
from candling.runtime.predictor import Predictor
from candling.runtime.references import REFERENCES, encode_references
from candling.train import curves
from candling.train.boxes import choose_detecting
from candling.train.cells import choose_counting, no_limits
from candling.train.export import BATCHES, Exported, export
from candling.train.facts import hardware, versions
from candling.train.losses import SSIM_DEFINITION
from candling.train.method import Begins, Explains, Method, Remembers
from candling.train.rejected import rejected_files
from candling.workflow.calibrate import calibrate, calibration_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from candling.data.samples import Sample
    from candling.recipe import Recipe
    from candling.train.facts import Fact
    from candling.train.fit import Fitted
    from candling.train.gathering import Images
    from candling.train.progress import Progress

__all__ = ["finish_bundle"]


def finish_bundle(
    images: Images, fitted: Fitted, out: Path, *, overwrite: bool, progress: Progress, created: datetime
) -> None:
    """Export, prove, calibrate and save.

    Raises:
        TrainingError: graph and network differ.
        LimitError: no limit can be chosen from the held-out scores.
        DiskError: writing failed.
    """
    progress.stage("exporting the graph and proving it equal to the network")
    pictures = fitted.method.references() if isinstance(fitted.method, Remembers) else None
    remembered = None if pictures is None else len(pictures)
    exported = export(fitted.method.graph(), _some(images, max(BATCHES)), remembered=remembered)
    limits = no_limits(exported) if images.cells or images.boxes else _limits(images, exported, progress=progress)
    extra = {curves.NAME: fitted.curves.read_bytes()} if fitted.curves.is_file() else {}
    if images.aligned.aligners:
        extra[TEMPLATE] = encode_aligners(images.recipe, images.aligned.aligners)
    if images.matching.matcher is not None:
        extra[HISTOGRAMS] = encode_matcher(images.matching.matcher)
    if pictures is not None:
        extra[REFERENCES] = encode_references(pictures)
    if images.learned is not None:
        extra[LEARNED] = images.learned
    if images.cells is not None:
        extra[COUNTING] = choose_counting(images.cells, exported, progress=progress)
    if images.boxes is not None:
        extra[DETECTING] = choose_detecting(images.boxes, exported, progress=progress)
    extra |= rejected_files(fitted.method, images.good, images.set, images.recipe)
    save_bundle(
        out,
        graph=exported.graph,
        recipe=images.recipe,
        limits=limits,
        card=_card(images, fitted, exported, limits, name=out.name, created=created),
        extra=extra,
        overwrite=overwrite,
    )


def _some(images: Images, count: int) -> torch.Tensor:
    """Give prepared images for the proof: held-out ones first."""
    held = images.held_out.images(np.arange(min(count, len(images.held_out))))
    more = images.good.images(np.arange(min(count - len(held), len(images.good))))
    return torch.cat([held, more])


def _limits(images: Images, exported: Exported, *, progress: Progress) -> LimitsFile:
    """Choose the first limits, from good images that the network did not learn from."""
    goal, value = images.recipe.limits.goal, images.recipe.limits.value
    if goal in LABELLED_GOALS:
        progress.stage(
            f"goal {goal!r} needs labelled defects; until `candling calibrate` sees some, "
            "limits aim at 5 % false rejects"
        )
        goal, value = "false_reject", 0.05
    samples = calibration_samples(images.set, images.recipe, goal=goal)
    level = images.recipe.limits.level
    if level == "run" and not _runs_complete(samples, images.recipe):
        progress.stage(
            "level 'run' needs all runs of every product; until `candling calibrate` sees them, limits are for strips"
        )
        level = "strip"
    progress.stage(f"choosing limits from {len(samples)} good images that were not learned from")
    with open_engine(exported.graph, witness=exported.witness) as engine:
        predictor = Predictor(images.recipe, engine, images.aligned.aligners, images.matching.matcher)
        return calibrate(predictor, samples, goal=goal, value=value, level=level, progress=progress.count)


def _runs_complete(samples: Sequence[Sample], recipe: Recipe) -> bool:
    """Tell whether every product has as many runs as its classification counts."""
    runs = Counter(one.product for one in group_acquisitions(samples, recipe.frames))
    return recipe.strip is not None and set(runs.values()) == {recipe.strip.runs}


def _card(
    images: Images, fitted: Fitted, exported: Exported, limits: LimitsFile, *, name: str, created: datetime
) -> Card:
    training = images.recipe.training
    precision = {f"precision_{key}": value for key, value in fitted.precision.as_numbers().items()}
    return Card(
        name=name,
        method=images.recipe.method.name,
        created=created,
        candling=__version__,
        versions=versions(),
        hardware=hardware(fitted.fabric.device),
        seeds={"training": training.seed},
        data=DataFacts(
            name=images.set.root.name,
            sha256=images.hash,
            counts={"fit": len(images.good), "held_out": len(images.held_out)},
        ),
        training={
            "epochs": fitted.epochs,
            "updates": fitted.steps,
            "seconds": round(fitted.seconds, 3),
            "ended": fitted.ended,
            "kept_epoch": fitted.kept_epoch,
            "kept_loss": fitted.kept_loss,
            "processes": fitted.fabric.world_size,
            **precision,
        },
        parity=exported.parity.facts(),
        choices={**images.choices, **_choices(fitted.method)},
        witness=dict(exported.witness),
        scores=_score_notes(exported.parity.scales) | _notes(fitted.method),
        precision=limits.precision,
        engine=limits.engine,
    )


def _notes(method: Method) -> dict[str, str]:
    return dict(method.notes()) if isinstance(method, Explains) else {}


def _choices(method: Method) -> Mapping[str, Fact]:
    return method.choices() if isinstance(method, Begins) else {}


def _score_notes(outputs: Iterable[str]) -> dict[str, str]:
    """Say what the scores were computed from, for whoever compares limits of two bundles."""
    notes = {"image": "values divided by prepare.white, or else the largest of the frame's type, clipped to [0, 1]"}
    if any("dissimilarity" in name for name in outputs):
        notes["ssim"] = SSIM_DEFINITION
    return notes
