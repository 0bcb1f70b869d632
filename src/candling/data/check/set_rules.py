"""Rules about the set as a whole: copies, leaks between splits, masks, balance, files nobody uses; opens no image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from candling.data.check.findings import Finding, Severity, counted, names, plural
from candling.data.samples import TESTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from candling.data.check.look import ImageLook
    from candling.data.samples import Sample, SampleSet

__all__ = ["judge_balance", "judge_copies", "judge_products", "judge_unused"]

_FEW_GOOD = 20
_FEW_DEFECTS = 5


def judge_copies(groups: Iterable[Sequence[ImageLook]], *, exact: bool) -> Iterator[Finding]:
    """Report groups of images that show the same: worst where the copies contradict each other or leak."""
    for group in groups:
        samples = [look.sample for look in group]
        labels, splits = {s.label for s in samples}, {s.split for s in samples}
        regions = {s.region for s in samples}
        if exact and len(regions) == len(samples) and len({s.path for s in samples}) == 1:
            continue  # one frame listed once for each of its regions
        what = f"{len(samples)} files hold the same picture" if exact else f"{len(samples)} files show nearly the same"
        prefix = "" if exact else "near_"
        paths = tuple(s.path for s in samples)
        remarks = tuple(f"{s.split} / {s.label}" for s in samples)
        if len(labels) > 1:
            yield Finding(
                f"{prefix}label_conflict",
                Severity.ERROR if exact else Severity.WARNING,
                f"{what} but are labelled {names(sorted(labels))}",
                "decide what the picture shows and keep one label"
                if exact
                else "look at them: either one label is wrong, or the defect is very small",
                paths,
                remarks,
            )
        elif len(splits) > 1:
            yield Finding(
                f"{prefix}duplicate_across_splits",
                Severity.ERROR,
                f"{what} and are in different splits ({names(sorted(splits))}), so the test is not independent",
                "keep the picture in one split",
                paths,
                remarks,
            )
        else:
            yield Finding(
                f"{prefix}duplicate",
                Severity.WARNING,
                f"{what}, so it counts {len(samples)} times",
                "keep one of them" if exact else "keep one of them, or name the product so that they stay in one split",
                paths,
                remarks,
            )


def judge_products(samples: SampleSet) -> Iterator[Finding]:
    """Report products with images in several splits: an error when good ones are, for then false rejects look rare."""
    splits: dict[str, set[str]] = {}
    good_splits: dict[str, set[str]] = {}
    for sample in samples:
        if sample.product is not None:
            splits.setdefault(sample.product, set()).add(sample.split)
            if sample.is_good:
                good_splits.setdefault(sample.product, set()).add(sample.split)
    leaking = [product for product, found in good_splits.items() if len(found) > 1]
    shared = [product for product, found in splits.items() if len(found) > 1 and product not in leaking]
    if leaking:
        yield Finding(
            "product_across_splits",
            Severity.ERROR,
            f"{plural(len(leaking), 'product')} with good images in several splits ({names(leaking)}): "
            "the test asks about products that were learnt",
            "move all images of a product into one split",
            *_examples(samples, leaking),
        )
    if shared:
        yield Finding(
            "product_across_splits",
            Severity.WARNING,
            f"{plural(len(shared), 'product')} with good images in one split and defects in another ({names(shared)}): "
            "the rest of the product was learnt, so its defect may be easier to find than on a new product",
            "where there are enough products, move all images of a product into one split",
            *_examples(samples, shared),
        )


def _examples(samples: SampleSet, products: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Give, for the first few products, one image of each split and label."""
    found: dict[tuple[str, str, str], Sample] = {}
    for product in products[:4]:
        for sample in samples:
            if sample.product == product:
                found.setdefault((product, sample.split, sample.label), sample)
    remarks = tuple(f"{product}: {split} / {label}" for product, split, label in found)
    return tuple(sample.path for sample in found.values()), remarks


def judge_balance(samples: SampleSet) -> Iterator[Finding]:
    """Report what is too little: good images to learn from, good and defect images to measure with."""
    counts = Counter((sample.split, sample.label) for sample in samples)
    good = counts["train", "good"]
    if good < 2:
        yield Finding(
            "too_few_good",
            Severity.ERROR,
            f"{plural(good, 'good image')} in split 'train': at least 2 are needed, one of them to choose limits",
            f"take more pictures of good products; {_FEW_GOOD} is a start, 200 are better",
        )
    elif good < _FEW_GOOD:
        yield Finding(
            "few_good",
            Severity.WARNING,
            f"only {good} good images to learn from: what good looks like will be learnt too narrowly",
            f"take more pictures of good products; {_FEW_GOOD} is a start, 200 are better",
        )
    defects = Counter(sample.label for sample in samples if not sample.is_good)
    if not defects:
        yield Finding(
            "no_defects",
            Severity.NOTE,
            "no defect image: training needs none, but missed defects cannot be measured",
            "collect pictures of defects in test/<class>",
        )
    elif not any(split in TESTED and label == "good" for split, label in counts):
        yield Finding(
            "no_good_test",
            Severity.NOTE,
            "no good image is set apart for testing: false rejects are measured on held-out training images only",
            "put some good images into test/good",
        )
    rare = [f"{label} ({count})" for label, count in defects.items() if count < _FEW_DEFECTS]
    if rare:
        yield Finding(
            "few_defects",
            Severity.NOTE,
            f"few images of {plural(len(rare), 'defect class', 'defect classes')}: {names(rare)}; "
            "rates of so few are uncertain",
            f"collect at least {_FEW_DEFECTS} of each class",
        )


def judge_unused(images: Sequence[Path], masks: Sequence[Path], foreign: Sequence[Path]) -> Iterator[Finding]:
    """Report files in the folder that no sample uses: images outside the layout, masks of no image, other formats."""
    if images:
        yield Finding(
            "unused_image",
            Severity.WARNING,
            f"{counted(images, 'image lies', 'images lie')} outside the folders of the layout, unused",
            "move them into a class folder, or out of the data set",
            tuple(images),
        )
    if masks:
        yield Finding(
            "unused_mask",
            Severity.WARNING,
            f"{counted(masks, 'mask belongs', 'masks belong')} to no image",
            "name each mask <image>_mask.png in the folder of its class",
            tuple(masks),
        )
    if foreign:
        suffixes = names(sorted({path.suffix.lower() for path in foreign}))
        yield Finding(
            "foreign_format",
            Severity.WARNING,
            f"{plural(len(foreign), 'picture')} of a format that is not read ({suffixes})",
            "convert them to PNG or TIFF",
            tuple(foreign),
        )
