"""The check's page: one HTML file that opens offline, with small pictures of the files concerned; judges nothing."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from candling.data.check.findings import Severity
from candling.disk import write_atomic
from candling.errors import ImageError
from candling.pixels.read import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from candling.data.check.findings import CheckReport, Finding
    from candling.types import Frame

__all__ = ["write_html"]

TEMPLATE = Path(__file__).parents[1] / "check_page.html"

_SIDE_PX = 168
_PER_FINDING, _PER_PAGE = 12, 600
"""More pictures than these are named, not shown: a page must stay of a size a browser likes."""

_TITLES = {
    "unreadable": "Unreadable images",
    "odd_size": "Images of another size",
    "mixed_sizes": "Mixed sizes",
    "odd_depth": "Images of another bit depth",
    "odd_channels": "Grey among colour, or colour among grey",
    "blank": "Blank images",
    "over_exposed": "Over-exposed images",
    "under_exposed": "Under-exposed images",
    "duplicate": "Duplicates",
    "duplicate_across_splits": "Duplicates across splits",
    "label_conflict": "One picture, two labels",
    "near_duplicate": "Near duplicates",
    "near_duplicate_across_splits": "Near duplicates across splits",
    "near_label_conflict": "Nearly one picture, two labels",
    "product_across_splits": "One product in several splits",
    "no_masks": "No masks",
    "mask_missing": "Missing masks",
    "mask_unreadable": "Unreadable masks",
    "mask_size": "Masks of another size",
    "mask_on_good": "Masks on good images",
    "mask_empty": "Empty masks",
    "mask_full": "Masks of nearly everything",
    "mask_values": "Masks with grey values",
    "too_few_good": "Too few good images",
    "few_good": "Few good images",
    "few_defects": "Few defect images",
    "no_defects": "No defect images",
    "no_good_test": "No good test images",
    "unused_image": "Images outside the layout",
    "unused_mask": "Masks of no image",
    "foreign_format": "Formats that are not read",
}
_NOT_SHOWN = frozenset({"unreadable", "mask_unreadable", "foreign_format"})
"""Findings about files that cannot be shown."""

_HEADINGS = {Severity.ERROR: "Errors", Severity.WARNING: "Warnings", Severity.NOTE: "Notes"}
_MEANINGS = {
    Severity.ERROR: "Training would fail, or its figures would be wrong.",
    Severity.WARNING: "Probably harmful; look at each.",
    Severity.NOTE: "Good to know.",
}


@dataclass(frozen=True)
class _Picture:
    """One file as the page shows it; ``source`` is a data address, empty when there is no picture."""

    name: str
    remark: str
    source: str


@dataclass(frozen=True)
class _Entry:
    """One finding as the page shows it."""

    sentence: str
    remedy: str
    pictures: tuple[_Picture, ...]
    others: tuple[str, ...]


def write_html(report: CheckReport, path: Path) -> None:
    """Write the report as one self-contained HTML file.

    Raises:
        DiskError: it cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    budget = [_PER_PAGE]
    groups = []
    for severity in Severity:
        # findings of one kind stand together, the kinds in the order in which they were first found
        found = report.of(severity)
        kinds = list(dict.fromkeys(finding.kind for finding in found))
        ordered = sorted(found, key=lambda finding: kinds.index(finding.kind))
        sections = [
            (_TITLES.get(kind, kind), [_entry(report, finding, budget) for finding in same])
            for kind, same in groupby(ordered, key=lambda finding: finding.kind)
        ]
        groups.append((severity.value, _HEADINGS[severity], _MEANINGS[severity], len(found), sections))
    html = page.render(
        name=report.root.resolve().name,
        report=report,
        summary=report.summary(),
        counts=[(split, label, count) for (split, label), count in report.counts.items()],
        groups=groups,
    )
    write_atomic(path, html)


def _entry(report: CheckReport, finding: Finding, budget: list[int]) -> _Entry:
    remarks = finding.remarks or ("",) * len(finding.paths)
    shown = 0 if finding.kind in _NOT_SHOWN else min(_PER_FINDING, len(finding.paths), budget[0])
    budget[0] -= shown
    pictures = [
        _Picture(report.shown(path), remark, _thumbnail(path, mask=finding.kind.startswith(("mask_", "unused_mask"))))
        for path, remark in zip(finding.paths[:shown], remarks[:shown], strict=True)
    ]
    others = [
        report.shown(path) + (f" ({remark})" if remark else "")
        for path, remark in zip(finding.paths[shown:], remarks[shown:], strict=True)
    ]
    sentence = finding.sentence
    for path in finding.paths:  # a reader's sentence begins with the whole path
        sentence = sentence.replace(str(path), report.shown(path))
    return _Entry(sentence, finding.remedy, tuple(pictures), tuple(other for other in others if other not in sentence))


def _thumbnail(path: Path, *, mask: bool) -> str:
    """Give a small JPEG as a data address; empty when the file cannot be shown."""
    try:
        frame = read_image(path)
    except ImageError:
        return ""
    height, width = frame.shape[:2]
    scale = min(1.0, 2.0 * _SIDE_PX / max(height, width))  # twice the side: sharp on fine screens
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = _displayed(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), mask=mask)
    done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}" if done else ""


def _displayed(frame: Frame, *, mask: bool) -> NDArray[np.uint8]:
    """Give 8 bits in OpenCV's order of colours: 16-bit frames and masks stretched to their own range."""
    if frame.dtype != np.uint8 or mask:
        low, high = (0.0 if mask else float(frame.min())), float(frame.max())
        frame = np.clip((frame.astype(np.float32) - low) * (255.0 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    return np.asarray(frame if frame.ndim == 2 else frame[:, :, ::-1], dtype=np.uint8)
