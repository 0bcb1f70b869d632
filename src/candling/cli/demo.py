"""What ``candling demo`` does: draw, train, calibrate, judge, and name the reports; every step is the real one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from candling.cli.output import bar, remark, show_json
from candling.cli.qualifying import show_qualification, usual_place
from candling.cli.show import show_evaluation
from candling.cli.strips import StripFiles
from candling.cli.training import watched
from candling.data.samples import group_acquisitions, load_samples
from candling.decide.qualification import Plan
from candling.disk import new_folder
from candling.recipe import load_recipe
from candling.runtime.inspector import Inspector
from candling.scenes.capsules import write_dataset
from candling.scenes.vials import INSPECTED, write_line
from candling.workflow.evaluate import evaluate
from candling.workflow.maps import map_scale
from candling.workflow.qualify import qualify_bundle, write_qualification
from candling.workflow.report import write_evaluation
from candling.workflow.results import write_results
from candling.workflow.strips import inspect_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from candling.decide.qualification import Qualification
    from candling.types import Inspection
    from candling.workflow.evaluation import Evaluation

__all__ = ["PRODUCTS", "Size", "run_demo"]

FEW = 0.05
"""Share of good strips that may be rejected: the drawn line has too few to support less."""

PRODUCTS = {"vials": "vials_together", "capsules": "surface"}
"""What the demo can draw, with the recipe that learns it."""


@dataclass(frozen=True)
class Size:
    """How large the drawn line of the demo is: strips to learn from, to choose limits by, and of the kit.

    Attributes:
        train: good strips to learn from, one run each: what belongs to a strip differs more than its runs do.
        calibration: good strips to choose limits by, one run each.
        good: good strips of the kit.
        defect: defective strips of the kit; 13 show every kind of defect.
        runs: of each strip of the kit, of which more than half must agree.
    """

    train: int = 120
    calibration: int = 100
    good: int = 12
    defect: int = 13
    runs: int = 3


def run_demo(
    out: Path,
    *,
    product: str,
    minutes: float,
    recipe: str | None,
    seed: int,
    overwrite: bool,
    json: bool,
    size: Size | None = None,
) -> int:
    """Run the demo into a folder: the drawn pictures, the bundle, ``report``, and of vials the kit's verdicts.

    Args:
        out: the folder.
        product: one of :data:`PRODUCTS`.
        minutes: to train.
        recipe: name or file; None is the product's.
        seed: of drawing and training.
        overwrite: whether what lies in ``out`` may be replaced.
        json: print JSON and nothing else.
        size: of the drawn line; None is one that takes a few minutes.

    Raises:
        OutputExistsError: the folder holds something and ``overwrite`` is False.
    """
    demo = _Demo(out, minutes, recipe or PRODUCTS[product], seed, overwrite, json)
    new_folder(out, overwrite=overwrite)
    return demo.vials(size or Size()) if product == "vials" else demo.capsules()


@dataclass(frozen=True)
class _Demo:
    """One run of the demo."""

    out: Path
    minutes: float
    recipe: str
    seed: int
    overwrite: bool
    json: bool

    def capsules(self) -> int:
        """Draw single capsules; learn, evaluate."""
        pictures = self.out / "capsules"
        self._say("drawing capsules: good ones to learn from, good and defective ones to test on")
        with bar("drawing", quiet=self.json) as progress:
            write_dataset(pictures, seed=self.seed, overwrite=self.overwrite, progress=progress)
        inspector = self._learn(pictures, "capsules")
        evaluation = self._evaluate(inspector, pictures)
        if self.json:
            show_json({**self._places("capsules"), **evaluation.to_json()})
        else:
            show_evaluation(evaluation, self.out / "report" / "report.html")
        return 0

    def vials(self, size: Size) -> int:
        """Draw strips of vials; learn, evaluate the kit, draw its rejected strips, classify each by its runs."""
        line = self.out / "line"
        self._say("drawing strips of five vials: good ones to learn from and for limits, and a kit with defects")
        with bar("drawing", quiet=self.json) as progress:
            write_line(
                line,
                seed=self.seed,
                train_strips=size.train,
                calibration_strips=size.calibration,
                kit_good=size.good,
                kit_defect=size.defect,
                runs=size.runs,
                train_runs=1,
                calibration_runs=1,
                frames=INSPECTED,
                ranks=False,
                together=load_recipe(self.recipe).frames == 1,
                contrast=1.0,
                workers=min(4, os.cpu_count() or 1),
                overwrite=self.overwrite,
                progress=progress,
            )
        inspector = self._learn(line, "vials")
        evaluation = self._evaluate(inspector, line)
        judged = self._draw_rejected(inspector, line)
        qualification, page = self._qualify(inspector, line, size.runs, judged)
        if self.json:
            places = {**self._places("vials"), "strips": str(self.out / "strips"), "qualification": str(page)}
            show_json({**places, **evaluation.to_json()})
        else:
            show_evaluation(evaluation, self.out / "report" / "report.html")
            remark(f"rejected strips, each with its heatmap: {self.out / 'strips' / 'overlays'}")
            show_qualification(qualification, page)
        return 0

    def _say(self, sentence: str) -> None:
        if not self.json:
            remark(sentence)

    def _places(self, product: str) -> dict[str, str]:
        report, bundle = self.out / "report" / "report.html", self.out / f"{product}.bundle"
        return {"report": str(report), "bundle": str(bundle)}

    def _learn(self, pictures: Path, product: str) -> Inspector:
        from candling.train.pipeline import train_bundle

        bundle = self.out / f"{product}.bundle"
        chosen = load_recipe(self.recipe)
        if chosen.strip is not None:
            limits = chosen.limits.model_copy(update={"value": max(chosen.limits.value, FEW)})
            chosen = chosen.model_copy(update={"limits": limits})
        with watched(quiet=self.json) as watcher:
            train_bundle(
                chosen,
                pictures,
                bundle,
                minutes=self.minutes,
                seed=self.seed,
                overwrite=self.overwrite,
                progress=watcher,
            )
        return Inspector.load(bundle)

    def _evaluate(self, inspector: Inspector, pictures: Path) -> Evaluation:
        report = self.out / "report"
        with bar("evaluating", quiet=self.json) as progress:
            evaluation = evaluate(inspector, load_samples(pictures), progress=progress)
        new_folder(report, overwrite=self.overwrite)
        write_evaluation(evaluation, report)
        return evaluation

    def _draw_rejected(self, inspector: Inspector, line: Path) -> list[Inspection]:
        """Judge the kit once more, for its table and a picture of each rejected strip; give what was judged."""
        kit = [sample for sample in load_samples(line) if sample.split == "kit"]
        frames = inspector.recipe.frames
        found = group_acquisitions(kit, frames)
        judged: list[Inspection] = []
        files = StripFiles(tuple((one.name, one.paths) for one in found))
        with bar("drawing what was rejected", quiet=self.json) as progress:
            write_results(
                _noted(inspect_all(inspector, found), judged),
                self.out / "strips",
                limits=inspector.limits,
                scale=map_scale(inspector.bundle),
                frame_of=files.frame_of if frames > 1 else None,
                overwrite=self.overwrite,
                progress=lambda done: progress(done, len(found)),
            )
        return judged

    def _qualify(
        self, inspector: Inspector, line: Path, runs: int, judged: list[Inspection]
    ) -> tuple[Qualification, Path]:
        """Classify each strip of the kit by its runs."""
        folder = self.out / "qualification"
        new_folder(folder, overwrite=self.overwrite)
        plan = Plan(k=runs // 2 + 1, n=runs, same_place=usual_place(inspector))
        qualification, provenance = qualify_bundle(inspector, line, folder, plan=plan, inspections=judged)
        return qualification, write_qualification(qualification, provenance, folder)


def _noted(inspections: Iterable[Inspection], notes: list[Inspection]) -> Iterator[Inspection]:
    """Pass inspections on, and note each without its maps."""
    for one in inspections:
        notes.append(replace(one, predictions=tuple(replace(patch, anomaly_map=None) for patch in one.predictions)))
        yield one
