"""Change a bundle's limits without touching anything else; knows why, when and by whom, not how limits are chosen.

Limits and manifest must change together, so the whole folder is swapped: beside it a new one is built from links to the
unchanged files, and takes its place when it is complete. A process killed before the swap leaves the old bundle; one
killed after it the new one. Two changes at once cannot lose each other's history: the second is told to load again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import candling
from candling.disk import replaced_folder
from candling.errors import BundleError, UsageError
from candling.runtime.bundle.folder import LIMITS, MANIFEST, Bundle, load_bundle, to_json
from candling.runtime.bundle.meaning import bound
from candling.runtime.bundle.shapes import LimitChange, LimitsFile, ManifestFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["replace_limits"]


def replace_limits(bundle: Bundle, limits: LimitsFile, *, reason: str, by: str, at: datetime | None = None) -> Bundle:
    """Put new limits into a bundle and log the change; the old ones stay in the history for good.

    Args:
        bundle: as it was loaded; if it was changed on disk since, nothing is written.
        limits: entries, conditions and map range are taken; its history is not, the bundle's own goes on.
        reason: why, in a sentence.
        by: who is responsible: a person, or the command that did it.
        at: when, with a time zone; None is now.

    Returns:
        The bundle as it is now, with another hash.

    Raises:
        UsageError: no reason, nobody responsible, no limits, or a time without a zone.
        BundleError: the bundle on disk is damaged, or not the one that was loaded; or a limit was chosen for a score of
            another meaning.
        DiskError: writing failed; the old bundle is still there.
    """
    when = datetime.now(UTC) if at is None else at
    if not reason.strip() or not by.strip() or not limits.entries or when.tzinfo is None:
        raise UsageError(f"{bundle.path}: a change of limits needs limits, a reason, a name and a time with a zone")
    limits = bound(limits, bundle.card, where=bundle.path)
    change = LimitChange(
        at=when.astimezone(UTC),
        reason=reason.strip(),
        by=by.strip(),
        precision=limits.precision,
        engine=limits.engine,
        old=bundle.limits.entries,
        new=limits.entries,
    )
    history = (*bundle.limits.history, change)
    data = to_json(LimitsFile.model_validate({**dict(limits), "history": history}))
    files = {**bundle.manifest.files, LIMITS: ManifestFile(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))}
    manifest = bundle.manifest.model_copy(update={"files": files, "candling": candling.__version__})
    with _only_one(bundle.path.parent):
        if load_bundle(bundle.path).sha256 != bundle.sha256:
            raise BundleError(f"{bundle.path}: was changed by someone else meanwhile; load it again and repeat")
        with replaced_folder(bundle.path, overwrite=True) as fresh:
            for name in bundle.manifest.files:
                if name != LIMITS:
                    _link(bundle.path / name, fresh / name)
            (fresh / LIMITS).write_bytes(data)
            (fresh / MANIFEST).write_bytes(to_json(manifest))
        return load_bundle(bundle.path)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time change bundles in a folder; where files cannot be locked, the hash alone guards."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
