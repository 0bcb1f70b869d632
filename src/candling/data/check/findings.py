"""What a check found: one sentence, its files and its remedy each; knows no rule and no page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sized
    from pathlib import Path

__all__ = ["CheckReport", "Finding", "Severity", "counted", "names", "plural"]


class Severity(StrEnum):
    """How bad a finding is.

    An ERROR makes training fail or its figures wrong; a WARNING probably does harm; a NOTE is good to know.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: a fixed name for machines, such as ``"unreadable"`` or ``"duplicate_across_splits"``.
        severity: how bad it is.
        sentence: what is wrong.
        remedy: what to do about it.
        paths: the files concerned, at least one unless the whole set is meant.
        remarks: beside each path what distinguishes it (its size, its split); empty, or as many as paths.
    """

    kind: str
    severity: Severity
    sentence: str
    remedy: str
    paths: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """All findings about a data set, the worst first.

    Attributes:
        root: the folder or table checked.
        layout: how it was understood: ``"mvtec"``, ``"folders"``, ``"plain"`` or ``"table"``.
        images: how many images were looked at.
        masks: how many masks were looked at.
        counts: images by (split, label).
        findings: errors first, then warnings, then notes.
    """

    root: Path
    layout: str
    images: int
    masks: int
    counts: Mapping[tuple[str, str], int]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True when nothing is an error."""
        return not self.of(Severity.ERROR)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Give the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity is severity)

    def summary(self) -> str:
        """Say in one sentence how many images were looked at and what was found."""
        found = ", ".join(plural(len(self.of(severity)), severity.value) for severity in Severity if self.of(severity))
        return (
            f"{plural(self.images, 'image')} and {plural(self.masks, 'mask')} checked: {found or 'nothing to report'}"
        )

    def shown(self, path: Path) -> str:
        """Name a file as a reader of the report wants it: from the root of the set, where it lies below it."""
        folder = self.root if self.root.is_dir() else self.root.parent
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    def to_json(self) -> dict[str, Any]:
        """Give the report as plain lists, numbers and text."""
        return {
            "root": str(self.root),
            "layout": self.layout,
            "ok": self.ok,
            "images": self.images,
            "masks": self.masks,
            "counts": [{"split": split, "label": label, "images": n} for (split, label), n in self.counts.items()],
            "errors": len(self.of(Severity.ERROR)),
            "warnings": len(self.of(Severity.WARNING)),
            "notes": len(self.of(Severity.NOTE)),
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity.value,
                    "sentence": finding.sentence,
                    "remedy": finding.remedy,
                    "paths": [self.shown(path) for path in finding.paths],
                    "remarks": list(finding.remarks),
                }
                for finding in self.findings
            ],
        }


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Count a noun in words.

    >>> plural(1, "image"), plural(12, "image"), plural(2, "class", "classes")
    ('1 image', '12 images', '2 classes')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def counted(items: Sized, one: str, many: str) -> str:
    """Count things with the words that fit their number.

    >>> counted(["a.png"], "image is", "images are"), counted([], "image is", "images are")
    ('1 image is', '0 images are')
    """
    return f"{len(items)} {one if len(items) == 1 else many}"


def names(items: Iterable[str], *, most: int = 5) -> str:
    """List names in a sentence, cut after ``most``.

    >>> names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
