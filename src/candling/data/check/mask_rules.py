"""Rules about masks: there, of the image's size, not empty, plainly black and white; opens no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candling.data.check.findings import Finding, Severity, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from candling.data.check.look import ImageLook, MaskLook

__all__ = ["judge_masks"]

_MOST = 0.9
"""A mask that marks a larger share of the picture is probably inverted."""


def judge_masks(looks: Sequence[ImageLook], masks: Sequence[MaskLook]) -> Iterator[Finding]:
    """Report masks that are missing, unreadable, of another size, empty, full, of odd values, or on good images."""
    sizes = {look.sample.path: (look.facts.width, look.facts.height) for look in looks if look.facts is not None}
    yield from _missing(looks)
    for mask in masks:
        if mask.problem:
            remedy = "draw the mask again or remove the file"
            yield Finding("mask_unreadable", Severity.ERROR, mask.problem, remedy, (mask.path,))
    readable = [mask for mask in masks if not mask.problem]
    yield from _listed(
        "mask_size",
        Severity.ERROR,
        [
            mask
            for mask in readable
            if sizes.get(mask.sample.path, (mask.width, mask.height)) != (mask.width, mask.height)
        ],
        words=("mask is not of its image's size", "masks are not of their images' size"),
        remedy="draw the mask on the image itself; resized masks move the defect",
        sizes=sizes,
    )
    yield from _listed(
        "mask_on_good",
        Severity.ERROR,
        [mask for mask in readable if mask.sample.is_good and mask.share > 0.0],
        words=("good image has a mask that marks a defect", "good images have masks that mark defects"),
        remedy="remove the mask, or move the image into its defect class",
    )
    defects = [mask for mask in readable if not mask.sample.is_good]
    yield from _listed(
        "mask_empty",
        Severity.ERROR,
        [mask for mask in defects if mask.share == 0.0],
        words=("mask of a defect image is empty", "masks of defect images are empty"),
        remedy="mark the defect, or remove the mask if its place is unknown",
    )
    yield from _listed(
        "mask_full",
        Severity.WARNING,
        [mask for mask in defects if mask.share > _MOST],
        words=("mask marks nearly the whole picture", "masks mark nearly the whole picture"),
        remedy="nonzero pixels mean defect: invert the mask if it means the opposite",
    )
    yield from _listed(
        "mask_values",
        Severity.WARNING,
        [mask for mask in defects if len(mask.values) > 2],
        words=("mask holds more than two grey levels", "masks hold more than two grey levels"),
        remedy="every nonzero pixel counts as defect: save masks as black and white, without smoothing or JPEG",
    )


def _missing(looks: Sequence[ImageLook]) -> Iterator[Finding]:
    defects = [look.sample for look in looks if not look.sample.is_good]
    without = [sample for sample in defects if sample.mask is None]
    if not without:
        return
    if len(without) == len(defects):
        yield Finding(
            "no_masks",
            Severity.NOTE,
            "no defect image has a mask: defects are judged by image, their place is not measured",
            "draw masks into ground_truth/<class>/<image>_mask.png if the place matters",
        )
        return
    verb = "image has no mask" if len(without) == 1 else "images have no mask"
    yield Finding(
        "mask_missing",
        Severity.WARNING,
        f"{len(without)} of {len(defects)} defect {verb}, so it cannot be measured where the defect was seen",
        "draw the mask, or check that its name is <image>_mask.png",
        tuple(sample.path for sample in without),
        tuple(f"{sample.split} / {sample.label}" for sample in without),
    )


def _listed(
    kind: str,
    severity: Severity,
    masks: Sequence[MaskLook],
    *,
    words: tuple[str, str],
    remedy: str,
    sizes: Mapping[Path, tuple[int, int]] | None = None,
) -> Iterator[Finding]:
    if not masks:
        return
    sentence = counted(masks, *words)
    if sizes is not None:
        remarks = ["{} x {} px, image {} x {} px".format(m.width, m.height, *sizes[m.sample.path]) for m in masks]
    else:
        remarks = [f"{mask.sample.label}, {mask.share:.2%} marked" for mask in masks]
    yield Finding(kind, severity, sentence, remedy, tuple(mask.path for mask in masks), tuple(remarks))
