"""What ``candling demo`` does: draw, train, calibrate, evaluate, and name the report; every step is the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.cli.output import bar, remark, show_json
from candling.cli.show import show_evaluation
from candling.cli.training import watched
from candling.data.samples import load_samples
from candling.disk import new_folder
from candling.recipe import load_recipe
from candling.runtime.inspector import Inspector
from candling.scenes.capsules import write_dataset
from candling.workflow.evaluate import evaluate
from candling.workflow.report import write_evaluation

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["run_demo"]


def run_demo(out: Path, *, minutes: float, recipe: str, seed: int, overwrite: bool, json: bool) -> int:
    """Run the demo into a folder: ``capsules`` (pictures), ``capsules.bundle`` and ``report``.

    Raises:
        OutputExistsError: the folder holds something and ``overwrite`` is False.
    """
    from candling.train.pipeline import train_bundle

    chosen = load_recipe(recipe)
    new_folder(out, overwrite=overwrite)
    pictures, bundle, report = out / "capsules", out / "capsules.bundle", out / "report"
    if not json:
        remark("drawing capsules: good ones to learn from, good and defective ones to test on")
    with bar("drawing", quiet=json) as progress:
        write_dataset(pictures, seed=seed, overwrite=overwrite, progress=progress)
    with watched(quiet=json) as watcher:
        train_bundle(chosen, pictures, bundle, minutes=minutes, seed=seed, overwrite=overwrite, progress=watcher)
    inspector = Inspector.load(bundle)
    with bar("evaluating", quiet=json) as progress:
        evaluation = evaluate(inspector, load_samples(pictures), progress=progress)
    new_folder(report, overwrite=overwrite)
    write_evaluation(evaluation, report)
    if json:
        show_json({"report": str(report / "report.html"), "bundle": str(bundle), **evaluation.to_json()})
    else:
        show_evaluation(evaluation, report / "report.html")
    return 0
