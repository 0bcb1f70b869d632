"""Run a bundle over labelled images and measure it: every image once, maps never kept; draws no page.

Images go through the inspector as on the line. Figures rank images by severity, 1 being the bundle's limit; the
verdicts themselves give missed defects and false rejects. Undecided counts as rejected, as on the line; so does an
image that cannot be read. After the pass at most two dozen images are inspected once more, with their reconstructions,
for the gallery: timings and figures know nothing of it.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

import candling
from candling.data.samples import content_hash, test_samples
from candling.errors import ImageError, SamplesError
from candling.pixels.read import read_image, read_mask
from candling.runtime.learned import without_learned
from candling.runtime.references import References
from candling.workflow import words
from candling.workflow.defect_figures import COVERED_SHARE, PatchCounts, defect_figures, defect_notes
from candling.workflow.evaluation import Evaluation, Example, LimitLine, Origin, StepTime, Timings
from candling.workflow.explanation import pairs_of, unlike_places
from candling.workflow.figures import Resampling, class_results, image_figures, pixel_figures
from candling.workflow.gallery import (
    EXPLAINED,
    choose_examples,
    draw_filter_panels,
    draw_pair,
    draw_panels,
    draw_reason,
    draw_scale,
)
from candling.workflow.maps import MapScale, map_scale
from candling.workflow.passage import fits, pass_over
from candling.workflow.strips import frame_number, inspect_all, of_worst_frame
from candling.workflow.why import why_worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from candling.data.samples import Sample, SampleSet
    from candling.runtime.bundle import Bundle, LimitEntry
    from candling.runtime.inspector import Inspector
    from candling.types import Frame
    from candling.workflow.evaluation import ImageResult
    from candling.workflow.passage import Passage

__all__ = ["evaluate", "evaluated_samples"]

AUPRO_LIMIT = 0.3  # Bergmann et al. 2021, IJCV 129, 1038
MOST_PICTURE_BYTES = 5_500_000
"""JPEG bytes of the whole gallery; base64 adds a third, and a report stays below 8 MB."""


def utc_now() -> datetime:
    """Give the time of now, in UTC."""
    return datetime.now(UTC)


def evaluate(
    inspector: Inspector,
    samples: SampleSet,
    *,
    progress: Callable[[int, int], None] | None = None,
    rounds: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    most_examples: int = 24,
    clock: Callable[[], datetime] = utc_now,
) -> Evaluation:
    """Measure an inspector on the test images of a set; see :func:`evaluated_samples` for which these are.

    Args:
        inspector: the bundle, loaded.
        samples: the labelled images.
        progress: called with (done, total) images.
        rounds: resamplings of the images behind the intervals of the ranking figures.
        seed: of those.
        confidence: of every interval.
        most_examples: how many images the gallery shows at most; 0 draws none.
        clock: gives the date written into the evaluation.

    Raises:
        SamplesError: there is no labelled image, or one of them is gone.
        BundleError: the bundle's remembered pictures are damaged.
    """
    chosen, notes = evaluated_samples(samples)
    chosen, left_out = without_learned(chosen, inspector.bundle)
    notes = left_out or notes
    data_hash = content_hash(chosen)  # first: a file that is not there is told before the work, not after
    references = References.load(inspector.bundle) if inspector.engine.has_nearest else None  # likewise
    patches = PatchCounts(wanted=COVERED_SHARE in inspector.engine.score_names)
    found = pass_over(inspector, samples.root, chosen, progress=progress, see=patches.see)
    resampling = Resampling(np.random.default_rng(seed), rounds, confidence)
    figures, best_severity = image_figures(found.results, found.products, resampling=resampling)
    scale = map_scale(inspector.bundle)
    defects = defect_figures(found.pixels, patches, resampling=resampling)
    return Evaluation(
        origin=_origin(inspector, samples, data_hash, clock()),
        figures=figures | pixel_figures(found, limit=AUPRO_LIMIT, resampling=resampling),
        best_severity=best_severity,
        classes=class_results(found.results, found.products, resampling=resampling),
        images=found.results,
        limits=_limit_lines(inspector.bundle),
        timings=_timings(found.results),
        examples=_examples(inspector, found, scale, references, most=most_examples),
        scale_bar=draw_scale(scale) if most_examples and inspector.bundle.limits.map_range else None,
        filters=draw_filter_panels(inspector.bundle.read_graph()) if most_examples else (),
        notes=(
            *notes,
            *_limit_notes(inspector.bundle, data_hash, found.results),
            *found.notes,
            *defect_notes(defects),
        ),
        confidence=confidence,
        rounds=rounds,
        seed=seed,
        aupro_limit=AUPRO_LIMIT,
        defects=defects,
    )


def evaluated_samples(samples: SampleSet) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Choose what is evaluated: the test split, or everything where the layout has none with good images in it.

    Returns:
        The samples, and sentences for the reader: good images the inspector may have learned from flatter it.

    Raises:
        SamplesError: nothing is there.
    """
    chosen = test_samples(samples)
    separated = samples.layout in {"mvtec", "table"} or any(sample.is_good for sample in chosen)
    if chosen and separated:
        return chosen, ()
    if not samples.samples:
        raise SamplesError(f"{samples.root}: no labelled image to evaluate on; give test/good and a folder per defect")
    if not any(sample.split == "train" for sample in samples):
        return samples.samples, ()
    sentence = "The data have no test split of their own, so every image was evaluated: good images the inspector"
    return samples.samples, (
        f"{sentence} learned from, or whose scores chose its limits, make it look better than it is.",
    )


def _origin(inspector: Inspector, samples: SampleSet, data_hash: str, date: datetime) -> Origin:
    bundle = inspector.bundle
    story, card = bundle.recipe.story, bundle.card
    made = f"made by candling {card.candling} on {card.created.astimezone(UTC):%Y-%m-%d}"
    return Origin(
        product=story.product,
        source=story.source,
        bundle_name=bundle.path.name,
        bundle_hash=bundle.sha256,
        bundle_made=made,
        method=bundle.recipe.method.name,
        engine=inspector.engine.name,
        precision=inspector.engine.precision,
        input_shape=tuple(inspector.engine.input_shape),
        data_name=samples.root.name or str(samples.root),
        data_hash=data_hash,
        versions=_versions(inspector.engine.name),
        date=date.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _versions(engine: str) -> dict[str, str]:
    """Give the versions that took part in this evaluation."""
    libraries = ("numpy", "opencv-python-headless", engine)
    found = {"candling": candling.__version__, "python": platform.python_version()}
    for name in libraries:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _limit_lines(bundle: Bundle) -> tuple[LimitLine, ...]:
    judged = bundle.recipe.limits.scores
    return tuple(
        LimitLine(
            region=entry.region,
            score=entry.score,
            typical=entry.typical,
            low=entry.low,
            high=entry.high,
            reject_high=entry.reject_high,
            goal=_goal_in_words(entry),
        )
        for entry in bundle.limits.entries
        if entry.score in judged
    )


def _goal_in_words(entry: LimitEntry) -> str:
    """Say what a limit was chosen for, and on how many images."""
    value = words.scientific_or_fixed(entry.value)
    goals = {
        "quantile": f"quantile {value} of good scores",
        "false_reject": f"false rejects of {words.percent(entry.value)} %",
        "youden": "best Youden index",
        "f1": "best F1",
        "recall": f"{words.percent(entry.value)} % of defects found",
        "cost": f"least cost, a missed defect costing {value} false rejects",
        "manual": "set by hand",
    }
    images = [words.count(entry.samples_good, "good image")] if entry.samples_good else []
    images += [words.count(entry.samples_defect, "defect")] if entry.samples_defect else []
    return goals.get(entry.goal, entry.goal) + (f", on {' and '.join(images)}" if images else "")


def _limit_notes(bundle: Bundle, data_hash: str, results: Sequence[ImageResult]) -> Iterator[str]:
    """Warn where limits were chosen on these images, where they call themselves weak, and where they have two ends."""
    entries = [entry for entry in bundle.limits.entries if entry.score in bundle.recipe.limits.scores]
    if any(entry.data == data_hash for entry in entries):
        yield "The limits were chosen on these very images: the rates at the limits are better than others will be."
    yield from dict.fromkeys(entry.note.strip() for entry in entries if entry.note.strip())
    apart = sum(r.accepted != (r.severity <= 1.0) for r in results if abs(r.severity - 1.0) > 1e-9)
    if apart:
        yield (
            f"{words.count(apart, 'verdict')} cannot be told from severity alone (a limit with a lower end): "
            "the movable limit below counts them by severity."
        )


def _timings(results: Sequence[ImageResult]) -> Timings:
    timed = [result.milliseconds for result in results if result.readable]
    if not any(sum(times.values()) > 0.0 for times in timed):
        return Timings({}, None, None)
    steps = {step: np.array([times.get(step, 0.0) for times in timed]) for step in timed[0]}
    total = np.sum(list(steps.values()), axis=0)
    inside = float(steps["predict"].sum()) if "predict" in steps else 0.0
    return Timings(
        steps={name: _step_time(times) for name, times in (steps | {"total": total}).items()},
        images_per_second=1000.0 * len(timed) / float(total.sum()),
        graph_share=inside / float(total.sum()),
    )


def _step_time(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> StepTime:
    median, p95 = (float(value) for value in np.percentile(times, (50, 95)))
    return StepTime(float(times.mean()), median, p95, float(times.max()))


def _examples(
    inspector: Inspector,
    found: Passage,
    scale: MapScale,
    references: References | None,
    *,
    most: int,
) -> tuple[Example, ...]:
    """Inspect the chosen images once more, with reconstructions, and draw them; stop before the report grows heavy."""
    examples: list[Example] = []
    room = MOST_PICTURE_BYTES
    chosen = choose_examples(found.results, most=most)
    explained = _explained_ones(chosen)
    for group, index in chosen:
        acquisition = found.acquisitions[index]
        [inspection] = inspect_all(inspector, [acquisition], reconstructions=True, nearest=True)
        shown = of_worst_frame(inspection, inspector.limits)
        sample = acquisition.samples[(frame_number(shown) or 1) - 1]
        try:
            frame = read_image(sample.path)
        except ImageError:  # it was there a moment ago; its result stands
            continue
        mask = _mask_of(sample, frame)
        worst = unlike_places(shown.predictions, most=1)
        pairs = () if references is None else pairs_of(frame, worst, references)
        panels = draw_panels(frame, shown.predictions, mask, scale, pairs=pairs)
        unlike = draw_pair(pairs[0]) if pairs else ()
        why = why_worst(inspector.predictor, frame, shown.predictions) if index in explained else None
        reason = () if why is None else draw_reason(why)
        room -= sum(len(panel.jpeg) for panel in (*panels, *unlike, *reason))
        if room < 0:
            break
        examples.append(Example(group, found.results[index], panels, unlike, reason))
    return tuple(examples)


def _explained_ones(chosen: Sequence[tuple[str, int]], most: int = 2) -> set[int]:
    """Pick the images whose worst place is explained: the first of each group that is worth it."""
    firsts = dict(reversed(chosen))
    return {firsts[group] for group in [group for group in EXPLAINED if group in firsts][:most]}


def _mask_of(sample: Sample, frame: Frame) -> NDArray[np.bool_] | None:
    if sample.mask is None:
        return None
    with suppress(ImageError):  # told among the notes
        mask = read_mask(sample.mask)
        return mask if fits((mask.shape[0], mask.shape[1]), (frame.shape[0], frame.shape[1])) else None
    return None
