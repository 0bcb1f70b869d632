"""One pass over labelled images: every image once, its result kept, its map folded into the pixel scores and let go.

Knows no figure of whole images and no page. Memory holds one map at a time, besides what
:class:`candling.measure.anomaly.PixelScores` keeps of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from candling.data.samples import group_acquisitions
from candling.errors import ImageError
from candling.measure.anomaly import PixelScores
from candling.pixels.heatmap import resize_map
from candling.pixels.read import inspect_file, read_mask
from candling.types import WHOLE
from candling.workflow.beside import worst_score
from candling.workflow.evaluation import ImageResult
from candling.workflow.maps import frame_map
from candling.workflow.strips import inspect_all, of_frame
from candling.workflow.words import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path, PurePath

    from numpy.typing import NDArray

    from candling.data.samples import Acquisition, Sample
    from candling.runtime.inspector import Inspector
    from candling.types import FloatArray, Inspection, Limit

    Pair = tuple[FloatArray, NDArray[np.bool_] | None]

__all__ = ["Passage", "fits", "pass_over", "relative_name"]


@dataclass(frozen=True)
class Passage:
    """What one pass found.

    Attributes:
        acquisitions: what was judged: single images, or the frames of one product's run; in order.
        results: one an acquisition.
        products: the product each image shows; None when no product is shown twice.
        pixels: the pixel scores; None when the data hold no mask.
        pixel_products: the products of the images behind ``pixels``, in their order; None like ``products``.
        pixel_reason: why pixel figures cannot be computed; empty when they can.
        notes: what a reader must know about images that were left out, one sentence each.
    """

    acquisitions: tuple[Acquisition, ...]
    results: tuple[ImageResult, ...]
    products: tuple[str, ...] | None
    pixels: PixelScores | None
    pixel_products: tuple[str, ...] | None
    pixel_reason: str
    notes: tuple[str, ...]


@dataclass
class _Left:
    """Images left out of the pixel figures, counted by why."""

    without_mask: int = 0
    unreadable_masks: list[str] = field(default_factory=list)
    foreign_masks: list[str] = field(default_factory=list)
    strange_maps: int = 0

    def any(self) -> bool:
        """Tell whether something was left out."""
        return bool(self.without_mask or self.unreadable_masks or self.foreign_masks or self.strange_maps)


def pass_over(
    inspector: Inspector,
    root: Path,
    samples: Sequence[Sample],
    *,
    progress: Callable[[int, int], None] | None = None,
    see: Callable[[FloatArray, NDArray[np.bool_] | None], None] | None = None,
) -> Passage:
    """Inspect every image once.

    Args:
        inspector: the bundle, loaded.
        root: the data's folder or table: names are told below it.
        samples: the images.
        progress: called with (done, total).
        see: called with each map and mask that count in pixel figures.

    Raises:
        SamplesError: several frames show one product, and an image does not say which acquisition it belongs to.
    """
    acquisitions = group_acquisitions(samples, inspector.recipe.frames)
    has_masks = any(sample.mask is not None for sample in samples)
    results: list[ImageResult] = []
    used: list[int] = []
    left = _Left()

    def pairs() -> Iterator[Pair]:
        inspections = inspect_all(inspector, acquisitions)
        for index, (acquisition, inspection) in enumerate(zip(acquisitions, inspections, strict=True)):
            found = list(_pairs(acquisition, inspection, left)) if has_masks else []
            results.append(_result(acquisition, inspection, root, inspector.limits, has_mask=bool(found)))
            for pair in found:
                used.append(index)
                if see is not None:
                    see(*pair)
                yield pair
            if progress is not None:
                progress(index + 1, len(acquisitions))

    pixels = PixelScores.gather(pairs())
    products = _products(acquisitions)
    return Passage(
        acquisitions=acquisitions,
        results=tuple(results),
        products=products,
        pixels=pixels if has_masks else None,
        pixel_products=None if products is None else tuple(products[index] for index in used),
        pixel_reason=_pixel_reason(pixels, left, has_masks=has_masks),
        notes=(*_left_notes(left), *_sample_notes(products, pixels)),
    )


def relative_name(path: Path, root: Path) -> str:
    """Name an image by its path below the data's root, with forward slashes; in full when it lies elsewhere."""
    folder: PurePath = root if root.is_dir() else root.parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def fits(mask: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Tell whether a mask shows the same field as a frame: the same proportions, at any resolution.

    >>> fits((500, 1000), (250, 500)), fits((500, 500), (250, 500))
    (True, False)
    """
    return abs(mask[0] * frame[1] - mask[1] * frame[0]) <= 0.01 * mask[1] * frame[0]


def _result(
    acquisition: Acquisition,
    inspection: Inspection,
    root: Path,
    limits: Mapping[tuple[str, str], Limit],
    *,
    has_mask: bool,
) -> ImageResult:
    worst = worst_score(inspection, limits)
    single = len(acquisition.samples) == 1
    return ImageResult(
        name=relative_name(acquisition.paths[0], root) if single else acquisition.name,
        label=acquisition.label,
        verdict=inspection.verdict,
        severity=inspection.severity,
        reason="; ".join(reason.text for reason in inspection.reasons),
        region=worst.region if worst else None,
        score=worst.score if worst else None,
        value=worst.value if worst else None,
        limit=worst.limit if worst else None,
        milliseconds=dict(inspection.milliseconds),
        has_mask=has_mask,
    )


def _pairs(acquisition: Acquisition, inspection: Inspection, left: _Left) -> Iterator[Pair]:
    """Give the map and mask of each frame that counts in pixel figures, one frame after the other."""
    for number, sample in enumerate(acquisition.samples, start=1):
        shown = of_frame(inspection, number) if len(acquisition.samples) > 1 else inspection
        pair = _pair(sample, shown, left)
        if pair is not None:
            yield pair


def _pair(sample: Sample, inspection: Inspection, left: _Left) -> Pair | None:
    """Give an image's map at its mask's resolution, with the mask; None when it cannot count in pixel figures."""
    if not any(patch.anomaly_map is not None for patch in inspection.predictions):
        return None
    if not sample.is_good and sample.mask is None:
        left.without_mask += 1
        return None
    shape = _frame_shape(sample, inspection)
    values = None if shape is None else frame_map(inspection.predictions, shape)
    if shape is None or values is None or not np.isfinite(values).all():
        left.strange_maps += 1
        return None
    if sample.mask is None:
        return values, None
    try:
        mask = read_mask(sample.mask)
    except ImageError:
        left.unreadable_masks.append(sample.mask.name)
        return None
    if not fits((mask.shape[0], mask.shape[1]), shape):
        left.foreign_masks.append(sample.mask.name)
        return None
    return (values if mask.shape == values.shape else resize_map(values, (mask.shape[0], mask.shape[1]))), mask


def _frame_shape(sample: Sample, inspection: Inspection) -> tuple[int, int] | None:
    """Give (H, W) of the frame: the box of a whole frame says it, else the file's header."""
    patch = inspection.predictions[0]
    if patch.region == WHOLE and len(inspection.predictions) == 1:
        return patch.box.bottom, patch.box.right
    try:
        facts = inspect_file(sample.path)
    except ImageError:  # it was there a moment ago
        return None
    return facts.height, facts.width


def _products(acquisitions: Sequence[Acquisition]) -> tuple[str, ...] | None:
    named = [one.product for one in acquisitions if one.product is not None]
    if len(set(named)) == len(named):
        return None
    return tuple(one.paths[0].as_posix() if one.product is None else f"product {one.product}" for one in acquisitions)


def _pixel_reason(pixels: PixelScores, left: _Left, *, has_masks: bool) -> str:
    if not has_masks:
        return "the data hold no masks"
    if not pixels.good and not left.any():
        return "the bundle's graph gives no anomaly map"
    return "" if pixels.defect.size else "no mask that can be used marks a defect"


def _left_notes(left: _Left) -> Iterator[str]:
    if left.without_mask:
        yield f"{count(left.without_mask, 'defect')} without a mask left out of the pixel figures."
    if left.strange_maps:
        yield f"{count(left.strange_maps, 'map')} not finite or not placeable, left out of the pixel figures."
    for names, what in (
        (left.unreadable_masks, "cannot be read"),
        (left.foreign_masks, "not shaped like its image"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"Left out of the pixel figures, mask {what}: {', '.join(names[:3])}{more}; see `candling check`."


def _sample_notes(products: Sequence[str] | None, pixels: PixelScores) -> Iterator[str]:
    if products is not None:
        yield (
            f"{len(products)} images show {len(set(products))} products. Ranking figures were resampled by product; "
            "the intervals of missed defects and false rejects count every image as independent and are too narrow."
        )
    if pixels.resolution > 0.0:
        yield f"Pixel scores were thinned: false-reject rates of pixels are right within {pixels.resolution:.1g}."
