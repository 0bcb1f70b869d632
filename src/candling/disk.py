"""Writing without ever leaving half a file: temporary name, fsync, rename; knows nothing of what is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from candling.errors import DiskError, OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["new_folder", "refuse_existing", "replaced_folder", "write_atomic"]


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises:
        DiskError: the disk is full, the folder is missing or read-only.
    """
    payload = data.encode() if isinstance(data, str) else data
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written: {error.strerror or error}; free space or choose another folder"
        ) from error


def refuse_existing(path: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace a file or a folder with content unless asked; an empty folder is as good as none.

    Raises:
        OutputExistsError: something is there and ``overwrite`` is False.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())) and not overwrite:
        raise OutputExistsError(f"{path}: exists already; add --overwrite, or choose another name")


def new_folder(path: Path, *, overwrite: bool = False) -> Path:
    """Make an output folder that nobody else's results lie in.

    Raises:
        OutputExistsError: it exists, is not empty, and ``overwrite`` is False.
        DiskError: it cannot be made.
    """
    try:
        if path.exists() and not path.is_dir():
            raise OutputExistsError(f"{path}: a file of this name is there; choose another output folder")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise OutputExistsError(f"{path}: exists already; add --overwrite, or choose another folder")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"{path}: cannot be made: {error.strerror or error}") from error
    return path


@contextmanager
def replaced_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its place, whole, when the block ends well.

    What was there before stays untouched until the new folder is complete.

    Raises:
        OutputExistsError: ``path`` exists, is not empty, and ``overwrite`` is False.
        DiskError: writing failed.
    """
    refuse_existing(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}") from error
    try:
        yield fresh
        for file in fresh.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        fresh.chmod(0o755)
        _swap(fresh, path)
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, path: Path) -> None:
    if not path.exists():
        fresh.rename(path)
    else:
        old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
        path.rename(old / "old")
        try:
            fresh.rename(path)
        except OSError:
            (old / "old").rename(path)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
